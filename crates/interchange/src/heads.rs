//! The branches that a session has in a store. It moves none of them.

use treering_tree::{Branch, ErrorKind, Store};

use crate::error::{Error, Result};
use crate::limits;

/// All branches of a session, in order of name; none where the session is not there.
pub(crate) async fn heads(store: &dyn Store, session: &str) -> Result<Vec<Branch>> {
    let mut all: Vec<Branch> = Vec::new();
    loop {
        let after = all.last().map(|branch| branch.name.as_str());
        match store.branches(session, after, limits::PAGE).await {
            Ok(page) if page.is_empty() => return Ok(all),
            Ok(page) => all.extend(page),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(all),
            Err(error) => return Err(Error::tree(session)(error)),
        }
    }
}
