//! goose's older files: a header, then a JSON line per message.

use treering_interchange::{RepairKind, message, plain_text};
use treering_tree::{Body, Kind, Usage};

use crate::kit::{block_on, branch_names, loaded, repairs, shown};

const HEADER: &str =
    "{\"working_dir\":\"/\",\"description\":\"d\",\"message_count\":4,\"total_tokens\":9}\n";

fn line(role: &str, content: &str) -> String {
    format!("{{\"role\":\"{role}\",\"created\":1742484893,\"content\":[{content}]}}\n")
}

fn text(text: &str) -> String {
    format!("{{\"type\":\"text\",\"text\":\"{text}\"}}")
}

#[test]
fn goose_lines_are_read_in_file_order() {
    let call = "{\"type\":\"toolRequest\",\"id\":\"c\",\"toolCall\":{\"status\":\"success\",\"value\":{\"name\":\"ls\",\"arguments\":{}}}}";
    let result = "{\"type\":\"toolResponse\",\"id\":\"c\",\"toolResult\":{\"status\":\"success\",\"value\":[{\"type\":\"text\",\"text\":\"a\"}]}}";
    let failed = "{\"type\":\"toolResponse\",\"id\":\"d\",\"toolResult\":{\"status\":\"error\",\"error\":\"no\"}}";
    let thought = "{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"x\"}";
    let file = HEADER.to_owned()
        + &line("user", &text("hello"))
        + &line("assistant", &format!("{thought},{},{call}", text("let me see")))
        + &line("user", result)
        + &line("user", failed);
    let (store, report) = block_on(loaded("20250320_1.jsonl", file.as_bytes()));
    assert_eq!((report.session.as_str(), report.format.as_str()), ("20250320_1", "goose"));
    assert_eq!(repairs(&report), [(RepairKind::OrphanResult, 5)]);
    let items = block_on(shown(&*store, "20250320_1", "main"));
    let items: Vec<_> = items.iter().map(|(kind, text)| (*kind, text.as_str())).collect();
    let expected = [
        (Kind::User, "hello"),
        (Kind::Assistant, "hm\nlet me see\nls({})"),
        (Kind::ToolResult, "a"),
    ];
    assert_eq!(items[..3], expected);
    assert_eq!(block_on(branch_names(&*store, "20250320_1")), ["file", "main"]);
}

#[test]
fn goose_lines_without_a_header_are_recognized() {
    let file = line("user", &text("hello"));
    let (_, report) = block_on(loaded("a.jsonl", (file.clone() + &file).as_bytes()));
    assert_eq!((report.format.as_str(), report.entries), ("goose", 2));
}

#[test]
fn goose_tells_what_the_provider_reported() {
    let row = "{\"messages\":{\"id\":1,\"session_id\":\"s\",\"role\":\"assistant\",\"created_timestamp\":1,\
        \"content_json\":\"[{\\\"type\\\":\\\"text\\\",\\\"text\\\":\\\"hi\\\"}]\",\
        \"metadata_json\":\"{\\\"usage\\\":{\\\"inputTokens\\\":10,\\\"outputTokens\\\":4,\\\"cacheReadTokens\\\":6}}\"}}\n";
    let said = message(Kind::Assistant, &Body::new("goose/1", row));
    assert_eq!(plain_text(&said), "hi");
    assert_eq!(said.usage, Some(Usage { input: 4, cached: 6, created: 0, output: 4 }));
}
