//! Faults found in foreign sessions, and copies without them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use treering_interchange::{
    Diagnosis, DoctorOptions, FindingKind, Input, Sessions, doctor, rescue,
};
use treering_tree::Store;

use crate::kit::{block_on, samples, store};

fn options() -> DoctorOptions<'static> {
    DoctorOptions {
        scratch: &|| Ok(store() as Arc<dyn Store>),
        count: &|_| 1_u32.into(),
        format: None,
    }
}

fn examined(path: &Path) -> Diagnosis {
    block_on(doctor(vec![path.into()], options())).unwrap().remove(0)
}

fn of_bytes(name: &str, lines: &[&str]) -> Diagnosis {
    let bytes = lines.join("\n").into_bytes();
    let input = Input::Bytes { name: name.to_owned(), bytes };
    block_on(doctor(vec![input], options())).unwrap().remove(0)
}

fn count(diagnosis: &Diagnosis, kind: FindingKind) -> usize {
    diagnosis.findings.iter().filter(|finding| finding.kind == kind).count()
}

/// What is written down about the samples: faults by kind; the others are sound.
const KNOWN: [(&str, &[(FindingKind, usize)]); 7] = {
    use FindingKind::{
        BadCompaction, Cycle, DamagedLine, DuplicateId, LostParent, MissingId, UnansweredCall,
        UnpairedCall,
    };
    [
        ("pi/agent-sessions-small.jsonl", &[(BadCompaction, 1)]),
        ("pi/large-session.jsonl", &[(UnansweredCall, 18)]),
        ("pi/openclaw-large.jsonl", &[(LostParent, 4)]),
        ("claude-code/agent-sessions-large.jsonl", &[(UnpairedCall, 2)]),
        (
            "claude-code/agent-sessions-small.jsonl",
            &[(DuplicateId, 44), (UnansweredCall, 1), (Cycle, 43), (UnpairedCall, 3)],
        ),
        (
            "claude-code/ccl-edge_cases.jsonl",
            &[(DuplicateId, 2), (LostParent, 1), (UnansweredCall, 2), (DamagedLine, 4)],
        ),
        (
            "claude-code/polylogue-normalization-main.jsonl",
            &[(DuplicateId, 1), (UnansweredCall, 1), (MissingId, 2)],
        ),
    ]
};

#[test]
fn what_is_written_down_about_samples_is_found_and_nothing_else() {
    for folder in ["pi", "claude-code"] {
        for sample in samples(folder) {
            let name = format!("{folder}/{}", sample.file_name().unwrap().to_str().unwrap());
            let diagnosis = examined(&sample);
            let known = KNOWN.iter().find(|row| row.0 == name).map_or(&[][..], |row| row.1);
            for (kind, expected) in known {
                assert_eq!(count(&diagnosis, *kind), *expected, "{name}: {kind:?}");
            }
            let all: usize = known.iter().map(|(_, count)| count).sum();
            assert_eq!(diagnosis.findings.len(), all, "{name}: {:?}", diagnosis.findings);
            assert_eq!(diagnosis.bytes, std::fs::metadata(&sample).unwrap().len());
        }
    }
}

const HEADER: &str =
    r#"{"type":"session","version":3,"id":"s","timestamp":"2026-01-01T00:00:00Z","cwd":"/"}"#;

fn said(id: &str, parent: Option<&str>, text: &str) -> String {
    let parent = parent.map_or("null".to_owned(), |parent| format!("{parent:?}"));
    format!(
        r#"{{"type":"message","id":"{id}","parentId":{parent},"timestamp":"2026-01-01T00:00:00Z","message":{{"role":"user","content":"{text}"}}}}"#
    )
}

fn pi(records: &[(&str, Option<&str>)]) -> Diagnosis {
    let lines: Vec<String> = records.iter().map(|(id, parent)| said(id, *parent, id)).collect();
    let mut all = vec![HEADER];
    all.extend(lines.iter().map(String::as_str));
    of_bytes("s.jsonl", &all)
}

#[test]
fn two_writers_show_by_how_their_records_alternate() {
    let root = ("r", None);
    let two = pi(&[
        root,
        ("a1", Some("r")),
        ("b1", Some("r")),
        ("a2", Some("a1")),
        ("b2", Some("b1")),
        ("a3", Some("a2")),
    ]);
    assert_eq!(count(&two, FindingKind::TwoWriters), 1, "{:?}", two.findings);
    let rewound =
        pi(&[root, ("a1", Some("r")), ("b1", Some("r")), ("b2", Some("b1")), ("a2", Some("a1"))]);
    assert!(rewound.is_sound(), "{:?}", rewound.findings);
    assert_eq!((rewound.shown_messages, rewound.hidden_messages), (3, 2));
}

#[test]
fn damage_that_cuts_history_is_found_and_what_is_hidden_is_counted() {
    let torn = said("b", Some("a"), "lost");
    let lines = [HEADER, &said("a", None, "one"), &torn[..40], &said("c", Some("b"), "three")];
    let diagnosis = of_bytes("s.jsonl", &lines);
    assert_eq!(count(&diagnosis, FindingKind::DamagedLine), 1);
    assert_eq!(count(&diagnosis, FindingKind::LostParent), 1);
    assert_eq!((diagnosis.shown_messages, diagnosis.hidden_messages), (1, 1));
    assert!(diagnosis.findings.iter().all(|finding| finding.line > 2));
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

#[test]
fn what_is_rescued_is_sound() {
    for (name, _) in KNOWN {
        let (folder, file) = name.split_once('/').unwrap();
        let found = samples(folder).into_iter().find(|path| path.ends_with(file));
        let Some(sample) = found else { continue };
        let before = std::fs::read(&sample).unwrap();
        let out = tempfile::tempdir().unwrap();
        let rescued = block_on(rescue(vec![sample.clone().into()], out.path(), options())).unwrap();
        assert!(std::fs::read(&sample).unwrap() == before, "{name}: the original was touched");
        let copies = rescued.iter().filter(|rescued| rescued.copy.is_some()).count();
        assert!(copies > 0, "{name}");
        assert_eq!(files(out.path()).len(), 2 * copies, "{name}: a report beside each");
        for copy in rescued.iter().filter_map(|rescued| rescued.copy.as_deref()) {
            let again = examined(copy);
            assert!(again.is_sound(), "{}: {:?}", copy.display(), again.findings);
            assert_eq!(again.format, folder);
        }
        // Nothing is ever written over.
        assert!(block_on(rescue(vec![sample.into()], out.path(), options())).is_err());
    }
}

#[test]
fn every_branch_is_rescued_however_many_there_are() {
    let silent = |at: usize| format!(r#"{{"type":"label","id":"{at}","parentId":null}}"#);
    let mut lines = vec![HEADER.to_owned()];
    lines.extend((2..=1_200).map(silent));
    // On a line whose number comes last in order of name.
    lines[998] = said("lost", Some("gone"), "one");
    lines.push(said("shown", None, "two"));
    let input = Input::Bytes { name: "s.jsonl".into(), bytes: lines.join("\n").into_bytes() };
    let out = tempfile::tempdir().unwrap();
    let rescued = block_on(rescue(vec![input], out.path(), options())).unwrap();
    let branches: Vec<_> = rescued.iter().map(|rescued| rescued.branch.as_str()).collect();
    assert_eq!(branches, ["main", "root-999"]);
}

#[test]
fn sound_sessions_are_not_rescued() {
    let out = tempfile::tempdir().unwrap();
    let bytes = format!("{HEADER}\n{}\n", said("a", None, "one")).into_bytes();
    let input = Input::Bytes { name: "s.jsonl".into(), bytes };
    let rescued = block_on(rescue(vec![input], out.path(), options())).unwrap();
    assert_eq!((rescued.len(), files(out.path()).len()), (0, 0));
}

#[test]
fn a_tools_way_of_loading_walks_from_the_last_record_to_its_root() {
    let len = |lines: &[&str]| {
        let input = Input::Bytes { name: "s.jsonl".into(), bytes: lines.join("\n").into_bytes() };
        let sessions = Sessions::find(vec![input], None).unwrap();
        (sessions.len(), sessions.read_as_its_tool(0).unwrap())
    };
    let (a, b, c) = (said("a", None, "1"), said("b", Some("a"), "2"), said("c", Some("a"), "3"));
    assert_eq!(len(&[HEADER, &a, &b, &c]), (1, 2));
    // A cycle ends, a torn record is passed over, and so is what is not there.
    assert_eq!(len(&[HEADER, &said("a", Some("b"), "1"), &b]).1, 2);
    assert_eq!(len(&[HEADER, &a, &b, &c[..40]]).1, 2);
    assert_eq!(len(&[HEADER, &said("d", Some("gone"), "4")]).1, 1);
    // Without parents all records are the path.
    let chat = r#"[{"role":"user","content":"one"},{"role":"assistant","content":"two"}]"#;
    assert_eq!(len(&[chat]).1, 2);
    let none = Sessions::find(Vec::new(), None).unwrap();
    assert!(none.is_empty() && none.read_as_its_tool(0).unwrap() == 0);
}

#[test]
fn an_empty_file_is_sound() {
    let input = Input::Bytes { name: "s.jsonl".into(), bytes: Vec::new() };
    let options = DoctorOptions { format: Some("pi"), ..options() };
    let found = block_on(doctor(vec![input], options)).unwrap();
    assert!(found[0].is_sound() && found[0].entries == 0, "{found:?}");
}
