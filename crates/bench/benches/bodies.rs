//! How large the bodies of real sessions are: the samples, imported, in tenths from the shortest to the
//! longest. `Sizes::Mixed` holds what this prints.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark stops where it fails and prints"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use treering_bench::options;
use treering_interchange::{Input, Options, load};
use treering_tree::{Counted, Message, RedbStore, Store};

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/samples");
const PARTS: usize = 10;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let mut files = Vec::new();
    gather(Path::new(SAMPLES), &mut files);
    let (mut sizes, mut sessions) = (Vec::new(), 0);
    for file in files {
        let read = runtime.block_on(bodies(&file));
        sessions += usize::from(!read.is_empty());
        sizes.extend(read);
    }
    if sizes.len() < PARTS {
        println!("skipped: no samples beside the project");
        return;
    }
    sizes.sort_unstable();
    println!("{} bodies of {sessions} files; mean bytes of each tenth:", sizes.len());
    for part in 0..PARTS {
        let part = &sizes[part * sizes.len() / PARTS..(part + 1) * sizes.len() / PARTS];
        println!("{:>10}", part.iter().sum::<usize>() / part.len());
    }
    println!(
        "mean: {}; longest: {}",
        sizes.iter().sum::<usize>() / sizes.len(),
        sizes[sizes.len() - 1]
    );
}

fn gather(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            gather(&path, files);
        } else {
            files.push(path);
        }
    }
    files.sort();
}

/// Sizes of what a file's entries hold; nothing where it is no session.
async fn bodies(file: &Path) -> Vec<usize> {
    let store = Arc::new(RedbStore::in_memory(options()).unwrap());
    let count = |_: &Message| Counted::from(0);
    let options = Options { count: &count, format: None, at_ms: 0, progress: &mut |_| {} };
    if load(&*store, vec![Input::Path(file.to_owned())], options).await.is_err() {
        return Vec::new();
    }
    let (mut sizes, mut next) = (Vec::new(), 0);
    loop {
        let page = store.scan(None, next, 1_000).await.unwrap();
        let Some(last) = page.last() else { return sizes };
        next = last.place.number + 1;
        sizes.extend(page.iter().filter_map(|stored| Some(stored.entry.body()?.bytes.len())));
    }
}
