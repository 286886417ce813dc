//! Sessions that are rows of a database: opencode, goose, docker-agent. The databases are made here,
//! with the tables that the tools have.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::Value;
use treering_interchange::{Error, Export, Input, RepairKind, SessionReport};
use treering_tree::{ErrorKind, Kind, RedbStore, Store};

use crate::kit::{aliases, block_on, exported, repairs, shown, store, try_load};

const OPENCODE: &str = "
    CREATE TABLE session (id TEXT PRIMARY KEY, project_id TEXT NOT NULL, parent_id TEXT, directory TEXT,
        title TEXT, version TEXT, revert TEXT, time_created INTEGER, time_updated INTEGER);
    CREATE TABLE message (id TEXT PRIMARY KEY, session_id TEXT NOT NULL, time_created INTEGER,
        time_updated INTEGER, data TEXT NOT NULL);
    CREATE TABLE part (id TEXT PRIMARY KEY, message_id TEXT NOT NULL, session_id TEXT NOT NULL,
        time_created INTEGER, time_updated INTEGER, data TEXT NOT NULL);
    CREATE INDEX message_session_idx ON message (session_id);
    INSERT INTO session VALUES ('ses_1', 'p', NULL, '/', 't', '1.4', NULL, 1, 2);
    INSERT INTO session VALUES ('ses_2', 'p', 'ses_1', '/', 'child', '1.4', NULL, 1, 2);
    INSERT INTO message VALUES ('msg_1', 'ses_1', 10, 10, '{\"role\":\"user\",\"time\":{\"created\":10}}');
    INSERT INTO message VALUES ('msg_2', 'ses_1', 20, 20,
        '{\"role\":\"assistant\",\"time\":{\"created\":20,\"completed\":21},\"modelID\":\"m\",\"tokens\":{\"input\":7,\"output\":3,\"cache\":{\"read\":2,\"write\":0}}}');
    INSERT INTO message VALUES ('msg_0', 'ses_1', 30, 30, '{\"role\":\"user\",\"time\":{\"created\":30}}');
    INSERT INTO message VALUES ('msg_9', 'ses_2', 15, 15, '{\"role\":\"user\",\"time\":{\"created\":15}}');
    INSERT INTO part VALUES ('prt_2', 'msg_2', 'ses_1', 1, 1,
        '{\"type\":\"tool\",\"callID\":\"c\",\"tool\":\"ls\",\"state\":{\"status\":\"completed\",\"input\":{},\"output\":\"a\"}}');
    INSERT INTO part VALUES ('prt_1', 'msg_2', 'ses_1', 1, 1, '{\"type\":\"text\",\"text\":\"let me see\"}');
    INSERT INTO part VALUES ('prt_3', 'msg_1', 'ses_1', 1, 1, '{\"type\":\"text\",\"text\":\"hello\"}');
    INSERT INTO part VALUES ('prt_4', 'msg_0', 'ses_1', 1, 1, '{\"type\":\"text\",\"text\":\"thanks\"}');
    INSERT INTO part VALUES ('prt_5', 'msg_9', 'ses_2', 1, 1, '{\"type\":\"text\",\"text\":\"child\"}');";

const GOOSE: &str = "
    CREATE TABLE sessions (id TEXT PRIMARY KEY, name TEXT NOT NULL DEFAULT '', working_dir TEXT NOT NULL,
        created_at TIMESTAMP, accumulated_cost REAL);
    CREATE TABLE messages (id INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT, session_id TEXT NOT NULL,
        role TEXT NOT NULL, content_json TEXT NOT NULL, created_timestamp INTEGER NOT NULL,
        tokens INTEGER, metadata_json TEXT);
    INSERT INTO sessions VALUES ('20260301_1', 'Fix', '/home', '2026-03-01 09:00:00', 0.5);
    INSERT INTO messages(message_id, session_id, role, content_json, created_timestamp, metadata_json) VALUES
    ('g1', '20260301_1', 'user', '[{\"type\":\"text\",\"text\":\"run the tests\"}]', 1772355600, '{\"userVisible\":true,\"agentVisible\":false}'),
    ('g2', '20260301_1', 'assistant', '[{\"type\":\"toolRequest\",\"id\":\"c\",\"toolCall\":{\"status\":\"success\",\"value\":{\"name\":\"shell\",\"arguments\":{\"command\":\"pytest\"}}}}]', 1772355601,
        '{\"userVisible\":true,\"agentVisible\":false,\"inference\":{\"requestedModel\":\"m\"},\"usage\":{\"inputTokens\":10,\"outputTokens\":4,\"cacheReadTokens\":6}}'),
    (NULL, '20260301_1', 'user', '[{\"type\":\"toolResponse\",\"id\":\"c\",\"toolResult\":{\"status\":\"success\",\"value\":{\"content\":[{\"type\":\"text\",\"text\":\"3 passed\"}]}}}]', 1772355603, '{\"userVisible\":true,\"agentVisible\":false}'),
    ('g4', '20260301_1', 'assistant', '[{\"type\":\"systemNotification\",\"notificationType\":\"inlineMessage\",\"msg\":\"compacted\"}]', 1772355604, '{\"userVisible\":true,\"agentVisible\":false}'),
    ('g5', '20260301_1', 'user', '[{\"type\":\"text\",\"text\":\"tests were run\"}]', 1772355605, '{\"userVisible\":false,\"agentVisible\":true}'),
    ('g6', '20260301_1', 'assistant', '[{\"type\":\"text\",\"text\":\"I go on\"}]', 1772355606, '{\"userVisible\":false,\"agentVisible\":true}'),
    ('g7', '20260301_1', 'user', '[{\"type\":\"text\",\"text\":\"good\"}]', 1772355607, '{\"userVisible\":true,\"agentVisible\":true}');";

const DOCKER_AGENT: &str = "
    CREATE TABLE sessions (id TEXT PRIMARY KEY, messages TEXT, created_at TEXT, tools_approved BOOLEAN DEFAULT 0,
        working_dir TEXT DEFAULT '', parent_id TEXT);
    CREATE TABLE session_items (id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL,
        position INTEGER NOT NULL, item_type TEXT NOT NULL, agent_name TEXT, message_json TEXT,
        implicit BOOLEAN DEFAULT 0, subsession_id TEXT, summary_text TEXT, first_kept_entry INTEGER);
    INSERT INTO sessions(id, created_at) VALUES ('d1', '2026-01-01T00:00:00Z');
    INSERT INTO session_items(session_id, position, item_type, message_json, implicit) VALUES
    ('d1', 0, 'message', '{\"role\":\"system\",\"content\":\"be brief\"}', 0),
    ('d1', 1, 'message', '{\"role\":\"user\",\"content\":\"\",\"multi_content\":[{\"type\":\"text\",\"text\":\"list\"}],\"created_at\":\"2026-01-01T00:00:01Z\"}', 0),
    ('d1', 2, 'message', '{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\",\"function\":{\"name\":\"ls\",\"arguments\":\"{}\"}}]}', 0),
    ('d1', 3, 'message', '{\"role\":\"tool\",\"tool_call_id\":\"c\",\"content\":\"a\"}', 0),
    ('d1', 5, 'message', '{\"role\":\"user\",\"content\":\"and now\"}', 0),
    ('d1', 6, 'message', '{\"role\":\"user\",\"content\":\"go on\"}', 1);
    INSERT INTO session_items(session_id, position, item_type, subsession_id) VALUES ('d1', 4, 'subsession', 'd2');
    INSERT INTO session_items(session_id, position, item_type, summary_text, first_kept_entry) VALUES
    ('d1', 7, 'summary', 'files were listed', 5);";

fn made(path: &Path, schema: &str) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(schema).unwrap();
    connection
}

fn listing(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let file = |path: std::path::PathBuf| {
        (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap())
    };
    entries.map(file).collect()
}

/// Loads a database and holds what is true of any: nothing beside it changes, a second load adds
/// nothing, and what is exported is the same conversation.
async fn loaded(path: &Path) -> (Arc<RedbStore>, Vec<SessionReport>) {
    let store = store();
    let input = || vec![Input::Path(path.to_owned())];
    let before = listing(path.parent().unwrap());
    let reports = try_load(&*store, input(), None).await.unwrap();
    assert!(listing(path.parent().unwrap()) == before, "the user's folder changed");
    for again in try_load(&*store, input(), None).await.unwrap() {
        assert_eq!(again.added, 0, "{again:?}");
    }
    for report in &reports {
        let other = self::store();
        let bytes = exported(&*store, &report.session, 0).await;
        // Parts without a message have no session of their own.
        if bytes.is_empty() || report.session == "opencode" {
            continue;
        }
        let input = Input::Bytes { name: "x.jsonl".into(), bytes: bytes.clone() };
        let again = try_load(&*other, vec![input], None).await.unwrap().remove(0);
        assert_eq!((&again.session, &again.format), (&report.session, &report.format));
        assert!(exported(&*other, &report.session, 0).await == bytes);
        let session = &report.session;
        assert_eq!(shown(&*other, session, "main").await, shown(&*store, session, "main").await);
    }
    assert_eq!(store.verify().await.unwrap().problems, []);
    (store, reports)
}

async fn texts(store: &Arc<RedbStore>, session: &str) -> String {
    let all = shown(&**store, session, "main").await;
    all.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("|")
}

#[test]
fn opencode_rows_are_read_in_the_order_of_the_tool() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("opencode.db");
    let connection = made(&path, OPENCODE);
    block_on(async {
        let (store, reports) = loaded(&path).await;
        let told: Vec<_> =
            reports.iter().map(|report| (&*report.session, report.entries)).collect();
        assert_eq!(told, [("ses_1", 4), ("ses_2", 2)]);
        assert_eq!(reports[0].repairs, []);
        assert_eq!(texts(&store, "ses_1").await, "hello|let me see\nls({})\na|thanks");
        assert_eq!(aliases(&store, "ses_1", "main").await, ["msg_1", "msg_2", "msg_0"]);
        assert_eq!(texts(&store, "ses_2").await, "child");
        let export = Export::of(&*store, "ses_1").await.unwrap();
        let names: Vec<_> = export.files().iter().map(|file| &*file.name).collect();
        assert_eq!(names, ["ses_1.jsonl", "ses_1/session.jsonl"]);
        // Rows come as they were, and go on.
        let line = exported(&*store, "ses_1", 0).await;
        let line: Value =
            serde_json::from_slice(line.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
        let data = "{\"role\":\"user\",\"time\":{\"created\":10}}";
        assert_eq!(
            (line["message"]["data"].as_str(), &line["message"]["time_created"]),
            (Some(data), &10.into())
        );
        connection.execute_batch("
            UPDATE session SET time_updated = 99;
            INSERT INTO message VALUES ('msg_4', 'ses_1', 40, 40, '{\"role\":\"user\",\"time\":{\"created\":40}}');
            INSERT INTO part VALUES ('prt_9', 'msg_4', 'ses_1', 1, 1, '{\"type\":\"text\",\"text\":\"more\"}');").unwrap();
        let again = try_load(&*store, vec![Input::Path(path.clone())], None).await.unwrap();
        assert_eq!((again[0].added, repairs(&again[0])), (2, vec![]));
        assert!(texts(&store, "ses_1").await.ends_with("thanks|more"));
        connection
            .execute_batch("UPDATE session SET revert = '{\"messageID\":\"msg_0\"}'")
            .unwrap();
        try_load(&*store, vec![Input::Path(path.clone())], None).await.unwrap();
        assert_eq!(texts(&store, "ses_1").await, "hello|let me see\nls({})\na");
    });
}

#[test]
fn goose_rows_are_shown_from_the_summary_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    made(&path, GOOSE);
    block_on(async {
        let (store, reports) = loaded(&path).await;
        assert_eq!((reports[0].compactions, repairs(&reports[0])), (1, vec![]));
        assert_eq!(texts(&store, "20260301_1").await, "tests were run|I go on|good");
        let found = aliases(&store, "20260301_1", "main").await;
        assert_eq!(found, ["g1", "g2", "message-3", "g4", "g5", "g6", "g7"]);
    });
}

#[test]
fn docker_agent_rows_are_shown_from_the_first_kept_item_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("session.db");
    made(&path, DOCKER_AGENT);
    block_on(async {
        let (store, reports) = loaded(&path).await;
        assert_eq!((reports[0].compactions, repairs(&reports[0])), (1, vec![]));
        let items = shown(&*store, "d1", "main").await;
        let items: Vec<_> = items.iter().map(|(kind, text)| (*kind, text.as_str())).collect();
        let expected = [
            (Kind::SystemPrompt, "be brief"),
            (Kind::Compaction, "files were listed"),
            (Kind::User, "and now"),
            (Kind::Note, "go on"),
        ];
        assert_eq!(items, expected);
    });
}

#[test]
fn what_is_only_in_the_write_ahead_log_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("opencode.db");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;").unwrap();
    connection.execute_batch(OPENCODE).unwrap();
    assert!(fs::metadata(folder.path().join("opencode.db-wal")).unwrap().len() > 4096);
    block_on(async {
        let (store, _) = loaded(&path).await;
        assert_eq!(texts(&store, "ses_2").await, "child");
        // The folder as a whole is the same.
        let input = vec![Input::Path(folder.path().to_owned())];
        let again = try_load(&*store, input, None).await.unwrap();
        assert_eq!((again.len(), again[0].added), (2, 0));
    });
}

#[test]
fn what_was_not_committed_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("opencode.db");
    let connection = made(&path, OPENCODE);
    connection
        .execute_batch("PRAGMA cache_size = 1; PRAGMA cache_spill = ON; BEGIN IMMEDIATE;")
        .unwrap();
    for number in 0..400 {
        let row = format!(
            "INSERT INTO message VALUES ('x{number}', 'ses_1', 50, 50, '{}')",
            "y".repeat(4000)
        );
        connection.execute_batch(&row).unwrap();
    }
    assert!(folder.path().join("opencode.db-journal").exists());
    block_on(async {
        let (store, _) = loaded(&path).await;
        assert!(texts(&store, "ses_1").await.ends_with("thanks"));
    });
}

#[test]
fn rows_of_any_type_and_without_their_kin_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("opencode.db");
    made(&path, OPENCODE).execute_batch("
        INSERT INTO message VALUES ('msg_a', 'ses_9', 9e999, x'00ff', 'no json');
        INSERT INTO message VALUES ('msg_b', 'ses_9', 1.5, NULL, CAST(x'ff' AS TEXT));
        INSERT INTO part VALUES ('prt_8', 'msg_nowhere', 'ses_1', 1, 1, '{\"type\":\"text\",\"text\":\"x\"}');").unwrap();
    block_on(async {
        let (store, reports) = loaded(&path).await;
        let names: Vec<_> = reports.iter().map(|report| &*report.session).collect();
        assert_eq!(names, ["ses_1", "ses_2", "ses_9", "opencode"]);
        let lines = String::from_utf8(exported(&*store, "ses_9", 0).await).unwrap();
        assert!(
            lines.contains("\"time_created\":1.5,\"time_updated\":null,\"data\":{\"text\":\"ff\"}"),
            "{lines}"
        );
        assert!(
            lines.contains(
                "\"time_created\":{\"real\":\"inf\"},\"time_updated\":{\"blob\":\"00ff\"}"
            ),
            "{lines}"
        );
        assert_eq!(reports[3].repairs_of(RepairKind::MissingId), 1);
    });
}

#[test]
fn databases_that_are_not_of_a_tool_are_passed_over_and_hostile_ones_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let refused = |path: &Path| {
        let input = vec![Input::Path(path.to_owned())];
        block_on(try_load(&*store(), input, None)).unwrap_err()
    };
    made(&path, "CREATE TABLE other (id TEXT)");
    assert!(matches!(refused(&path), Error::Unrecognized { .. }));
    let reports = block_on(try_load(&*store(), vec![Input::Path(folder.path().to_owned())], None));
    assert_eq!(reports.unwrap(), []);
    // Views that never end are not tables.
    let path = folder.path().join("b.db");
    let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x";
    made(&path, &format!("
        CREATE VIEW session AS {endless} AS id FROM n;
        CREATE VIEW message AS {endless} AS id, x AS session_id, x AS time_created, x AS data FROM n;
        CREATE VIEW part AS {endless} AS id, x AS message_id, x AS data FROM n;"));
    assert!(matches!(refused(&path), Error::Unrecognized { .. }));
    // A column that makes more than the file holds.
    let path = folder.path().join("c.db");
    made(
        &path,
        &OPENCODE
            .replace("revert TEXT,", "revert TEXT AS (hex(zeroblob(90000000))),")
            .replace("'1.4', NULL,", "'1.4',"),
    );
    assert_eq!(refused(&path).kind(), ErrorKind::Format);
    // The beginning of a database alone.
    let path = folder.path().join("d.db");
    fs::write(&path, &fs::read(folder.path().join("a.db")).unwrap()[..100]).unwrap();
    assert_eq!(refused(&path).kind(), ErrorKind::Format);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_damaged_database_loads_or_is_refused(
        schema in prop::sample::select(vec![OPENCODE, GOOSE, DOCKER_AGENT]),
        flips in prop::collection::vec((any::<usize>(), any::<u8>()), 1..20),
        cut in prop::option::of(any::<usize>()),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        drop(made(&path, schema));
        let mut bytes = fs::read(&path).unwrap();
        let len = bytes.len();
        for (at, byte) in flips {
            bytes[at % len] = byte;
        }
        bytes.truncate(cut.map_or(len, |cut| cut % len));
        fs::write(&path, &bytes).unwrap();
        let store = store();
        match block_on(try_load(&*store, vec![Input::Path(path)], None)) {
            Ok(_) => prop_assert_eq!(block_on(store.verify()).unwrap().problems, vec![]),
            Err(error) => prop_assert!(
                matches!(error.kind(), ErrorKind::Format | ErrorKind::Invalid), "{}", error
            ),
        }
    }
}
