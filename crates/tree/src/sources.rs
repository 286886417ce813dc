//! Time and randomness, which the engine takes as arguments.

use std::fmt;
use std::sync::Arc;

use crate::entry::Nonce;

type Clock = dyn Fn() -> i64 + Send + Sync;
type Random = dyn Fn(&mut [u8]) + Send + Sync;

/// Where a handle gets the time and its nonces from.
#[derive(Clone)]
pub struct Sources {
    clock: Arc<Clock>,
    random: Arc<Random>,
}

impl Sources {
    /// A clock (milliseconds since 1970 UTC) and a generator that fills a buffer.
    pub fn new(
        clock: impl Fn() -> i64 + Send + Sync + 'static,
        random: impl Fn(&mut [u8]) + Send + Sync + 'static,
    ) -> Self {
        Self { clock: Arc::new(clock), random: Arc::new(random) }
    }

    /// The operating system's clock and generator: the one place a library reads them, and only for
    /// a caller that asks.
    ///
    /// # Panics
    /// The generator does where the operating system gives no randomness.
    #[cfg(feature = "redb")]
    #[allow(clippy::disallowed_methods, reason = "the caller asks for the system's clock")]
    pub fn system() -> Self {
        let clock = || {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
        };
        // A system without randomness cannot promise that an erased body is unguessable.
        let random = |buffer: &mut [u8]| {
            assert!(getrandom::fill(buffer).is_ok(), "the operating system gives no randomness");
        };
        Self::new(clock, random)
    }

    /// A counting clock and a fixed pseudo-random sequence, for tests and examples that must repeat.
    pub fn fixed(seed: u64) -> Self {
        let state = Arc::new(std::sync::atomic::AtomicU64::new(seed));
        let time = Arc::new(std::sync::atomic::AtomicI64::new(0));
        let next = move || {
            // SplitMix64 (Steele, Lea, Flood 2014).
            let mut z =
                state.fetch_add(0x9E37_79B9_7F4A_7C15, std::sync::atomic::Ordering::Relaxed);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        };
        Self::new(
            move || time.fetch_add(1_000, std::sync::atomic::Ordering::Relaxed),
            move |buffer| {
                for chunk in buffer.chunks_mut(8) {
                    chunk.copy_from_slice(&next().to_le_bytes()[..chunk.len()]);
                }
            },
        )
    }

    /// The time, milliseconds since 1970 UTC.
    pub fn now_ms(&self) -> i64 {
        (self.clock)()
    }

    /// A fresh nonce.
    pub fn nonce(&self) -> Nonce {
        let mut nonce = [0; 16];
        (self.random)(&mut nonce);
        Nonce(nonce)
    }

    /// Fills a buffer with random bytes.
    pub fn fill(&self, buffer: &mut [u8]) {
        (self.random)(buffer);
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sources(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_sequence_is_splitmix64_and_a_clock_of_seconds() {
        let sources = Sources::fixed(0x9E37_79B9_7F4A_7C15);
        assert_eq!([(); 3].map(|()| sources.now_ms()), [0, 1_000, 2_000]);
        // The published outputs for the seed 0, whose first state is the increment.
        let mut buffer = [0; 20];
        sources.fill(&mut buffer);
        let words: Vec<u64> = [&buffer[..8], &buffer[8..16]]
            .map(|word| u64::from_le_bytes(word.try_into().unwrap()))
            .to_vec();
        assert_eq!(words, [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4]);
        assert_eq!(buffer[16..], 0x06C4_5D18_8009_454F_u64.to_le_bytes()[..4]);
        assert_eq!(sources.nonce().0[..8], 0xF88B_B8A8_724C_81EC_u64.to_le_bytes());
        assert_eq!(format!("{sources:?}"), "Sources(..)");
    }

    #[test]
    #[cfg(feature = "redb")]
    fn the_system_tells_the_time_and_gives_no_nonce_twice() {
        let system = Sources::system();
        let (before, after) = (system.now_ms(), system.now_ms());
        assert!((1_700_000_000_000..=after).contains(&before), "{before} {after}");
        assert_ne!(system.nonce(), system.nonce());
    }
}
