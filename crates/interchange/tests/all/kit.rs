//! What every test needs: a store, ways in and out, the path of a branch.

use std::path::{Path, PathBuf};

use treering_interchange::{
    Error, Export, Input, Options, RepairKind, SessionReport, load, message,
};
use treering_tree::context::Form;
use treering_tree::{Context, Id, Kind, RedbStore, Replay, Sources, Store, Stored};

use std::sync::Arc;

pub(crate) fn store() -> Arc<RedbStore> {
    let options = treering_tree::Options::new(Sources::fixed(7));
    Arc::new(RedbStore::in_memory(options).unwrap())
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// All samples of a format; none where they are not beside the project.
pub(crate) fn samples(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/samples"));
    let Ok(entries) = std::fs::read_dir(root.join(folder)) else {
        println!("skipped: no samples of {folder} beside the project");
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

pub(crate) async fn try_load(
    store: &dyn Store,
    inputs: Vec<Input>,
    format: Option<&str>,
) -> Result<Vec<SessionReport>, Error> {
    let options = Options { count: &|_| 1_u32.into(), format, at_ms: 0, progress: &mut |_| {} };
    load(store, inputs, options).await
}

pub(crate) async fn load_bytes(store: &dyn Store, name: &str, bytes: &[u8]) -> SessionReport {
    let input = Input::Bytes { name: name.to_owned(), bytes: bytes.to_vec() };
    try_load(store, vec![input], None).await.unwrap().remove(0)
}

pub(crate) async fn exported(store: &dyn Store, session: &str, index: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let export = Export::of(store, session).await.unwrap();
    export.write(store, index, &mut bytes).await.unwrap();
    bytes
}

pub(crate) async fn head(store: &dyn Store, session: &str, branch: &str) -> Option<Id> {
    let branches = store.branches(session, None, 10_000).await.unwrap();
    branches.into_iter().find(|known| known.name == branch).and_then(|known| known.head)
}

pub(crate) async fn branch_names(store: &dyn Store, session: &str) -> Vec<String> {
    let branches = store.branches(session, None, 10_000).await.unwrap();
    branches.into_iter().map(|branch| branch.name).collect()
}

/// The entries of a branch, root first.
pub(crate) async fn path(store: &Arc<RedbStore>, session: &str, branch: &str) -> Vec<Stored> {
    let head = head(&**store, session, branch).await;
    Replay::new(Arc::clone(store) as Arc<dyn Store>, head).collect().await.unwrap()
}

/// Aliases of a branch, root first, without the numbers of copies; `-` where there is none.
pub(crate) async fn aliases(store: &Arc<RedbStore>, session: &str, branch: &str) -> Vec<String> {
    path(store, session, branch).await.iter().map(alias).collect()
}

pub(crate) fn alias(stored: &Stored) -> String {
    let alias = stored.entry.envelope().alias.as_deref().unwrap_or("-");
    alias.split('~').next().unwrap().to_owned()
}

/// What the context at a branch shows as it is: the kind and text of each item.
pub(crate) async fn shown(store: &dyn Store, session: &str, branch: &str) -> Vec<(Kind, String)> {
    let Some(head) = head(store, session, branch).await else { return Vec::new() };
    let context = Context::at(store, head).await.unwrap();
    let item = |item: &treering_tree::context::Item| {
        let kind = item.stored.place.kind;
        let said = message(kind, item.stored.entry.body().unwrap());
        (kind, treering_interchange::plain_text(&said))
    };
    context.items.iter().filter(|item| item.form == Form::Verbatim).map(item).collect()
}

pub(crate) fn repairs(report: &SessionReport) -> Vec<(RepairKind, u64)> {
    report.repairs.iter().map(|repair| (repair.kind, repair.line)).collect()
}

/// Loads bytes and holds what is true of any bytes: they come out again as they were, a second load
/// adds nothing and finds the same, and the store is sound.
pub(crate) async fn loaded(name: &str, bytes: &[u8]) -> (Arc<RedbStore>, SessionReport) {
    loaded_as(name, bytes, None).await
}

pub(crate) async fn loaded_as(
    name: &str,
    bytes: &[u8],
    format: Option<&str>,
) -> (Arc<RedbStore>, SessionReport) {
    let store = store();
    let input = || vec![Input::Bytes { name: name.to_owned(), bytes: bytes.to_vec() }];
    let report = try_load(&*store, input(), format).await.unwrap().remove(0);
    assert_eq!(report.added, report.entries, "{name}: every record is an entry");
    assert!(exported(&*store, &report.session, 0).await == bytes, "{name}: export differs");
    let again = try_load(&*store, input(), format).await.unwrap().remove(0);
    assert_eq!(again, SessionReport { added: 0, ..report.clone() }, "{name}: second load");
    assert_eq!(store.verify().await.unwrap().problems, [], "{name}: verify");
    (store, report)
}
