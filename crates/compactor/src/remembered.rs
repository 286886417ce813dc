//! What is remembered of a branch's automatic compactions: its breaker, a memo of the session.

use treering_policy::Breaker;
use treering_tree::{Change, Error as TreeError, Memo, MemoWrite, Reason, Session};

use crate::error::Result;
use crate::lease::memo_name;

/// What its memo's name begins with.
const NAME: &str = "compaction-breaker/";
/// How often it is written against others who write it.
const TRIES: u64 = 100;

/// The breaker of a branch, and the memo it was read from.
pub(crate) async fn read(session: &Session, branch: &str) -> Result<(Breaker, Memo)> {
    let memo = session.store().memo(session.name(), &memo_name(NAME, branch)).await?;
    let known = memo.as_deref().and_then(|bytes| serde_json::from_slice(bytes).ok());
    Ok((known.unwrap_or_default(), memo))
}

/// What a commit writes for a breaker to become this one, if it still is what was read.
pub(crate) fn write(branch: &str, before: Memo, after: &Breaker) -> MemoWrite {
    // Numbers only: nothing of it can fail to encode.
    let value = serde_json::to_vec(after).unwrap_or_default();
    MemoWrite { name: memo_name(NAME, branch), expect: Some(before), value: Some(value) }
}

/// Changes the breaker of a branch, by compare-and-swap.
pub(crate) async fn change(
    session: &Session,
    branch: &str,
    mut change: impl FnMut(&mut Breaker) + Send,
) -> Result<()> {
    let mut lost = None;
    for _ in 0..TRIES {
        let (before, memo) = read(session, branch).await?;
        let mut after = before.clone();
        change(&mut after);
        if after == before {
            return Ok(());
        }
        let commit = Change {
            memos: vec![write(branch, memo, &after)],
            ..Change::new(session.name(), Reason::Land, session.sources().now_ms())
        };
        match session.store().commit(commit).await {
            Err(error @ TreeError::MemoChanged { .. }) => lost = Some(error),
            done => return Ok(done.map(drop)?),
        }
    }
    lost.map_or(Ok(()), |error| Err(error.into()))
}
