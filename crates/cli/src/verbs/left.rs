//! `--summarize` of the verbs that leave a branch: what was left is told behind the new head.

use treering_compactor::BranchSummary;
use treering_policy::Preset;
use treering_tree::{Id, Session};

use crate::defaults;
use crate::failure::Result;
use crate::output::progress;

/// The summary takes what one for a window of so many tokens may: which model goes on is not known, and
/// this is a small one's.
const WINDOW_TOKENS: u64 = 32_000;

/// Summarizes what stands between `left` and what it shares with the session's active head. `None`
/// where that was not asked for, or there was no head to leave.
pub(crate) async fn summarize(
    asked: bool,
    session: &Session,
    left: Option<Id>,
) -> Result<Option<BranchSummary>> {
    let Some(left) = left.filter(|_| asked) else { return Ok(None) };
    let (compactor, policy) = (defaults::compactor(), Preset::default().policy(WINDOW_TOKENS));
    let work = compactor.summarize_branch(session, left, &policy);
    Ok(Some(progress::during("summarizing", work).await?))
}
