//! Bodies read as messages.

use treering_interchange::{message, plain_text};
use treering_tree::{Body, Kind, Label, Message, Part, Role, Summary, Usage};

#[test]
fn messages_hold_every_part_and_what_the_provider_reported() {
    let claude = r#"{"type":"assistant","uuid":"a","message":{"model":"m","stop_reason":"end_turn",
        "usage":{"input_tokens":1,"cache_read_input_tokens":2,"cache_creation_input_tokens":3,"output_tokens":4},
        "content":[{"type":"thinking","thinking":"hm"},{"type":"tool_use","id":"c","name":"t","input":{"x":1}},
        {"type":"odd","y":2}]}}"#;
    let pi = r#"{"type":"message","id":"a","message":{"role":"assistant","model":"m","stopReason":"end_turn",
        "usage":{"input":1,"cacheRead":2,"cacheWrite":3,"output":4},
        "content":[{"type":"thinking","thinking":"hm"},{"type":"toolCall","id":"c","name":"t","arguments":{"x":1}},
        {"type":"odd","y":2}]}}"#;
    for (format, line) in [("claude-code/1", claude), ("pi/3", pi)] {
        let said = message(Kind::Assistant, &Body::new(format, line));
        assert_eq!(said.usage, Some(Usage { input: 1, cached: 2, created: 3, output: 4 }));
        assert_eq!((said.model.as_deref(), said.stop.as_deref()), (Some("m"), Some("end_turn")));
        assert_eq!(said.calls(), ["c"]);
        assert_eq!(plain_text(&said), "hm\nt({\"x\":1})\n[odd]");
        assert!(matches!(&said.parts[2], Part::Other { value, .. } if value["y"] == 2));
    }
}

#[test]
fn what_no_format_reads_is_kept_as_it_came() {
    for (format, bytes, expected) in [
        ("claude-code/raw", "{\"type\":\"us", "[claude-code/raw]"),
        ("unknown/9", "{\"type\":\"thing\"}", "[thing]"),
        ("pi/3", "{\"type\":\"model_change\",\"id\":\"x\"}", "[model_change]"),
    ] {
        assert_eq!(plain_text(&message(Kind::Record, &Body::new(format, bytes))), expected);
    }
}

#[test]
fn the_engines_own_bodies_are_read_too() {
    let said = Message::text(Role::Assistant, "hello");
    assert_eq!(message(Kind::Assistant, &said.body()), said);
    let summary = Summary { text: "so far".into(), ..Summary::default() };
    assert_eq!(plain_text(&message(Kind::Compaction, &summary.body())), "so far");
    let label = Label { name: "start".into() };
    assert_eq!(treering_interchange::label(&label.body()).as_deref(), Some("start"));
}

#[test]
fn tool_results_hold_their_text_media_and_outcome() {
    let claude = r#"{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"c","is_error":true,
        "content":[{"type":"text","text":"one"},{"type":"text","text":"two"},
        {"type":"image","source":{"media_type":"image/png","data":"AA=="}}]}]}}"#;
    let pi = r#"{"type":"message","id":"r","message":{"role":"toolResult","toolCallId":"c","isError":true,
        "content":[{"type":"text","text":"one"},{"type":"text","text":"two"},
        {"type":"image","mimeType":"image/png","data":"AA=="}]}}"#;
    for (format, line) in [("claude-code/1", claude), ("pi/3", pi)] {
        let said = message(Kind::ToolResult, &Body::new(format, line));
        assert_eq!((said.role, said.answers()), (Role::Tool, vec!["c".to_owned()]));
        let text = "one\ntwo".to_owned();
        assert_eq!(said.parts[0], Part::ToolResult { call: "c".into(), text, error: true });
        assert_eq!(said.parts[1], Part::Media { mime: "image/png".into(), data: "AA==".into() });
    }
}

#[test]
fn the_largest_numbers_that_can_be_reported_are_read() {
    let gemini = r#"{"id":"1","type":"gemini","content":"a",
        "tokens":{"output":18446744073709551615,"thoughts":18446744073709551615}}"#;
    let qwen = r#"{"type":"assistant","uuid":"1","message":{"parts":[{"text":"a"}]},
        "usageMetadata":{"candidatesTokenCount":18446744073709551615,"thoughtsTokenCount":1}}"#;
    for (format, line) in [("gemini/1", gemini), ("qwen-code/1", qwen)] {
        let said = message(Kind::Assistant, &Body::new(format, line));
        assert_eq!(said.usage.map(|usage| usage.output), Some(u64::MAX), "{format}");
    }
}
