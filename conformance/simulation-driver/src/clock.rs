//! The machine that the runtime is on: its time is tokio's paused one, and its chance comes from the seed.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use windlass_model::time::Timestamp;
use windlass_server::clock::Machine;
use windlass_simulation::dice::Dice;

/// When it all begins, as the wall clock has it.
const BEGINNING: u64 = 1_700_000_000_000;

/// Looks at the clock without a moment passing: more than any driver needs.
const LOOKS_MAX: u64 = 2_000_000;

/// Time, over all processes.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    began: Mutex<Option<Instant>>,
    /// Milliseconds before the present process began.
    before: AtomicU64,
    /// By how much the wall clock is ahead.
    skew: AtomicI64,
    /// The latest that it showed before it was set.
    latest: AtomicU64,
}

impl Clock {
    /// A process begins. To be called within its tokio runtime.
    pub(crate) fn begin(&self) {
        *self.began.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// The process has ended. To be called within its tokio runtime; the time stands still until the next one begins, `downtime` later.
    pub(crate) fn end(&self, downtime: u64) {
        let passed = self.passed();
        *self.began.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.before.store(passed + downtime, Ordering::Relaxed);
    }

    /// Milliseconds that have passed.
    pub(crate) fn passed(&self) -> u64 {
        let began = *self.began.lock().unwrap_or_else(PoisonError::into_inner);
        let within = began.map_or(0, |it| u64::try_from(it.elapsed().as_millis()).unwrap_or(u64::MAX));
        self.before.load(Ordering::Relaxed).saturating_add(within)
    }

    /// What the wall clock shows.
    pub(crate) fn wall(&self) -> Timestamp {
        Timestamp((BEGINNING + self.passed()).saturating_add_signed(self.skew.load(Ordering::Relaxed)))
    }

    /// Sets the wall clock.
    pub(crate) fn jump(&self, by: i64) {
        self.latest.fetch_max(self.wall().0, Ordering::Relaxed);
        self.skew.fetch_add(by, Ordering::Relaxed);
    }

    /// How many milliseconds the wall clock is behind what it once showed: time stands still for releases until then.
    pub(crate) fn behind(&self) -> u64 {
        self.latest.load(Ordering::Relaxed).saturating_sub(self.wall().0)
    }
}

/// The machine.
pub(crate) struct Simulated {
    clock: Arc<Clock>,
    dice: RefCell<Dice>,
    /// How often somebody looked since time last passed.
    looks: Cell<(u64, u64)>,
}

impl Simulated {
    pub(crate) fn new(clock: Arc<Clock>, dice: Dice) -> Self {
        Self { clock, dice: RefCell::new(dice), looks: Cell::new((0, 0)) }
    }
}

impl Machine for Simulated {
    fn now(&self) -> Timestamp {
        let now = self.clock.wall();
        let (at, looks) = self.looks.get();
        let looks = if at == now.0 { looks + 1 } else { 0 };
        self.looks.set((now.0, looks));
        // Whoever goes in circles is stopped; without this the simulation would be, too.
        assert!(looks < LOOKS_MAX, "somebody goes in circles, and time does not pass");
        now
    }

    fn draw(&self) -> u64 {
        self.dice.borrow_mut().draw()
    }
}
