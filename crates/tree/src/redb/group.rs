//! The order in which a group is committed and its callers are answered. Whoever hears "done" can read what
//! was done, and whoever hears of a failure reads what became of it.
//!
//! A test compiles this file anew beside `queue` and runs its schedules.

use super::queue::Queue;

/// Somebody who waits for an answer, and may have gone away.
pub(super) trait Caller<A> {
    /// Gives the answer.
    fn answer(self, answer: A);
}

/// What changes are committed to.
pub(super) trait Committer<C, A> {
    /// Why a whole group failed.
    type Failure;

    /// Makes a group durable, and sees to it that whoever is answered can read it; one answer for each change, in
    /// order.
    fn commit(&mut self, changes: Vec<C>) -> Result<Vec<A>, Self::Failure>;

    /// Does what no caller waits for.
    fn tidy(&mut self);

    /// Brings the store back after a failure, as far as that goes; answers what each caller hears.
    fn recover(&mut self, failure: Self::Failure) -> Box<dyn Fn() -> A>;
}

/// Commits a group and answers each of its callers.
pub(super) fn serve<T, C, A>(
    committer: &mut impl Committer<C, A>,
    queue: &Queue<T>,
    changes: Vec<C>,
    callers: Vec<impl Caller<A>>,
) {
    let answers = match committer.commit(changes) {
        Ok(answers) => answers,
        Err(failure) => {
            let unknown = committer.recover(failure);
            callers.iter().map(|_| unknown()).collect()
        }
    };
    queue.answering();
    for (caller, answer) in callers.into_iter().zip(answers) {
        caller.answer(answer);
    }
    committer.tidy();
}
