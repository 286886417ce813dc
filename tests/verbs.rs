//! Verbs that look after a store and after other tools' sessions, as processes: what they print, what
//! they leave behind, and how they end.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tests::command::{Cli, keys, text, texts};

const HEADER: &str =
    r#"{"type":"session","version":3,"id":"s","timestamp":"2026-01-01T00:00:00.000Z","cwd":"/w"}"#;

fn said(id: &str, parent: &str) -> String {
    let parent = if parent.is_empty() { Value::Null } else { json!(parent) };
    let message = json!({ "role": "user", "content": format!("This is {id}.") });
    json!({ "type": "message", "id": id, "parentId": parent, "message": message }).to_string()
}

/// A session of `turns` turns that say enough to be compacted.
fn long(turns: usize) -> (Cli, Vec<String>) {
    let cli = Cli::new();
    let mut ids = Vec::new();
    for turn in 0..turns {
        let ask = format!("Question {turn} about gauge-{turn}? {}", "word ".repeat(300));
        ids.push(cli.append("work", "user", &ask));
        ids.push(cli.append("work", "assistant", &format!("Answer {turn}. {}", "so ".repeat(300))));
    }
    (cli, ids)
}

fn compact(cli: &Cli) -> Value {
    let result = cli.object(&["compact", "work", "--force", "--keep-turns", "2"]);
    assert_eq!(result["skipped_reason"], Value::Null);
    result
}

#[test]
fn doctor_tells_sound_sessions_from_others_by_its_exit_code() {
    let cli = Cli::new();
    let sound = format!("{HEADER}\n{}\n{}\n", said("a", ""), said("b", "a"));
    std::fs::write(cli.file("sound.jsonl"), &sound).unwrap();
    let hurt = format!("{HEADER}\n{}\n{}\n{}", said("a", ""), said("b", "gone"), "{\"type\":\"mes");
    std::fs::write(cli.file("hurt.jsonl"), &hurt).unwrap();
    let diagnosis = cli.object(&["doctor", "sound.jsonl"]);
    let counts = ["entries", "leaves", "compactions", "context_tokens"];
    let messages = ["shown_messages", "hidden_messages", "findings", "findings_left_off"];
    let times = ["load_as_its_tool_us", "load_here_us"];
    let head = ["session", "format", "files", "bytes"];
    assert_eq!(keys(&diagnosis), [&head[..], &counts, &messages, &times].concat());
    assert_eq!((&diagnosis["findings"], &diagnosis["shown_messages"]), (&json!([]), &json!(2)));

    let ran = cli.run(&["--json", "doctor", "sound.jsonl", "hurt.jsonl"]);
    assert_eq!(ran.code, Some(1));
    let all = ran.lines();
    assert_eq!(all.len(), 2);
    let findings = all[1]["findings"].as_array().unwrap();
    assert_eq!(texts(findings, "kind"), ["lost-parent", "damaged-line"]);
    let lines: Vec<_> = findings.iter().map(|finding| finding["line"].as_u64()).collect();
    assert_eq!(lines, [Some(3), Some(4)]);
    assert_eq!((&all[1]["shown_messages"], &all[1]["hidden_messages"]), (&json!(1), &json!(1)));
    let table = cli.run(&["doctor", "hurt.jsonl"]);
    assert!(table.text().contains("hurt.jsonl:3: lost-parent"), "{}", table.text());
    assert!(table.err.contains("--rescue"), "{}", table.err);

    std::fs::write(cli.file("letter.txt"), "Dear all,\n").unwrap();
    assert_eq!(cli.failure(&["doctor", "letter.txt"]).0, 7);
    assert_eq!(cli.failure(&["doctor", "no-such-file"]).0, 3);
    assert_eq!(cli.failure(&["doctor", "hurt.jsonl", "--format", "morse"]).0, 2);
    assert!(!cli.store().exists(), "the doctor made a store");
}

#[test]
fn what_the_doctor_rescues_is_sound_and_originals_stay() {
    let cli = Cli::new();
    let hurt = format!("{HEADER}\n{}\n{}\n", said("a", ""), said("b", "gone"));
    std::fs::write(cli.file("hurt.jsonl"), &hurt).unwrap();
    let rescue = ["--json", "doctor", "hurt.jsonl", "--rescue", "out"];
    let ran = cli.run(&rescue);
    assert_eq!(ran.code, Some(1));
    let copies = ran.lines()[0]["rescued"].as_array().unwrap().clone();
    let copies = texts(&copies, "copy").into_iter().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(copies.len(), 2, "{copies:?}");
    for copy in &copies {
        assert_eq!(cli.object(&["doctor", copy])["findings"], json!([]), "{copy}");
    }
    assert_eq!(std::fs::read_to_string(cli.file("hurt.jsonl")).unwrap(), hurt);
    // Nothing is written over.
    assert_eq!(cli.run(&rescue).code, Some(8));
}

#[test]
fn a_pin_keeps_an_entry_in_the_context_until_it_is_taken_off() {
    let (cli, ids) = long(6);
    let pinned = cli.object(&["pin", "work", &ids[0]]);
    assert_eq!(keys(&pinned), ["id", "head", "entry"]);
    compact(&cli);
    let first = |cli: &Cli| {
        let context = cli.object(&["context", "work"]);
        let item = &context["items"][0];
        (text(item, "id").to_owned(), text(item, "source").to_owned())
    };
    assert_eq!(first(&cli), (ids[0].clone(), "pin".to_owned()));
    assert_eq!(text(&cli.object(&["unpin", "work", &ids[0]]), "entry"), ids[0]);
    for turn in 0..4 {
        cli.append("work", "user", &format!("And {turn}? {}", "word ".repeat(300)));
    }
    compact(&cli);
    assert_eq!(first(&cli).1, "summary");
    assert_eq!(cli.failure(&["pin", "work", "nowhere"]).0, 3);
    assert_eq!(cli.failure(&["unpin", "nobody", &ids[0]]).0, 3);
    assert_eq!(cli.failure(&["pin", "work"]).0, 2);
}

#[test]
fn what_a_compaction_covers_is_recalled_by_words_and_by_id() {
    let (cli, ids) = long(6);
    assert_eq!(cli.json(&["recall", "work", "gauge-0"]), Vec::<Value>::new());
    compact(&cli);
    let found = cli.json(&["recall", "work", "gauge-0"]);
    assert_eq!(keys(&found[0]), ["id", "kind", "turn", "excerpt"]);
    assert_eq!(text(&found[0], "id"), ids[0]);
    assert!(text(&found[0], "excerpt").contains("gauge-0"));
    assert_eq!(text(&cli.json(&["recall", "work", &ids[1][..12]])[0], "id"), ids[1]);
    assert_eq!(cli.json(&["recall", "work", "question", "--most", "1"]).len(), 1);
    let nothing = cli.run(&["recall", "work", "zeppelin"]);
    assert_eq!((nothing.code, nothing.text()), (Some(0), "nothing of that in what is covered\n"));
    assert_eq!(cli.failure(&["recall", "work", ""]).0, 2);
    assert_eq!(cli.failure(&["recall", "nobody", "x"]).0, 3);
}

#[test]
fn what_is_erased_leaves_a_tombstone_and_then_the_file() {
    let (cli, ids) = long(3);
    let secret = cli.append("work", "user", "The password is swordfish-9931.");
    let holds = |cli: &Cli| {
        let bytes = std::fs::read(cli.store()).unwrap();
        bytes.windows(14).any(|window| window == b"swordfish-9931")
    };
    assert!(holds(&cli));
    let erase = ["erase", "work", &secret, "--reason", "a password"];
    let erased = cli.object(&erase);
    assert_eq!(keys(&erased), ["erased", "tombstones", "journal", "dependants"]);
    assert_eq!(erased["erased"], json!([secret]));
    assert_eq!(cli.object(&erase)["erased"], json!([]), "a second time is none");
    assert_eq!(text(&cli.object(&["show", &ids[0]]), "id"), ids[0]);
    assert!(!cli.run(&["show", &secret]).text().contains("swordfish"));
    let rewritten = cli.object(&["compact-store"]);
    assert_eq!(keys(&rewritten), ["entries", "bytes_before", "bytes_after"]);
    assert_eq!(rewritten["entries"], cli.object(&["stats"])["entries"]);
    assert!(!holds(&cli), "the bytes are still in the file");
    assert_eq!(cli.object(&["verify"])["problems"], json!([]));
    let bundle = cli.run(&["export", "work", "--bundle"]);
    assert!(bundle.code == Some(0) && !bundle.text().contains("swordfish"), "{}", bundle.err);
    assert_eq!(cli.failure(&["erase", "work", "nowhere", "--reason", "x"]).0, 3);
    assert_eq!(cli.failure(&["erase", "work", &secret]).0, 2);
}

#[test]
fn rewriting_a_store_never_makes_it_larger() {
    let (cli, _) = long(2);
    for _ in 0..2 {
        let report = cli.object(&["compact-store"]);
        let (before, after) = (&report["bytes_before"], &report["bytes_after"]);
        assert!(after.as_u64() <= before.as_u64(), "{report}");
    }
    let nowhere = Cli::new();
    assert_eq!(nowhere.failure(&["compact-store"]).0, 3);
}

#[test]
fn scrubbing_goes_through_the_store_share_by_share() {
    let (cli, ids) = long(5);
    let share = cli.object(&["scrub", "--entries", "4"]);
    assert_eq!(share["checked"], 4);
    assert_eq!((&share["problems"], &share["next"]), (&json!([]), &json!(4)));
    let rest = cli.object(&["scrub"]);
    assert_eq!((&rest["checked"], &rest["next"]), (&json!(ids.len() - 4), &json!(0)));
    assert_eq!(Cli::new().failure(&["scrub"]).0, 3);
}

#[test]
fn a_pass_of_the_scrub_goes_on_to_its_end() {
    let (cli, ids) = long(5);
    assert_eq!(cli.object(&["scrub", "--entries", "4"])["next"], 4);
    let began = std::time::Instant::now();
    let rate = ids.len().to_string();
    let pass = cli.object(&["scrub", "--pass", "--rate", &rate]);
    assert_eq!((&pass["checked"], &pass["next"]), (&json!(ids.len() - 4), &json!(0)));
    let slow = cli.run(&["scrub", "--pass", "--rate", &(ids.len() - 1).to_string()]);
    assert!(slow.text().contains("the end of a pass: 0 problems"), "{slow:?}");
    assert!(began.elapsed().as_secs() >= 1, "one pause");
    for wrong in [&["--rate", "9"][..], &["--pass", "--rate", "0"], &["--pass", "--entries", "2"]] {
        assert_eq!(cli.failure(&[&["scrub"], wrong].concat()).0, 2);
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_stops_a_pass_of_the_scrub_and_the_next_one_goes_on() {
    let (cli, ids) = long(5);
    let interrupted = |seconds| {
        let mut command = cli.command(["--json", "scrub", "--pass", "--rate", "1"]);
        let running = command.stdout(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_secs(seconds));
        let process = running.id().to_string();
        assert!(Command::new("kill").args(["-INT", &process]).status().unwrap().success());
        let told = running.wait_with_output().unwrap();
        let pass = || serde_json::from_slice::<Value>(&told.stdout).unwrap();
        told.status.success().then(pass)
    };
    // Interrupts are heard from the first pause on; before it they end the process, on a busy machine.
    let pass = [1, 3, 6].into_iter().find_map(interrupted).unwrap();
    let checked = pass["next"].as_u64().unwrap();
    assert!(checked > 0 && checked < ids.len() as u64, "{pass}");
    let rest = cli.object(&["scrub", "--pass"]);
    assert_eq!((&rest["checked"], &rest["next"]), (&json!(ids.len() as u64 - checked), &json!(0)));
}

#[test]
fn damage_is_told_and_what_is_left_is_recovered() {
    let (cli, ids) = long(4);
    let recovered = cli.object(&["recover", "store.redb", "new.redb"]);
    assert_eq!((&recovered["entries"], &recovered["lost"]), (&json!(ids.len()), &json!(0)));
    let log = cli.json(&["--store", "new.redb", "log", "work"]);
    assert_eq!(log, cli.json(&["log", "work"]));
    // Over what is there, and from what is not: neither.
    assert_eq!(cli.failure(&["recover", "store.redb", "new.redb"]).0, 4);
    assert_eq!(cli.failure(&["recover", "no-such-file", "other.redb"]).0, 3);
    assert!(!cli.file("other.redb").exists());

    let mut bytes = std::fs::read(cli.store()).unwrap();
    // Every copy of its frame: a version, a flag, the first bytes of the id.
    let mark: Vec<u8> =
        (0..16).step_by(2).map(|at| u8::from_str_radix(&ids[4][at..at + 2], 16).unwrap()).collect();
    let frames: Vec<usize> = (0..bytes.len() - 10)
        .filter(|at| bytes[*at] == 0xfa && bytes[at + 2..at + 10] == mark)
        .collect();
    assert!(!frames.is_empty());
    for at in frames {
        bytes[at + 30] ^= 1;
    }
    std::fs::write(cli.store(), bytes).unwrap();
    assert_eq!(cli.failure(&["show", &ids[4]]).0, 6);
    assert_eq!(cli.run(&["verify"]).code, Some(1));
    assert_eq!(cli.run(&["scrub"]).code, Some(1));
    assert_eq!(cli.run(&["scrub", "--pass"]).code, Some(1));
    assert_eq!(cli.failure(&["compact-store"]).0, 6);
    let recovered = cli.object(&["recover", "store.redb", "sound.redb"]);
    // An older copy of the damaged page may still hold what it held.
    assert!(recovered["lost"].as_u64() <= Some(1), "{recovered}");
    let log = cli.json(&["--store", "sound.redb", "log", "work"]);
    assert_eq!(log.len(), ids.len(), "nothing else is gone");
    assert_eq!(cli.object(&["--store", "sound.redb", "verify"])["problems"], json!([]));
}

#[test]
fn an_older_store_that_was_put_back_is_told_by_a_stamp() {
    let (cli, _) = long(2);
    std::fs::copy(cli.store(), cli.file("older")).unwrap();
    cli.append("other", "user", "and more");
    cli.append("work", "user", "and more");
    let stats = cli.object(&["stats", "other"]);
    let (stamp, other) = (text(&stats, "stamp"), text(&stats["session"], "stamp"));
    for stamp in [stamp, other] {
        assert!(cli.run(&["stats", "other"]).text().contains(stamp));
        assert_eq!(cli.object(&["verify", "--since", stamp])["problems"], json!([]));
    }
    std::fs::copy(cli.file("older"), cli.store()).unwrap();
    let rolled_back = |missing: &str| {
        let ran = cli.run(&["--json", "verify", "--since", stamp]);
        let told: Value = serde_json::from_str(ran.text().trim()).unwrap();
        let problem = &told["problems"][0];
        assert_eq!(
            (ran.code, text(problem, "what"), text(problem, "name")),
            (Some(1), "stamp", stamp)
        );
        assert!(text(problem, "detail").contains(missing), "{problem}");
    };
    rolled_back("the last 2 of 6 journal rows are missing");
    cli.append("work", "user", "something else");
    cli.append("work", "user", "something else");
    cli.append("work", "user", "something else");
    rolled_back("row 5 is another one");
    assert_eq!(cli.object(&["verify"])["problems"], json!([]));
    let foreign = Cli::new();
    foreign.append("work", "user", "elsewhere");
    assert_eq!(foreign.run(&["verify", "--since", stamp]).code, Some(1));
    assert_eq!(cli.failure(&["verify", "--since", "7"]).0, 2);
}

#[test]
fn a_store_that_is_held_is_told_as_locked() {
    let cli = Cli::new();
    std::fs::write(cli.file("s.jsonl"), format!("{HEADER}\n{}\n", said("a", ""))).unwrap();
    let mut holding = cli.command(["import", "--follow", "s.jsonl"]).spawn().unwrap();
    while !cli.store().exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let (code, error) = cli.failure(&["sessions"]);
    holding.kill().unwrap();
    holding.wait().unwrap();
    assert_eq!((code, text(&error, "kind")), (5, "locked"));
}

#[test]
fn a_policy_is_told_without_a_store() {
    let cli = Cli::new();
    let policy = cli.object(&["policy", "--window", "200000"]);
    assert_eq!(policy["threshold"], 160_000, "{policy}");
    assert_eq!(cli.failure(&["policy", "--preset", "nobody"]).0, 2);
    assert!(!cli.store().exists());
}
