//! Forward-reference retention: how much of what a session needs later a summary still holds.
//!
//! A session is cut where a compaction might cut it. A probe is an atom (path, URL, error code,
//! number, flag, identifier) that stood in the head, is absent from the kept tail, and is named after
//! the cut by the agent or the user before any tool shows it again: what the agent had to know.
//! Retention is the share of probes the summary holds; weighted, a probe needed later counts less.
//! Against stuffing, the share of the summary's atoms that are used later is shown beside it.
//!
//! The atoms are found by regular expressions, not by the ledger's own scanner, so that the two do
//! not share their blind spots.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;
use treering_provider::{ByteClasses, JobEntry, Ledger, SummaryJob, TokenCounter};
use treering_tree::Part;

use crate::rivals;
use crate::samples::{self, Sample};

/// Where a session is cut, in percent of its entries.
const CUTS_PERCENT: [usize; 8] = [15, 25, 35, 45, 55, 65, 75, 85];
/// Entries after the cut that are looked at.
const FUTURE: usize = 200;
/// The kept tail: a quarter of what there is, at most this many tokens.
const KEPT_TOKENS: u64 = 20_000;
/// Cuts with fewer probes say nothing.
const MIN_PROBES: usize = 8;
/// The same of sessions that are held out: there are few, and short ones.
const MIN_PROBES_HELD_OUT: usize = 3;
/// Budgets, and the retention under which the test fails: over all cuts, and in any one session.
const FLOORS: [(u32, f64, f64); 3] =
    [(1_000, 0.75, 0.55), (2_000, 0.88, 0.80), (4_000, 0.97, 0.95)];
/// The same over all cuts of sessions that had no part in making the ledger.
const HELD_OUT_FLOORS: [(u32, f64); 3] = [(1_000, 0.40), (2_000, 0.60), (4_000, 0.75)];
const LEDGER: &str = "ledger";
const LEDGER_BLIND: &str = "ledger, tail unseen";

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Path,
    Url,
    Error,
    Number,
    Flag,
    Name,
}

type Atoms = BTreeSet<(Class, String)>;

static PATTERNS: LazyLock<Vec<(Class, Regex)>> = LazyLock::new(|| {
    let extensions = "tsx?|m?js|jsx|jsonl?|md|rs|toml|py|go|c|h|cpp|sh|ya?ml|html|css|txt|lock|sql|java|rb|png|svg";
    let path = format!(
        r"(?:^|[^\w])((?:~|\.{{1,2}})?(?:/?[\w.@+-]+/)+[\w.@+-]+)|(?:^|[^\w/.-])([\w.-]+\.(?:{extensions})\b)"
    );
    let name = r"\b([A-Z]+[a-z0-9]+(?:[A-Z][A-Za-z0-9]*)+|[a-z]+[a-z0-9]*(?:[A-Z][A-Za-z0-9]*)+|[A-Za-z][A-Za-z0-9]*_[A-Za-z0-9_]+|[A-Z]{2,}[A-Z0-9]*\d+)\b";
    let error = r"\b(E\d{4}|TS\d{4,5}|E[A-Z]{4,}|exit code:? \d+|[A-Z]\w*(?:Error|Exception))\b";
    let number = r"\b(v?\d+\.\d+\.\d+|[0-9a-f]{7,40}|\d{4}-\d\d-\d\d|\d{3,})\b|(?:^|\W)(#\d+)\b";
    [
        (Class::Path, path.as_str()),
        (Class::Url, r#"(https?://[^\s"'<>)\]]+)"#),
        (Class::Error, error),
        (Class::Number, number),
        (Class::Flag, r"\s(--[a-z][\w-]+)"),
        (Class::Name, name),
    ]
    .map(|(class, pattern)| (class, Regex::new(pattern).unwrap()))
    .into()
});

fn atoms(text: &str, directory: &str) -> Atoms {
    let text = text.replace(directory, "");
    let mut atoms = Atoms::new();
    for (class, pattern) in PATTERNS.iter() {
        for found in pattern.captures_iter(&text) {
            let whole = found.iter().skip(1).flatten().next().unwrap().as_str();
            let atom = whole.trim_matches(|c| ".,:;`'\"()".contains(c));
            if counts(*class, atom) {
                atoms.insert((*class, atom.to_owned()));
            }
        }
    }
    atoms
}

fn counts(class: Class, atom: &str) -> bool {
    let digits = atom.bytes().all(|byte| byte.is_ascii_digit());
    let hash = atom.len() >= 7 && atom.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mixed = || {
        atom.bytes().any(|byte| byte.is_ascii_digit())
            && atom.bytes().any(|byte| byte.is_ascii_alphabetic())
    };
    match class {
        Class::Number if digits => atom.len() <= 12,
        Class::Number if hash => mixed(),
        Class::Name => atom.len() >= 5 && !["JavaScript", "TypeScript", "GitHub"].contains(&atom),
        Class::Path => {
            let bare = atom.bytes().all(|byte| byte.is_ascii_digit() || b"./-".contains(&byte));
            atom.len() >= 4 && !atom.starts_with("//") && !bare
        }
        _ => true,
    }
}

/// Whether a reader of the summary finds the atom: a path also by its last two parts, or by a
/// telling file name.
fn holds(summary: &str, (class, atom): &(Class, String)) -> bool {
    if summary.contains(atom.as_str()) {
        return true;
    }
    let mut parts = atom.rsplit('/');
    match (class, parts.next(), parts.next()) {
        (Class::Path, Some(name), Some(folder)) => {
            summary.contains(&format!("{folder}/{name}"))
                || name.len() > 8 && summary.contains(name)
        }
        _ => false,
    }
}

/// An entry's words: what the agent or the user wrote, and what a tool printed.
struct Words {
    authored: String,
    printed: String,
    authored_atoms: Atoms,
    printed_atoms: Atoms,
    tokens: u64,
}

fn words(entry: &JobEntry, directory: &str) -> Words {
    let counter = ByteClasses::default();
    let (mut authored, mut printed) = (String::new(), String::new());
    for part in &entry.message.parts {
        match part {
            Part::Text { text } | Part::Reasoning { text } => {
                authored.push_str(text);
                authored.push('\n');
            }
            Part::ToolCall { name, arguments, .. } => {
                authored.extend([name, " ", &samples::strings(arguments), "\n"]);
            }
            Part::ToolResult { text, .. } => {
                printed.push_str(text);
                printed.push('\n');
            }
            _ => {}
        }
    }
    Words {
        authored_atoms: atoms(&authored, directory),
        printed_atoms: atoms(&printed, directory),
        tokens: u64::from(counter.count(&authored) + counter.count(&printed)),
        authored,
        printed,
    }
}

/// What is needed after the cut, with the distance of the entry that needs it.
fn probes(head: &[Words], kept: &[Words], future: &[Words]) -> BTreeMap<(Class, String), usize> {
    let all = |words: &[Words]| -> Atoms {
        let both = |words: &Words| {
            words.authored_atoms.union(&words.printed_atoms).cloned().collect::<Vec<_>>()
        };
        words.iter().flat_map(both).collect()
    };
    let (head, mut seen) = (all(head), all(kept));
    let mut needed = BTreeMap::new();
    for (distance, words) in future.iter().enumerate() {
        for atom in &words.authored_atoms {
            if head.contains(atom) && !seen.contains(atom) {
                needed.insert(atom.clone(), distance);
            }
        }
        seen.extend(words.authored_atoms.iter().cloned());
        seen.extend(words.printed_atoms.iter().cloned());
    }
    needed
}

/// What only the first of so many compactions saw, and what the last summary must hold of it.
const GENERATIONS: usize = 4;
const CHAIN_FLOOR: f64 = 0.9;
const CHAIN_TOKENS: u32 = 4_000;

/// Where the kept tail of the entries before `at` begins.
fn cut(entries: &[JobEntry], words: &[Words], at: usize) -> usize {
    let total: u64 = words[..at].iter().map(|words| words.tokens).sum();
    let keep = KEPT_TOKENS.min(total / 4);
    let (mut cut, mut kept) = (at, 0);
    while cut > 0 && kept < keep {
        cut -= 1;
        kept += words[cut].tokens;
    }
    while cut < at && !entries[cut].message.answers().is_empty() {
        cut += 1;
    }
    cut
}

#[derive(Default)]
struct Scores {
    retention: Vec<f64>,
    weighted: Vec<f64>,
    used: Vec<f64>,
    tokens: Vec<f64>,
}

fn mean(values: &[f64]) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a few cuts")]
    let count = values.len().max(1) as f64;
    values.iter().sum::<f64>() / count
}

fn share(part: usize, whole: usize) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "counts of atoms")]
    let share = part as f64 / whole.max(1) as f64;
    share
}

type Table = BTreeMap<(u32, &'static str), Scores>;

fn measure(sample: &Sample, min_probes: usize, table: &mut Table) -> usize {
    let directory = sample.directory.as_ref().map_or("\0".into(), |path| format!("{path}/"));
    let all: Vec<Words> = sample.entries.iter().map(|entry| words(entry, &directory)).collect();
    let mut cuts = 0;
    for percent in CUTS_PERCENT {
        let at = sample.entries.len() * percent / 100;
        let cut = cut(&sample.entries, &all, at);
        let future = &all[at..all.len().min(at + FUTURE)];
        let needed = probes(&all[..cut], &all[cut..at], future);
        if cut == 0 || needed.len() < min_probes {
            continue;
        }
        cuts += 1;
        let later: Atoms =
            future.iter().flat_map(|words| words.authored_atoms.iter().cloned()).collect();
        let texts: Vec<String> = all[..cut]
            .iter()
            .map(|words| format!("{}\n{}", words.authored, words.printed))
            .collect();
        let prose = rivals::prose(&sample.entries[..cut]);
        for (budget, ..) in FLOORS {
            let job = SummaryJob {
                entries: sample.entries[..cut].to_vec(),
                budget_tokens: budget,
                kept: sample.entries[cut..at].to_vec(),
                ..SummaryJob::default()
            };
            let blind = SummaryJob { kept: Vec::new(), ..job.clone() };
            let rivals = [
                (LEDGER, Ledger::new().of(&job).unwrap().text),
                (LEDGER_BLIND, Ledger::new().of(&blind).unwrap().text),
                ("first N", rivals::first(&texts, budget)),
                ("TF-IDF", rivals::tf_idf(&prose, budget)),
            ];
            for (name, text) in rivals {
                let scores = table.entry((budget, name)).or_default();
                score(scores, &text.replace(&directory, ""), &needed, &later, &directory);
            }
        }
        let reached =
            FLOORS.map(|(budget, ..)| *table[&(budget, LEDGER)].retention.last().unwrap());
        assert!(reached.is_sorted(), "{}: more room, less held: {reached:?}", sample.name);
    }
    cuts
}

fn score(
    scores: &mut Scores,
    summary: &str,
    needed: &BTreeMap<(Class, String), usize>,
    later: &Atoms,
    directory: &str,
) {
    let (mut held, mut weight, mut weight_held) = (0, 0.0, 0.0);
    for (atom, distance) in needed {
        #[allow(clippy::cast_precision_loss, reason = "at most a few hundred entries")]
        let worth = 1.0 / (2.0 + *distance as f64).log2();
        weight += worth;
        if holds(summary, atom) {
            held += 1;
            weight_held += worth;
        }
    }
    let named = atoms(summary, directory);
    scores.retention.push(share(held, needed.len()));
    scores.weighted.push(weight_held / weight);
    scores.used.push(share(named.intersection(later).count(), named.len()));
    scores.tokens.push(f64::from(ByteClasses::default().count(summary)));
}

/// Measures samples, each under floors of its own where there are any.
fn over(
    samples: Vec<Sample>,
    min_probes: usize,
    is_fit: impl Fn(&Sample, &Table),
) -> (Table, usize) {
    let mut table = Table::new();
    let mut cuts = 0;
    for sample in samples {
        let mut own = Table::new();
        let found = measure(&sample, min_probes, &mut own);
        println!("{}: {} entries, {found} cuts", sample.name, sample.entries.len());
        if found > 0 {
            is_fit(&sample, &own);
        }
        cuts += found;
        for (key, scores) in own {
            let sum = table.entry(key).or_default();
            sum.retention.extend(scores.retention);
            sum.weighted.extend(scores.weighted);
            sum.used.extend(scores.used);
            sum.tokens.extend(scores.tokens);
        }
    }
    if cuts > 0 {
        print(&table, cuts);
    }
    (table, cuts)
}

fn assert_holds(table: &Table, method: &'static str, budget: u32, floor: f64, name: &str) {
    let reached = mean(&table[&(budget, method)].retention);
    assert!(
        reached >= floor,
        "{name}: {method} holds {reached:.3} at {budget} tokens, floor {floor}"
    );
}

#[test]
fn the_ledger_holds_what_sessions_need_later() {
    let (table, cuts) = over(samples::all(), MIN_PROBES, |sample, own| {
        for (budget, _, floor) in FLOORS {
            for method in [LEDGER, LEDGER_BLIND] {
                assert_holds(own, method, budget, floor, sample.name);
            }
        }
    });
    for (budget, floor, _) in FLOORS.into_iter().filter(|_| cuts > 0) {
        assert_holds(&table, LEDGER, budget, floor, "all");
    }
}

#[test]
fn the_ledger_holds_what_sessions_need_that_it_was_not_made_with() {
    let (table, cuts) = over(samples::held_out(), MIN_PROBES_HELD_OUT, |_, _| {});
    for (budget, floor) in HELD_OUT_FLOORS.into_iter().filter(|_| cuts > 0) {
        for method in [LEDGER, LEDGER_BLIND] {
            assert_holds(&table, method, budget, floor, "held out");
        }
    }
}

/// The summary after each part of a head was compacted in turn.
fn chained(head: &[JobEntry], kept: &[JobEntry]) -> String {
    let mut previous = None;
    for part in head.chunks(head.len().div_ceil(GENERATIONS)) {
        let job = SummaryJob {
            entries: part.to_vec(),
            previous: previous.take(),
            budget_tokens: CHAIN_TOKENS,
            kept: kept.to_vec(),
            ..SummaryJob::default()
        };
        previous = Some(Ledger::new().of(&job).unwrap());
    }
    previous.unwrap().text
}

#[test]
fn what_the_first_compaction_saw_is_held_after_three_more() {
    let mut held = Vec::new();
    for sample in samples::all() {
        let directory = sample.directory.as_ref().map_or("\0".into(), |path| format!("{path}/"));
        let all: Vec<Words> = sample.entries.iter().map(|entry| words(entry, &directory)).collect();
        for percent in CUTS_PERCENT {
            let at = sample.entries.len() * percent / 100;
            let cut = cut(&sample.entries, &all, at);
            let first = cut.div_ceil(GENERATIONS);
            let future = &all[at..all.len().min(at + FUTURE)];
            let needed = probes(&all[..first], &all[first..at], future);
            if needed.is_empty() {
                continue;
            }
            let text = chained(&sample.entries[..cut], &sample.entries[cut..at]);
            let text = text.replace(&directory, "");
            held.extend(needed.keys().map(|atom| f64::from(u8::from(holds(&text, atom)))));
        }
    }
    if held.is_empty() {
        return;
    }
    let (reached, probes) = (mean(&held), held.len());
    println!(
        "after {GENERATIONS} compactions: {reached:.3} of {probes} probes that only the first saw"
    );
    assert!(reached >= CHAIN_FLOOR, "{reached:.3} of {probes}, floor {CHAIN_FLOOR}");
}

fn print(table: &Table, cuts: usize) {
    println!("retention over {cuts} cuts (share of what is needed later; 1 is best)");
    println!(" budget  method               retention  weighted  used later  tokens");
    for ((budget, name), scores) in table {
        let [retention, weighted, used, tokens] =
            [&scores.retention, &scores.weighted, &scores.used, &scores.tokens]
                .map(|values| mean(values));
        println!(
            "{budget:>7}  {name:20} {retention:>9.3} {weighted:>9.3} {used:>11.3} {tokens:>7.0}"
        );
    }
}
