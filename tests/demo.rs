//! The demo, which is the first thing anybody runs: the same every time, and what the README shows.

use std::path::Path;

use tests::command::{Cli, ROOT};

/// Stands above the block of the README that holds the demo's output.
const MARKER: &str = "<!-- demo -->\n";

#[test]
fn the_demo_says_the_same_every_time_and_leaves_nothing_behind() {
    let (first, second) = (Cli::new(), Cli::new());
    let shown = first.run(&["demo"]);
    assert_eq!((shown.code, shown.err.as_str()), (Some(0), ""));
    assert_eq!(shown.text(), second.run(&["demo"]).text());
    assert!(!first.store().exists());
    let told = first.object(&["demo"]);
    let (before, after) = (&told["tokens_before"], &told["tokens_after"]);
    assert!(after.as_u64() < before.as_u64(), "{told}");
    assert_eq!(told["verify"]["problems"], serde_json::json!([]));
}

#[test]
fn the_readme_shows_what_the_demo_says() {
    let Ok(readme) = std::fs::read_to_string(Path::new(ROOT).join("README.md")) else {
        println!("skipped: there is no README.md");
        return;
    };
    let Some((_, after)) = readme.split_once(MARKER) else {
        println!("skipped: README.md has no line {MARKER:?}");
        return;
    };
    let (fence, after) = after.split_once('\n').unwrap();
    assert!(fence.starts_with("```"), "a fenced block stands after the marker, not {fence:?}");
    let (transcript, _) = after.split_once("\n```").unwrap();
    // The command itself may stand above what it says.
    let shown = match transcript.split_once('\n') {
        Some((command, rest)) if command.starts_with("$ ") => rest,
        _ => transcript,
    };
    let said = Cli::new().run(&["demo"]);
    assert_eq!(shown.trim_end(), said.text().trim_end());
}
