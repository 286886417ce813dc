//! Real sessions of other tools, through the command line: in, out again, and compacted. Their facts are
//! tested where they are read, in `crates/interchange`.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::command::{Cli, samples, text, texts};

#[test]
fn every_sample_comes_out_as_it_went_in() {
    for sample in ["pi", "claude-code"].into_iter().flat_map(samples) {
        let cli = Cli::new();
        let (name, bytes) = (sample.to_str().unwrap(), std::fs::read(&sample).unwrap());
        let report = cli.object(&["import", name]);
        assert_eq!(report["added"], report["entries"], "{name}");
        let session = text(&report, "session");
        let exported = cli.run(&["export", session]);
        assert!(exported.out == bytes, "{name}: {}", exported.err);

        let again = cli.object(&["import", name]);
        let mut expected = report.clone();
        expected["added"] = json!(0);
        assert_eq!(again, expected, "{name}");
        assert_eq!(cli.object(&["verify"])["problems"], json!([]), "{name}");
    }
}

/// Ids of a context's items from one source, in order.
fn from<'a>(context: &'a Value, wanted: &str) -> Vec<&'a str> {
    let items = context["items"].as_array().unwrap();
    items.iter().filter(|item| item["source"] == wanted).map(|item| text(item, "id")).collect()
}

fn all(context: &Value) -> Vec<&str> {
    texts(context["items"].as_array().unwrap(), "id")
}

#[test]
fn invariant_8_two_compactions_of_a_long_session_lose_nothing_visible() {
    let is_large = |path: &std::path::PathBuf| path.ends_with("large-session.jsonl");
    let Some(sample) = samples("pi").into_iter().find(is_large) else { return };
    let cli = Cli::new();
    let report = cli.object(&["import", sample.to_str().unwrap()]);
    let session = text(&report, "session");
    assert_eq!(all(&cli.object(&["context", session])).len(), 914);

    for generation in 1..=2 {
        for turn in 0..5 {
            cli.append(session, "user", &format!("Question {turn} of {generation}?"));
            cli.append(session, "assistant", &format!("Answer {turn}."));
        }
        let before = cli.object(&["context", session]);
        let mut compact = vec!["compact", session, "--force"];
        compact.extend(["--window", "200000", "--reserve", "16384"]);
        let result = cli.object(&compact);
        assert_eq!(result["skipped_reason"], Value::Null);
        let after = cli.object(&["context", session]);
        assert_eq!(result["tokens_before"], before["tokens"]);
        assert_eq!(result["tokens_after"], after["tokens"]);
        assert!(after["tokens"].as_u64() < before["tokens"].as_u64());

        // One summary; before it pins, behind it the kept tail from its first entry.
        assert_eq!(from(&after, "summary"), [text(&result, "compaction_entry_id")]);
        let (pins, kept) = (from(&after, "pin"), from(&after, "kept"));
        assert_eq!(kept[0], text(&result, "first_kept_entry_id"));
        let order = [pins.clone(), from(&after, "summary"), kept.clone()].concat();
        assert_eq!(all(&after), order);

        // What was visible is summarized, kept or pinned; once each. The older summary goes into the new
        // one, uncounted.
        let (before, summaries) = (all(&before), from(&before, "summary"));
        let verbatim: BTreeSet<&str> = pins.iter().chain(&kept).copied().collect();
        let (stays, covered): (Vec<&str>, Vec<&str>) =
            before.iter().partition(|id| verbatim.contains(**id));
        assert_eq!(stays, [pins, kept].concat());
        let older = covered.iter().filter(|id| summaries.contains(&**id)).count();
        assert_eq!(older, summaries.len());
        assert_eq!(result["summarized_count"], covered.len() - older);
        let path = cli.json(&["log", session]);
        let at = |id: &str| path.iter().position(|entry| entry["id"] == id);
        let cut = at(text(&result, "first_kept_entry_id"));
        // An older summary stands for what is before it, wherever its entry is.
        let mut entries = covered.iter().filter(|id| !summaries.contains(&**id));
        assert!(entries.all(|id| at(id) < cut), "generation {generation}");
    }
    assert_eq!(cli.object(&["verify"])["problems"], json!([]));
}

#[test]
fn a_system_prompt_that_comes_first_stays_first() {
    let cli = Cli::new();
    let prompt = cli.append("s", "system-prompt", "You answer in verse.");
    for turn in 0..8 {
        let long = format!("Question {turn}? {}", "word ".repeat(400));
        cli.append("s", "user", &long);
        cli.append("s", "assistant", &"An answer. ".repeat(100));
    }
    let result = cli.object(&["compact", "s", "--force", "--keep-turns", "2"]);
    assert_eq!(result["skipped_reason"], Value::Null);
    let context = cli.object(&["context", "s"]);
    let items = context["items"].as_array().unwrap();
    assert_eq!(items[0]["id"], prompt);
    assert_eq!(texts(&items[..3], "source"), ["pin", "summary", "kept"]);
    assert_eq!(items.len(), 2 + 4);
}
