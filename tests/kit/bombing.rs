//! What the import of a bomb costs: processor time, which other work on the machine does not change, and
//! the most memory, both of a process that does nothing else. It knows what is too much.

use std::fmt;
use std::fs;
use std::process::Command;
use std::time::Duration;

use treering_interchange::Input;

use super::bombs::Bomb;
use super::hostile::load_once;

/// What a MB may take, and any file whatever its size.
const PER_MB: Duration = Duration::from_secs(1);
/// What an entry may take: records of three bytes are a store's worth of entries in a small file.
const PER_ENTRY: Duration = Duration::from_micros(50);
/// What growing tenfold may make of time and memory, beside what noise is allowed.
const GROWTH: u64 = 20;
const NOISE_TIME: Duration = Duration::from_millis(500);
const NOISE_KB: u64 = 100_000;

/// What one import cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Bytes of the files.
    pub bytes: u64,
    /// Processor time of all threads; 0 where the system does not tell.
    pub time: Duration,
    /// The most resident memory, the files themselves included; 0 where the system does not tell.
    pub peak_kb: u64,
    /// Entries that the import made.
    pub entries: u64,
    /// Repairs it listed.
    pub repairs: u64,
}

impl Cost {
    /// What stands above lines of costs.
    pub const HEADING: &str = "    MB   seconds    peak MB     entries    repairs";

    /// Imports a bomb made of so many.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn of(bomb: &Bomb, count: u64) -> Result<Self, String> {
        let inputs = bomb.inputs(usize::try_from(count).map_err(|why| why.to_string())?);
        let bytes: usize = inputs.iter().map(len).sum();
        let before = processor_time();
        let report = load_once(bomb.format, inputs)?;
        let time = processor_time().saturating_sub(before);
        let (entries, repairs) = (report.entries, report.repairs.len() as u64);
        Ok(Self { bytes: bytes as u64, time, peak_kb: peak_kb(), entries, repairs })
    }

    /// The same, in a process of its own.
    ///
    /// # Errors
    /// Why it is refused, or how the process ended.
    pub fn of_process(name: &str, count: u64) -> Result<Self, String> {
        let mut command = Command::new(std::env::current_exe().map_err(|why| why.to_string())?);
        command.args(["bomb", name, "--count", &count.to_string()]);
        let done = command.output().map_err(|why| why.to_string())?;
        let line = String::from_utf8_lossy(&done.stdout);
        let numbers: Vec<u64> =
            line.split(' ').filter_map(|text| text.trim().parse().ok()).collect();
        let [bytes, time_ms, peak_kb, entries, repairs] = numbers[..] else {
            return Err(format!("{}: {}", done.status, String::from_utf8_lossy(&done.stderr)));
        };
        Ok(Self { bytes, time: Duration::from_millis(time_ms), peak_kb, entries, repairs })
    }

    /// What a process tells the one that asked.
    pub fn line(&self) -> String {
        let Self { bytes, time, peak_kb, entries, repairs } = self;
        format!("{bytes} {} {peak_kb} {entries} {repairs}", time.as_millis())
    }

    /// Whether it is no more than a file of its size and entries may cost, and linear beside `tenth`.
    ///
    /// # Errors
    /// What is too much.
    pub fn check(&self, tenth: &Self) -> Result<(), String> {
        let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let allowed = PER_MB * count(self.bytes / 1_000_000 + 1) + PER_ENTRY * count(self.entries);
        if self.time > allowed {
            return Err(format!("{:?} of processor time, over {allowed:?}", self.time));
        }
        if self.time > tenth.time * count(GROWTH) + NOISE_TIME {
            return Err(format!("{:?} for a tenth, {:?} for all", tenth.time, self.time));
        }
        if self.peak_kb > tenth.peak_kb * GROWTH + NOISE_KB {
            return Err(format!("{} KB for a tenth, {} KB for all", tenth.peak_kb, self.peak_kb));
        }
        Ok(())
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (megabytes, peak) = (self.bytes / 1_000_000, self.peak_kb / 1_000);
        let seconds = self.time.as_secs_f64();
        write!(f, "{megabytes:6} {seconds:9.2} {peak:10} {:11} {:10}", self.entries, self.repairs)
    }
}

fn len(input: &Input) -> usize {
    if let Input::Bytes { bytes, .. } = input { bytes.len() } else { 0 }
}

fn processor_time() -> Duration {
    /// How long the ticks are that Linux tells in.
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    TICK * fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u32>().ok()).sum::<u32>()
}

fn peak_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
}
