//! pi, one small file per thing that is not as the format says: what is repaired, and what the
//! context then is. Each is also exported, loaded twice and verified by the kit.

use std::sync::Arc;

use treering_interchange::RepairKind::{self, DanglingTarget, MovedCut, UnusableCompaction};
use treering_interchange::label;
use treering_tree::{Kind, RedbStore};

use crate::kit::{aliases, block_on, loaded, path, repairs, shown};

const PI_3: &str = "{\"type\":\"session\",\"version\":3,\"id\":\"p\",\"timestamp\":\"2026-01-01T00:00:00Z\",\"cwd\":\"/\"}\n";
const PI_1: &str =
    "{\"type\":\"session\",\"id\":\"p\",\"timestamp\":\"2026-01-01T00:00:00Z\",\"cwd\":\"/\"}\n";

fn entry(kind: &str, id: &str, parent: &str, more: &str) -> String {
    let parent = if parent.is_empty() { "null".to_owned() } else { format!("\"{parent}\"") };
    format!(
        "{{\"type\":\"{kind}\",\"id\":\"{id}\",\"parentId\":{parent},\"timestamp\":\"2026-01-01T00:00:00Z\",{more}}}\n"
    )
}

fn said(role: &str, id: &str, parent: &str, more: &str) -> String {
    entry("message", id, parent, &format!("\"message\":{{\"role\":\"{role}\",{more}}}"))
}

fn user(id: &str, parent: &str) -> String {
    said("user", id, parent, &format!("\"content\":\"{id}\""))
}

fn call(id: &str, parent: &str, call: &str) -> String {
    said(
        "assistant",
        id,
        parent,
        &format!(
            "\"content\":[{{\"type\":\"toolCall\",\"id\":\"{call}\",\"name\":\"t\",\"arguments\":{{}}}}]"
        ),
    )
}

fn result(id: &str, parent: &str, call: &str) -> String {
    said("toolResult", id, parent, &format!("\"toolCallId\":\"{call}\",\"content\":\"{id}\""))
}

fn compaction(id: &str, parent: &str, first_kept: &str) -> String {
    entry(
        "compaction",
        id,
        parent,
        &format!("\"summary\":\"{id}\",\"firstKeptEntryId\":\"{first_kept}\""),
    )
}

fn texts(items: Vec<(Kind, String)>) -> String {
    items.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(" ")
}

async fn pi_context(lines: &str) -> (Arc<RedbStore>, String, Vec<(RepairKind, u64)>) {
    let (store, report) = loaded("p.jsonl", lines.as_bytes()).await;
    let context = texts(shown(&*store, "p", "main").await);
    (store, context, repairs(&report))
}

/// A name, the lines, the context, and the repairs by line.
type Case<'a> = (&'a str, String, &'a str, &'a [(RepairKind, u64)]);

#[test]
fn pi_compactions_keep_what_they_name_where_the_tree_allows_it() {
    let start = || PI_3.to_owned() + &user("u1", "") + &user("u2", "u1");
    let called = || start() + &call("c", "u2", "1") + &result("r", "c", "1");
    let table: Vec<Case<'_>> = vec![
        ("kept tail", start() + &compaction("k", "u2", "u2") + &user("u3", "k"), "k u2 u3", &[]),
        (
            "a cut between call and result",
            called() + &compaction("k", "r", "r"),
            "k t({}) r",
            &[(MovedCut, 6)],
        ),
        (
            "not on the path",
            start() + &user("x", "u1") + &compaction("k", "u2", "x"),
            "u1 u2",
            &[(UnusableCompaction, 5)],
        ),
        (
            "not there",
            start() + &compaction("k", "u2", "gone"),
            "u1 u2",
            &[(UnusableCompaction, 4)],
        ),
        (
            "twice the same",
            start() + &compaction("k1", "u2", "u2") + &compaction("k2", "k1", "u2"),
            "k1 u2",
            &[(UnusableCompaction, 5)],
        ),
    ];
    for (name, lines, expected, expected_repairs) in table {
        let (_, context, repairs) = block_on(pi_context(&lines));
        assert_eq!(context, expected, "{name}");
        assert_eq!(repairs, expected_repairs, "{name}");
    }
}

#[test]
fn pi_1_counts_lines() {
    let said = |text: &str| {
        format!(
            "{{\"type\":\"message\",\"timestamp\":\"2026-01-01T00:00:00Z\",\"message\":{{\"role\":\"user\",\"content\":\"{text}\"}}}}\n"
        )
    };
    let lines = PI_1.to_owned()
        + &said("one")
        + &said("two")
        + &said("three")
        + "{\"type\":\"compaction\",\"timestamp\":\"2026-01-01T00:00:00Z\",\"summary\":\"sum\",\"firstKeptEntryIndex\":2}\n"
        + &said("four");
    let (store, context, repairs) = block_on(pi_context(&lines));
    assert_eq!(context, "sum two three four");
    assert_eq!(repairs, []);
    let formats = block_on(path(&store, "p", "main"));
    assert!(formats.iter().all(|stored| stored.entry.body().unwrap().format == "pi/1"));
}

#[test]
fn pi_opens_at_the_last_line_and_every_line_is_on_a_path() {
    let lines = PI_3.to_owned()
        + &user("u1", "")
        + &user("u2", "u1")
        + &entry("branch_summary", "b", "u1", "\"fromId\":\"u2\",\"summary\":\"left\"")
        + &entry("label", "l", "b", "\"targetId\":\"u1\",\"label\":\"start\"")
        + &entry("custom", "c", "l", "\"customType\":\"x\",\"data\":{}")
        + &entry(
            "custom_message",
            "m",
            "c",
            "\"customType\":\"x\",\"content\":\"note\",\"display\":true",
        )
        + &said("bashExecution", "e", "m", "\"command\":\"ls\",\"output\":\"a\"")
        + &said(
            "bashExecution",
            "h",
            "e",
            "\"command\":\"ls\",\"output\":\"b\",\"excludeFromContext\":true",
        )
        + &entry("label", "l2", "h", "\"targetId\":\"gone\"");
    block_on(async {
        let (store, context, repairs) = pi_context(&lines).await;
        assert_eq!(context, "u1 left note Ran `ls`\na");
        assert_eq!(repairs, [(DanglingTarget, 10)]);
        let main = path(&store, "p", "main").await;
        assert_eq!(aliases(&store, "p", "main").await.join(" "), "u1 b l c m e h l2");
        assert_eq!(
            main[1].entry.envelope().target,
            Some(path(&store, "p", "fork-3").await[1].entry.id())
        );
        assert_eq!(main[2].entry.envelope().target, Some(main[0].entry.id()));
        assert_eq!(label(main[2].entry.body().unwrap()).as_deref(), Some("start"));
        assert_eq!(label(main[0].entry.body().unwrap()), None);
    });
}
