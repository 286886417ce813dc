//! The smaller formats, one small file per rule that the samples do not show: rewinds, replaced
//! messages, compactions, usage. Each is also exported, loaded twice and verified by the kit.

use treering_interchange::RepairKind::{self, DamagedLine, NotARecord, RewrittenFile, TornLine};
use treering_interchange::message;
use treering_tree::{Body, Kind, Store, Usage};

use crate::kit::{block_on, branch_names, exported, load_bytes, loaded, repairs, shown, store};

/// What a file shows, its branches, and its repairs.
fn shows(name: &str, text: &str) -> (String, Vec<String>, Vec<(RepairKind, u64)>) {
    block_on(async {
        let (store, report) = loaded(name, text.as_bytes()).await;
        let texts = shown(&*store, &report.session, "main").await.into_iter().map(|(_, text)| text);
        let texts: Vec<String> = texts.collect();
        (texts.join("|"), branch_names(&*store, &report.session).await, repairs(&report))
    })
}

fn codex(kind: &str, payload: &str) -> String {
    format!(
        "{{\"timestamp\":\"2026-01-01T00:00:00Z\",\"type\":\"{kind}\",\"payload\":{{{payload}}}}}\n"
    )
}

fn codex_said(role: &str, text: &str) -> String {
    let block = format!("{{\"type\":\"input_text\",\"text\":\"{text}\"}}");
    codex(
        "response_item",
        &format!("\"type\":\"message\",\"role\":\"{role}\",\"content\":[{block}]"),
    )
}

fn turn(number: u8) -> String {
    codex("event_msg", "\"type\":\"task_started\"")
        + &codex_said("user", "<environment_context>x")
        + &codex_said("user", &format!("u{number}"))
        + &codex_said("user", &format!("more{number}"))
        + &codex_said("assistant", &format!("a{number}"))
        + &codex("event_msg", "\"type\":\"task_complete\"")
}

fn rollback(turns: u64) -> String {
    codex("event_msg", &format!("\"type\":\"thread_rolled_back\",\"num_turns\":{turns}"))
}

#[test]
fn codex_goes_back_by_turns_and_compacts_to_its_replacement_history() {
    let meta = || codex("session_meta", "\"id\":\"t\"");
    let one = "<environment_context>x|u1|more1|a1";
    let compacted = "\"message\":\"old\",\"replacement_history\":[{\"type\":\"message\",\
        \"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"kept\"}]},\
        {\"type\":\"compaction\",\"encrypted_content\":\"x\"}]";
    let table = [
        ("one turn", meta() + &turn(1) + &turn(2) + &rollback(1), one.to_owned()),
        (
            "two turns, one after the other",
            meta()
                + &turn(1)
                + &turn(2)
                + &turn(3)
                + &rollback(1)
                + &rollback(1)
                + &codex_said("user", "on"),
            format!("{one}|on"),
        ),
        (
            "more than there are",
            meta() + &turn(1) + &rollback(9) + &codex_said("user", "on"),
            "on".into(),
        ),
        ("none to go back", meta() + &rollback(1) + &codex_said("user", "on"), "on".into()),
        (
            "without marks of turns",
            meta()
                + &codex_said("user", "u1")
                + &codex_said("assistant", "a1")
                + &codex_said("user", "u2")
                + &rollback(1),
            "u1|a1".into(),
        ),
        (
            "compacted",
            meta() + &turn(1) + &codex("compacted", compacted) + &codex_said("user", "u2"),
            "User: kept\n\nSystem: [compaction]|u2".into(),
        ),
        (
            "compacted in the oldest way",
            meta()
                + &turn(1)
                + &codex("compacted", "\"message\":\"so far\"")
                + &codex_said("user", "u2"),
            "so far|u2".into(),
        ),
        (
            "a rollback behind a compaction takes it back",
            meta() + &turn(1) + &turn(2) + &codex("compacted", compacted) + &rollback(1),
            one.into(),
        ),
    ];
    for (name, text, expected) in table {
        let (found, _, repairs) = shows("c.jsonl", &text);
        assert_eq!((found, repairs), (expected, vec![]), "{name}");
    }
}

#[test]
fn codex_without_payloads_is_read_too() {
    let text = "{\"id\":\"flat\",\"timestamp\":\"2025-05-01T00:00:00Z\",\"instructions\":null}\n\
        {\"record_type\":\"state\"}\n\
        {\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"hi\"}]}\n\
        {\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"shell\",\"arguments\":\"{}\"}\n\
        {\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"ok\"}\n";
    let (found, branches, repairs) = shows("flat.jsonl", text);
    assert_eq!((found.as_str(), repairs), ("hi|shell({})|ok", vec![]));
    assert_eq!(branches, ["file", "main"]);
}

#[test]
fn codex_tells_what_the_provider_reported_in_an_event() {
    let body = codex(
        "event_msg",
        "\"type\":\"token_count\",\"info\":{\"last_token_usage\":{\"input_tokens\":10,\"cached_input_tokens\":4,\"output_tokens\":3}}",
    );
    let said = message(Kind::Record, &Body::new("codex/2", body));
    assert_eq!(said.usage, Some(Usage { input: 6, cached: 4, created: 0, output: 3 }));
}

const GEMINI: &str =
    "{\"sessionId\":\"g\",\"projectHash\":\"h\",\"startTime\":\"2026-01-01T00:00:00Z\"}\n";

fn gemini(id: &str, kind: &str, text: &str) -> String {
    format!(
        "{{\"id\":\"{id}\",\"timestamp\":\"2026-01-01T00:00:00Z\",\"type\":\"{kind}\",\"content\":\"{text}\"}}\n"
    )
}

#[test]
fn gemini_replaces_rewinds_and_sets() {
    let start = || GEMINI.to_owned() + &gemini("1", "user", "u1") + &gemini("2", "gemini", "a1");
    let more = || start() + &gemini("3", "user", "u2") + &gemini("4", "gemini", "a2");
    let set = "{\"$set\":{\"messages\":[{\"id\":\"9\",\"type\":\"user\",\"content\":\"sum\"}]}}\n";
    let table: [(&str, String, &str, usize); 8] = [
        ("the last again", start() + &gemini("2", "gemini", "a1+"), "u1|a1+", 1),
        (
            "and once more",
            start() + &gemini("2", "gemini", "x") + &gemini("2", "gemini", "y"),
            "u1|y",
            2,
        ),
        ("one that others follow", more() + &gemini("2", "gemini", "late"), "u1|a1|u2|a2", 0),
        ("rewound", more() + "{\"$rewindTo\":\"3\"}\n", "u1|a1", 1),
        (
            "rewound and on",
            more() + "{\"$rewindTo\":\"3\"}\n" + &gemini("5", "user", "u3"),
            "u1|a1|u3",
            1,
        ),
        (
            "rewound to nothing known",
            more() + "{\"$rewindTo\":\"x\"}\n" + &gemini("5", "user", "u3"),
            "u3",
            1,
        ),
        ("settings", start() + "{\"$set\":{\"lastUpdated\":\"x\"}}\n", "u1|a1", 0),
        ("all replaced", start() + set + &gemini("5", "user", "u3"), "User: sum|u3", 0),
    ];
    for (name, text, expected, forks) in table {
        let (found, branches, repairs) = shows("g.jsonl", &text);
        assert_eq!((found.as_str(), repairs), (expected, vec![]), "{name}");
        assert_eq!(branches.len(), 2 + forks, "{name}: {branches:?}");
    }
}

#[test]
fn qwen_code_compressions_and_copilot_compactions_are_compactions() {
    let qwen = |uuid: &str, parent: &str, more: &str| {
        format!("{{\"uuid\":\"{uuid}\",\"parentUuid\":{parent},\"sessionId\":\"q\",{more}}}\n")
    };
    let said = |text: &str| {
        format!("\"type\":\"user\",\"message\":{{\"parts\":[{{\"text\":\"{text}\"}}]}}")
    };
    let compressed = "\"type\":\"system\",\"subtype\":\"chat_compression\",\"systemPayload\":{\
        \"compressedHistory\":[{\"role\":\"user\",\"parts\":[{\"text\":\"sum\"}]},{\"role\":\"model\",\"parts\":[{\"text\":\"ok\"}]}]}";
    let text = qwen("1", "null", &said("u1"))
        + &qwen("2", "\"1\"", compressed)
        + &qwen("3", "\"2\"", &said("u2"));
    assert_eq!(shows("q.jsonl", &text).0, "User: sum\n\nAssistant: ok|u2");

    let event = |kind: &str, id: &str, parent: &str, data: &str| {
        format!(
            "{{\"type\":\"{kind}\",\"id\":\"{id}\",\"parentId\":{parent},\"data\":{{{data}}}}}\n"
        )
    };
    let text = event("session.start", "0", "null", "\"sessionId\":\"c\"")
        + &event("user.message", "1", "\"0\"", "\"content\":\"u1\"")
        + &event(
            "assistant.message",
            "2",
            "\"1\"",
            "\"content\":\"inner\",\"parentToolCallId\":\"t\"",
        )
        + &event("session.compaction_complete", "3", "\"2\"", "\"summaryContent\":\"sum\"")
        + &event("user.message", "4", "\"3\"", "\"content\":\"u2\"");
    assert_eq!(shows("events.jsonl", &text).0, "sum|u2");
}

#[test]
fn openhands_condensations_keep_from_behind_the_last_forgotten_event() {
    let event = |id: &str, kind: &str, more: &str| {
        format!(
            "{{\"id\":\"{id}\",\"timestamp\":\"2026-01-01T00:00:00\",\"source\":\"user\",\"kind\":\"{kind}\",{more}}}\n"
        )
    };
    let said = |id: &str, parent: &str| {
        event(
            id,
            "MessageEvent",
            &format!("{parent}\"llm_message\":{{\"role\":\"user\",\"content\":\"{id}\"}}"),
        )
    };
    let text = event(
        "p",
        "SystemPromptEvent",
        "\"system_prompt\":{\"type\":\"text\",\"text\":\"be brief\"}",
    ) + &said("u1", "")
        + &said("u2", "")
        + &said("u3", "")
        + &event(
            "k",
            "Condensation",
            "\"forgotten_event_ids\":[\"u1\",\"u2\"],\"summary\":\"sum\"",
        )
        + &said("u4", "");
    let (found, _, found_repairs) = shows("events.jsonl", &text);
    assert_eq!((found.as_str(), found_repairs), ("be brief|sum|u3|u4", vec![]));
    let text = said("u1", "") + &said("u2", "") + &said("u3", "\"parent_id\":\"u1\",");
    let (found, branches, _) = shows("events.jsonl", &text);
    assert_eq!(found, "u1|u3");
    assert_eq!(branches, ["file", "fork-2", "main"]);
}

#[test]
fn provider_arrays_are_told_apart_by_their_shape() {
    let chat = "[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"u\"},\
        {\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\",\"function\":{\"name\":\"t\",\"arguments\":\"{}\"}}]},\
        {\"role\":\"tool\",\"tool_call_id\":\"c\",\"content\":\"r\"},{\"role\":\"system\",\"content\":\"again\"}]";
    let responses = "{\"input\":[{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"u\"}]},\
        {\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"t\",\"arguments\":\"{}\"},\
        {\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"r\"}],\"model\":\"m\"}";
    let anthropic = "{\"system\":\"s\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"u\"}]},\
        {\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"c\",\"name\":\"t\",\"input\":{}}]},\
        {\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"c\",\"content\":\"r\"}]}]}\n";
    let table = [
        (chat, "openai-chat", "s|u|t({})|r|again"),
        (responses, "openai-responses", "u|t({})|r"),
        (anthropic, "anthropic", "u|t({})|r"),
    ];
    for (text, format, expected) in table {
        let (store, report) = block_on(loaded("a.json", text.as_bytes()));
        assert_eq!((report.format.as_str(), report.repairs.len()), (format, 0));
        let texts = block_on(shown(&*store, "a", "main"));
        let texts: Vec<String> = texts.into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts.join("|"), expected, "{format}");
    }
}

fn cline(messages: &[&str], end: &str) -> String {
    let messages: Vec<String> = messages
        .iter()
        .map(|id| format!("\n  {{\"id\": \"{id}\", \"role\": \"user\", \"content\": \"{id}\"}}"))
        .collect();
    format!(
        "{{\"agent\": \"lead\", \"sessionId\": \"d\", \"messages\": [{}{end}",
        messages.join(",")
    )
}

#[test]
fn a_document_grows_at_the_end_of_its_list() {
    block_on(async {
        let store = store();
        let load =
            async |text: String, added: u64, found: &[(RepairKind, u64)], conversation: &str| {
                let report = load_bytes(&*store, "d.messages.json", text.as_bytes()).await;
                assert_eq!((report.added, repairs(&report)), (added, found.to_vec()));
                assert_eq!(exported(&*store, "d", 0).await, text.as_bytes());
                let texts = shown(&*store, "d", "main").await;
                let texts: Vec<String> = texts.into_iter().map(|(_, text)| text).collect();
                assert_eq!(texts.join(" "), conversation);
            };
        load(cline(&["a"], "]}\n"), 3, &[], "a").await;
        load(cline(&["a", "b"], "]}\n"), 2, &[], "a b").await;
        load(cline(&["a", "b", "c"], ",\n  {\"id\""), 2, &[(TornLine, 5)], "a b c").await;
        load(cline(&["a", "b", "c", "e"], "]}\n"), 2, &[], "a b c e").await;
        load(cline(&["a", "x"], "]}\n"), 2, &[(RewrittenFile, 2)], "a x").await;
        assert_eq!(branch_names(&*store, "d").await, ["file", "main", "main-replaced-1"]);
        assert_eq!(store.verify().await.unwrap().problems, []);
    });
}

#[test]
fn damaged_elements_of_a_document_are_kept_and_the_others_read() {
    let text = cline(&["a", "b", "c"], ", 7, \"x\", {}]}");
    let table = [
        (
            text.replace("\"b\"}", "oops}"),
            "a|c",
            vec![(DamagedLine, 3), (DamagedLine, 4), (NotARecord, 4)],
        ),
        (text.replace(", 7, \"x\", {}", ""), "a|b|c", vec![]),
    ];
    for (text, expected, expected_repairs) in table {
        let (found, _, repairs) = shows("d.messages.json", &text);
        assert_eq!((found.as_str(), repairs), (expected, expected_repairs), "{text}");
    }
}

#[test]
fn a_cline_session_is_its_messages_and_what_a_compaction_left() {
    let left = "{\"agent\":\"lead\",\"sessionId\":\"d\",\"messages\":[{\"id\":\"s\",\"role\":\"user\",\"content\":\"sum\",\
        \"metadata\":{\"kind\":\"compaction_summary\"}},{\"id\":\"b\",\"role\":\"user\",\"content\":\"b\"}]}";
    let input = |name: &str, text: &str| treering_interchange::Input::Bytes {
        name: name.to_owned(),
        bytes: text.as_bytes().to_vec(),
    };
    block_on(async {
        let store = store();
        let inputs = || {
            vec![
                input("d.messages.json", &cline(&["a", "b"], "]}")),
                input("d.compaction.json", left),
                input("d.json", "{\"session_id\":\"d\",\"enable_tools\":true,\"cwd\":\"/\"}"),
            ]
        };
        let reports = crate::kit::try_load(&*store, inputs(), None).await.unwrap();
        assert_eq!((reports.len(), reports[0].repairs.len()), (1, 0));
        let texts = |items: Vec<(Kind, String)>| {
            items.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("|")
        };
        assert_eq!(texts(shown(&*store, "d", "main").await), "a|b");
        assert_eq!(texts(shown(&*store, "d", "d.compaction.json").await), "sum|b");
        for (index, text) in [(1, left.len()), (2, 48)] {
            assert_eq!(exported(&*store, "d", index).await.len(), text);
        }
        let again = crate::kit::try_load(&*store, inputs(), None).await.unwrap();
        assert_eq!(again[0].added, 0);
    });
}

#[test]
fn a_line_may_have_more_pieces_than_a_change_has_entries() {
    let (_, report) =
        block_on(loaded("g.jsonl", (GEMINI.to_owned() + &"{}\0".repeat(6_000)).as_bytes()));
    assert_eq!(report.entries, 12_001);
}
