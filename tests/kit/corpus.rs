//! Foreign files to begin from: small ones of our own for every format, and slices of the samples
//! where those are beside the project.

use std::path::{Path, PathBuf};

use treering_interchange::{Input, Options, load};

use super::command::{ROOT, samples};
use super::hostile;
use super::rng::Rng;

/// Bytes of a slice of a large file: enough for every kind of record, little enough for many cases.
const SLICE_BYTES: usize = 3 << 10;

/// A file of a known format.
#[derive(Clone, Debug)]
pub struct Seed {
    /// What it is called.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The names of all formats, as the library lists them.
pub fn formats() -> Vec<String> {
    let store = hostile::store();
    let options = Options {
        count: &|_| 1.into(),
        format: Some("no such format"),
        at_ms: 0,
        progress: &mut |_| {},
    };
    let refused = hostile::block_on(load(&*store, Vec::<Input>::new(), options));
    match refused {
        Err(treering_interchange::Error::UnknownFormat { known, .. }) => {
            known.split(", ").map(str::to_owned).collect()
        }
        other => panic!("expected the names of all formats, found {other:?}"),
    }
}

/// Files of a format; those of all formats for one that has none yet.
pub fn seeds(format: &str) -> Vec<Seed> {
    let own: Vec<PathBuf> = files(&folder("import"))
        .into_iter()
        .filter(|path| name(path).starts_with(&format!("{format}-")))
        .collect();
    if own.is_empty() {
        println!("{format}: no file of its own to begin from, those of the others are taken");
        return files(&folder("import")).iter().map(|path| read(path)).collect();
    }
    own.into_iter().chain(samples(format)).filter(|path| path.is_file()).map(|p| read(&p)).collect()
}

/// The seeds of a fuzz target in the repository.
pub fn folder(target: &str) -> PathBuf {
    Path::new(ROOT).join("tests/fuzz/seeds").join(target)
}

/// All files right in a folder, sorted.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn read(path: &Path) -> Seed {
    Seed { name: name(path), bytes: std::fs::read(path).unwrap() }
}

/// A part of a file: the whole of a small one; of a large one its beginning or a window, behind its
/// first line or not.
pub fn slice(seed: &Seed, rng: &mut Rng) -> Vec<u8> {
    let bytes = &seed.bytes;
    if bytes.len() <= SLICE_BYTES || rng.chance(2) {
        return bytes[..bytes.len().min(4 * SLICE_BYTES)].to_vec();
    }
    let len = 1 + rng.below(SLICE_BYTES);
    let head = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    match rng.below(3) {
        0 => bytes[..len].to_vec(),
        way => {
            let begin = rng.below(bytes.len() - len);
            let window = &bytes[begin..begin + len];
            let with_head = way == 1 && head < SLICE_BYTES;
            [&bytes[..if with_head { head } else { 0 }], window].concat()
        }
    }
}
