//! What the command line tells when a head moves: what changes for the model, what was left behind,
//! and what is remembered of compactions.

use serde_json::{Value, json};
use tests::command::{Cli, keys, text, texts};

/// Six turns, each long enough that covering it helps.
fn long() -> (Cli, Vec<String>) {
    let cli = Cli::new();
    let mut ids = vec![cli.append("work", "system-prompt", "Be brief.")];
    for turn in 0..6 {
        let question = format!("Question {turn}? {}", "word ".repeat(400));
        ids.push(cli.append("work", "user", &question));
        ids.push(cli.append("work", "assistant", &"An answer. ".repeat(100)));
    }
    (cli, ids)
}

fn runs(difference: &Value) -> Vec<(&str, &str, usize)> {
    let run = |run: &'_ Value| run["entries"].as_array().unwrap().len();
    let rows = difference["runs"].as_array().unwrap();
    rows.iter().map(|row| (text(row, "change"), text(row, "source"), run(row))).collect()
}

#[test]
fn a_later_head_only_adds_and_keeps_the_whole_prefix() {
    let (cli, ids) = long();
    let difference = cli.object(&["context", "work", "--diff", &ids[4]]);
    let keys_of = ["before", "after", "prefix_bytes", "rendered_as", "same", "replaced"];
    assert_eq!(keys(&difference), [&keys_of[..], &["removed", "added", "runs"]].concat());
    assert_eq!(runs(&difference), [("same", "later", 5), ("added", "later", 8)]);
    assert_eq!(difference["prefix_bytes"], difference["before"]["bytes"], "{difference}");
    assert!(difference["after"]["bytes"].as_u64() > difference["before"]["bytes"].as_u64());
    let drawn = cli.run(&["context", "work", "--diff", &ids[4]]);
    assert!(drawn.text().contains("= same"), "{}", drawn.text());
    assert!(drawn.text().contains("+ added"), "{}", drawn.text());
    // Backwards the same items are removed.
    let back = cli.object(&["context", "work", "--at", &ids[4], "--diff", "main"]);
    assert_eq!(runs(&back), [("same", "later", 5), ("removed", "later", 8)]);
}

#[test]
fn a_compaction_replaces_what_its_summary_covers_and_adds_itself() {
    let (cli, ids) = long();
    let before = cli.object(&["context", "work"]);
    let done = cli.object(&["compact", "work", "--force", "--keep-turns", "2"]);
    let difference = cli.object(&["context", "work", "--diff", ids.last().unwrap()]);
    // The prompt is lifted, and so stands where it stood.
    let expected = [
        ("same", "pin", 1),
        ("replaced", "later", 8),
        ("added", "summary", 1),
        ("same", "kept", 4),
    ];
    assert_eq!(runs(&difference), expected);
    assert_eq!(difference["replaced"]["items"], 8);
    let summary = difference["runs"].as_array().unwrap();
    let summary = summary.iter().find(|run| run["source"] == "summary").unwrap();
    assert_eq!(summary["entries"], json!([done["compaction_entry_id"]]));
    assert_eq!(difference["before"]["tokens"], before["tokens"]);
    assert_eq!(difference["after"]["tokens"], done["tokens_after"]);
    // The prompt is all of the prefix that a cache still holds.
    let prefix = difference["prefix_bytes"].as_u64().unwrap();
    assert!(prefix > "Be brief.".len() as u64, "{prefix}");
    assert!(prefix < 200, "{prefix}");
}

#[test]
fn heads_of_two_branches_share_what_stands_before_the_fork() {
    let (cli, ids) = long();
    cli.object(&["fork", "work", &ids[2], "--branch", "other"]);
    cli.append("work", "user", "Something else?");
    let difference = cli.object(&["context", "work", "--diff", "main"]);
    let expected = [("same", "later", 3), ("removed", "later", 10), ("added", "later", 1)];
    assert_eq!(runs(&difference), expected);
    assert_eq!(difference["replaced"]["items"], 0);
}

#[test]
fn a_branch_that_is_left_is_told_behind_the_new_head() {
    let (cli, ids) = long();
    let moved = cli.object(&["rewind", "work", &ids[2], "--summarize"]);
    assert_eq!(keys(&moved), ["session", "branch", "head", "summary"]);
    assert_eq!(moved["summary"]["entry"], moved["head"]);
    assert_eq!(moved["summary"]["common"], *ids[2]);
    assert_eq!(moved["summary"]["summarized_count"], 10);
    let context = cli.object(&["context", "work"]);
    let items = context["items"].as_array().unwrap();
    assert_eq!(items.len(), 4);
    let told = text(&items[3], "text");
    assert!(told.contains("Question 5?"), "{told}");
    let shown = cli.object(&["show", text(&moved, "head")]);
    assert_eq!((&shown["kind"], text(&shown, "parent")), (&json!("branch-summary"), &*ids[2]));
    assert_eq!(text(&shown, "target"), ids[12]);

    // Forward again: nothing was left but the summary itself, which is no reason for another one.
    let on = cli.object(&["rewind", "work", &ids[12]]);
    assert_eq!(keys(&on), ["session", "branch", "head"]);
}

#[test]
fn forks_tell_what_they_do_not_take_along() {
    let (cli, ids) = long();
    let branch = cli.object(&["fork", "work", &ids[4], "--branch", "b", "--summarize"]);
    assert_eq!(branch["summary"]["summarized_count"], 8);
    assert_eq!(branch["branch"], "b");
    cli.object(&["switch", "work", "main"]);
    let session = cli.object(&["fork", "work", &ids[2], "--session", "s", "--summarize"]);
    assert_eq!(session["summary"]["summarized_count"], 10);
    assert_eq!(session["summary"]["entry"], session["head"]);
    assert_eq!(cli.object(&["context", "s"])["items"].as_array().unwrap().len(), 4);
    // From the active head nothing is left.
    let whole = cli.run(&["fork", "work", "--branch", "same", "--summarize"]);
    assert!(whole.text().contains("nothing was left behind"), "{}", whole.text());
    assert_eq!(cli.object(&["verify"])["problems"], json!([]));
    let branches = cli.json(&["branches", "work"]);
    assert_eq!(texts(&branches, "branch"), ["b", "main", "same"]);
}

#[test]
fn stats_of_a_session_tell_what_is_remembered_of_its_compactions() {
    let (cli, _) = long();
    let before = &cli.object(&["stats", "work"])["session"];
    assert_eq!(before["lease"], json!({"fence": 0, "until_ms": null}));
    assert_eq!(before["last"], Value::Null);
    assert_eq!(before["breaker"]["strikes"], 0);
    assert_eq!(before["context"]["reported_tokens"], 0);
    let done = cli.object(&["compact", "work", "--force", "--keep-turns", "2"]);
    let after = &cli.object(&["stats", "work"])["session"];
    assert_eq!(after["last"], done);
    assert_eq!(after["lease"], json!({"fence": 1, "until_ms": null}));
    assert_eq!(after["context"]["counted_tokens"], done["tokens_after"]);
    let keys_of = ["name", "branch", "stamp", "context", "lease", "last", "breaker"];
    assert_eq!(keys(after), keys_of);
    let told = cli.run(&["stats", "work"]);
    assert!(told.text().contains("last compaction: 8 entries"), "{}", told.text());
    assert!(told.text().contains("strikes in a row"), "{}", told.text());
}
