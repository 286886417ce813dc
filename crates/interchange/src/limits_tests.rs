//! Each limit of what is taken in holds at its value, and one past it something is told; and the table in
//! `docs/reliability.md` is the code's. Those of levels and values are tested beside their rule.

use std::fs;

use treering_tree::{Options as StoreOptions, RedbStore, Sources};

use crate::files;
use crate::formats;
use crate::limits;
use crate::report::{RepairKind, SessionReport};
use crate::{BundleOptions, Error, Input, Options, import_bundle, load};

const TABLE: [(&str, u64); 11] = [
    ("LINE_BYTES", limits::LINE_BYTES as u64),
    ("JSON_DEPTH", limits::JSON_DEPTH as u64),
    ("JSON_VALUES", limits::JSON_VALUES as u64),
    ("BUNDLE_LINE_BYTES", limits::BUNDLE_LINE_BYTES),
    ("BUNDLE_BRANCHES", limits::BUNDLE_BRANCHES as u64),
    ("BRANCHES", limits::BRANCHES as u64),
    ("OPEN_CALLS", limits::OPEN_CALLS as u64),
    ("REPAIRS", limits::REPAIRS as u64),
    ("FILES", limits::FILES as u64),
    ("FOLDER_DEPTH", limits::FOLDER_DEPTH as u64),
    ("NAMESAKES", limits::NAMESAKES as u64),
];

#[test]
fn the_table_of_the_document_is_the_code() {
    let of_code = include_str!("limits.rs").split("\n// ").nth(1).unwrap();
    let constants = of_code.lines().filter_map(|line| line.strip_prefix("pub(crate) const "));
    let constants: Vec<_> = constants.map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(constants, TABLE.map(|(name, _)| name));
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reliability.md");
    let document = fs::read_to_string(document).unwrap();
    let tables = document.split("| limit | value | of |").nth(2).unwrap();
    let rows = tables.lines().skip(2).map_while(|line| line.strip_prefix("| `"));
    let rows: Vec<_> = rows.map(|row| row.rsplit_once(" | ").unwrap().0.to_owned()).collect();
    assert_eq!(rows, TABLE.map(|(name, value)| format!("{name}` | {value}")));
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn store() -> RedbStore {
    RedbStore::in_memory(StoreOptions::new(Sources::fixed(7))).unwrap()
}

fn loaded(name: &str, bytes: Vec<u8>) -> SessionReport {
    let input = Input::Bytes { name: name.to_owned(), bytes };
    let options =
        Options { count: &|_| 1_u32.into(), format: Some("pi"), at_ms: 0, progress: &mut |_| {} };
    block_on(load(&store(), vec![input], options)).unwrap().remove(0)
}

fn said(id: &str, parent: Option<&str>, text: &str) -> String {
    let parent = parent.map_or("null".to_owned(), |parent| format!("\"{parent}\""));
    format!(
        "{{\"type\":\"message\",\"id\":\"{id}\",\"parentId\":{parent},\"message\":{{\"role\":\"user\",\"content\":\"{text}\"}}}}\n"
    )
}

fn called(id: &str, parent: &str, calls: std::ops::Range<u32>) -> String {
    let call = |at| {
        format!("{{\"type\":\"toolCall\",\"id\":\"c{at}\",\"name\":\"t\",\"arguments\":{{}}}}")
    };
    let calls: Vec<_> = calls.map(call).collect();
    let content = calls.join(",");
    format!(
        "{{\"type\":\"message\",\"id\":\"{id}\",\"parentId\":\"{parent}\",\"message\":{{\"role\":\"assistant\",\"content\":[{content}]}}}}\n"
    )
}

#[test]
fn bytes_of_a_line() {
    // What stands before it must not move where it is cut.
    let of = |len: usize| {
        let text = "x".repeat(len - said("long", None, "").len());
        said("short", None, "x") + &said("long", None, &text)
    };
    let report = loaded("s", of(limits::LINE_BYTES).into());
    assert_eq!((report.entries, report.nodes, report.repairs), (2, 2, vec![]));
    let report = loaded("s", of(limits::LINE_BYTES + 1).into());
    assert_eq!((report.entries, report.nodes), (3, 1), "two parts, none of them a record");
    assert_eq!(report.repairs_of(RepairKind::OverlongLine), 1);
}

fn taken(bundle: &[u8]) -> Error {
    block_on(import_bundle(&store(), &mut &*bundle, BundleOptions::default())).unwrap_err()
}

const BUNDLE: &str = "{\"bundle\":{\"version\":1,\"session\":\"s\",\"active\":\"main\"}}";

#[test]
fn bytes_of_a_line_of_a_bundle() {
    let limit = usize::try_from(limits::BUNDLE_LINE_BYTES).unwrap();
    let of = |len: usize| {
        let mut line = vec![b' '; len];
        line[..BUNDLE.len()].copy_from_slice(BUNDLE.as_bytes());
        line[len - 1] = b'\n';
        taken(&line)
    };
    assert!(matches!(of(limit), Error::Bundle { line: 2, .. }), "the line is read");
    let over = limits::BUNDLE_LINE_BYTES + 1;
    assert!(matches!(of(limit + 1), Error::TooLarge { found, .. } if found == over));
}

#[test]
fn branches_of_a_bundle() {
    let id = "0".repeat(64);
    let of = |count: usize| {
        let head = |at| format!("{{\"head\":{{\"branch\":\"b{at}\",\"id\":\"{id}\"}}}}\n");
        let heads: String = (0..count).map(head).collect();
        taken(format!("{BUNDLE}\n{heads}").as_bytes())
    };
    let line = limits::BUNDLE_BRANCHES as u64 + 2;
    let Error::Bundle { line: found, .. } = of(limits::BUNDLE_BRANCHES) else { panic!() };
    assert_eq!(found, line, "all are read, and then the end is missing");
    let over = limits::BUNDLE_BRANCHES as u64 + 1;
    assert!(
        matches!(of(limits::BUNDLE_BRANCHES + 1), Error::TooLarge { found, .. } if found == over)
    );
}

#[test]
fn branches_of_a_session() {
    let of = |leaves: usize| {
        let leaf = |at: usize| said(&at.to_string(), Some("root"), "x");
        let lines = said("root", None, "x") + &(0..leaves).map(leaf).collect::<String>();
        loaded("s", lines.into())
    };
    let aside = 1;
    for (leaves, told) in [(limits::BRANCHES, 0), (limits::BRANCHES + 1, 1)] {
        let report = of(leaves);
        assert_eq!(report.leaves, leaves as u64);
        assert_eq!(report.branches, limits::BRANCHES as u64 + aside);
        assert_eq!(report.repairs_of(RepairKind::TooManyBranches), told);
    }
}

#[test]
fn open_calls() {
    let of = |open: u32| {
        let lines = called("a", "", 0..200) + &called("b", "a", 200..open);
        loaded("s", lines.into()).repairs_of(RepairKind::TooManyCalls)
    };
    assert_eq!((of(limits::OPEN_CALLS), of(limits::OPEN_CALLS + 1)), (0, 1));
}

#[test]
fn repairs() {
    let mut report = SessionReport::default();
    for left_off in [0, 1] {
        while report.repairs.len() as u64 + report.repairs_left_off
            < limits::REPAIRS as u64 + left_off
        {
            report.mend(RepairKind::TornLine, "s", 1, String::new());
        }
        assert_eq!((report.repairs.len(), report.repairs_left_off), (limits::REPAIRS, left_off));
    }
}

#[test]
fn files_of_an_import() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        fs::write(folder.path().join(name), said("a", None, "x")).unwrap();
    }
    let bytes = Input::Bytes { name: "c".to_owned(), bytes: said("a", None, "x").into() };
    let found = |most: usize| {
        let inputs = vec![Input::from(folder.path()), bytes.clone()];
        files::find_at_most(inputs, formats::named("pi"), most)
    };
    assert_eq!(found(3).unwrap().len(), 3);
    assert!(matches!(found(2), Err(Error::TooLarge { limit: 2, found: 3, .. })));
    assert!(matches!(found(1), Err(Error::TooLarge { limit: 1, found: 2, .. })));
}

#[test]
fn folders_inside_folders() {
    let root = tempfile::tempdir().unwrap();
    let mut folder = root.path().to_owned();
    for depth in 1..=limits::FOLDER_DEPTH + 1 {
        folder.push(depth.to_string());
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("s.jsonl"), said("a", None, "x")).unwrap();
    }
    let found = files::find(vec![Input::from(root.path())], formats::named("pi")).unwrap();
    assert_eq!(found.len(), limits::FOLDER_DEPTH);
}

#[test]
fn sessions_of_one_name() {
    let store = store();
    let begun = |at: usize| {
        let bytes = said(&at.to_string(), None, "x").into();
        let options = Options {
            count: &|_| 1_u32.into(),
            format: Some("pi"),
            at_ms: 0,
            progress: &mut |_| {},
        };
        block_on(load(&store, vec![Input::Bytes { name: "s".to_owned(), bytes }], options))
    };
    for at in 0..limits::NAMESAKES {
        begun(at).unwrap();
    }
    assert!(matches!(begun(limits::NAMESAKES), Err(Error::TooLarge { found: 101, .. })));
}
