//! Compaction at the command line with a model behind a real server: what lands and what is on record of
//! it, and that nothing is written where the model fails and nothing may stand in.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::place::{BINARY, Place, failure};
use crate::server::Server;

const SECRET: &str = "sk-never-to-be-seen";
/// A machine under load may take so long for what takes a moment.
const PATIENCE: Duration = Duration::from_secs(600);

/// A session of five turns, each of some size, and settings under which random weights keep to the
/// template.
fn worked() -> Place {
    let place = Place::new();
    let lines = ["Goal", "Progress", "Next steps"]
        .map(|heading| format!(r###""## {heading}\\n" [a-z]{{3,8}} "\\n""###));
    let grammar = format!("root ::= {}", lines.join(" "));
    let settings = format!("model = \"tiny\"\n[extra]\ngrammar = '{grammar}'\n");
    place.write("settings/treering/config.toml", &settings.replace("\\\\n", "\\n"));
    for turn in 0..5 {
        let text = format!("Turn {turn}: {}", "look at src/parser.rs again. ".repeat(20));
        place.object(&["append", "s", "--kind", "user", "--text", &text]);
    }
    place
}

/// `compact` with a model at that server.
fn compact<'a>(url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let common = ["compact", "s", "--force", "--keep-turns", "1", "--summarizer", "openai"];
    [&common[..], &["--base-url", url], more].concat()
}

/// Everything a session holds, and how many changes the store has seen.
fn state(place: &Place) -> (Vec<Value>, Value, Value) {
    let stats = place.object(&["stats"]);
    (place.json(&["log", "s"]), stats["entries"].clone(), stats["journal_rows"].clone())
}

#[test]
fn a_third_try_lands_and_shows_what_it_took() {
    let Some(server) = Server::shared() else { return };
    let front = server.behind_faults("503,429,ok");
    let place = worked();
    let result = place.object(&compact(&front.url, &[]));
    let id = result["compaction_entry_id"].as_str().unwrap();
    let made_by = &place.object(&["show", id])["made_by"];
    assert_eq!(made_by["attempts"], 3, "{made_by}");
    assert_eq!((&made_by["model"], &made_by["fallback"]), (&json!("tiny"), &Value::Null));
    assert_eq!(made_by["prompt"]["version"], "summarize/1");
    assert!(made_by["usage"]["output"].as_u64().unwrap() > 0, "{made_by}");
    // The 429 asks for a second, and the 503 is given a moment.
    assert!(made_by["duration_ms"].as_u64().unwrap() >= 1_000, "{made_by}");
    let shown = String::from_utf8(place.run(&["show", id]).stdout).unwrap();
    println!("{shown}");
    let hash = made_by["prompt"]["hash"].as_str().unwrap();
    for line in [
        "made by  hybrid/1",
        "model    tiny",
        &format!("prompt   summarize/1, hash {hash}"),
        "attempts 3",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    for part in ["usage    ", " tokens of prompt", "duration ", "## Goal", "# Ledger of 4 entries"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

/// Each fault, the switches that bring it to a quick end, the kind of error and what it says.
const FAULTS: [(&str, &[&str], &str, &str); 6] = [
    ("429,429,429", &["--tries", "2"], "transient", "rate limited by the provider"),
    ("503,503,503", &["--tries", "2"], "transient", "status 503: Loading model"),
    ("drop,drop,drop", &["--tries", "2"], "transient", "provider unavailable"),
    ("cut:300,cut:300", &[], "transient", "the answer was cut short"),
    ("slow:9,slow:9", &["--timeout", "1s"], "transient", "took longer than the limit of 1000 ms"),
    ("slow:9,slow:9", &["--first-byte", "500ms", "--tries", "1"], "transient", "first byte took"),
];

#[test]
fn a_fault_without_fallback_is_its_error_and_writes_nothing() {
    let Some(server) = Server::shared() else { return };
    let place = worked();
    let before = state(&place);
    for (faults, switches, kind, message) in FAULTS {
        let front = server.behind_faults(faults);
        let strict = [switches, &["--fallback", "none"]].concat();
        let (code, error) = place.failure(&compact(&front.url, &strict));
        assert_eq!((code, &error["kind"]), (9, &json!(kind)), "{faults}: {error}");
        assert!(error["message"].as_str().unwrap().contains(message), "{faults}: {error}");
        assert_eq!(state(&place), before, "{faults}");
    }
}

#[test]
fn a_fault_leaves_the_ledger_and_the_reason() {
    let Some(server) = Server::shared() else { return };
    for (faults, switches, _, message) in FAULTS {
        let place = worked();
        let front = server.behind_faults(faults);
        stood_in(&place, &front.url, switches, message);
    }
}

/// Compacts; the ledger must stand in for the model, for that reason.
fn stood_in(place: &Place, url: &str, switches: &[&str], reason: &str) {
    let result = place.object(&compact(url, switches));
    let id = result["compaction_entry_id"].as_str().unwrap();
    let shown = place.object(&["show", id]);
    assert!(shown["text"].as_str().unwrap().starts_with("# Ledger of 4 entries"), "{shown}");
    let fallback = shown["made_by"]["fallback"].as_str().unwrap();
    assert!(fallback.contains(reason), "{fallback}");
    let shown = String::from_utf8(place.run(&["show", id]).stdout).unwrap();
    assert!(shown.contains(&format!("fallback {fallback}")), "{shown}");
}

#[test]
fn a_wrong_key_is_refused_and_never_shown() {
    let Some(server) = Server::start(8_192, 1, Some(SECRET)) else { return };
    let place = worked();
    let before = state(&place);
    let args = compact(&server.url, &["--fallback", "none"]);
    let run = |key: &str, args: &[&str]| {
        place.command(&[&["--json"], args].concat()).env("TREERING_API_KEY", key).output().unwrap()
    };
    let wrong = run("sk-wrong-key", &args);
    let (code, error) = failure(&wrong);
    assert_eq!((code, &error["kind"]), (9, &json!("refused")), "{error}");
    assert!(error["message"].as_str().unwrap().contains("status 401"), "{error}");
    assert!(!format!("{wrong:?}").contains("sk-wrong-key"));
    assert_eq!(state(&place), before);
    let doctor =
        ["doctor", "--providers", "--summarizer", "openai", "--base-url", server.url.as_str()];
    let (code, error) = failure(&run("", &doctor));
    assert_eq!((code, &error["kind"]), (9, &json!("refused")), "{error}");
    stood_in(&place, &server.url, &[], "status 401");
    place.object(&["undo", "s"]);

    let right = run(SECRET, &args);
    assert!(right.status.success(), "{right:?}");
    for args in [&["config"][..], &doctor] {
        let told = run(SECRET, args);
        assert!(told.status.success(), "{told:?}");
        assert!(!format!("{told:?}").contains(SECRET), "{told:?}");
    }
    let store = std::fs::read(place.path("store.redb")).unwrap();
    assert!(!store.windows(SECRET.len()).any(|bytes| bytes == SECRET.as_bytes()));
}

#[test]
fn a_window_too_small_for_any_chunk_is_an_overflow() {
    // Smaller than what every summary is asked with.
    let Some(server) = Server::start(256, 1, None) else { return };
    let place = worked();
    let before = state(&place);
    let (code, error) = place.failure(&compact(&server.url, &["--fallback", "none"]));
    assert_eq!((code, &error["kind"]), (9, &json!("overflow")), "{error}");
    assert!(error["message"].as_str().unwrap().contains("window of 256"), "{error}");
    assert_eq!(state(&place), before);
    stood_in(&place, &server.url, &[], "window of 256");
}

#[test]
fn nobody_there_is_told_at_once() {
    let place = worked();
    // Nothing listens at port 9 of this machine.
    let doctor = ["doctor", "--providers", "--summarizer", "openai"];
    let nowhere = ["--base-url", "http://127.0.0.1:9"];
    let (code, error) = place.failure(&[&doctor[..], &nowhere].concat());
    assert_eq!((code, &error["kind"]), (9, &json!("transient")), "{error}");
    stood_in(&place, nowhere[1], &["--tries", "1"], "provider unavailable");
}

#[test]
fn the_doctor_tells_window_counts_and_times() {
    let Some(server) = Server::shared() else { return };
    let place = worked();
    let doctor = ["doctor", "--providers", "--base-url", server.url.as_str(), "--summarizer"];
    for dialect in ["openai", "anthropic"] {
        let args = [&doctor[..], &[dialect]].concat();
        let prompt_of = |told: &Value| {
            let usage = &told["sample"]["usage"];
            usage["input"].as_u64().unwrap() + usage["cached"].as_u64().unwrap()
        };
        // On a busy machine this server once told a usage without the prompt.
        let mut asked = std::iter::repeat_with(|| place.object(&args)).take(5);
        let told = asked.find(|told| prompt_of(told) > 0).unwrap();
        let prompt = prompt_of(&told);
        assert_eq!(told["window"], json!({ "tokens": 8_192, "source": "props" }), "{told}");
        assert_eq!((&told["answered_by"], &told["key_from"]), (&json!("tiny"), &Value::Null));
        let sample = &told["sample"];
        assert!(prompt > sample["counted"].as_u64().unwrap(), "{told}");
        // The sample asks with a few words more.
        let counted = sample["server_counted"].as_u64().unwrap();
        assert!(prompt > counted && prompt < counted + 100, "{told}");
        assert!(told["first_byte_ms"].as_u64() <= told["duration_ms"].as_u64(), "{told}");
        let text = String::from_utf8(place.run(&args).stdout).unwrap();
        println!("{text}");
        assert!(text.contains("window   8,192 tokens, from /props"), "{text}");
    }
    let configured = [&doctor[..], &["openai", "--model-window", "4000"]].concat();
    assert_eq!(place.object(&configured)["window"]["source"], "configured");
}

#[test]
fn the_background_tells_its_steps_on_lines() {
    let place = worked();
    let args = ["compact", "s", "--force", "--keep-turns", "1", "--background"];
    let told = place.run(&args);
    assert!(told.status.success(), "{told:?}");
    let err = String::from_utf8(told.stderr).unwrap();
    let lines: Vec<&str> = err.lines().collect();
    assert_eq!(lines.len(), 2, "{err}");
    assert_eq!(lines[0], "planning");
    assert!(lines[1].starts_with("the ledger summarizes 4 entries, "), "{err}");
    let out = String::from_utf8(told.stdout).unwrap();
    assert!(out.starts_with("4 entries became the summary "), "{out}");
    place.object(&["undo", "s"]);
    let told = place.run(&[&["--json"], &args[..]].concat());
    assert_eq!(String::from_utf8(told.stderr).unwrap(), "");
    assert_eq!(String::from_utf8(told.stdout).unwrap().lines().count(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_is_shown_who_is_at_work() {
    const SCRIPT: &str = "/usr/bin/script";
    if !std::path::Path::new(SCRIPT).is_file() {
        println!("skipped: no {SCRIPT} to make a terminal with");
        return;
    }
    let place = worked();
    // Connections are taken, and nobody answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let line = [&[BINARY], &compact(&url, &["--timeout", "2s"])[..]].concat().join(" ");
    let mut command = Command::new(SCRIPT);
    place.settle(command.args(["-qec", &line, "/dev/null"]));
    let ran = command.env("TERM", "xterm").env("SHELL", "/bin/sh").output().unwrap();
    let shown = String::from_utf8_lossy(&ran.stdout);
    assert!(shown.contains("openai tiny summarizes 4 entries, "), "{shown:?}");
    assert!(shown.contains("4 entries became the summary "), "{shown:?}");
}

/// Sends what control and C do.
#[cfg(unix)]
fn interrupt(process: u32) {
    let sent = Command::new("kill").args(["-INT", &process.to_string()]).status().unwrap();
    assert!(sent.success());
}

#[cfg(unix)]
#[test]
fn an_interrupt_cancels_frees_the_slot_and_writes_nothing() {
    let Some(server) = Server::start(32_768, 1, None) else { return };
    let place = worked();
    // Random weights that may not end.
    place.write(
        "settings/treering/config.toml",
        "model = \"tiny\"\n[extra]\nignore_eos = true\nmax_tokens = 30000\n",
    );
    let before = state(&place);
    let args = compact(&server.url, &["--background"]);
    let mut command = place.command(&args);
    let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(running.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("openai tiny summarizes 4 entries")));
    wait_until(|| server.slot().is_some_and(|decoded| decoded > 0));
    interrupt(running.id());
    let rest: Vec<String> = lines.collect();
    assert_eq!(running.wait().unwrap().code(), Some(9), "{rest:?}");
    assert_eq!(rest, ["error: compaction cancelled: nothing was written"]);
    assert_eq!(state(&place), before);
    wait_until(|| server.slot().is_none());
    // The next one is not kept waiting by what the cancelled one held.
    place.object(&["compact", "s", "--force", "--keep-turns", "1"]);
}

#[cfg(unix)]
fn wait_until(mut reached: impl FnMut() -> bool) {
    let start = Instant::now();
    while !reached() {
        assert!(start.elapsed() < PATIENCE, "waited in vain");
        std::thread::sleep(Duration::from_millis(10));
    }
}
