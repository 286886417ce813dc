//! The text and the kind of every error, as people meet them: a change of one is a change to be seen.

use std::path::PathBuf;
use std::time::Duration;

use tests::command::ROOT;
use treering_tree::Id;

/// An error's `Debug`, its kind, and what it says.
type Row = (String, String, String);

macro_rules! rows {
    ($($error:expr),* $(,)?) => {
        vec![$({
            let error = $error;
            (format!("{error:?}"), format!("{:?}", error.kind()), error.to_string())
        }),*]
    };
}

/// Compares with what is expected, and holds that every variant of the crate's `Error` is there.
fn check(crate_name: &str, rows: &[Row], expected: &[(&str, &str)]) {
    let found: Vec<(&str, &str)> =
        rows.iter().map(|(_, kind, text)| (kind.as_str(), text.as_str())).collect();
    assert_eq!(found, expected);
    let path = format!("{ROOT}/crates/{crate_name}/src/error.rs");
    let source = std::fs::read_to_string(path).unwrap();
    let body = source.split("pub enum Error {").nth(1).unwrap().split("\n}\n").next().unwrap();
    let variants = body.lines().filter_map(|line| line.strip_prefix("    "));
    let is_name = |line: &&str| line.starts_with(|c: char| c.is_ascii_uppercase());
    for variant in variants.filter(is_name) {
        let name = variant.split([' ', '(', ',']).next().unwrap();
        let shown = rows.iter().any(|(debug, ..)| debug.starts_with(name));
        assert!(shown, "{crate_name}: no row for {name}");
    }
}

fn id(byte: u8) -> Id {
    Id::from_bytes([byte; 32])
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn tree() {
    use treering_tree::Error;
    let name = || "a\u{1b}b".to_owned();
    let head = |actual| Error::HeadMoved {
        session: "s".into(),
        branch: "main".into(),
        expected: "no entry".into(),
        actual,
    };
    let locked = |pid| Error::Locked { path: "store.redb".into(), pid };
    let rows = rows![
        Error::NotFound { what: "session", name: name() },
        Error::Ambiguous { what: "entry", prefix: "ab".into(), candidates: 3 },
        Error::invalid("name", "it is empty"),
        Error::TooLarge { what: "body bytes", limit: 10, found: 11 },
        head(None),
        head(Some(id(0xab))),
        Error::MemoChanged { session: "s".into(), name: "lease".into() },
        Error::Exists { what: "branch", name: "main".into() },
        Error::AliasTaken { alias: "a".into(), existing: id(1) },
        Error::Superseded { by: id(2) },
        Error::RolledBack { stamped: 5, found: 3 },
        Error::RolledBack { stamped: 5, found: 5 },
        Error::OtherStore,
        locked(None),
        locked(Some(7)),
        Error::Key { why: "it must be 64 hexadecimal digits" },
        Error::corrupt("entry", "4 is missing"),
        Error::Format { found: 2, supported: 1 },
        Error::Storage { detail: "opening x: denied".into(), source: None },
    ];
    let (ab, one, two) = (id(0xab).to_string(), id(1).to_string(), id(2).to_string());
    let moved =
        format!("head of s/main moved: expected no entry, found {ab}; read it again and retry");
    let taken = format!("alias \"a\" already names entry {one}, with other content");
    let superseded =
        format!("compaction superseded: its first kept entry does not lie past that of {two}");
    check(
        "tree",
        &rows,
        &[
            ("NotFound", "session \"a\\u{1b}b\" not found"),
            ("NotFound", "entry prefix \"ab\" is ambiguous: 3 match; give more characters"),
            ("Invalid", "invalid name: it is empty"),
            ("Invalid", "body bytes too large: 11 is over the limit of 10"),
            (
                "Conflict",
                "head of s/main moved: expected no entry, found no entry; read it again and retry",
            ),
            ("Conflict", &moved),
            ("Conflict", "memo \"lease\" of s changed; read it again and retry"),
            ("Conflict", "branch \"main\" exists already"),
            ("Conflict", &taken),
            ("Conflict", &superseded),
            (
                "Conflict",
                "the store is an older one than was stamped: the last 2 of 5 journal rows are missing",
            ),
            (
                "Conflict",
                "the store is an older one than was stamped: row 4 is another one, written since",
            ),
            (
                "Conflict",
                "the stamp is of another store, or of the one that this one was recovered from",
            ),
            (
                "Locked",
                "store.redb is locked; close it, share the store in both, or use another one",
            ),
            (
                "Locked",
                "store.redb is locked by process 7; close it, share the store in both, or use another one",
            ),
            ("Invalid", "master key: it must be 64 hexadecimal digits"),
            ("Corrupt", "corrupt entry: 4 is missing; run `verify` to see all damage"),
            ("Format", "store format 2 cannot be read by this version, which reads 1"),
            ("Storage", "storage: opening x: denied"),
        ],
    );
}

#[test]
fn provider() {
    use treering_provider::{Error, Flaw};
    let rows = rows![
        Error::Overflow { prompt: Some(9), limit: None },
        Error::RateLimited { after: None },
        Error::RateLimited { after: Some(Duration::from_secs(2)) },
        Error::Unavailable { detail: "status 503".into(), after: None },
        Error::Timeout { what: "first byte", limit_ms: 30 },
        Error::Auth { status: 401 },
        Error::Refused { detail: "no".into() },
        Error::BadReply(Flaw::Blank),
        Error::BadReply(Flaw::Truncated),
        Error::BadReply(Flaw::Inflated { found: 5, limit: 4 }),
        Error::BadReply(Flaw::OffTemplate { missing: "Goal".into() }),
        Error::BadReply(Flaw::ToolCalls),
        Error::BadReply(Flaw::Protocol("no choices".into())),
        Error::Cancelled,
        Error::Invalid { what: "budget", why: "it is 0".into() },
    ];
    check(
        "provider",
        &rows,
        &[
            (
                "Overflow",
                "prompt of 9 tokens is over the model's window of unknown; send less or use a larger model",
            ),
            ("Transient", "rate limited by the provider; retry later"),
            ("Transient", "rate limited by the provider; retry after 2000 ms"),
            ("Transient", "provider unavailable: status 503"),
            ("Transient", "no answer: first byte took longer than the limit of 30 ms"),
            (
                "Refused",
                "the provider does not accept the key (status 401); check the key's setting",
            ),
            ("Refused", "refused by the provider: no"),
            ("BadReply", "no summary in the answer: it is blank"),
            ("BadReply", "no summary in the answer: it was cut off at the output limit"),
            ("BadReply", "no summary in the answer: it has 5 tokens and stands for 4"),
            ("BadReply", "no summary in the answer: the heading \"Goal\" is missing"),
            ("BadReply", "no summary in the answer: it calls tools"),
            (
                "BadReply",
                "no summary in the answer: it is not what the protocol promises: no choices",
            ),
            ("Cancelled", "cancelled"),
            ("Invalid", "invalid budget: it is 0"),
        ],
    );
}

#[test]
fn interchange() {
    use treering_interchange::Error;
    let path = || PathBuf::from("a.jsonl");
    let io = |kind| Error::Io { path: path(), source: std::io::Error::new(kind, "why") };
    let inner = treering_tree::Error::corrupt("entry", "4 is missing");
    let rows = rows![
        Error::NotFound { path: path() },
        Error::Unrecognized { path: path(), expected: "pi, claude-code".into() },
        Error::UnknownFormat { name: "x".into(), known: "pi".into() },
        Error::NoOrigin { session: "s".into() },
        Error::TooLarge { what: "files", limit: 1, found: 2 },
        io(std::io::ErrorKind::NotFound),
        io(std::io::ErrorKind::PermissionDenied),
        Error::Tree { session: "s".into(), source: Box::new(inner) },
        Error::Bundle { line: 3, why: "expected an entry, found a head".into() },
        Error::AliasTaken { line: 3, alias: "a".into(), existing: id(0xab) },
        Error::Unbundled { entry: "ab".into(), why: "damage took its content" },
        Error::Database { path: path(), why: "cannot be read: malformed".into() },
    ];
    check(
        "interchange",
        &rows,
        &[
            ("NotFound", "a.jsonl not found; give a file, a folder or a glob"),
            (
                "Format",
                "a.jsonl: line 1: expected a session of pi, claude-code, found something else; force one with a format name",
            ),
            ("Invalid", "unknown format \"x\"; expected one of pi"),
            (
                "Invalid",
                "session \"s\" did not come from a file, so it has no format of origin to export to",
            ),
            ("Invalid", "files: found 2, over the limit of 1"),
            ("NotFound", "a.jsonl: why"),
            ("Storage", "a.jsonl: why"),
            (
                "Corrupt",
                "session \"s\": corrupt entry: 4 is missing; run `verify` to see all damage",
            ),
            ("Invalid", "bundle: line 3: expected an entry, found a head"),
            (
                "Conflict",
                "bundle: line 3: alias \"a\" names entry abababababababababababababababababababababababababababababababab already, with other content; take the bundle in as a session of another name and, where it holds both, a bundle of the session that has that entry before it",
            ),
            ("Invalid", "entry ab: damage took its content; it cannot be put into a bundle"),
            ("Format", "a.jsonl: cannot be read: malformed"),
        ],
    );
}

#[test]
fn compactor() {
    use treering_compactor::Error;
    let source = treering_provider::Error::BadReply(treering_provider::Flaw::Blank);
    let rows = rows![
        Error::from(treering_tree::Error::Format { found: 2, supported: 1 }),
        Error::Summarizer { name: "ledger".into(), source },
        Error::Cancelled,
        Error::Aborted,
    ];
    check(
        "compactor",
        &rows,
        &[
            ("Tree(Format)", "store format 2 cannot be read by this version, which reads 1"),
            ("Provider(BadReply)", "summarizer ledger: no summary in the answer: it is blank"),
            ("Cancelled", "compaction cancelled: nothing was written"),
            (
                "Cancelled",
                "the task of the compaction died; whether it landed shows in the session",
            ),
        ],
    );
}

/// The table as people read it; `cli.rs` and `files.rs` meet the codes.
#[test]
fn the_help_gives_the_exit_codes() {
    let help = tests::command::Cli::new().run(&["--help"]);
    let said: String = help.text().split_whitespace().collect::<Vec<_>>().join(" ");
    let codes = "Exit codes: 0 ok, 1 a check failed, 2 usage, 3 not found, 4 conflict, 5 locked, \
                 6 corrupt, 7 other format, 8 storage, 9 provider.";
    assert!(said.contains(codes), "{said}");
}
