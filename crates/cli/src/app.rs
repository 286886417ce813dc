//! What every verb is given: standard output, settings, the store, time and randomness.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use treering_tree::{Options, RedbStore, Sources, Store};

use crate::args::Args;
use crate::config::{Config, Key};
use crate::failure::Result;
use crate::open;
use crate::output::Out;

pub(crate) struct App {
    pub(crate) out: Out,
    pub(crate) config: Config,
    pub(crate) sources: Sources,
}

impl App {
    pub(crate) fn new(args: &Args) -> Result<Self> {
        let config = Config::load()?.under(&args.settings);
        let out = Out::stdout(args.json, args.raw, config.text(Key::Color));
        Ok(Self { out, config, sources: Sources::system() })
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
        let path = match self.config.path(Key::Store) {
            Some(path) => path.to_owned(),
            None => open::default_path_in_new_folder()?,
        };
        Ok(Arc::new(open::or_new(&path, self.options()?)?))
    }

    /// How a store is opened.
    pub(crate) fn options(&self) -> Result<Options> {
        open::options(self.sources.clone(), self.config.path(Key::Master))
    }

    /// Where the store is.
    pub(crate) fn path(&self) -> Result<PathBuf> {
        self.config
            .path(Key::Store)
            .map_or_else(open::default_path, |path| Ok(Path::to_owned(path)))
    }
}
