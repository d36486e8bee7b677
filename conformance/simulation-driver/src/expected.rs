//! What has to happen in any set of seeds that deserves trust.

use windlass_simulation::counts::Counts;

/// What has to happen.
pub const EXPECTED: &[&str] = &[
    "attempt: checkpoint",
    "attempt: suspended",
    "attempt: the host panicked",
    "attempt: timed out",
    "breaker: a call was held",
    "breaker: a held call was let through",
    "breaker: closed by somebody",
    "breaker: opened by somebody",
    "breaker: set",
    "call: a checkpoint came after its end",
    "call: cancel",
    "call: cut off, its effect had happened",
    "call: cut off, its effect had not happened",
    "call: find",
    "call: hangs",
    "call: resume",
    "call: rollback",
    "call: start",
    "callback: kept",
    "callback: refused",
    "callback: taken",
    "callback: the store failed",
    "clock: jumped ahead",
    "clock: jumped back",
    "driver: took over calls that were cut off",
    "people: canceled",
    "people: could not begin a release",
    "people: intervened",
    "people: voted",
    "people: watched a release",
    "people: were heard",
    "people: were refused",
    "people: were told that the store fails",
    "process: ended",
    "process: ended, its record was durable",
    "process: ended, its record was not durable",
    "release: begun",
    "release: begun inside of another one",
    "release: canceled",
    "release: failed",
    "release: partially rolled back",
    "release: rolled back",
    "release: succeeded",
    "release: told the outer one",
    "step: resumed by a callback",
    "step: resumed by its timer",
    "store: a read failed",
    "store: append failed, but written",
    "store: append failed, nothing written",
    "store: append never answered",
];

/// What was to happen and never did.
pub fn missing(counts: &Counts) -> Vec<&'static str> {
    EXPECTED.iter().copied().filter(|it| counts.of(it) == 0).collect()
}
