//! Every sample of the formats that are read, against what is written down about it.

use std::path::{Path, PathBuf};

use treering_interchange::{Export, Input, Options, SessionReport, load};
use treering_tree::{RedbStore, Sources, Store};

fn store() -> RedbStore {
    RedbStore::in_memory(treering_tree::Options::new(Sources::fixed(7))).unwrap()
}

fn samples(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/samples"));
    let Ok(entries) = std::fs::read_dir(root.join(folder)) else {
        println!("no samples beside the project: nothing is checked");
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

async fn import(store: &dyn Store, path: &Path) -> Vec<SessionReport> {
    let options = Options { count: &|_| 1, format: None, at_ms: 0, progress: &mut |_| {} };
    load(store, vec![Input::from(path)], options).await.unwrap()
}

#[tokio::test]
async fn look() {
    for folder in ["pi", "claude-code"] {
        for path in samples(folder) {
            let store = store();
            let report = import(&store, &path).await.remove(0);
            println!(
                "{} {:?} e{} a{} b{} l{} c{} n{} r{} f{}",
                path.file_name().unwrap().display(),
                report.session,
                report.entries,
                report.added,
                report.branches,
                report.leaves,
                report.compactions,
                report.nodes,
                report.roots,
                report.forks
            );
            let mut kinds = std::collections::BTreeMap::new();
            for repair in &report.repairs {
                *kinds.entry(format!("{:?}", repair.kind)).or_insert(0) += 1;
            }
            println!("   {kinds:?}");
            for repair in report.repairs.iter().take(6) {
                println!("   {}: {:?} {}", repair.line, repair.kind, repair.detail);
            }
            let export = Export::of(&store, &report.session).await.unwrap();
            let mut bytes = Vec::new();
            export.write(&store, 0, &mut bytes).await.unwrap();
            assert!(bytes == std::fs::read(&path).unwrap());
            let again = import(&store, &path).await.remove(0);
            assert_eq!(again.added, 0);
            assert_eq!(again.repairs, report.repairs);
            println!("   again: n{} l{} session {:?}", again.nodes, again.leaves, again.session);
            let verify = store.verify().await.unwrap();
            assert_eq!(verify.problems, []);
            let branches = store.branches(&report.session, None, 100).await.unwrap();
            println!(
                "   {:?}",
                branches.iter().map(|b| b.name.clone()).take(12).collect::<Vec<_>>()
            );
        }
    }
}
