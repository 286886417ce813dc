//! Claude Code, one small file per thing that is not as the format says: what is repaired, and what
//! the conversation then is. Each is also exported, loaded twice and verified by the kit.

use treering_interchange::RepairKind::{
    self, ByteOrderMark, DamagedLine, DanglingParent, DuplicateId, GluedRecords, InvalidUtf8,
    LateParent, LateResult, MissingId, MovedCut, NotARecord, NulRun, OrphanResult, OverlongLine,
    ParallelFork, PreservedRecord, SelfParent, TooManyCalls, TornLine, UnansweredCall, UnusableId,
};
use treering_tree::Kind;

use crate::kit::{aliases, block_on, branch_names, loaded, repairs, shown};

/// A line of Claude Code: `u1 <- a1 user "text"`, with more fields as JSON.
fn line(kind: &str, uuid: &str, parent: &str, more: &str) -> String {
    let parent = if parent.is_empty() { "null".to_owned() } else { format!("\"{parent}\"") };
    format!(
        "{{\"type\":\"{kind}\",\"uuid\":\"{uuid}\",\"parentUuid\":{parent},\"sessionId\":\"s\",\
         \"timestamp\":\"2026-01-01T00:00:00Z\",{more}}}\n"
    )
}

fn user(uuid: &str, parent: &str) -> String {
    line("user", uuid, parent, &format!("\"message\":{{\"role\":\"user\",\"content\":\"{uuid}\"}}"))
}

fn assistant(uuid: &str, parent: &str) -> String {
    let block = format!("{{\"type\":\"text\",\"text\":\"{uuid}\"}}");
    line("assistant", uuid, parent, &format!("\"message\":{{\"content\":[{block}]}}"))
}

/// A call, a piece of the API message `m`.
fn call(uuid: &str, parent: &str, call: &str) -> String {
    let block =
        format!("{{\"type\":\"tool_use\",\"id\":\"{call}\",\"name\":\"t\",\"input\":{{}}}}");
    line("assistant", uuid, parent, &format!("\"message\":{{\"id\":\"m\",\"content\":[{block}]}}"))
}

fn result(uuid: &str, parent: &str, call: &str) -> String {
    let block =
        format!("{{\"type\":\"tool_result\",\"tool_use_id\":\"{call}\",\"content\":\"{uuid}\"}}");
    line("user", uuid, parent, &format!("\"message\":{{\"content\":[{block}]}}"))
}

fn with(line: &str, field: &str) -> String {
    line.replacen("\"type\"", &format!("{field},\"type\""), 1)
}

/// A name, the lines, the aliases on the path of `main`, and the repairs by line.
type Case<'a> = (&'a str, String, &'a str, &'a [(RepairKind, u64)]);

fn check(cases: Vec<Case<'_>>) {
    for (name, lines, expected_path, expected_repairs) in cases {
        let (found, report) = block_on(async {
            let (store, report) = loaded("s.jsonl", lines.as_bytes()).await;
            (aliases(&store, &report.session, "main").await.join(" "), report)
        });
        assert_eq!(found, expected_path, "{name}: path");
        assert_eq!(repairs(&report), expected_repairs, "{name}: {:?}", report.repairs);
    }
}

#[test]
fn claude_code_parents() {
    check(vec![
        ("linear", user("u1", "") + &assistant("a1", "u1") + &user("u2", "a1"), "u1 a1 u2", &[]),
        (
            "many roots: the last counts",
            user("u1", "") + &user("u2", "") + &assistant("a2", "u2"),
            "u2 a2",
            &[],
        ),
        (
            "a rewind",
            user("u1", "") + &assistant("a1", "u1") + &user("u2", "a1") + &user("u3", "a1"),
            "u1 a1 u3",
            &[],
        ),
        (
            "a parent nobody wrote",
            user("u1", "") + &user("u2", "gone"),
            "u2",
            &[(DanglingParent, 2)],
        ),
        ("its own parent", user("u1", "u1") + &assistant("a1", "u1"), "u1 a1", &[(SelfParent, 1)]),
        (
            "a cycle",
            user("u1", "u2") + &user("u2", "u1") + &assistant("a", "u2"),
            "u1 u2 a",
            &[(DanglingParent, 1), (LateParent, 2)],
        ),
        (
            "an id twice: the later counts from there on",
            user("u1", "") + &assistant("a1", "u1") + &user("u1", "") + &assistant("a2", "u1"),
            "u1 a2",
            &[(DuplicateId, 3)],
        ),
        (
            "lines without an id stand beside the tree",
            user("u1", "")
                + "{\"type\":\"summary\",\"summary\":\"t\",\"leafUuid\":\"x\"}\n"
                + &assistant("a1", "u1")
                + "{\"type\":\"user\",\"sessionId\":\"s\",\"message\":{\"content\":\"lost\"}}\n",
            "u1 a1",
            &[(MissingId, 4)],
        ),
        (
            "a sidechain, a team mate and the tool's own words are not the conversation",
            user("u1", "")
                + &assistant("a1", "u1")
                + &with(&user("s1", ""), "\"isSidechain\":true")
                + &with(&user("t1", "a1"), "\"teamName\":\"t\"")
                + &with(&user("m1", "a1"), "\"isMeta\":true")
                + &user("u2", "a1")
                + &with(&user("m2", "a1"), "\"isMeta\":true"),
            "u1 a1 u2",
            &[],
        ),
        (
            "an id that cannot be an alias",
            user(&"x".repeat(300), "") + &assistant("a1", &"x".repeat(300)),
            "- a1",
            &[(UnusableId, 1)],
        ),
    ]);
}

#[test]
fn claude_code_parallel_calls_are_one_line_of_results() {
    let start = || user("u1", "") + &call("c1", "u1", "1");
    check(vec![
        (
            "one after the other",
            start()
                + &call("c2", "c1", "2")
                + &result("r1", "c2", "1")
                + &result("r2", "r1", "2")
                + &assistant("a", "r2"),
            "u1 c1 c2 r1 r2 a",
            &[],
        ),
        (
            "each result under its call",
            start()
                + &call("c2", "c1", "2")
                + &result("r1", "c1", "1")
                + &result("r2", "c2", "2")
                + &assistant("a", "r2"),
            "u1 c1 c2 r1 r2 a",
            &[(ParallelFork, 4), (ParallelFork, 5)],
        ),
        (
            "the first result before the second call",
            start()
                + &result("r1", "c1", "1")
                + &call("c2", "c1", "2")
                + &result("r2", "c2", "2")
                + &assistant("a", "r2"),
            "u1 c1 r1 c2 r2 a",
            &[(ParallelFork, 4)],
        ),
        (
            "progress in between",
            start()
                + &call("c2", "c1", "2")
                + &line("progress", "p", "c1", "\"data\":{}")
                + &result("r1", "p", "1")
                + &result("r2", "c2", "2")
                + &assistant("a", "r1"),
            "u1 c1 c2 p r1 r2 a",
            &[(ParallelFork, 4), (ParallelFork, 6), (ParallelFork, 7)],
        ),
        (
            "a result after the conversation went on",
            start()
                + &call("c2", "c1", "2")
                + &result("r1", "c2", "1")
                + &assistant("a", "r1")
                + &result("r2", "c2", "2"),
            "u1 c1 c2 r1 a r2",
            &[(LateResult, 6)],
        ),
        (
            "no result, and a result of nothing",
            start() + &user("u2", "c1") + &assistant("a", "u2") + &result("r9", "a", "9"),
            "u1 c1 u2 a r9",
            &[(OrphanResult, 5), (UnansweredCall, 2)],
        ),
        (
            "calls and results without ids",
            user("u1", "") + &call("c1", "u1", "") + &result("r1", "c1", ""),
            "u1 c1 r1",
            &[(UnusableId, 2), (UnusableId, 3)],
        ),
    ]);
}

#[test]
fn more_open_calls_than_a_path_may_have_are_not_paired() {
    let blocks: Vec<String> = (0..300)
        .map(|at| {
            format!("{{\"type\":\"tool_use\",\"id\":\"c{at}\",\"name\":\"t\",\"input\":{{}}}}")
        })
        .collect();
    let many = |uuid: &str, parent: &str, from: usize, to: usize| {
        line(
            "assistant",
            uuid,
            parent,
            &format!("\"message\":{{\"content\":[{}]}}", blocks[from..to].join(",")),
        )
    };
    let lines = user("u1", "")
        + &many("a1", "u1", 0, 200)
        + &many("a2", "a1", 200, 300)
        + &many("a3", "", 0, 300);
    let (_, report) = block_on(loaded("s.jsonl", lines.as_bytes()));
    assert_eq!(report.repairs_of(TooManyCalls), 1);
    assert_eq!(report.repairs_of(UnusableId), 1, "one entry makes at most 256 calls");
}

#[test]
fn damaged_lines_are_kept_and_the_records_between_them_read() {
    let good = || user("u1", "") + &assistant("a1", "u1");
    check(vec![
        ("torn last line", good() + "{\"type\":\"user\",\"uuid\":\"u2", "u1 a1", &[(TornLine, 3)]),
        (
            "damaged line",
            user("u1", "") + "{\"type\":oops}\n" + &assistant("a1", "u1"),
            "u1 a1",
            &[(DamagedLine, 2)],
        ),
        ("glued records", good().replacen('\n', "", 1), "u1 a1", &[(GluedRecords, 1)]),
        (
            "torn, then a record on the same line",
            "{\"type\":\"us".to_owned() + &good(),
            "u1 a1",
            &[(TornLine, 1)],
        ),
        (
            "NUL bytes before a record",
            user("u1", "") + "\0\0\0\0" + &assistant("a1", "u1"),
            "u1 a1",
            &[(NulRun, 2)],
        ),
        (
            "NUL bytes as a line",
            user("u1", "") + "\0\0\n" + &assistant("a1", "u1"),
            "u1 a1",
            &[(NulRun, 2)],
        ),
        ("byte order mark", "\u{feff}".to_owned() + &good(), "u1 a1", &[(ByteOrderMark, 1)]),
        ("carriage returns", good().replace('\n', "\r\n"), "u1 a1", &[]),
        ("blank lines", good().replace('\n', "\n\n \n") + "\n", "u1 a1", &[]),
        ("no final newline", good().trim_end().to_owned(), "u1 a1", &[]),
        (
            "JSON that is no record",
            good() + "42\n\"x\"\n[1]\n{\"silly\":1}\n",
            "u1 a1",
            &[(NotARecord, 3), (NotARecord, 4), (NotARecord, 5), (NotARecord, 6)],
        ),
        (
            "fields of other types",
            good() + &with(&user("u2", "a1"), "\"isMeta\":[1e999],\"cwd\":7"),
            "u1 a1 u2",
            &[],
        ),
        (
            "half an escaped character",
            good() + &user("u2", "a1").replace("\"u2\"}", "\"cut \\ud83d\"}"),
            "u1 a1 u2",
            &[],
        ),
    ]);
}

#[test]
fn bytes_that_are_not_utf8_stay_and_are_shown_as_replacement_characters() {
    let mut bytes = user("u1", "").into_bytes();
    let at = bytes.windows(5).rposition(|window| window == b"\"u1\"}").unwrap() + 1;
    bytes[at] = 0xff;
    block_on(async {
        let (store, report) = loaded("s.jsonl", &bytes).await;
        assert_eq!(repairs(&report), [(InvalidUtf8, 1)]);
        assert_eq!(shown(&*store, "s", "main").await, [(Kind::User, "\u{fffd}1".to_owned())]);
    });
}

#[test]
fn a_very_long_line_is_one_entry() {
    let long = "x".repeat(343_491);
    let lines =
        user("u1", "").replace("\"u1\"}", &format!("\"{long}\"}}")) + &assistant("a1", "u1");
    block_on(async {
        let (store, report) = loaded("s.jsonl", lines.as_bytes()).await;
        assert_eq!(report.repairs, []);
        assert_eq!(shown(&*store, "s", "main").await[0].1, long);
    });
}

#[test]
fn nesting_without_end_is_kept_and_stops_nothing() {
    let deep =
        format!("{{\"type\":\"user\",\"uuid\":\"d\",\"message\":{}}}\n", "[".repeat(100_000));
    let lines = user("u1", "") + &deep + &assistant("a1", "u1");
    let closed =
        with(&user("u2", "a1"), &format!("\"x\":{}{}", "[".repeat(9_999), "]".repeat(9_999)));
    check(vec![
        ("open", lines.clone(), "u1 a1", &[(DamagedLine, 2)]),
        ("closed", lines + &closed, "u1 a1", &[(DamagedLine, 2), (OverlongLine, 4)]),
    ]);
}

const SUMMARY: &str = "\"isCompactSummary\":true";

fn boundary(uuid: &str, logical: &str) -> String {
    let more = format!(
        "\"subtype\":\"compact_boundary\",\"logicalParentUuid\":\"{logical}\",\"content\":\"Conversation compacted\""
    );
    line("system", uuid, "", &more)
}

#[test]
fn a_claude_code_compaction_shows_its_summary_once_and_nothing_before_it() {
    let lines = user("u1", "")
        + &assistant("a1", "u1")
        + &boundary("b", "a1")
        + &with(&user("sum", "b"), SUMMARY)
        + &user("u2", "sum")
        + &assistant("a2", "u2");
    block_on(async {
        let (store, report) = loaded("s.jsonl", lines.as_bytes()).await;
        assert_eq!(report.repairs, []);
        assert_eq!((report.compactions, report.roots, report.leaves), (1, 2, 2));
        assert_eq!(aliases(&store, "s", "main").await.join(" "), "b sum u2 a2");
        let expected = [(Kind::Compaction, "sum"), (Kind::User, "u2"), (Kind::Assistant, "a2")];
        assert_eq!(
            shown(&*store, "s", "main").await,
            expected.map(|(kind, text)| (kind, text.to_owned()))
        );
        assert_eq!(branch_names(&*store, "s").await, ["file", "main", "root-1"]);
    });
}

#[test]
fn messages_preserved_by_a_compaction_follow_its_summary() {
    let lines = user("u1", "")
        + &assistant("a1", "u1")
        + &user("u2", "a1")
        + &assistant("a2", "u2")
        + &boundary("b", "a2")
        + &with(&user("sum", "b"), SUMMARY)
        + &user("u2", "sum")
        + &assistant("a2", "u2")
        + &user("u3", "a2");
    check(vec![("replayed", lines, "b sum u2 a2 u3", &[(DuplicateId, 7), (DuplicateId, 8)])]);
}

#[test]
fn what_a_compaction_says_it_preserved_is_no_accident() {
    let with_metadata = |metadata: &str| {
        let boundary =
            boundary("b", "a2").replacen('{', &format!("{{\"compactMetadata\":{metadata},"), 1);
        user("u1", "")
            + &assistant("a1", "u1")
            + &user("u2", "a1")
            + &assistant("a2", "u2")
            + &boundary
            + &with(&user("sum", "b"), SUMMARY)
            + &user("u2", "sum")
            + &assistant("a2", "u2")
            + &user("u3", "a2")
    };
    let expected = &[(PreservedRecord, 7), (PreservedRecord, 8)][..];
    let segment = r#"{"preservedSegment":{"headUuid":"u2","anchorUuid":"sum","tailUuid":"a2"}}"#;
    let messages = r#"{"preservedMessages":{"anchorUuid":"sum","uuids":["u2","a2"]}}"#;
    // What is anchored to itself says nothing.
    let senseless = r#"{"preservedMessages":{"anchorUuid":"u2","uuids":["u2","a2"]}}"#;
    let all = &[(DuplicateId, 7), (DuplicateId, 8)][..];
    check(vec![
        ("segment", with_metadata(segment), "b sum u2 a2 u3", expected),
        ("messages", with_metadata(messages), "b sum u2 a2 u3", expected),
        ("senseless", with_metadata(senseless), "b sum u2 a2 u3", all),
    ]);
}

#[test]
fn a_compaction_inside_a_group_of_calls_keeps_the_group() {
    let lines = user("u1", "")
        + &call("c1", "u1", "1")
        + &with(&user("sum", "c1"), SUMMARY)
        + &result("r1", "sum", "1")
        + &assistant("a", "r1");
    block_on(async {
        let (store, report) = loaded("s.jsonl", lines.as_bytes()).await;
        assert_eq!(repairs(&report), [(MovedCut, 3)]);
        let kinds: Vec<Kind> =
            shown(&*store, "s", "main").await.into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [Kind::Compaction, Kind::Assistant, Kind::ToolResult, Kind::Assistant]);
    });
}

#[test]
fn branches_are_called_by_the_line_they_begin_at() {
    let lines = user("u1", "")
        + &assistant("a1", "u1")
        + &user("x1", "a1")
        + &assistant("x2", "x1")
        + &user("y1", "x1")
        + &with(&user("s1", ""), "\"isSidechain\":true")
        + &user("o1", "")
        + &user("u2", "a1");
    block_on(async {
        let (store, _) = loaded("s.jsonl", lines.as_bytes()).await;
        assert_eq!(
            branch_names(&*store, "s").await,
            ["file", "fork-3", "fork-5", "main", "root-7", "side-6"]
        );
        for (branch, expected) in
            [("fork-3", "u1 a1 x1 x2"), ("fork-5", "u1 a1 x1 y1"), ("side-6", "s1")]
        {
            assert_eq!(aliases(&store, "s", branch).await.join(" "), expected);
        }
    });
}
