//! Retention at the command line: what is labelled stays, and what goes is told.

#[test]
fn the_command_line_keeps_what_is_labelled_and_tells_what_goes() {
    let cli = tests::command::Cli::new();
    cli.append("one", "user", "Nothing special.");
    let named = cli.append("two", "user", "Worth keeping.");
    cli.object(&["label", "two", &named, "keep"]);
    let young = cli.object(&["prune", "--older-than", "1"]);
    assert_eq!(young["sessions"], serde_json::json!([]));
    std::thread::sleep(std::time::Duration::from_millis(5));
    let told = cli.object(&["prune", "--older-than", "0", "--keep-labelled", "--dry-run"]);
    assert_eq!(told["sessions"][0]["session"], "one");
    assert_eq!(told["sessions"].as_array().unwrap().len(), 1);
    let done = cli.run(&["prune", "--older-than", "0", "--keep-labelled"]);
    assert!(done.text().contains("1 entry erased"), "{}", done.text());
    assert!(cli.object(&["show", &named])["text"].as_str().unwrap().contains("Worth"));
    assert_eq!(cli.object(&["verify"])["problems"], serde_json::json!([]));
}
