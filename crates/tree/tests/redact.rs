//! What a rule matches is in no file of the store, and a scan finds it where it came in without.

#![cfg(feature = "redact")]
#![allow(clippy::unwrap_used, reason = "a test speaks by panicking")]

use std::sync::Arc;

use treering_tree::redact::{Redact, Rules, scan};
use treering_tree::{
    Body, Change, Draft, Expect, Id, Kind, Message, Move, Options, Reason, RedbStore, Role,
    Session, Sources, Store, To,
};

fn rules() -> Rules {
    Rules::known().unwrap()
}

/// One secret of each kind, put together here so that no scanner takes this file for a leak.
fn secrets() -> Vec<(&'static str, String)> {
    let x = |n: usize| "Ab3".repeat(n);
    vec![
        ("anthropic-key", format!("sk-{}-api03-{}", "ant", x(9))),
        ("openai-key", format!("sk-{}-{}", "proj", x(9))),
        ("openai-key", format!("s{}-{}", "k", x(16))),
        ("aws-access-key", format!("AK{}{}", "IA", "AB12".repeat(4))),
        ("google-key", format!("AI{}{}", "za", "Ab3d5".repeat(7))),
        ("github-token", format!("gh{}_{}", "p", x(12))),
        ("gitlab-token", format!("gl{}-{}", "pat", x(8))),
        ("slack-token", format!("xo{}-{}", "xb", x(8))),
        ("stripe-key", format!("sk_{}_{}", "live", x(8))),
        ("npm-token", format!("np{}_{}", "m", x(12))),
        ("pypi-token", format!("py{}-{}", "pi", x(12))),
        ("hugging-face-token", format!("h{}_{}", "f", x(11))),
        ("jwt", format!("ey{}{}.ey{}{}.{}", "J", x(4), "J", x(4), x(4))),
        ("bearer-token", format!("Bea{} {}", "rer", x(8))),
        ("bearer-token", format!("bea{}  {}", "rer", x(8))),
        ("openai-key", format!("sk-{}-v1-{}", "or", x(9))),
        ("model-key", format!("gs{}_{}", "k", x(12))),
        ("google-key", format!("GOC{}-{}", "SPX", x(9))),
        ("service-token", format!("S{}.{}.{}", "G", x(8), x(9))),
        ("service-token", format!("1234567{}:A{}{}", "89", "A", "Ab3".repeat(11))),
        ("basic-credentials", format!("Authorization: Ba{} {}", "sic", x(6))),
        ("basic-credentials", format!("Ba{} {}==", "sic", x(6))),
        ("url-password", format!("redis://:{}@", x(3))),
        ("assigned-secret", format!("AWS_SECRET_ACCESS_{}={}", "KEY", x(9))),
        ("assigned-secret", format!("pass{}: {}", "word", x(3))),
        ("assigned-secret", format!("\"client_{}\": \"{}\"", "secret", x(6))),
        ("url-password", format!("postgres://me:{}@", x(3))),
        (
            "private-key",
            format!(
                "-----BEGIN RSA PRIV{} KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
                "ATE",
                x(20)
            ),
        ),
    ]
}

#[test]
fn each_known_kind_is_replaced_and_json_stays_json() {
    for (rule, secret) in secrets() {
        for text in [
            secret.clone(),
            format!("first line\n{secret}\nlast \\ \"line\""),
            format!("\"{secret}\""),
        ] {
            let message = Message::text(Role::Tool, text.clone());
            let redacted =
                rules().redact(&message.body()).unwrap_or_else(|| panic!("{rule}: kept"));
            let read = format!("{:?}", Message::from_body(&redacted).unwrap().parts.len());
            assert_eq!(read, "1");
            let bytes = String::from_utf8(redacted.bytes).unwrap();
            assert!(bytes.contains(&format!("[redacted: {rule}]")), "{rule}: {bytes}");
            let line = secret.lines().max_by_key(|line| line.len()).unwrap();
            assert!(!bytes.contains(line), "{rule}: {bytes}");
            assert!(rules().redact(&Body::new("raw", text)).is_some(), "{rule}");
        }
    }
}

/// As other writers of JSON escape what stands beside or in a secret.
#[test]
fn what_json_escapes_hides_no_secret() {
    let key = format!("sk-{}-api03-{}", "ant", "Ab3".repeat(9));
    let pem = format!("-----BEGIN PRIV{} KEY-----", "ATE");
    for (text, left) in [
        (format!(r"\u003c{key}\u003e"), r"\u003c[redacted: anthropic-key]\u003e"),
        (format!(r"\u0022{key}\u0022"), r"\u0022[redacted: anthropic-key]\u0022"),
        (r"https:\/\/me:p\u0026ss@host".to_owned(), "[redacted: url-password]host"),
        (format!(r#""{pem}\nAb\/3\u002b4\n""#), r#""[redacted: private-key]""#),
        (
            format!(r#"{{"token" : "{}"}}"#, "x7".repeat(6)),
            r#"{"token" : "[redacted: assigned-secret]"}"#,
        ),
        (format!("token={}.rest.of/it== ", "x7".repeat(6)), "token=[redacted: assigned-secret] "),
        (
            format!(r#"\"api_key\":\"{}\""#, "x7".repeat(6)),
            r#"\"api_key\":\"[redacted: assigned-secret]\""#,
        ),
    ] {
        let redacted = rules().redact(&Body::new("raw", text.clone()));
        let redacted = redacted.map(|body| String::from_utf8(body.bytes).unwrap());
        assert_eq!(redacted.as_deref(), Some(left), "{text}");
    }
}

#[test]
fn harmless_text_is_left_alone() {
    let harmless = [
        "sk-folding-cube sk-circle and a task-force of risk-averse people",
        "see https://example.org:8080/path?q=a@b and mailto:me@example.org",
        "the bearer of this letter; AKIA is a prefix; commit 51c47cd0255622",
        "token = next_token(); password: required; \"max_tokens\": 8192, basic internationalization",
        "tokens: 12345678 and the secret of 1984",
        "token = base64.b64encode(raw); secret: crypto.randomBytes32(), apiKey: process.env.AWS_S3_KEY",
        "fn main() { let eyJ = 1; } -----BEGIN PUBLIC KEY----- abc",
    ];
    for text in harmless {
        assert_eq!(rules().redact(&Message::text(Role::User, text).body()), None, "{text}");
    }
}

#[tokio::test]
async fn what_matches_reaches_no_file_and_references_within_a_change_follow() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let sources = Sources::fixed(1);
    let options = Options::new(sources.clone()).redact(Arc::new(rules()));
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(&path, options).unwrap());
    let (_, secret) = secrets().remove(0);
    let body = || Body::new("text", format!("my key is {secret}"));
    let root = Draft::new(Kind::User, 1, sources.nonce(), body()).under(None).tokens(3);
    let id = root.id_under(None);
    let child = Draft::new(Kind::Assistant, 2, sources.nonce(), Body::new("text", "x"));
    let pin = Draft::new(Kind::Pin, 3, sources.nonce(), Body::new("text", "")).target(id);
    let last = child.id_under(Some(id));
    let change = || Change {
        entries: vec![root.clone(), child.clone().under(Some(id)), pin.clone()],
        moves: vec![Move { branch: None, expect: Expect::Any, to: To::Entry(last) }],
        ..Change::new("one", Reason::Append, 0)
    };
    let committed = store.commit(change()).await.unwrap();
    assert_ne!(committed.ids[0], id);
    assert_eq!(committed.head, Some(committed.ids[1]));
    let again = store.commit(change()).await.unwrap();
    assert_eq!((again.ids.clone(), again.added), (committed.ids.clone(), 0));
    let stored = store.entries(&committed.ids).await.unwrap();
    let pin = stored[2].as_ref().unwrap();
    assert_eq!(pin.entry.envelope().target, Some(committed.ids[0]));
    assert_eq!(stored[0].as_ref().unwrap().place.tokens, 3);
    drop(store);
    let bytes = std::fs::read(&path).unwrap();
    assert!(!bytes.windows(secret.len()).any(|at| at == secret.as_bytes()));
    assert!(bytes.windows(10).any(|at| at == b"[redacted:"));
}

#[tokio::test]
async fn a_scan_names_entries_and_rules_and_no_secret() {
    let store: Arc<dyn Store> =
        Arc::new(RedbStore::in_memory(Options::new(Sources::fixed(1))).unwrap());
    let session = Session::new(Arc::clone(&store), "one", Sources::fixed(2));
    let mut leaky: Vec<(Id, &str)> = Vec::new();
    for (rule, secret) in secrets() {
        for text in [secret, "harmless".to_owned()] {
            let is_secret = text != "harmless";
            let draft = session.draft(Kind::User, Message::text(Role::User, text).body());
            let id = session.append(draft, Expect::Any).await.unwrap().ids[0];
            leaky.extend(is_secret.then_some((id, rule)));
        }
    }
    let (mut from, mut findings, mut entries) = (Some(0), Vec::new(), 0);
    while let Some(next) = from {
        let page = scan(&*store, &rules(), next, 7).await.unwrap();
        entries += page.entries;
        findings.extend(page.findings);
        from = page.next;
    }
    assert!(
        leaky.iter().all(|(id, rule)| findings.iter().any(|it| it.id == *id && it.rule == *rule))
    );
    assert!(findings.iter().all(|it| leaky.iter().any(|(id, _)| it.id == *id)));
    assert_eq!(entries, 2 * secrets().len() as u64, "every entry is read once");
    assert!(findings.iter().all(|it| rules().names().contains(&it.rule)));
    assert_eq!(format!("{:?}", rules()), format!("Rules({} of them)", rules().names().len()));
    let told = format!("{findings:?}");
    assert!(secrets().iter().all(|(_, secret)| !told.contains(secret.as_str())));
}

#[test]
fn a_pattern_that_is_none_is_refused() {
    let error = Rules::new([("bad", "(")]).unwrap_err();
    assert_eq!(error.kind(), treering_tree::ErrorKind::Invalid);
}

/// All files in a folder and below it.
fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut folders = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}

#[test]
fn no_rule_fires_in_sessions_that_hold_no_secrets() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/samples");
    if !std::path::Path::new(folder).is_dir() {
        println!("skipped: no samples beside the project");
        return;
    }
    let (rules, files) = (rules(), files(folder.as_ref()));
    let (mut bytes, mut matched) = (0, Vec::new());
    for path in &files {
        let body = Body { format: "text".into(), bytes: std::fs::read(path).unwrap() };
        bytes += body.bytes.len();
        let Some(redacted) = rules.redact(&body) else { continue };
        let redacted = String::from_utf8_lossy(&redacted.bytes).into_owned();
        for rule in rules.names() {
            let count = redacted.matches(&format!("[redacted: {rule}]")).count();
            if count > 0 {
                matched.push(format!("{rule}: {count} in {}", path.display()));
            }
        }
    }
    println!("{} files, {bytes} bytes, {} matches", files.len(), matched.len());
    assert_eq!(matched, [""; 0]);
}
