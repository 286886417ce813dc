//! Follows files that grow: polled, it loads the sessions whose files changed since the last time.
//! It never waits and never reads a clock; when to poll is the caller's.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::SystemTime;

use treering_tree::Store;

use crate::error::Result;
use crate::files::{Group, Input};
use crate::load::{Options, find, load_groups};
use crate::report::SessionReport;

/// What a file looked like: its size and when it was written.
type Look = (u64, Option<SystemTime>);

/// Files that are followed.
#[derive(Clone, Debug, Default)]
pub struct Follow {
    paths: Vec<PathBuf>,
    seen: HashMap<PathBuf, Look>,
}

impl Follow {
    /// Follows files, folders and globs, also what comes into them later.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { paths: paths.into_iter().collect(), seen: HashMap::new() }
    }

    /// Loads the sessions with a file that is new or changed, all of them the first time; answers
    /// with their reports. What was loaded before an error is looked at again by the next call.
    ///
    /// Costs a look at every file, and one reading of the files of a changed session.
    ///
    /// # Errors
    /// As [`load`](crate::load()).
    pub async fn poll(
        &mut self,
        store: &dyn Store,
        options: Options<'_>,
    ) -> Result<Vec<SessionReport>> {
        let inputs = self.paths.iter().cloned().map(Input::Path).collect();
        let mut looks = HashMap::new();
        let mut changed = find(inputs, options.format)?;
        changed.retain(|group| self.is_changed(group, &mut looks));
        let reports = load_groups(store, changed, options).await?;
        self.seen.extend(looks);
        Ok(reports)
    }

    fn is_changed(&self, group: &Group, looks: &mut HashMap<PathBuf, Look>) -> bool {
        let mut changed = false;
        for file in &group.files {
            let written = std::fs::metadata(&file.path).and_then(|data| data.modified()).ok();
            let look = (file.len, written);
            changed |= self.seen.get(&file.path) != Some(&look);
            looks.insert(file.path.clone(), look);
        }
        changed
    }
}
