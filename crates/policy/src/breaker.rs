//! When automatic compaction should rest although it is due: what stops loops that cost money and help
//! nobody.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::policy::Policy;

/// Errors in a row after which it rests.
const FAILURES: u32 = 3;
/// Compactions in a row without progress after which it rests.
const STUCK: u32 = 2;
/// Compactions in a row that came too soon after the one before, after which it rests.
const STRIKES: u32 = 3;

/// What automatic compaction remembers of a branch. Sizes are in tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// What it fired on last: the same reading never fires twice.
    pub fired: Option<Reading>,
    /// Everything on the path when a compaction landed last.
    pub landed_at: Option<u64>,
    /// Errors in a row.
    pub failures: u32,
    /// Compactions in a row that left more than four fifths of the threshold, or could do nothing.
    pub stuck: u32,
    /// Compactions in a row before which less was appended than a quarter of the window, or half of
    /// it once there were two.
    pub strikes: u32,
    /// Why it rests; `None` where it does not.
    pub open: Option<Rest>,
}

/// The size of a context, and what makes the size another one. In tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The context.
    pub tokens: u64,
    /// Everything on the path: grows with every message, and shrinks only by a rewind.
    pub through: u64,
    /// What no compaction can take away: pins and prompts.
    pub overhead: u64,
    /// The model's window.
    pub window: u64,
}

/// Why nothing is started although the context is due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rest", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Rest {
    /// It fired on this very reading.
    SameReading {
        /// Size of the context, in tokens.
        tokens: u64,
    },
    /// It failed too often in a row.
    Failing {
        /// How often.
        failures: u32,
    },
    /// It did not help, or could do nothing, too often in a row.
    Stuck {
        /// How often.
        times: u32,
    },
    /// The window filled up again too soon, too often in a row.
    Thrashing {
        /// How often.
        strikes: u32,
    },
}

/// What came of a compaction that fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It landed and left a context of this many tokens, with this many on the path.
    Landed {
        /// The context.
        left: u64,
        /// Everything on the path.
        through: u64,
    },
    /// There was nothing it could do, or it would not have helped.
    Useless,
    /// An error.
    Failed,
    /// A race, which says nothing.
    Neutral,
}

impl Breaker {
    /// Fires on a reading that is due, or says why not. An open breaker closes where the window, the
    /// overhead or the branch is another than when it fired last.
    ///
    /// # Errors
    /// Why it rests.
    pub fn fire(&mut self, reading: Reading) -> Result<(), Rest> {
        if let Some(fired) = self.fired {
            let changed = (fired.window, fired.overhead) != (reading.window, reading.overhead);
            if changed || reading.through < fired.through {
                *self = Self::default();
            } else if fired == reading {
                let same = Rest::SameReading { tokens: reading.tokens };
                return Err(self.open.clone().unwrap_or(same));
            }
        }
        if let Some(rest) = &self.open {
            return Err(rest.clone());
        }
        if let Some(landed_at) = self.landed_at {
            let gap = reading.window / if self.strikes < 2 { 4 } else { 2 };
            let soon = reading.through.saturating_sub(landed_at) < gap;
            self.strikes = if soon { self.strikes.saturating_add(1) } else { 0 };
        }
        self.fired = Some(reading);
        if self.strikes >= STRIKES {
            let rest = Rest::Thrashing { strikes: self.strikes };
            self.open = Some(rest.clone());
            return Err(rest);
        }
        Ok(())
    }

    /// Takes in what came of it.
    pub fn settle(&mut self, outcome: Outcome, policy: &Policy) {
        let stuck = match outcome {
            Outcome::Landed { left, through } => {
                (self.landed_at, self.failures) = (Some(through), 0);
                let threshold = policy.budget().threshold;
                left > threshold - threshold / 5
            }
            Outcome::Useless => true,
            Outcome::Failed => {
                self.failures = self.failures.saturating_add(1);
                if self.failures >= FAILURES {
                    self.open = Some(Rest::Failing { failures: self.failures });
                }
                return;
            }
            Outcome::Neutral => return,
        };
        self.stuck = if stuck { self.stuck.saturating_add(1) } else { 0 };
        if self.stuck >= STUCK {
            self.open = Some(Rest::Stuck { times: self.stuck });
        }
    }
}

impl fmt::Display for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameReading { tokens } => {
                write!(f, "a compaction was started at these {tokens} tokens already")
            }
            Self::Failing { failures } => write!(f, "{failures} compactions failed in a row"),
            Self::Stuck { times } => write!(
                f,
                "{times} compactions in a row did not help: use a larger window, unpin, or compact by hand"
            ),
            Self::Thrashing { strikes } => {
                write!(f, "the window filled up again too soon {strikes} times in a row")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Reading = Reading { tokens: 900, through: 900, overhead: 0, window: 1_000 };

    fn policy() -> Policy {
        Policy { window: 1_000, reserve: Some(200), ..Policy::default() }
    }

    fn at(through: u64) -> Reading {
        Reading { through, ..AT }
    }

    #[test]
    fn the_same_reading_never_fires_twice() {
        let mut breaker = Breaker::default();
        assert_eq!(breaker.fire(AT), Ok(()));
        assert_eq!(breaker.fire(AT), Err(Rest::SameReading { tokens: 900 }));
        assert_eq!(breaker.fire(at(901)), Ok(()));
    }

    #[test]
    fn three_failures_in_a_row_open_it_and_a_landing_between_them_does_not() {
        let mut breaker = Breaker::default();
        let fine = Outcome::Landed { left: 100, through: 900 };
        for outcome in [Outcome::Failed, Outcome::Failed, fine, Outcome::Failed, Outcome::Failed] {
            breaker.settle(outcome, &policy());
            assert_eq!(breaker.open, None);
        }
        breaker.settle(Outcome::Neutral, &policy());
        breaker.settle(Outcome::Failed, &policy());
        assert_eq!(breaker.fire(AT), Err(Rest::Failing { failures: 3 }));
        assert_eq!(breaker.fire(at(950)), Err(Rest::Failing { failures: 3 }));
    }

    #[test]
    fn two_that_leave_too_much_open_it_until_something_changes() {
        let mut breaker = Breaker::default();
        breaker.fire(AT).unwrap();
        breaker.settle(Outcome::Landed { left: 641, through: 900 }, &policy());
        breaker.settle(Outcome::Landed { left: 640, through: 900 }, &policy());
        assert_eq!(breaker.stuck, 0, "exactly four fifths of 800 are well");
        breaker.settle(Outcome::Useless, &policy());
        breaker.settle(Outcome::Landed { left: 641, through: 900 }, &policy());
        assert_eq!(breaker.fire(at(901)), Err(Rest::Stuck { times: 2 }));
        for changed in [Reading { window: 2_000, ..AT }, Reading { overhead: 1, ..AT }, at(899)] {
            assert_eq!(breaker.clone().fire(changed), Ok(()), "{changed:?}");
        }
    }

    #[test]
    fn strikes_count_what_comes_too_soon_and_double_the_gap() {
        let mut breaker = Breaker::default();
        let mut landed = |through: u64, gap: u64| {
            breaker.settle(Outcome::Landed { left: 100, through }, &policy());
            let fired = breaker.fire(at(through + gap));
            (fired, breaker.strikes)
        };
        assert_eq!(landed(1_000, 249), (Ok(()), 1));
        assert_eq!(landed(2_000, 250), (Ok(()), 0));
        assert_eq!(landed(3_000, 0), (Ok(()), 1));
        assert_eq!(landed(4_000, 0), (Ok(()), 2));
        assert_eq!(landed(5_000, 500), (Ok(()), 0));
        for through in [6_000, 7_000] {
            landed(through, 10).0.unwrap();
        }
        assert_eq!(landed(8_000, 499), (Err(Rest::Thrashing { strikes: 3 }), 3));
    }

    #[test]
    fn what_is_remembered_at_the_end_of_its_numbers_stays_there() {
        let mut breaker = Breaker { strikes: u32::MAX, landed_at: Some(0), ..Breaker::default() };
        let reading = Reading { tokens: 1, through: 1, overhead: 0, window: 100 };
        assert_eq!(breaker.fire(reading), Err(Rest::Thrashing { strikes: u32::MAX }));
    }

    #[test]
    fn every_rest_says_its_number() {
        let rests = [
            Rest::SameReading { tokens: 1_234 },
            Rest::Failing { failures: 1_234 },
            Rest::Stuck { times: 1_234 },
            Rest::Thrashing { strikes: 1_234 },
        ];
        for rest in rests {
            assert!(rest.to_string().contains("1234"), "{rest}");
        }
    }
}
