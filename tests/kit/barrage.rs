//! Mutated files by the thousand: a seed makes one file of a format and says what is done with it.
//! The first seed that does not hold ends the run, and its number alone repeats it.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::corpus::{Seed, seeds, slice};
use super::hostile::{Outcome, grows, imports, looks_ill_or_well, reads, replaces};
use super::mutate::mutated;
use super::rng::Rng;

/// Time that a file of a few dozen KiB is allowed for everything that is done with it: what takes
/// minutes on a hanging file takes milliseconds on a sound one, also on a busy machine.
const DEADLINE: Duration = Duration::from_secs(10);

/// Characters of a file that a failure shows.
const SHOWN_CHARS: usize = 2_000;

/// What came of the files of a format.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Files that are in a store, whole.
    pub imported: u64,
    /// Files that were refused with file and line.
    pub refused: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// The longest that one took, and its seed.
    pub slowest: (Duration, u64),
}

/// Runs the seeds of a format.
///
/// # Errors
/// The first seed that does not hold, and what did not.
pub fn barrage(format: &str, numbers: Range<u64>) -> Result<Tally, String> {
    let files = seeds(format);
    let mut tally = Tally::default();
    for number in numbers {
        let begun = Instant::now();
        let once = catch_unwind(AssertUnwindSafe(|| one(format, &files, number, &mut tally)));
        let done = once.unwrap_or_else(|_| Err("a panic left the library".to_owned()));
        done.map_err(|why| format!("{format}, seed {number}: {why}"))?;
        let took = begun.elapsed();
        if took > DEADLINE {
            return Err(format!("{format}, seed {number}: it took {took:?}"));
        }
        tally.slowest = tally.slowest.max((took, number));
    }
    Ok(tally)
}

/// The file of a seed.
pub fn file(files: &[Seed], rng: &mut Rng) -> (String, Vec<u8>) {
    let (seed, other) = (rng.pick(files), rng.pick(files));
    let (bytes, other) = (slice(seed, rng), slice(other, rng));
    (seed.name.clone(), mutated(&bytes, &other, rng))
}

fn one(format: &str, files: &[Seed], number: u64, tally: &mut Tally) -> Result<(), String> {
    let mut rng = Rng::new(number);
    let (name, bytes) = file(files, &mut rng);
    // One in four has to be told by its content.
    let forced = (!rng.chance(25)).then_some(format);
    let imported = imports(forced, &name, &bytes);
    match imported.map_err(|why| format!("{why}; {name}: {}", shown(&bytes)))? {
        Outcome::Imported => tally.imported += 1,
        Outcome::Refused => tally.refused += 1,
    }
    tally.bytes += bytes.len() as u64;
    let more = match rng.below(8) {
        0 => {
            let first = rng.below(bytes.len());
            grows(format, &name, &bytes, first).map_err(|why| format!("{why}; first {first} bytes"))
        }
        1 => {
            let other = mutated(&bytes, &bytes, &mut rng);
            replaces(format, &name, &bytes, &other)
                .map_err(|why| format!("{why}; {}", shown(&other)))
        }
        2 => looks_ill_or_well(format, &name, &bytes),
        3 => reads(format, &name, &bytes),
        _ => Ok(()),
    };
    more.map_err(|why| format!("{why}; {name}: {}", shown(&bytes)))
}

/// A file as a failure shows it, where it is not too long for that.
fn shown(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    if text.len() <= SHOWN_CHARS { text } else { format!("{} bytes", bytes.len()) }
}
