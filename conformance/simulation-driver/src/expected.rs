//! What has to happen in any set of seeds that deserves trust.

use windlass_simulation::counts::Counts;

/// What has to happen.
pub const EXPECTED: &[&str] = &[];

/// What was to happen and never did.
pub fn missing(counts: &Counts) -> Vec<&'static str> {
    EXPECTED.iter().copied().filter(|it| counts.of(it) == 0).collect()
}
