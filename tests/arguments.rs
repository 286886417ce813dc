//! Any arguments, settings and variables, as the fuzz target makes them too: see the kit.

use std::ops::Range;

use proptest::prelude::*;
use proptest::sample::select;
use tests::arguments::{Case, holds};
use tests::corpus::{files, folder};

const VERBS: [&str; 34] = [
    "append",
    "branches",
    "compact",
    "compact-store",
    "completions",
    "config",
    "context",
    "demo",
    "doctor",
    "erase",
    "export",
    "fork",
    "import",
    "label",
    "log",
    "man",
    "pin",
    "policy",
    "prune",
    "recall",
    "recover",
    "rewind",
    "scan",
    "scrub",
    "sessions",
    "show",
    "stats",
    "switch",
    "tree",
    "undo",
    "unpin",
    "verify",
    "help",
    "--version",
];
const FLAGS: [&str; 36] = [
    "--json",
    "--raw",
    "--help",
    "--kind",
    "--text",
    "--alias",
    "--calls",
    "--answers",
    "--expect",
    "--slot",
    "--branch",
    "--session",
    "--summarize",
    "--reason",
    "--by",
    "--forget-key",
    "--force",
    "--dry-run",
    "--keep-turns",
    "--window",
    "--reserve",
    "--preset",
    "--summarizer",
    "--model",
    "--format",
    "--context",
    "--bundle",
    "--zstd",
    "-o",
    "--older-than",
    "--entries",
    "--most",
    "--check",
    "--rescue",
    "--color",
    "--",
];
const VALUES: [&str; 38] = [
    "work",
    "w",
    "other",
    "main",
    "here",
    "a0",
    "a1",
    "a4",
    "a7",
    "a8",
    "0",
    "1",
    "7",
    "f",
    "empty",
    "-",
    "c1",
    "c1=ls",
    "user",
    "assistant",
    "note",
    "record",
    "tool-result",
    "nexus",
    "pi",
    "openai",
    "ledger",
    "markdown",
    "html",
    "openai-chat",
    "bash",
    "one.jsonl",
    "store.redb",
    "new",
    "hello",
    "",
    "18446744073709551616",
    "always",
];

fn word() -> impl Strategy<Value = Vec<u8>> {
    let known = prop_oneof![
        2 => select(FLAGS.as_slice()),
        5 => select(VALUES.as_slice()),
        1 => select(VERBS.as_slice()),
    ];
    prop_oneof![12 => known.prop_map(|word| word.as_bytes().to_vec()), 1 => any::<Vec<u8>>()]
}

/// Mostly a verb first, as what begins otherwise is mostly refused at once.
fn args() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let verb = select(VERBS.as_slice()).prop_map(|verb| verb.as_bytes().to_vec());
    (proptest::option::weighted(0.95, verb), proptest::collection::vec(word(), 0..7))
        .prop_map(|(verb, words)| verb.into_iter().chain(words).collect())
}

/// Some of these texts, a line each.
fn lines(texts: &[&'static str], count: Range<usize>) -> impl Strategy<Value = Vec<u8>> + use<> {
    let lines = proptest::collection::vec(select(texts.to_vec()), count);
    lines.prop_map(|lines| lines.join("\n").into_bytes())
}

fn settings() -> impl Strategy<Value = Vec<u8>> {
    let texts = [
        "window = 9",
        "preset = \"pi\"",
        "store = \"other.redb\"",
        "color = \"always\"",
        "modle = 1",
        "keep_turns = 0",
        "summarizer = \"openai\"",
        "extra = { a = 1 }",
        "window = ",
        "\u{feff}",
    ];
    prop_oneof![6 => Just(Vec::new()), 3 => lines(&texts, 0..3), 1 => any::<Vec<u8>>()]
}

fn variables() -> impl Strategy<Value = Vec<u8>> {
    let texts = [
        "WINDOW=100",
        "WINDOW=x",
        "COLOR=never",
        "STORE=none.redb",
        "KEY=00",
        "TIMEOUT=1h",
        "PRESET=codex",
        "KEY_FILE=one.jsonl",
        "MODEL=",
    ];
    prop_oneof![3 => Just(Vec::new()), 1 => lines(&texts, 0..2)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_command_ends_as_the_design_says(
        args in args(),
        settings in settings(),
        variables in variables(),
        input in prop_oneof![Just(b"typed".to_vec()), any::<Vec<u8>>()],
    ) {
        let bytes = [args.join(&b'\n'), settings, variables, input].join(&b"\n---\n"[..]);
        let case = Case::of(&bytes);
        prop_assert_eq!(holds(&case), Ok(()), "{:?}", case);
    }
}

#[test]
fn seeds_of_the_fuzz_target_hold() {
    let seeds = files(&folder("arguments"));
    assert!(seeds.len() > 20, "{seeds:?}");
    for seed in seeds {
        let case = Case::of(&std::fs::read(&seed).unwrap());
        assert_eq!(holds(&case), Ok(()), "{}: {case:?}", seed.display());
    }
}
