//! What the verbs that move heads print.

use serde::Serialize;
use treering_tree::{Committed, Id};

use crate::failure::Result;
use crate::output::{Out, style};
use crate::resolve;

/// Where a branch is after a move.
#[derive(Serialize)]
pub(crate) struct Moved<'a> {
    pub(crate) session: &'a str,
    pub(crate) branch: &'a str,
    pub(crate) head: Option<Id>,
}

impl<'a> Moved<'a> {
    pub(crate) fn new(session: &'a str, committed: &'a Committed) -> Self {
        Self { session, branch: &committed.branch, head: committed.head }
    }

    pub(crate) fn print(&self, out: &mut Out) -> Result<()> {
        if out.json() {
            return Ok(out.object(self)?);
        }
        let name = format!("{}/{}", self.session, self.branch);
        let name = out.paint(&out.clipped(&name, out.width()), style::BRANCH);
        let head = resolve::short(self.head);
        Ok(out.line(format!("{name} is at {}", out.paint(&head, style::ID)))?)
    }
}
