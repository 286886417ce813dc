//! Sessions that were found in files and are not loaded yet: so that a caller knows that there is
//! something before it makes a store for it.

use std::fmt;

use treering_tree::Store;

use crate::error::{Error, Result};
use crate::files::{self, Group, Input};
use crate::follow::{Key, Look};
use crate::formats;
use crate::load::{Options, load_groups};
use crate::report::SessionReport;

/// Sessions that were found.
pub struct Sessions {
    pub(crate) groups: Vec<Group>,
    /// Whether their tools may still be writing them.
    pub(crate) live: bool,
    /// What their files looked like, where that matters.
    pub(crate) looks: Vec<(Key, Look)>,
}

impl Sessions {
    /// The sessions that `inputs` hold, in the order they were found: files are taken together where
    /// they belong to one session. Reads the heads of files; a folder may hold none at all.
    ///
    /// # Errors
    /// As [`load`](crate::load()), but for those of a store.
    pub fn find(inputs: Vec<Input>, format: Option<&str>) -> Result<Self> {
        let forced = match format {
            Some(name) => Some(formats::named(name).ok_or_else(|| Error::UnknownFormat {
                name: name.to_owned(),
                known: formats::names(),
            })?),
            None => None,
        };
        Ok(Self { groups: files::find(inputs, forced)?, live: false, looks: Vec::new() })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Size of their files.
    pub fn bytes(&self) -> u64 {
        self.groups.iter().map(Group::bytes).sum()
    }

    /// Loads them, as [`load`](crate::load()) does; `options.format` was for finding them.
    ///
    /// # Errors
    /// `Storage` where reading fails, and those of the store.
    pub async fn load(
        &self,
        store: &dyn Store,
        options: Options<'_>,
    ) -> Result<Vec<SessionReport>> {
        load_groups(store, &self.groups, self.live, options).await
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sessions({})", self.groups.len())
    }
}
