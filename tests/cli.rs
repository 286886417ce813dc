//! The command line as a process: what its JSON holds, its exit codes, and that what it says it did is
//! done.

use std::process::Stdio;

use serde_json::{Value, json};
use tests::command::{Cli, keys, text, texts};

/// A session with a prompt, a call and its result, two turns.
fn worked() -> Cli {
    let cli = Cli::new();
    cli.append("work", "system-prompt", "Be brief.");
    cli.append("work", "user", "What is here?");
    cli.object(&["append", "work", "--kind", "assistant", "--text", "I look.", "--calls", "c1=ls"]);
    let result =
        ["append", "work", "--kind", "tool-result", "--text", "a.rs b.rs", "--answers", "c1"];
    cli.object(&result);
    cli.append("work", "user", "Thank you.");
    cli
}

fn kinds(cli: &Cli, session: &str) -> Vec<String> {
    let log = cli.json(&["log", session]);
    texts(&log, "kind").into_iter().map(str::to_owned).collect()
}

#[test]
fn every_json_object_has_exactly_these_keys() {
    let cli = worked();
    let has = |args: &[&str], expected: &[&str]| {
        let objects = cli.json(args);
        assert!(!objects.is_empty(), "{args:?}");
        for object in objects {
            assert_eq!(keys(&object), expected, "{args:?}");
        }
    };
    has(&["append", "work", "--kind", "note", "--text", "n"], &["id", "head"]);
    has(
        &["sessions"],
        &["session", "active", "head", "entries", "branches", "tokens", "created", "changed"],
    );
    has(&["log", "work"], &["id", "parent", "kind", "at", "alias", "turn", "tokens", "text"]);
    has(&["branches", "work"], &["branch", "active", "head", "entries", "turns", "tokens"]);
    has(
        &["stats"],
        &[
            "store",
            "entries",
            "sessions",
            "journal_rows",
            "stored_bytes",
            "file_bytes",
            "unmerged",
            "stamp",
        ],
    );
    has(&["verify"], &["entries", "sessions", "problems"]);
    has(&["rewind", "work", "main"], &["session", "branch", "head"]);
    has(&["label", "work", "main", "here"], &["id", "head", "entry", "label"]);
    has(&["fork", "work", "--branch", "other"], &["session", "branch", "head"]);
    has(&["switch", "work", "main"], &["session", "branch", "head"]);
    has(&["undo", "work"], &["session", "branch", "head"]);
    let run = ["id", "parent", "first", "kind", "entries", "turns", "tokens", "active"];
    has(&["tree", "work"], &[&run[..], &["branches", "labels", "text"]].concat());
    let head = ["id", "parent", "kind", "at", "alias", "slot", "target", "calls", "answers"];
    let tail = ["depth", "turn", "tokens", "format", "bytes", "text", "made_by"];
    has(&["show", "main", "--session", "work"], &[&head[..], &tail].concat());
    let result = [
        "compaction_entry_id",
        "first_kept_entry_id",
        "summarized_count",
        "masked_count",
        "tokens_before",
        "tokens_after",
        "skipped_reason",
    ];
    has(&["compact", "work", "--force", "--keep-turns", "1", "--dry-run"], &result);
    has(&["config"], &["key", "value", "source", "place", "variable"]);
    has(&["demo"], &["tokens_before", "tokens_after", "compaction", "verify"]);

    let context = cli.object(&["context", "work"]);
    assert_eq!(keys(&context), ["head", "tokens", "items"]);
    for item in context["items"].as_array().unwrap() {
        assert_eq!(keys(item), ["id", "role", "source", "tokens", "text"]);
    }
}

#[test]
fn an_unanswered_call_is_told_with_the_entry_that_made_it() {
    let cli = Cli::new();
    let call = ["append", "s", "--kind", "assistant", "--text", "I try.", "--calls", "c1=run"];
    cli.object(&call);
    cli.append("s", "user", "Stop.");
    let context = cli.object(&["context", "s"]);
    let items = context["items"].as_array().unwrap();
    assert_eq!(texts(items, "role"), ["assistant", "user"]);
    assert_eq!(items[0]["interrupted"], json!(["c1"]));
    assert_eq!(items[1].get("interrupted"), None);
}

#[test]
fn imports_tell_their_repairs_and_exports_their_files() {
    let cli = Cli::new();
    let lines = [
        r#"{"type":"session","version":3,"id":"11111111-1111-4111-8111-111111111111","timestamp":"2026-01-01T00:00:00.000Z","cwd":"/tmp"}"#,
        r#"{"type":"message","id":"aaaaaaaa","parentId":null,"timestamp":"2026-01-01T00:00:01.000Z","message":{"role":"user","content":"hello"}}"#,
        r#"{"type":"message","id":"bbbbbbbb","parentId":"gone0000","timestamp":"2026-01-01T00:00:02.000Z","message":{"role":"user","content":"torn"}}"#,
        "not json",
    ];
    let file = cli.file("session.jsonl");
    std::fs::write(&file, lines.join("\n")).unwrap();
    let path = file.to_str().unwrap();
    let report = cli.object(&["import", path]);
    assert_eq!(
        keys(&report),
        ["session", "format", "entries", "added", "branches", "leaves", "compactions", "repairs"]
    );
    assert_eq!((&report["format"], &report["added"]), (&json!("pi"), &json!(4)));
    let repairs = report["repairs"].as_array().unwrap();
    assert_eq!(texts(repairs, "kind"), ["dangling-parent", "torn-line"]);
    for (repair, line) in repairs.iter().zip([3, 4]) {
        assert_eq!(keys(repair), ["kind", "file", "line", "detail"]);
        assert_eq!((&repair["file"], &repair["line"]), (&json!(path), &json!(line)));
    }
    let session = text(&report, "session");
    let exported = cli.object(&["export", session, "-o", "back.jsonl"]);
    assert_eq!(keys(&exported), ["file", "format", "bytes"]);
    assert_eq!(std::fs::read(cli.file("back.jsonl")).unwrap(), std::fs::read(&file).unwrap());
}

#[test]
fn what_is_asked_for_is_done() {
    let cli = worked();
    let whole = kinds(&cli, "work");
    assert_eq!(whole, ["system-prompt", "user", "assistant", "tool-result", "user"]);
    let log = cli.json(&["log", "work"]);
    let ids = texts(&log, "id");

    let moved = cli.object(&["rewind", "work", ids[1]]);
    assert_eq!(moved, json!({ "session": "work", "branch": "main", "head": ids[1] }));
    assert_eq!(kinds(&cli, "work"), whole[..2]);
    let back = cli.object(&["undo", "work"]);
    assert_eq!(back["head"], ids[4]);

    let forked = cli.object(&["fork", "work", ids[3], "--branch", "other"]);
    assert_eq!(forked, json!({ "session": "work", "branch": "other", "head": ids[3] }));
    let on_other = cli.append("work", "user", "Another way.");
    let switched = cli.object(&["switch", "work", "main"]);
    assert_eq!(switched, json!({ "session": "work", "branch": "main", "head": ids[4] }));
    assert_eq!(kinds(&cli, "work"), whole);
    let branches = cli.json(&["branches", "work"]);
    let rows: Vec<_> = branches
        .iter()
        .map(|row| (text(row, "branch"), text(row, "head"), row["active"] == json!(true)))
        .collect();
    assert_eq!(rows, [("main", ids[4], true), ("other", on_other.as_str(), false)]);

    let copy = cli.object(&["fork", "work", ids[3], "--session", "copy"]);
    assert_eq!(copy, json!({ "session": "copy", "branch": "main", "head": ids[3] }));
    assert_eq!(kinds(&cli, "copy"), whole[..4]);

    cli.object(&["label", "work", ids[1], "the question"]);
    let labelled = cli.object(&["rewind", "work", "the question"]);
    assert_eq!(labelled["head"], ids[1]);
    let expected = ["rewind", "work", "empty", "--expect", ids[1]];
    assert_eq!(cli.object(&expected)["head"], Value::Null);
    assert_eq!(cli.json(&["log", "work"]), Vec::<Value>::new());
    assert_eq!(cli.object(&["verify"])["problems"], json!([]));
}

#[test]
fn an_entry_is_found_by_a_unique_prefix_of_its_id() {
    let cli = Cli::new();
    let ids: Vec<String> = (0..17).map(|nth| cli.append("s", "user", &nth.to_string())).collect();
    // Of 17 ids two begin with the same digit.
    let first = |id: &String| id[..1].to_owned();
    let shared =
        ids.iter().map(first).find(|digit| ids.iter().filter(|id| first(id) == *digit).count() > 1);
    let (code, error) = cli.failure(&["show", &shared.unwrap()]);
    assert_eq!((code, text(&error, "kind")), (3, "not-found"));
    assert!(text(&error, "message").contains("ambiguous"), "{error}");
    for id in &ids {
        assert_eq!(text(&cli.object(&["show", &id[..16]]), "id"), id);
    }
    let (code, _) = cli.failure(&["show", &"f".repeat(64)]);
    assert_eq!(code, 3);
}

#[test]
fn a_retried_append_is_the_same_entry_only_where_it_says_the_same() {
    let cli = Cli::new();
    let append =
        |text| ["append", "s", "--kind", "user", "--text", text, "--alias", "mine"].to_vec();
    cli.object(&append("one"));
    let (code, error) = cli.failure(&append("two"));
    assert_eq!((code, text(&error, "kind")), (4, "conflict"));
    assert_eq!(cli.object(&["stats"])["entries"], 1);
}

#[test]
fn every_bad_end_has_its_exit_code() {
    let cli = worked();
    let fails = |args: &[&str], code: i32, kind: &str| {
        let (found, error) = cli.failure(args);
        assert_eq!((found, text(&error, "kind")), (code, kind), "{args:?}: {error}");
        assert_eq!(keys(&error), ["kind", "message", "hint"]);
        assert!(!text(&error, "message").is_empty());
    };
    fails(&["no-such-verb"], 2, "usage");
    fails(&["append", "work", "--kind", "pin", "--text", "x"], 2, "usage");
    fails(&["append", "", "--kind", "user", "--text", "x"], 2, "invalid");
    fails(&["export", "work"], 2, "invalid");
    fails(&["log", "nobody"], 3, "not-found");
    fails(&["rewind", "work", "nowhere"], 3, "not-found");
    fails(&["import", "no-such-file"], 3, "not-found");
    fails(&["append", "work", "--kind", "user", "--text", "x", "--expect", "empty"], 4, "conflict");
    fails(&["fork", "work", "--branch", "main"], 4, "conflict");
    std::fs::write(cli.file("letter.txt"), "Dear all,\n").unwrap();
    fails(&["import", "letter.txt"], 7, "format");
    std::fs::create_dir(cli.file("folder")).unwrap();
    fails(&["--store", "folder", "sessions"], 2, "invalid");
    fails(
        &["--store", "letter.txt/x", "append", "s", "--kind", "user", "--text", "x"],
        8,
        "storage",
    );
    fails(&["--store", "nothing-here", "sessions"], 3, "not-found");
    let nothing = cli.run(&["help"]);
    assert_eq!((nothing.code, nothing.err.as_str()), (Some(0), ""));
}

#[test]
fn help_says_of_each_verb_what_it_does() {
    let cli = Cli::new();
    let help = cli.run(&["help"]);
    let verbs = help.text().split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    // What wraps is indented further.
    let verbs = verbs.lines().filter_map(|line| line.strip_prefix("  "));
    let verbs: Vec<&str> = verbs.filter(|line| !line.starts_with(' ')).collect();
    assert!(verbs.len() > 20, "{verbs:?}");
    for line in verbs {
        assert!(line.trim_end().contains("  "), "{line:?} says nothing of itself");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let cli = Cli::new();
    for nth in 0..4 {
        let long = format!("{nth}{}", "x".repeat(100_000));
        let ran = cli.run_with(&["append", "s", "--kind", "user", "--text", "-"], &long);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
    }
    let mut command = cli.command(["log", "s", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn hostile_text_reaches_no_terminal() {
    let cli = Cli::new();
    let hostile = "a\u{1b}]0;title\u{7}b\u{202e}c\u{9b}31m\r\u{0}d".replace('\u{0}', "\u{2028}");
    let id = cli.append("s", "user", &hostile);
    cli.object(&["label", "s", &id, "l\u{202e}l"]);
    let is_hostile = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let views: [&[&str]; 5] =
        [&["log", "s"], &["tree", "s"], &["show", &id], &["context", "s"], &["branches", "s"]];
    for view in views {
        for json in [&[][..], &["--json"]] {
            let ran = cli.run(&[json, view].concat());
            assert_eq!(ran.code, Some(0), "{}", ran.err);
            assert!(!ran.text().contains(is_hostile), "{view:?}: {:?}", ran.text());
        }
    }
    let turned = "x\u{1b}[31m\u{202e}\u{9b}31m";
    let refused: [&[&str]; 5] = [
        &["log", turned],
        &["log", "s", turned],
        &["policy", "--window", turned],
        &["recover", turned, "new"],
        &[turned],
    ];
    for refused in refused {
        for json in [&[][..], &["--json"]] {
            let ran = cli.run(&[json, refused].concat());
            assert_ne!(ran.code, Some(0), "{refused:?}");
            assert!(!ran.err.contains(is_hostile), "{:?}", ran.err);
            assert!(ran.err.contains("202e"), "{:?}", ran.err);
        }
    }
    // Escaped, not lost.
    assert_eq!(text(&cli.object(&["show", &id]), "text"), hostile);
    let raw = cli.run(&["--raw", "show", &id]);
    assert!(raw.text().contains(&hostile), "{:?}", raw.text());
}

#[test]
fn completions_and_the_manual_come_from_the_parser() {
    let cli = Cli::new();
    for shell in ["bash", "zsh", "fish"] {
        let ran = cli.run(&["completions", shell]);
        assert_eq!(ran.code, Some(0));
        assert!(ran.text().contains("keep-turns"), "{shell}");
    }
    assert!(cli.run(&["man"]).text().contains("treering"));
    assert!(!cli.store().exists(), "neither needs a store");
}

#[test]
fn what_looks_like_a_secret_is_replaced_where_that_is_asked_for() {
    let cli = Cli::new();
    let token = format!("ghp_{}", "aB3".repeat(12));
    let told = format!("my token is {token}");
    cli.append("plain", "user", &told);
    assert_eq!(cli.run(&["scan"]).code, Some(1));
    let cli = Cli::new();
    let args = ["--redact", "known", "append", "s", "--kind", "user", "--text", &told];
    assert_eq!(cli.run(&args).code, Some(0));
    assert_eq!(cli.run(&["scan"]).code, Some(0));
    let log = cli.run(&["log", "s"]);
    assert!(log.text().contains("my token is [redacted: github-token]"), "{}", log.text());
}
