//! What kind of days an installation lives through.

use windlass_simulation::dice::Dice;

/// What kind of days.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Profile {
    /// Calls in a thousand that do not simply end well.
    pub(crate) trouble: u64,
    /// Calls in a thousand in which the host itself panics.
    pub(crate) traps: u64,
    /// Appends in a thousand that fail.
    pub(crate) store: u64,
    /// Reads in a thousand that fail.
    pub(crate) reads: u64,
    /// Appends in a thousand that take long.
    pub(crate) slow: u64,
    /// Whether processes end.
    pub(crate) crashes: bool,
    /// How many happenings there are between two ends, at most.
    pub(crate) life: u64,
    /// Whether the wall clock is set, now and then.
    pub(crate) jumps: bool,
    /// Milliseconds between things that people do, at most.
    pub(crate) people: u64,
    /// How many things in a thousand that people do are not votes.
    pub(crate) meddling: u64,
    /// Whether people open and close breakers, and set them.
    pub(crate) breakers: bool,
    /// Calls side by side.
    pub(crate) calls_max: usize,
    /// Releases that are begun.
    pub(crate) releases: u64,
    /// How many of a thousand workflows hold others.
    pub(crate) nested: u64,
    /// How long the bad days last, in milliseconds.
    pub(crate) bad_days: u64,
    /// Whether some processes are asked to end, and end what they do.
    pub(crate) winds_down: bool,
}

impl Profile {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        Self {
            trouble: [0, 30, 120, 300, 550][dice.below(5) as usize],
            traps: [0, 0, 20, 80][dice.below(4) as usize],
            store: [0, 0, 20, 100][dice.below(4) as usize],
            reads: [0, 0, 20, 200][dice.below(4) as usize],
            slow: [0, 50, 50, 300][dice.below(4) as usize],
            crashes: dice.permille(600),
            life: [40, 200, 800][dice.below(3) as usize],
            jumps: dice.permille(250),
            people: [2_000, 20_000, 100_000][dice.below(3) as usize],
            meddling: [0, 100, 500][dice.below(3) as usize],
            breakers: dice.permille(300),
            calls_max: if dice.permille(150) { 2 } else { 512 },
            releases: dice.between(1, 4),
            nested: [0, 400, 1000][dice.below(3) as usize],
            bad_days: [60_000, 600_000, 3_600_000][dice.below(3) as usize],
            winds_down: dice.permille(400),
        }
    }
}
