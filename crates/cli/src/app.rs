//! What every verb is given: standard output, the store, time and randomness.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use treering_tree::{Options, RedbStore, Sources, Store};

use crate::args::Args;
use crate::failure::Result;
use crate::open;
use crate::output::Out;

pub(crate) struct App {
    pub(crate) out: Out,
    pub(crate) sources: Sources,
    store: Option<PathBuf>,
    key_file: Option<PathBuf>,
}

impl App {
    pub(crate) fn new(args: &Args) -> Self {
        Self {
            out: Out::stdout(args.json, args.raw),
            sources: Sources::system(),
            store: args.store.clone(),
            key_file: args.key_file.clone(),
        }
    }

    /// The store, which must be there already.
    pub(crate) fn store(&self) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(self.redb()?))
    }

    /// The same, for what only a store in a file does.
    pub(crate) fn redb(&self) -> Result<RedbStore> {
        open::existing(&self.path()?, self.options()?)
    }

    /// The store, created where it is not there.
    pub(crate) fn store_or_new(&self) -> Result<Arc<dyn Store>> {
        let path = match &self.store {
            Some(path) => path.clone(),
            None => open::default_path_in_new_folder()?,
        };
        Ok(Arc::new(open::or_new(&path, self.options()?)?))
    }

    /// How a store is opened.
    pub(crate) fn options(&self) -> Result<Options> {
        open::options(self.sources.clone(), self.key_file.as_deref())
    }

    /// Where the store is.
    pub(crate) fn path(&self) -> Result<PathBuf> {
        self.store.as_deref().map_or_else(open::default_path, |path| Ok(Path::to_owned(path)))
    }
}
