//! Where the store is and how it is opened.

use std::fs::DirBuilder;
use std::path::{Path, PathBuf};

use etcetera::{BaseStrategy, choose_base_strategy};
use treering_tree::{Options, RedbStore, Sources};

use crate::failure::{Failure, Group, Result};

const FOLDER: &str = "treering";
const FILE: &str = "store.redb";

/// The store's file in the platform's data folder.
pub(crate) fn default_path() -> Result<PathBuf> {
    let strategy = choose_base_strategy().map_err(|error| {
        let message = format!("no data folder on this platform: {error}");
        Failure::new(Group::Usage, message).hint("name the store with --store FILE")
    })?;
    Ok(strategy.data_dir().join(FOLDER).join(FILE))
}

/// The same, its folder made (for this user alone) where it is not there.
pub(crate) fn default_path_in_new_folder() -> Result<PathBuf> {
    let path = default_path()?;
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
pub(crate) fn existing(path: &Path, sources: &Sources) -> Result<RedbStore> {
    if !path.try_exists()? {
        let message = format!("no store at {}", path.display());
        let hint = "`treering import` or `treering append` makes one; --store names another";
        return Err(Failure::new(Group::NotFound, message).hint(hint));
    }
    or_new(path, sources)
}

/// Opens a store, or makes one.
pub(crate) fn or_new(path: &Path, sources: &Sources) -> Result<RedbStore> {
    Ok(RedbStore::open(path, Options::new(sources.clone()))?)
}
