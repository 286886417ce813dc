//! What every verb is given: streams, settings, the store, time and randomness.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use treering_tree::redact::Rules;
use treering_tree::{Options, RedbStore, Sources, Store};

use crate::args::Args;
use crate::config::{Config, Key};
use crate::failure::Result;
use crate::open;
use crate::output::Out;
use crate::surroundings::{Environment, Sink, Surroundings, Terminal};

pub(crate) struct App {
    pub(crate) input: Box<dyn Read + Send>,
    pub(crate) out: Out,
    pub(crate) err: Sink,
    pub(crate) terminal: Terminal,
    pub(crate) config: Config,
    pub(crate) environment: Environment,
    pub(crate) sources: Sources,
}

impl App {
    pub(crate) fn new(args: &Args, surroundings: Surroundings) -> Result<Self> {
        let Surroundings { environment, sources, input, out, err, terminal, .. } = surroundings;
        let config = Config::load(&environment)?.under(&args.settings);
        let out = Out::new(args.json, args.raw, config.text(Key::Color), out, terminal);
        Ok(Self { input, out, err, terminal, config, environment, sources })
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
            Some(path) => self.at(path),
            None => open::default_path_in_new_folder(&self.environment)?,
        };
        Ok(Arc::new(open::or_new(&path, self.options()?)?))
    }

    /// How a store is opened.
    pub(crate) fn options(&self) -> Result<Options> {
        let key_file = self.config.path(Key::Master).map(|path| self.at(path));
        let options = open::options(self.sources.clone(), key_file.as_deref(), &self.environment)?;
        Ok(match self.config.text(Key::Redact) {
            Some("known") => options.redact(Arc::new(Rules::known()?)),
            _ => options,
        })
    }

    /// Where the store is.
    pub(crate) fn path(&self) -> Result<PathBuf> {
        let named = self.config.path(Key::Store).map(|path| self.at(path));
        named.map_or_else(|| open::default_path(&self.environment), Ok)
    }

    /// A path that was typed.
    pub(crate) fn at(&self, path: &Path) -> PathBuf {
        self.environment.at(path)
    }
}
