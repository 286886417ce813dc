//! Names that files and records give, where the store cannot take them as they are, or twice.

use treering_interchange::{Export, Input};
use treering_tree::Store;

use crate::kit::{block_on, branch_names, exported, store, try_load};

const SESSION: &str = "9a9eadc8-c1f1-493e-a0f1-884aa996b05b";

fn line(uuid: &str) -> Vec<u8> {
    format!(
        "{{\"type\":\"user\",\"uuid\":\"{uuid}\",\"parentUuid\":null,\"sessionId\":\"{SESSION}\",\
         \"message\":{{\"content\":\"{uuid}\"}}}}\n"
    )
    .into_bytes()
}

/// Loads files of one session twice; answers its branches and what is exported.
fn loaded(files: &[(&str, Vec<u8>)]) -> (Vec<String>, Vec<Vec<u8>>) {
    let inputs = || {
        let input = |(name, bytes): &(&str, Vec<u8>)| Input::Bytes {
            name: (*name).to_owned(),
            bytes: bytes.clone(),
        };
        files.iter().map(input).collect::<Vec<_>>()
    };
    block_on(async {
        let store = store();
        let reports = try_load(&*store, inputs(), None).await.unwrap();
        assert_eq!(reports.len(), 1, "one session");
        let again = try_load(&*store, inputs(), None).await.unwrap();
        assert_eq!(again[0].added, 0);
        assert_eq!(store.verify().await.unwrap().problems, []);
        let session = &reports[0].session;
        let mut all = Vec::new();
        for index in 0..Export::of(&*store, session).await.unwrap().files().len() {
            all.push(exported(&*store, session, index).await);
        }
        (branch_names(&*store, session).await, all)
    })
}

#[test]
fn subagents_of_one_name_have_branches_of_their_own() {
    let main = format!("{SESSION}.jsonl");
    let in_folder = |folder: &str| format!("{SESSION}/subagents/{folder}/agent-1.jsonl");
    let (one, two) = (in_folder("a"), in_folder("b"));
    let files = [(&*main, line("m")), (&*one, line("a")), (&*two, line("b"))];
    let (branches, exported) = loaded(&files);
    assert_eq!(exported, files.map(|(_, bytes)| bytes));
    assert!(branches.contains(&"agent-1".to_owned()) && branches.len() == 6, "{branches:?}");
}

#[test]
fn two_files_that_claim_one_place_are_both_kept() {
    let files = [("x/agent-1.jsonl", line("a")), ("y/agent-1.jsonl", line("b"))];
    let (_, exported) = loaded(&files);
    assert_eq!(exported, files.map(|(_, bytes)| bytes));
}

#[test]
fn names_that_are_too_long_or_hold_control_characters_are_mended() {
    for name in ["n".repeat(250), "n".repeat(300), "a\u{1b}[2J\n".to_owned()] {
        let main = format!("{SESSION}.jsonl");
        let part = format!("{SESSION}/subagents/agent-{name}.jsonl");
        let files = [(&*main, line("m")), (&*part, line("a"))];
        let (branches, exported) = loaded(&files);
        assert_eq!(exported, files.map(|(_, bytes)| bytes));
        assert_eq!(branches.len(), 4, "{branches:?}");
    }
}

#[test]
fn a_second_session_of_the_longest_name_is_found_again() {
    block_on(async {
        let store = store();
        let name = format!("{}.jsonl", "n".repeat(256));
        for text in ["one", "two", "one", "two"] {
            let bytes = format!(
                "{{\"type\":\"session\",\"version\":3,\"id\":\"{0}\",\"x\":\"{text}\"}}\n",
                "n".repeat(256)
            );
            let input = Input::Bytes { name: name.clone(), bytes: bytes.clone().into_bytes() };
            let report = try_load(&*store, vec![input], Some("pi")).await.unwrap().remove(0);
            assert_eq!(exported(&*store, &report.session, 0).await, bytes.as_bytes());
        }
        assert_eq!(store.sessions(None, 9).await.unwrap().len(), 2);
    });
}

#[test]
fn branches_that_begin_on_one_line_have_numbers() {
    let record = |id: usize| {
        format!(
            "{{\"type\":\"message\",\"id\":\"{id}\",\"parentId\":\"0\",\"message\":{{\"role\":\"user\",\"content\":\"x\"}}}}"
        )
    };
    let text: String = (0..400).map(record).collect();
    block_on(async {
        let (store, report) = crate::kit::loaded_as("p.jsonl", text.as_bytes(), Some("pi")).await;
        let branches = branch_names(&*store, &report.session).await;
        for expected in ["fork-1", "fork-1.2", "fork-1.398"] {
            assert!(branches.contains(&expected.to_owned()), "{expected}");
        }
    });
}
