//! Sessions into a store and out of it, at the command line: from standard input, from files that are
//! still written, in bundles, in other formats; checked against what is written down about samples.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use tests::command::{Cli, ROOT, text, texts};

const HEADER: &str = r#"{"type":"session","version":3,"id":"11111111-1111-4111-8111-111111111111","timestamp":"2026-01-01T00:00:00.000Z","cwd":"/w"}"#;
const SESSION: &str = "11111111-1111-4111-8111-111111111111";

fn said(id: &str, parent: Option<&str>, text: &str) -> String {
    let message = json!({ "role": "user", "content": text });
    let at = "2026-01-01T00:00:01.000Z";
    json!({ "type": "message", "id": id, "parentId": parent, "timestamp": at, "message": message })
        .to_string()
}

fn session() -> String {
    format!("{HEADER}\n{}\n{}\n", said("a", None, "one"), said("b", Some("a"), "two"))
}

#[test]
fn nothing_found_leaves_no_store() {
    let cli = Cli::new();
    std::fs::create_dir(cli.file("empty")).unwrap();
    std::fs::write(cli.file("letter.txt"), "Dear all,\n").unwrap();
    std::fs::write(cli.file("torn.bundle"), "{\"bundle\":tru").unwrap();
    std::fs::write(cli.file("s.jsonl"), session()).unwrap();
    for (args, code) in [
        (&["import", "no-such-file"][..], 3),
        (&["import", "no-such-*.jsonl"], 3),
        (&["import", "empty"], 3),
        (&["import", "letter.txt"], 7),
        (&["import", "s.jsonl", "letter.txt"], 7),
        (&["import", "s.jsonl", "--format", "morse"], 2),
        (&["import", "torn.bundle"], 2),
        (&["import", "--follow", "no-such-file"], 3),
        (&["import", "--follow", "-"], 2),
        (&["import", "-"], 7),
    ] {
        let (found, error) = cli.failure(args);
        assert_eq!(found, code, "{args:?}: {error}");
        assert!(!cli.store().exists(), "{args:?} left a store");
    }
    assert_eq!(cli.run(&["import", "--check", "s.jsonl"]).code, Some(0));
    assert!(!cli.store().exists(), "checking left a store");
}

#[test]
fn standard_input_is_a_file_like_any_other() {
    let cli = Cli::new();
    let torn = format!("{}{}", session(), &said("c", Some("b"), "three")[..30]);
    let ran = cli.run_with(&["--json", "import", "-"], &torn);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let report = &ran.lines()[0];
    assert_eq!((text(report, "session"), text(report, "format")), (SESSION, "pi"));
    let repairs = report["repairs"].as_array().unwrap();
    assert_eq!((texts(repairs, "kind"), texts(repairs, "file")), (vec!["torn-line"], vec!["-"]));
    assert_eq!(cli.run(&["export", SESSION]).out, torn.as_bytes());

    let messages = r#"[{"role":"user","content":"Hello."}]"#;
    let forced = cli.run_with(&["--json", "import", "-", "--format", "openai-chat"], messages);
    assert_eq!(text(&forced.lines()[0], "format"), "openai-chat", "{}", forced.err);
    // Beside paths, and more than one.
    std::fs::write(cli.file("s.jsonl"), torn).unwrap();
    let again = cli.run_with(&["--json", "import", "-", "s.jsonl"], messages);
    let added: Vec<_> = again.lines().iter().map(|line| line["added"].clone()).collect();
    assert_eq!(added.len(), 2, "{}", again.err);
    assert!(added.contains(&json!(0)));
}

#[test]
fn folders_and_globs_hold_many_sessions() {
    let cli = Cli::new();
    std::fs::create_dir_all(cli.file("all/deep")).unwrap();
    for (name, id) in [("one", "1"), ("two", "2"), ("deep/three", "3")] {
        let text = session().replace(SESSION, &SESSION.replace('1', id));
        std::fs::write(cli.file(&format!("all/{name}.jsonl")), text).unwrap();
    }
    std::fs::write(cli.file("all/notes.txt"), "no session").unwrap();
    assert_eq!(cli.json(&["import", "all/*.jsonl"]).len(), 2);
    assert_eq!(cli.json(&["import", "all"]).len(), 3);
    assert_eq!(cli.json(&["sessions"]).len(), 3);
}

/// A command that follows files, and the objects it prints.
struct Following {
    child: Child,
    objects: Receiver<Value>,
}

impl Following {
    fn begin(cli: &Cli, path: &str) -> Self {
        let mut command = cli.command(["--json", "import", "--follow", path]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, objects) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        Self { child, objects }
    }

    fn next(&self) -> Value {
        self.objects.recv_timeout(Duration::from_secs(60)).unwrap()
    }

    /// Interrupts it as a terminal does; answers its exit code.
    fn end(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        let code = self.child.wait().unwrap().code();
        assert_eq!(self.objects.try_iter().count(), 0, "it told more than was asked for");
        code
    }
}

#[cfg(unix)]
#[test]
fn a_growing_file_is_followed_until_interrupted() {
    let cli = Cli::new();
    let path = cli.file("s.jsonl");
    std::fs::write(&path, session()).unwrap();
    let append = |text: &str| {
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    let following = Following::begin(&cli, "s.jsonl");
    assert_eq!(following.next()["added"], 3);
    let line = said("c", Some("b"), "three");
    append(&line[..40]);
    // It waits for the rest of a line, however long that takes.
    std::thread::sleep(Duration::from_secs(1));
    append(&format!("{}\n", &line[40..]));
    let grown = following.next();
    assert_eq!((&grown["added"], &grown["repairs"]), (&json!(1), &json!([])));

    // Rewritten from the middle on: told, and nothing is lost.
    let other =
        format!("{HEADER}\n{}\n{}\n", said("a", None, "one"), said("x", Some("a"), "other"));
    std::fs::write(&path, &other).unwrap();
    let kinds = loop {
        let told = following.next();
        let kinds = texts(told["repairs"].as_array().unwrap(), "kind").join(" ");
        // Between the two steps of writing a file, it may have been seen empty.
        if kinds.contains("rewritten-file") {
            break kinds;
        }
    };
    assert!(kinds.contains("rewritten-file"), "{kinds}");
    // Cut off: told, and nothing is taken away.
    std::fs::write(&path, format!("{HEADER}\n")).unwrap();
    let told = following.next();
    assert_eq!(texts(told["repairs"].as_array().unwrap(), "kind"), ["shrunk-file"]);
    assert_eq!(following.end(), Some(0));

    let log = texts(&cli.json(&["log", SESSION]), "text").join(" ");
    assert!(log.contains("other"), "{log}");
    let branches = cli.json(&["branches", SESSION]);
    assert!(texts(&branches, "branch").contains(&"main-replaced-1"), "{branches:?}");
    assert_eq!(cli.run(&["export", SESSION]).out, other.as_bytes());
    assert_eq!(cli.object(&["verify"])["problems"], json!([]));
}

#[test]
fn bundles_carry_a_session_to_another_store() {
    let (from, to) = (Cli::new(), Cli::new());
    std::fs::write(from.file("s.jsonl"), session()).unwrap();
    from.object(&["import", "s.jsonl"]);
    from.object(&["fork", SESSION, "a", "--branch", "other"]);
    let bundle = from.run(&["export", SESSION, "--bundle"]).out;
    std::fs::write(to.file("s.bundle"), &bundle).unwrap();
    let zstd = from.run(&["export", SESSION, "--bundle", "--zstd"]).out;
    assert!(zstd.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]), "a frame of zstd");
    let other = Cli::new();
    std::fs::write(other.file("s.zst"), &zstd).unwrap();
    let unpacked = other.object(&["import", "s.zst"]);
    let report = to.object(&["import", "s.bundle"]);
    assert_eq!(unpacked["added"], report["added"]);
    assert_eq!((text(&report, "session"), &report["added"]), (SESSION, &report["entries"]));
    let again = to.run_with(&["--json", "import", "-"], std::str::from_utf8(&bundle).unwrap());
    assert_eq!(again.lines()[0]["added"], 0, "{}", again.err);
    for verb in ["log", "branches"] {
        assert_eq!(to.json(&[verb, SESSION]), from.json(&[verb, SESSION]));
    }
    assert_eq!(to.run(&["export", SESSION]).out, session().as_bytes());

    // One that is not what it says: refused, with the line.
    let bent = String::from_utf8(bundle).unwrap().replace("\"at_ms\":1767225601000", "\"at_ms\":1");
    std::fs::write(to.file("bent.bundle"), bent).unwrap();
    let (code, error) = to.failure(&["import", "bent.bundle"]);
    assert_eq!(code, 2);
    assert!(text(&error, "message").contains("line "), "{error}");
    // A session without a file to go back to travels too.
    to.append("own", "user", "Hello.");
    assert_eq!(to.run(&["export", "own", "--bundle", "-o", "own.bundle"]).code, Some(0));
    assert_eq!(from.object(&["import", to.file("own.bundle").to_str().unwrap()])["added"], 1);
}

#[test]
fn a_session_is_written_in_every_other_format() {
    let cli = Cli::new();
    cli.append("s", "system-prompt", "Be brief.");
    cli.append("s", "user", "What is here?");
    cli.object(&["append", "s", "--kind", "assistant", "--text", "I look.", "--calls", "c1=ls"]);
    let result = ["append", "s", "--kind", "tool-result", "--text", "a.rs", "--answers", "c1"];
    cli.object(&result);
    for format in ["openai-chat", "openai-responses", "anthropic", "atif"] {
        let ran = cli.run(&["export", "s", "--format", format]);
        assert_eq!(ran.code, Some(0), "{format}: {}", ran.err);
        let value: Value = serde_json::from_slice(&ran.out).unwrap();
        assert!(value.to_string().contains("What is here?"), "{format}");
        let context = cli.run(&["export", "s", "--format", format, "--context"]);
        assert_eq!(context.code, Some(0), "{format}: {}", context.err);
    }
    for format in ["pi", "claude-code"] {
        let ran = cli.run(&["export", "s", "--format", format, "-o", "out.jsonl"]);
        assert_eq!(ran.code, Some(0), "{format}: {}", ran.err);
        let other = Cli::new();
        let report = other.object(&["import", cli.file("out.jsonl").to_str().unwrap()]);
        assert_eq!(text(&report, "format"), format);
    }
    for format in ["markdown", "html"] {
        assert!(cli.run(&["export", "s", "--format", format]).text().contains("What is here?"));
    }
    // What a target cannot hold is told beside the file, not in it.
    let lossy = cli.run(&["--json", "export", "s", "--format", "pi"]);
    let losses: Value = serde_json::from_str(&lossy.err).unwrap();
    assert!(!losses["losses"].as_array().unwrap().is_empty(), "{losses}");
    for (args, code) in [
        (&["export", "s", "--format", "morse"][..], 2),
        (&["export", "s"], 2),
        (&["export", "s", "--context"], 2),
        (&["export", "s", "--format", "markdown", "--branch", "gone"], 3),
        (&["export", "nobody", "--bundle"], 3),
    ] {
        assert_eq!(cli.failure(args).0, code, "{args:?}");
    }
}

/// What is written down about a sample: name of a count, count.
fn facts(content: &str) -> Vec<(&'static str, u64)> {
    let words: Vec<&str> =
        content.split_whitespace().map(|word| word.trim_matches([',', ';', ':'])).collect();
    let fact = |pair: &[&str]| {
        let name = match pair[1] {
            "nodes" | "distinct" => "nodes",
            "root" | "roots" => "roots",
            "branch" => "forks",
            "lines" | "events" => "entries",
            "leaves" => "leaves",
            "dangling" => "dangling-parent",
            "duplicate" | "duplicates" => "duplicate-id",
            "unanswered" => "unanswered-call",
            _ => return None,
        };
        Some((name, pair[0].parse().ok()?))
    };
    words.windows(2).filter_map(fact).collect()
}

#[test]
fn every_sample_has_the_counts_that_are_written_down_about_it_and_comes_out_the_same() {
    let root = Path::new(ROOT).join("../shared/samples");
    let Ok(origin) = std::fs::read_to_string(root.join("ORIGIN.md")) else {
        println!("skipped: no samples beside the project");
        return;
    };
    let cli = Cli::new();
    let checked = cli.json(&["import", "--check", root.to_str().unwrap()]);
    let mut compared = 0;
    for row in origin.lines().filter(|line| line.starts_with("| ") && line.contains(" | ")) {
        let cells: Vec<&str> = row.split(" | ").collect();
        let name = cells[0].trim_start_matches("| ");
        // Traces of events that trajectories were made of are no sessions; neither are lists of files.
        let is_file = name.contains('.') && !name.ends_with("_atof.jsonl");
        if !is_file {
            continue;
        }
        let is_its = |file: &Value| Path::new(file.as_str().unwrap()).ends_with(name);
        let mut all = checked.iter();
        let found = all.find(|one| one["files"].as_array().unwrap().iter().any(is_its));
        let found = found.unwrap_or_else(|| panic!("{name} was not checked"));
        assert_eq!(found["is_identical"], true, "{name}");
        assert_eq!((&found["added_again"], &found["problems"]), (&json!(0), &json!(0)), "{name}");
        for (fact, expected) in facts(cells.last().unwrap()) {
            let repairs = found["repairs"].as_array().unwrap();
            let repaired = || texts(repairs, "kind").iter().filter(|kind| **kind == fact).count();
            let count = found.get(fact).and_then(Value::as_u64).unwrap_or(repaired() as u64);
            assert_eq!(count, expected, "{name}: {fact}");
            compared += 1;
        }
    }
    assert!(compared > 40, "only {compared} counts are written down");
}
