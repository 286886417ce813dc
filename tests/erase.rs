//! Erasing at the command line: what depends on it is listed and may go too, and with `--physical` no byte of
//! it is left in the folder in any form.

use serde_json::{Value, json};
use tests::command::{Cli, keys, text};

// Of no words that the engine's dictionary has: compressed, they would not be seen in a file.
const PLAIN: &str = "swordfish-9931 unlocks Xanadu 77";
const QUOTED: &str = "zyx \"qvw\"\tMellon-4711 b\u{e4}ck 88";

/// Digits of base64, with no padding: whole groups of three alone.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks_exact(3) {
        let bits = u32::from(group[0]) << 16 | u32::from(group[1]) << 8 | u32::from(group[2]);
        text.extend([18, 12, 6, 0].map(|at| char::from(DIGITS[(bits >> at) as usize & 63])));
    }
    text
}

/// The secrets as they may stand in a file: raw, escaped as in JSON, in base64 at each alignment.
fn forms() -> Vec<Vec<u8>> {
    let escaped = serde_json::to_string(QUOTED).unwrap();
    let mut forms = vec![PLAIN.as_bytes().to_vec(), escaped.trim_matches('"').as_bytes().to_vec()];
    for secret in [PLAIN, QUOTED] {
        forms.extend((0..3).map(|skip| base64(&secret.as_bytes()[skip..]).into_bytes()));
    }
    forms
}

/// How many of the forms are in any file beside the store or in it.
fn hits(cli: &Cli) -> usize {
    let folder = cli.store().parent().unwrap().to_owned();
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<Vec<u8>> =
        files.filter(|path| path.is_file()).map(|path| std::fs::read(path).unwrap()).collect();
    let is_in =
        |form: &Vec<u8>| files.iter().any(|file| file.windows(form.len()).any(|w| w == form));
    forms().iter().filter(|form| is_in(form)).count()
}

/// A session with every form of the secrets between other things; answers the ids of those.
fn told() -> (Cli, Vec<String>) {
    let cli = Cli::new();
    cli.append("work", "user", "What opens the cellar?");
    let mut secret =
        vec![cli.append("work", "assistant", PLAIN), cli.append("work", "user", QUOTED)];
    for form in &forms()[2..] {
        secret.push(cli.append("work", "note", std::str::from_utf8(form).unwrap()));
    }
    for turn in 0..4 {
        cli.append("work", "user", &format!("Question {turn}? {}", "word ".repeat(200)));
        cli.append("work", "assistant", &format!("Answer {turn}. {}", "so ".repeat(200)));
    }
    (cli, secret)
}

fn erase(secret: &[String], flags: &[&'static str]) -> Vec<String> {
    let args = ["erase", "work", "--reason", "asked to"].iter().chain(flags);
    args.map(ToString::to_string).chain(secret.iter().cloned()).collect()
}

fn object(cli: &Cli, args: &[String]) -> Value {
    cli.object(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn what_is_erased_physically_is_in_no_byte_of_the_folder() {
    let (cli, secret) = told();
    assert_eq!(hits(&cli), forms().len(), "the search finds what is there");
    let erased = object(&cli, &erase(&secret, &["--physical"]));
    assert_eq!(hits(&cli), 0);
    assert_eq!(keys(&erased), ["erased", "tombstones", "journal", "dependants", "rewritten"]);
    assert_eq!(erased["erased"], json!(secret));
    assert_eq!(keys(&erased["rewritten"]), ["entries", "bytes_before", "bytes_after"]);
    assert_eq!(cli.object(&["verify"])["problems"], json!([]));
    assert_eq!(cli.json(&["log", "work"]).len(), 9 + 2 * secret.len());
    // What is erased already is only rewritten.
    let again = object(&cli, &erase(&secret, &["--physical"]));
    assert_eq!((&again["erased"], &again["journal"]), (&json!([]), &Value::Null));
}

#[test]
fn summaries_and_labels_that_may_tell_of_it_are_listed_until_they_are_erased_too() {
    let (cli, secret) = told();
    let compacted = cli.object(&["compact", "work", "--force", "--keep-turns", "1"]);
    let summary = text(&compacted, "compaction_entry_id").to_owned();
    let label = text(&cli.object(&["label", "work", &secret[0], PLAIN]), "id").to_owned();
    let plain = |args: &[String]| {
        let ran = cli.run(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        ran.text().to_owned()
    };
    let printed = plain(&erase(&secret, &[]));
    assert!(printed.contains(&format!("summary {} may still tell", &summary[..12])), "{printed}");
    assert!(printed.contains(&format!("label {} names it", &label[..12])), "{printed}");
    assert!(printed.contains("with --summaries erases the summaries and labels too"), "{printed}");
    assert!(printed.contains("`treering compact-store`"), "{printed}");
    let listed = object(&cli, &erase(&secret, &[]));
    assert_eq!(listed["dependants"]["summaries"], json!([summary]));
    assert_eq!(listed["dependants"]["labels"], json!([label]));
    let erased = object(&cli, &erase(&secret, &["--summaries", "--physical"]));
    assert_eq!(erased["erased"], json!([summary, label]));
    assert_eq!(erased["dependants"]["summaries"], json!([]));
    assert_eq!(erased["dependants"]["labels"], json!([]));
    assert_eq!(hits(&cli), 0);
    let context = cli.run(&["--json", "context", "work"]);
    assert!(!context.text().contains("swordfish"), "{}", context.text());
    assert_eq!(cli.object(&["verify"])["problems"], json!([]));
}

#[test]
fn a_scan_tells_entries_and_rules_and_never_the_secret() {
    let cli = Cli::new();
    cli.append("work", "user", "nothing here");
    assert_eq!(cli.json(&["scan"]), Vec::<Value>::new());
    let token = format!("ghp_{}", "aB3".repeat(12));
    let id = cli.append("work", "user", &format!("my token is {token}, twice: {token}"));
    let ran = cli.run(&["--json", "scan"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.lines(), [json!({ "id": id, "rule": "github-token", "count": 2 })]);
    let printed = cli.run(&["scan"]);
    assert!(printed.text().contains("2 entries scanned, 1 found"), "{}", printed.text());
    assert!(printed.err.contains("1 likely secret"), "{}", printed.err);
    assert!(!format!("{printed:?}{ran:?}").contains(&token));
    cli.object(&["erase", "work", &id, "--reason", "a token"]);
    assert_eq!(cli.run(&["scan"]).code, Some(0));
}
