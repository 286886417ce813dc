//! What a ledger must never lose, invent or exceed.

use std::collections::BTreeSet;

use treering_provider::{ByteClasses, JobEntry, Ledger, SummaryJob, TokenCounter};
use treering_tree::{Kind, Message, Part, Role, Summary};

use crate::samples::{self, Sample};

/// The budget a window of 200,000 tokens gives to a summary.
const BUDGET_TOKENS: u32 = 7_000;

fn job(entries: &[JobEntry], previous: Option<Summary>, budget_tokens: u32) -> SummaryJob {
    SummaryJob { entries: entries.to_vec(), previous, budget_tokens, ..SummaryJob::default() }
}

fn ledger(entries: &[JobEntry], budget_tokens: u32) -> Summary {
    Ledger::new().of(&job(entries, None, budget_tokens)).unwrap()
}

/// The text of a user's ask on one line, as far as a ledger must keep it.
fn ask(entry: &JobEntry) -> String {
    let text = |part: &Part| match part {
        Part::Text { text } => text.clone(),
        _ => String::new(),
    };
    let texts: Vec<String> = entry.message.parts.iter().map(text).collect();
    let words: Vec<&str> = texts.iter().flat_map(|text| text.split_whitespace()).collect();
    words.join(" ").chars().take(180).collect::<String>().trim_end().to_owned()
}

fn changed(sample: &Sample) -> BTreeSet<String> {
    let mut failed = BTreeSet::new();
    for entry in &sample.entries {
        for part in &entry.message.parts {
            if let Part::ToolResult { call, error: true, .. } = part {
                failed.insert(call.clone());
            }
        }
    }
    let mut changed = BTreeSet::new();
    for part in sample.entries.iter().flat_map(|entry| &entry.message.parts) {
        let Part::ToolCall { id, name, arguments } = part else {
            continue;
        };
        let writes = ["edit", "write", "Edit", "Write", "MultiEdit"].contains(&name.as_str());
        let path = arguments["path"].as_str().or(arguments["file_path"].as_str());
        if let (true, Some(path), false) = (writes, path, failed.contains(id)) {
            changed.insert(path.to_owned());
        }
    }
    changed
}

#[test]
fn every_ask_and_every_changed_file_stays_in_view() {
    for sample in samples::all() {
        let summary = ledger(&sample.entries, BUDGET_TOKENS);
        let asks = sample.entries.iter().filter(|entry| entry.kind == Kind::User).map(ask);
        for ask in asks {
            assert!(summary.text.contains(&ask), "{}: ask {ask:?} is gone", sample.name);
        }
        let book = summary.ledger.unwrap();
        let root = book["root"].as_str().map(|root| format!("{root}/")).unwrap_or_default();
        let changed: BTreeSet<String> = changed(&sample)
            .into_iter()
            .map(|path| path.strip_prefix(&root).unwrap_or(&path).to_owned())
            .collect();
        let files = book["files"].as_array().unwrap().iter();
        let listed: BTreeSet<String> = files
            .filter(|file| file["writes"] != 0)
            .map(|file| file["path"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(listed, changed, "{}", sample.name);
        for path in listed {
            let name = path.rsplit('/').next().unwrap();
            assert!(summary.text.contains(&format!("{name}*")), "{}: {path} is gone", sample.name);
        }
    }
}

/// What the last list of a todo tool leaves open.
fn open_items(sample: &Sample) -> Vec<String> {
    let calls = sample.entries.iter().flat_map(|entry| &entry.message.parts);
    let list = |part: &Part| match part {
        Part::ToolCall { name, arguments, .. } if name == "TodoWrite" => Some(arguments.clone()),
        _ => None,
    };
    let last = calls.filter_map(list).next_back().unwrap_or_default();
    let items = last["todos"].as_array().cloned().unwrap_or_default();
    let open = items.iter().filter(|item| item["status"] != "completed");
    open.map(|item| item["content"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_is_still_to_do_stays_in_view() {
    let (mut lists, mut items) = (0, 0);
    for mut sample in samples::all() {
        // As if the session had been compacted at each point.
        let all = std::mem::take(&mut sample.entries);
        for share in 1..=10 {
            sample.entries = all[..all.len() * share / 10].to_vec();
            let open = open_items(&sample);
            let text = ledger(&sample.entries, BUDGET_TOKENS).text;
            for item in &open {
                assert!(text.contains(&format!("- [ ] {item} [")), "{}: {item}", sample.name);
            }
            lists += usize::from(!open.is_empty());
            items += open.len();
        }
    }
    println!("{items} open items of {lists} lists, none lost");
}

#[test]
fn the_text_is_within_its_budget_and_the_same_every_time() {
    let counter = ByteClasses::default();
    for sample in samples::all() {
        for budget in [128, 300, 599, 600, 1_000, 2_000, 4_000, 16_000] {
            let summary = ledger(&sample.entries, budget);
            let tokens = counter.count(&summary.text);
            assert!(tokens <= budget, "{}: {tokens} over {budget}", sample.name);
            assert_eq!(ledger(&sample.entries, budget), summary);
        }
    }
}

#[test]
fn a_budget_too_small_for_anything_is_refused() {
    let error = Ledger::new().of(&job(&[], None, 100)).unwrap_err().to_string();
    assert_eq!(error, "invalid budget_tokens: a ledger needs at least 128, found 100");
}

#[test]
fn what_the_first_generation_knew_the_fourth_still_knows() {
    for sample in samples::all() {
        let mut summary: Option<Summary> = None;
        let quarter = sample.entries.len().div_ceil(4);
        for part in sample.entries.chunks(quarter) {
            let next = Ledger::new().of(&job(part, summary, BUDGET_TOKENS)).unwrap();
            summary = Some(next);
        }
        let summary = summary.unwrap();
        let book = summary.ledger.as_ref().unwrap();
        assert_eq!(book["generation"], 4);
        assert_eq!(book["entries"], sample.entries.len());
        let asks = sample.entries.iter().filter(|entry| entry.kind == Kind::User).map(ask);
        for ask in asks {
            assert!(summary.text.contains(&ask), "{}: ask {ask:?} is gone", sample.name);
        }
        let count = |value: &serde_json::Value| {
            let files = value["files"].as_array().unwrap().iter();
            files.map(|file| file["writes"].as_u64().unwrap()).sum::<u64>()
        };
        let whole = ledger(&sample.entries, BUDGET_TOKENS);
        assert_eq!(count(book), count(whole.ledger.as_ref().unwrap()), "{}", sample.name);
    }
}

#[test]
fn a_foreign_summary_is_carried_as_prose() {
    let previous = Summary {
        text: "## Goal\nPort parseTree to src/tree/parse.rs.\n".into(),
        ..Summary::default()
    };
    let first = Ledger::new().of(&job(&[], Some(previous), 1_000)).unwrap();
    assert!(first.text.contains("Port parseTree to src/tree/parse.rs."), "{}", first.text);
    let second = Ledger::new().of(&job(&[], Some(first), 1_000)).unwrap();
    assert!(second.text.contains("Port parseTree to src/tree/parse.rs."), "{}", second.text);
}

fn entry(at: usize, kind: Kind, parts: Vec<Part>) -> JobEntry {
    JobEntry {
        id: samples::id(at),
        kind,
        turn: 1,
        tokens: 10,
        message: Message::new(Role::Assistant, parts),
    }
}

fn run(at: usize, command: &str, output: &str, error: bool) -> [JobEntry; 2] {
    let call = format!("call_{at}");
    let make = Part::ToolCall {
        id: call.clone(),
        name: "bash".into(),
        arguments: serde_json::json!({ "command": command }),
    };
    let result = Part::ToolResult { call, text: output.into(), error };
    [entry(at, Kind::Assistant, vec![make]), entry(at + 1, Kind::ToolResult, vec![result])]
}

#[test]
fn a_failure_stays_until_the_same_command_succeeds() {
    let failing = run(0, "cd /work/app && make 2>&1 | tail", "x.c:3: error: no semicolon", true);
    let other = run(2, "make lint", "lint failed: 3 errors", true);
    let mended = run(4, "make", "done", false);
    let mut entries = [failing, other].concat();
    let before = ledger(&entries, 1_000).text;
    assert!(before.contains("`make`: x.c:3: error: no semicolon"), "{before}");
    entries.extend(mended);
    let after = ledger(&entries, 1_000).text;
    assert!(!after.contains("no semicolon"), "{after}");
    assert!(after.contains("`make lint`: lint failed: 3 errors"), "{after}");
}

#[test]
fn hostile_text_is_only_text() {
    let nasty = [
        "\u{0}\u{1b}[31m\u{202e}".repeat(5_000),
        "/".repeat(100_000),
        "- [ ] ".repeat(20_000),
        "a.b".repeat(100_000),
        "\n".repeat(200_000),
        "*** Begin Patch\n*** Update File: ".to_owned(),
    ];
    let counter = ByteClasses::default();
    for text in nasty {
        let parts = |text: &str| vec![Part::Text { text: text.to_owned() }];
        let mut entries =
            vec![entry(0, Kind::User, parts(&text)), entry(1, Kind::Assistant, parts(&text))];
        entries.extend(run(2, &text, &text, true));
        let summary = ledger(&entries, 600);
        assert!(counter.count(&summary.text) <= 600);
        assert!(!summary.text.contains('\u{1b}'));
    }
}

#[test]
fn nothing_is_named_that_was_not_said() {
    for sample in samples::all() {
        let said: String = sample.entries.iter().map(samples::everything).collect();
        let root = sample.directory.as_deref().unwrap_or("\0");
        for budget in [1_000, 4_000] {
            let text = ledger(&sample.entries, budget).text;
            let lines = text.lines().skip_while(|line| !line.starts_with("## "));
            for line in lines.filter(|line| !line.starts_with('#')) {
                let (line, source) = line.rsplit_once(" [").unwrap_or((line, ""));
                let digits = source.trim_end_matches(']');
                let is_source = |entry: &JobEntry| entry.id.to_string().starts_with(digits);
                assert!(
                    sample.entries.iter().any(is_source),
                    "{}: no entry {digits:?}",
                    sample.name
                );
                for word in line.split(|c: char| c.is_whitespace() || "`,:()\"'".contains(c)) {
                    let name = word.trim_matches(|c: char| !c.is_alphanumeric());
                    let short = name.strip_prefix(root).unwrap_or(name);
                    assert!(
                        said.contains(short) || ["failed"].contains(&short),
                        "{}: {name:?} was never said",
                        sample.name
                    );
                }
            }
        }
    }
}

/// How long this thread has worked, where the system tells; else how long ago the first call was.
/// What it waited for a processor is not the ledger's.
fn worked() -> std::time::Duration {
    static BEGAN: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = told.split(' ').next().and_then(|nanos| nanos.parse().ok());
    nanos.map_or_else(|| BEGAN.elapsed(), std::time::Duration::from_nanos)
}

/// Megabytes a second, of one thread.
const SPEED: f64 = 20.0;

#[test]
fn a_long_session_is_summarized_at_speed() {
    let samples = samples::all();
    let once = samples.iter().flat_map(|sample| &sample.entries);
    let entries: Vec<JobEntry> = once.cycle().take(8_000).cloned().collect();
    if entries.is_empty() {
        return;
    }
    let job = job(&entries, None, BUDGET_TOKENS);
    let bytes: usize = entries.iter().map(|entry| samples::everything(entry).len()).sum();
    let runs = (0..5).map(|_| {
        let start = worked();
        std::hint::black_box(Ledger::new().of(&job).unwrap());
        worked().saturating_sub(start)
    });
    let best = runs.min().unwrap().as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "a few megabytes")]
    let megabytes = bytes as f64 / 1e6;
    println!("ledger: {:.0} MB/s over {megabytes:.1} MB", megabytes / best);
    // Tests run with few optimizations.
    let floor = if cfg!(debug_assertions) { SPEED / 2.0 } else { SPEED };
    assert!(megabytes / best > floor, "{:.1} MB/s, floor {floor}", megabytes / best);
}
