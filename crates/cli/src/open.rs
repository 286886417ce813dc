//! Where the store is and how it is opened.

use std::fs::DirBuilder;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use treering_tree::{Durability, Error, MasterKey, Options, RedbStore, Sharing, Sources};

use crate::failure::{Failure, Group, Result};
use crate::surroundings::Environment;

const FOLDER: &str = "treering";
const FILE: &str = "store.redb";
/// The variable that holds the master key of an encrypted store.
const KEY: &str = "TREERING_KEY";
/// How often, and how long each time, a store that is locked is waited for.
const LOCKED_TRIES: u32 = 5;
const LOCKED_WAIT: Duration = Duration::from_millis(30);
/// What one command keeps in memory of a store's pages and entries: it does not live long, and shares
/// the machine with whoever called it. The system keeps the rest of the file.
const PAGES_BYTES: usize = 48 << 20;
const ENTRIES_BYTES: u64 = 16 << 20;

/// The store's file in the platform's data folder.
pub(crate) fn default_path(environment: &Environment) -> Result<PathBuf> {
    let user = environment.user.as_ref().map_err(|error| {
        let message = format!("no data folder on this platform: {error}");
        Failure::new(Group::Usage, message).hint("name the store with --store FILE")
    })?;
    Ok(user.data.join(FOLDER).join(FILE))
}

/// The same, its folder made (for this user alone) where it is not there.
pub(crate) fn default_path_in_new_folder(environment: &Environment) -> Result<PathBuf> {
    let path = default_path(environment)?;
    if let Some(folder) = path.parent() {
        private_folder(folder)?;
    }
    Ok(path)
}

fn private_folder(folder: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    Ok(builder.recursive(true).create(folder)?)
}

/// Opens a store that must be there.
pub(crate) fn existing(path: &Path, options: Options) -> Result<RedbStore> {
    if !path.try_exists()? {
        let message = format!("no store at {}", path.display());
        let hint = "`treering import` or `treering append` makes one; --store names another";
        return Err(Failure::new(Group::NotFound, message).hint(hint));
    }
    or_new(path, options)
}

/// Opens a store that nobody wants after a crash, or makes one.
pub(crate) fn scratch(path: &Path, sources: &Sources) -> Result<RedbStore> {
    let options = Options::new(sources.clone()).durability(Durability::None).write_ahead(false);
    Ok(RedbStore::open(path, options)?)
}

/// Opens a store, or makes one: alone where nobody has it, which is faster, and else beside those who share it.
/// Waits a moment for another command that is about to end, and for a child of this process that is about to
/// become another program and holds what its parent had open until then.
pub(crate) fn or_new(path: &Path, options: Options) -> Result<RedbStore> {
    for _ in 0..LOCKED_TRIES {
        for sharing in [Sharing::Exclusive, Sharing::Writers] {
            match RedbStore::open(path, options.clone().sharing(sharing)) {
                Err(Error::Locked { .. }) => {}
                opened => return Ok(opened?),
            }
        }
        std::thread::sleep(LOCKED_WAIT);
    }
    Ok(RedbStore::open(path, options.sharing(Sharing::Writers))?)
}

/// How every store is opened: with the master key of a file, or else of the environment.
pub(crate) fn options(
    sources: Sources,
    key_file: Option<&Path>,
    environment: &Environment,
) -> Result<Options> {
    let key = match key_file {
        Some(path) => Some(MasterKey::from_file(path)?),
        // No argument, which others could see.
        None => environment
            .variable(KEY)
            .map(|key| MasterKey::from_hex(&key.to_string_lossy()))
            .transpose()?,
    };
    let options = Options::new(sources);
    let options = options
        .cache_bytes(PAGES_BYTES)
        .entry_cache_bytes(ENTRIES_BYTES)
        .context_cache_bytes(ENTRIES_BYTES);
    Ok(match key {
        Some(key) => options.encrypt(Arc::new(key)),
        None => options,
    })
}
