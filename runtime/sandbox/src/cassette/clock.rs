//! Clocks and randomness that can be had again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};
use wasmtime_wasi::random::Deterministic;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

use super::Recorder;

/// Bytes of randomness before it begins anew: more than a plugin draws.
const RANDOM_BYTES: usize = 64 * 1024;

/// What a played clock goes on by when the recording has no more readings.
const STEP: Duration = Duration::from_millis(1);

/// Randomness of a seed. Without the seed it cannot be told from any other.
pub(crate) struct Seeded;

impl Seeded {
    /// A seed that nobody can guess.
    pub(crate) fn seed() -> [u8; 16] {
        let mut seed = [0; 16];
        let provider = rustls::crypto::ring::default_provider();
        provider.secure_random.fill(&mut seed).expect("the system has randomness");
        seed
    }

    /// A generator of its own for each purpose.
    pub(crate) fn of(seed: &[u8], purpose: u8) -> Deterministic {
        Deterministic::new(Self::bytes(seed, purpose))
    }

    fn bytes(seed: &[u8], purpose: u8) -> Vec<u8> {
        let blocks = (0..RANDOM_BYTES / 32).map(|block| {
            let mut hash = Sha256::new();
            hash.update(seed);
            hash.update([purpose]);
            hash.update((block as u64).to_be_bytes());
            hash.finalize()
        });
        blocks.flat_map(|it| it.to_vec()).collect()
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The wall clock, written down.
pub(crate) struct RecordedClock(pub(crate) Arc<Recorder>);

impl HostWallClock for RecordedClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }
    fn now(&self) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.0.wall(nanos(now));
        now
    }
}

/// The other clock, written down. It begins at 1: Go's runtime takes zero for a clock that is broken.
pub(crate) struct RecordedMonotonic(pub(crate) Arc<Recorder>, pub(crate) Instant);

impl HostMonotonicClock for RecordedMonotonic {
    fn resolution(&self) -> u64 {
        1
    }
    fn now(&self) -> u64 {
        let now = nanos(self.1.elapsed()).saturating_add(1);
        self.0.monotonic(now);
        now
    }
}

/// Readings one after the other, and then on from the last.
struct Readings {
    left: std::collections::VecDeque<u64>,
    last: u64,
}

impl Readings {
    fn new(readings: &[u64], first: u64) -> Mutex<Self> {
        Mutex::new(Self { left: readings.iter().copied().collect(), last: first })
    }

    fn next(readings: &Mutex<Self>) -> u64 {
        let mut readings = readings.lock().unwrap_or_else(PoisonError::into_inner);
        readings.last = readings.left.pop_front().unwrap_or(readings.last.saturating_add(nanos(STEP)));
        readings.last
    }
}

/// A wall clock that says what was written down.
pub(crate) struct PlayedClock(Mutex<Readings>);

impl PlayedClock {
    pub(crate) fn new(readings: &[u64]) -> Self {
        Self(Readings::new(readings, 0))
    }
}

impl HostWallClock for PlayedClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }
    fn now(&self) -> Duration {
        Duration::from_nanos(Readings::next(&self.0))
    }
}

/// The other clock, as it was written down.
pub(crate) struct PlayedMonotonic(Mutex<Readings>);

impl PlayedMonotonic {
    pub(crate) fn new(readings: &[u64]) -> Self {
        Self(Readings::new(readings, 1))
    }
}

impl HostMonotonicClock for PlayedMonotonic {
    fn resolution(&self) -> u64 {
        1
    }
    fn now(&self) -> u64 {
        Readings::next(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_is_the_same_randomness_and_no_other_is() {
        let seed = Seeded::seed();
        assert_eq!(Seeded::bytes(&seed, 1), Seeded::bytes(&seed, 1));
        assert_ne!(Seeded::bytes(&seed, 1), Seeded::bytes(&seed, 2));
        let other = Seeded::seed();
        assert!(seed != other && Seeded::bytes(&seed, 1) != Seeded::bytes(&other, 1));
        let bytes = Seeded::bytes(&seed, 1);
        assert!(bytes.len() == RANDOM_BYTES && bytes[..32] != bytes[32..64]);
    }
}
