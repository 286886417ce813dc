//! The lease on a branch: one compaction at a time, also among processes that share a store.
//!
//! It is a memo of the session. Who takes it counts its fencing number up by compare-and-swap, and the
//! commit that lands demands the very value that was taken: a holder that lost it lands nothing. It
//! runs out, so that a process that died blocks nobody for long.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use treering_tree::{Change, Error as TreeError, Memo, MemoWrite, Reason, Session, limits};

use crate::error::Result;
use crate::run::CompactionResult;

/// How long a lease holds without being renewed, in milliseconds.
pub(crate) const LEASE_MS: i64 = 60_000;
/// How often it is renewed while the summary is made.
pub(crate) const RENEW: Duration = Duration::from_secs(20);
/// How often one who waits looks whether it is free.
pub(crate) const LOOK: Duration = Duration::from_millis(100);
/// What its memo's name begins with.
const NAME: &str = "compaction/";

/// What is known of compactions of a branch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The branch.
    pub branch: String,
    /// How often the lease was taken: the fencing number of its present or last holder.
    pub fence: u64,
    /// Until when it is held, milliseconds since 1970 UTC; `None` where it is free.
    pub until_ms: Option<i64>,
    /// What the last holder came to; `None` where it failed, or is not done.
    pub last: Option<CompactionResult>,
}

impl Lease {
    /// What is known of a branch; nothing yet where nobody ever took the lease.
    pub(crate) async fn read(session: &Session, branch: &str) -> Result<(Self, Memo)> {
        let memo = session.store().memo(session.name(), &memo_name(NAME, branch)).await?;
        let known = memo.as_deref().and_then(|bytes| serde_json::from_slice(bytes).ok());
        // What no version wrote counts as free: the swap still guards it.
        let lease = known.unwrap_or_else(|| Self { branch: branch.to_owned(), ..Self::default() });
        Ok((lease, memo))
    }

    /// Whether somebody holds it at that time.
    pub fn is_held(&self, now_ms: i64) -> bool {
        self.until_ms.is_some_and(|until_ms| now_ms < until_ms)
    }
}

/// The name of a branch's memo. Branches whose names differ only beyond the limit share it.
pub(crate) fn memo_name(begin: &str, branch: &str) -> String {
    let room = usize::try_from(limits::NAME_BYTES).unwrap_or(0).saturating_sub(begin.len());
    let end = (0..=branch.len().min(room)).rev().find(|at| branch.is_char_boundary(*at));
    format!("{begin}{}", &branch[..end.unwrap_or(0)])
}

/// A lease that is held.
pub(crate) struct Held {
    session: Session,
    lease: Lease,
    memo: Vec<u8>,
}

impl Held {
    /// Takes the lease; `Err` with what is known of its holder where somebody else has it.
    pub(crate) async fn take(session: &Session, branch: &str) -> Result<Result<Self, Lease>> {
        let (known, memo) = Lease::read(session, branch).await?;
        let now_ms = session.sources().now_ms();
        if known.is_held(now_ms) {
            return Ok(Err(known));
        }
        let lease = Lease {
            branch: branch.to_owned(),
            fence: known.fence.saturating_add(1),
            until_ms: Some(now_ms.saturating_add(LEASE_MS)),
            last: None,
        };
        let mut held = Self { session: session.clone(), lease, memo: Vec::new() };
        held.memo = bytes(&held.lease);
        match held.swap(Some(memo), &held.memo).await {
            Ok(()) => Ok(Ok(held)),
            Err(TreeError::MemoChanged { .. }) => Ok(Err(Lease::read(session, branch).await?.0)),
            Err(error) => Err(error.into()),
        }
    }

    /// Its fencing number.
    pub(crate) fn fence(&self) -> u64 {
        self.lease.fence
    }

    /// What a commit that lands must find.
    pub(crate) fn demand(&self) -> MemoWrite {
        let mine = Some(self.memo.clone());
        MemoWrite { name: self.name(), expect: Some(mine.clone()), value: mine }
    }

    /// Holds it for longer; false where it was lost.
    pub(crate) async fn renew(&mut self) -> Result<bool> {
        let until_ms = self.session.sources().now_ms().saturating_add(LEASE_MS);
        let lease = Lease { until_ms: Some(until_ms), ..self.lease.clone() };
        let memo = bytes(&lease);
        match self.swap(Some(Some(self.memo.clone())), &memo).await {
            Ok(()) => {
                (self.lease, self.memo) = (lease, memo);
                Ok(true)
            }
            Err(TreeError::MemoChanged { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives it up with what came of it. Where it was lost already, or cannot be written, it runs out.
    pub(crate) async fn release(self, last: Option<CompactionResult>) {
        let free = Lease { until_ms: None, last, ..self.lease.clone() };
        let done = self.swap(Some(Some(self.memo.clone())), &bytes(&free)).await;
        if let Err(error) = done {
            tracing::debug!(session = self.session.name(), %error, "lease not given back");
        }
    }

    fn name(&self) -> String {
        memo_name(NAME, &self.lease.branch)
    }

    async fn swap(&self, expect: Option<Memo>, value: &[u8]) -> Result<(), TreeError> {
        let memo = MemoWrite { name: self.name(), expect, value: Some(value.to_vec()) };
        let now_ms = self.session.sources().now_ms();
        let change =
            Change { memos: vec![memo], ..Change::new(self.session.name(), Reason::Land, now_ms) };
        self.session.store().commit(change).await.map(drop)
    }
}

fn bytes(lease: &Lease) -> Vec<u8> {
    // Strings and numbers only: nothing of it can fail to encode.
    serde_json::to_vec(lease).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::Desk;

    #[tokio::test]
    async fn nobody_holds_what_nobody_took() {
        let desk = Desk::with("u1").await;
        let (lease, memo) = Lease::read(&desk.session, "main").await.unwrap();
        assert_eq!((lease, memo), (Lease { branch: "main".to_owned(), ..Lease::default() }, None));
    }

    #[test]
    fn a_lease_is_held_until_its_time_and_not_at_it() {
        let lease = Lease { until_ms: Some(10), ..Lease::default() };
        assert_eq!([9, 10, 11].map(|now_ms| lease.is_held(now_ms)), [true, false, false]);
        assert!(!Lease::default().is_held(0));
    }

    async fn take(desk: &Desk) -> Result<Held, Lease> {
        Held::take(&desk.session, "main").await.unwrap()
    }

    #[tokio::test]
    async fn who_renews_holds_on_and_who_let_it_run_out_is_told() {
        let desk = Desk::with("u1").await;
        let Ok(mut first) = take(&desk).await else { panic!() };
        assert_eq!(first.fence(), 1);
        for _ in 0..2 {
            desk.pass_ms(LEASE_MS - 100);
            assert!(first.renew().await.unwrap());
        }
        desk.pass_ms(LEASE_MS - 100);
        let holder = take(&desk).await.err().unwrap();
        assert_eq!(holder.fence, 1, "held for longer than it was taken for");
        desk.pass_ms(100);
        let Ok(mut second) = take(&desk).await else { panic!() };
        assert_eq!(second.fence(), 2);
        assert!(!first.renew().await.unwrap());
        // Neither that nor giving it back takes anything from who has it now.
        first.release(None).await;
        assert!(second.renew().await.unwrap());
    }

    #[tokio::test]
    async fn what_is_demanded_is_what_the_holder_wrote_last() {
        let desk = Desk::with("u1").await;
        let Ok(mut held) = take(&desk).await else { panic!() };
        held.renew().await.unwrap();
        let (_, memo) = Lease::read(&desk.session, "main").await.unwrap();
        let demand = held.demand();
        assert_eq!((demand.expect, demand.value), (Some(memo.clone()), memo));
    }

    #[tokio::test]
    async fn a_lease_that_is_given_back_is_free_at_once_and_says_what_came_of_it() {
        let desk = Desk::with("u1").await;
        let Ok(held) = take(&desk).await else { panic!() };
        let reason = treering_policy::SkipReason::Empty;
        let last = Some(CompactionResult::skipped(7, reason));
        held.release(last.clone()).await;
        let (lease, _) = Lease::read(&desk.session, "main").await.unwrap();
        assert_eq!((lease.last, lease.until_ms), (last, None));
        let Ok(next) = take(&desk).await else { panic!() };
        assert_eq!(next.fence(), 2);
    }
}
