//! Follows files that grow: asked, it finds the sessions whose files changed since the last time. It
//! never waits and never reads a clock; when to ask is the caller's.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use treering_tree::{ErrorKind, Store};

use crate::error::Result;
use crate::files::Input;
use crate::load::Options;
use crate::report::SessionReport;
use crate::sessions::Sessions;

/// What a file looked like: its size, and what the file system noted of its last change, which is
/// compared and never taken for a time.
pub(crate) type Look = (u64, Option<Duration>);

/// What is looked at: a file, and of a database the session and its part.
pub(crate) type Key = (PathBuf, String, String);

/// Files that are followed.
#[derive(Clone, Debug, Default)]
pub struct Follow {
    paths: Vec<PathBuf>,
    seen: HashMap<Key, Look>,
    begun: bool,
}

impl Follow {
    /// Follows files, folders and globs, also what comes into them later.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { paths: paths.into_iter().collect(), seen: HashMap::new(), begun: false }
    }

    /// The sessions with a file that is new or changed since [`Follow::saw`], all of them the first
    /// time. Loaded, they leave for later what their tool is still writing: a last record that stops
    /// in the middle, and the results of the newest calls.
    ///
    /// Costs a look at every file.
    ///
    /// # Errors
    /// As [`Sessions::find`]; after the first time a path where nothing is, or nothing that is known,
    /// is passed over, as files come and go.
    pub fn changed(&self, format: Option<&str>) -> Result<Sessions> {
        let mut groups = Vec::new();
        for path in &self.paths {
            match Sessions::find(vec![Input::Path(path.clone())], format) {
                Ok(found) => groups.extend(found.groups),
                Err(error)
                    if self.begun
                        && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Format) => {}
                Err(error) => return Err(error),
            }
        }
        let mut looks = Vec::new();
        groups.retain(|group| {
            let before = looks.len();
            looks.extend(group.files.iter().map(|file| {
                let key = (file.path.clone(), file.session(), file.found.part.clone());
                (key, (file.len, file.written()))
            }));
            looks[before..].iter().any(|(key, look)| self.seen.get(key) != Some(look))
        });
        Ok(Sessions { groups, live: true, looks })
    }

    /// Notes that sessions were loaded as they are: those that were not are found again.
    pub fn saw(&mut self, sessions: &Sessions) {
        self.begun = true;
        self.seen.extend(sessions.looks.iter().cloned());
    }

    /// Loads what changed, in one call; costs one reading of the files of a changed session.
    ///
    /// # Errors
    /// As [`load`](crate::load()).
    pub async fn poll(
        &mut self,
        store: &dyn Store,
        options: Options<'_>,
    ) -> Result<Vec<SessionReport>> {
        let changed = self.changed(options.format)?;
        let reports = changed.load(store, options).await?;
        self.saw(&changed);
        Ok(reports)
    }
}
