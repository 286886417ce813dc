//! What the verbs that move heads print.

use serde::Serialize;
use treering_compactor::BranchSummary;
use treering_tree::{Committed, Id};

use crate::failure::Result;
use crate::output::text::counted;
use crate::output::{Out, style};
use crate::resolve;

/// Where a branch is after a move.
#[derive(Serialize)]
pub(crate) struct Moved<'a> {
    pub(crate) session: &'a str,
    pub(crate) branch: &'a str,
    pub(crate) head: Option<Id>,
    /// What was told of the branch that was left, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) summary: Option<BranchSummary>,
}

impl<'a> Moved<'a> {
    pub(crate) fn new(session: &'a str, committed: &'a Committed) -> Self {
        Self { session, branch: &committed.branch, head: committed.head, summary: None }
    }

    /// The same after a summary: where it wrote an entry, that is the head.
    pub(crate) fn telling(self, summary: Option<BranchSummary>) -> Self {
        let entry = summary.as_ref().and_then(|summary| summary.entry);
        Self { head: entry.or(self.head), summary, ..self }
    }

    pub(crate) fn print(&self, out: &mut Out) -> Result<()> {
        if out.json() {
            return Ok(out.object(self)?);
        }
        let name = format!("{}/{}", self.session, self.branch);
        let name = out.paint(&out.clipped(&name, out.width()), style::BRANCH);
        let head = resolve::short(self.head);
        out.line(format!("{name} is at {}", out.paint(&head, style::ID)))?;
        match &self.summary {
            None => Ok(()),
            Some(BranchSummary { entry: None, .. }) => Ok(out.line("nothing was left behind")?),
            Some(summary) => {
                let left = counted(summary.summarized_count, "entry", "entries");
                let common = out.paint(&resolve::short(summary.common), style::ID);
                Ok(out.line(format!("it summarizes {left} that were left behind {common}"))?)
            }
        }
    }
}
