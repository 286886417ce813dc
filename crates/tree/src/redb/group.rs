//! The order in which groups are applied, made durable and answered. Whoever hears "done" can read what
//! was done, and whoever hears of a failure reads what became of it.
//!
//! Where enough callers come back again and again, groups overlap: while one is made durable ([`Flight`]), the next
//! is applied. It waits then until that one has landed, since a sync that fails says so once.
//!
//! A test compiles this file anew beside `queue` and `flight` and runs its schedules.

use super::flight::{Failed, Flight};
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
    /// A group that is applied, and neither durable nor readable.
    type Applied;
    /// What makes such a group durable on another thread.
    type Departed: Departed<Failure = Self::Failure>;

    /// Applies a group; one answer for each change, in order.
    fn apply(&mut self, changes: Vec<C>) -> Result<(Vec<A>, Self::Applied), Self::Failure>;

    /// Makes it durable, and sees to it that whoever is answered can read it.
    fn finish(&mut self, applied: Self::Applied) -> Result<(), Self::Failure>;

    /// Lets another thread do so, or hands the group back where that is not possible.
    fn depart(&mut self, applied: Self::Applied) -> Result<Self::Departed, Self::Applied>;

    /// Does what no caller waits for.
    fn tidy(&mut self);

    /// Brings the store back after a failure, as far as that goes; answers what each caller hears.
    fn recover(&mut self, failure: Self::Failure) -> Box<dyn Fn() -> A>;
}

/// Makes one group durable.
pub(super) trait Departed {
    /// Why it is not.
    type Failure;

    /// Makes it durable, and sees to it that whoever is answered can read it.
    fn finish(&mut self) -> Result<(), Self::Failure>;
}

/// Callers, what each will hear, and what must be done before.
pub(super) struct Group<K, A, V> {
    callers: Vec<K>,
    answers: Vec<A>,
    departed: V,
}

/// Commits a group and answers each of its callers, or sends it off; the one before has landed then.
pub(super) fn serve<T, C, A, K: Caller<A>, M: Committer<C, A>>(
    committer: &mut M,
    queue: &Queue<T>,
    flight: &Flight<Group<K, A, M::Departed>, M::Failure>,
    changes: Vec<C>,
    callers: Vec<K>,
) {
    let applied = committer.apply(changes);
    let outcome = match (flight.land(), applied) {
        (None, Ok(applied)) => Ok(applied),
        (None, Err(failure)) => Err(committer.recover(failure)),
        (Some(failed), applied) => {
            // What was applied behind it is gone with it.
            drop(applied);
            Err(bring_back(committer, queue, failed))
        }
    };
    let (answers, applied) = match outcome {
        Ok(applied) => applied,
        Err(unknown) => return answer_all(queue, callers, unknown),
    };
    let applied = if queue.overlaps() { committer.depart(applied) } else { Err(applied) };
    match applied {
        Ok(departed) => flight.start(Group { callers, answers, departed }),
        Err(applied) => {
            match committer.finish(applied) {
                Ok(()) => answer(queue, callers, answers),
                Err(failure) => {
                    let unknown = committer.recover(failure);
                    answer_all(queue, callers, unknown);
                }
            }
            committer.tidy();
        }
    }
}

/// Waits for the group in flight; where it failed, brings the store back and tells its callers.
pub(super) fn land<T, C, A, K: Caller<A>, M: Committer<C, A>>(
    committer: &mut M,
    queue: &Queue<T>,
    flight: &Flight<Group<K, A, M::Departed>, M::Failure>,
) {
    if let Some(failed) = flight.land() {
        let _ = bring_back(committer, queue, failed);
    }
}

/// Answers what others are to hear whose changes came after those of the group that failed.
fn bring_back<T, C, A, K: Caller<A>, M: Committer<C, A>>(
    committer: &mut M,
    queue: &Queue<T>,
    (group, failure): Failed<Group<K, A, M::Departed>, M::Failure>,
) -> Box<dyn Fn() -> A> {
    let Group { callers, answers, departed } = group;
    // They hold the store that is to be opened anew.
    drop((answers, departed));
    let unknown = committer.recover(failure);
    answer_all(queue, callers, &unknown);
    unknown
}

/// Makes a group durable and answers its callers, on the thread of the flight; hands it back where it fails.
pub(super) fn fly<T, A, K: Caller<A>, V: Departed>(
    queue: &Queue<T>,
    mut group: Group<K, A, V>,
) -> Option<Failed<Group<K, A, V>, V::Failure>> {
    if let Err(failure) = group.departed.finish() {
        // Nobody else may come while all callers wait for this.
        queue.want();
        return Some((group, failure));
    }
    answer(queue, group.callers, group.answers);
    None
}

fn answer_all<T, A>(queue: &Queue<T>, callers: Vec<impl Caller<A>>, unknown: impl Fn() -> A) {
    let answers = callers.iter().map(|_| unknown()).collect();
    answer(queue, callers, answers);
}

fn answer<T, A>(queue: &Queue<T>, callers: Vec<impl Caller<A>>, answers: Vec<A>) {
    queue.answering(callers.len());
    for (caller, answer) in callers.into_iter().zip(answers) {
        caller.answer(answer);
    }
}
