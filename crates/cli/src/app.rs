//! What every verb is given: standard output, the store, time and randomness.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use treering_tree::{Sources, Store};

use crate::args::Args;
use crate::failure::Result;
use crate::open;
use crate::output::Out;

pub(crate) struct App {
    pub(crate) out: Out,
    pub(crate) sources: Sources,
    store: Option<PathBuf>,
}

impl App {
    pub(crate) fn new(args: &Args) -> Self {
        Self {
            out: Out::stdout(args.json, args.raw),
            sources: Sources::system(),
            store: args.store.clone(),
        }
    }

    /// The store, which must be there already.
    pub(crate) fn store(&self) -> Result<Arc<dyn Store>> {
        open::existing(&self.path()?, &self.sources)
    }

    /// The store, created where it is not there.
    pub(crate) fn store_or_new(&self) -> Result<Arc<dyn Store>> {
        match &self.store {
            Some(path) => open::or_new(path, &self.sources),
            None => open::or_new(&open::default_path_in_new_folder()?, &self.sources),
        }
    }

    /// Where the store is.
    pub(crate) fn path(&self) -> Result<PathBuf> {
        self.store.as_deref().map_or_else(open::default_path, |path| Ok(Path::to_owned(path)))
    }
}
