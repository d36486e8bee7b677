//! What all of the simulation knows: the store's content, what was seen, and the first rule that was broken.
//!
//! **Invariant:** nobody waits while holding the state's lock, and nothing is dropped under it that takes it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use windlass_model::digest::Digest;
use windlass_model::name::ReleaseId;
use windlass_model::plan::Plan;
use windlass_server::Runtime;
use windlass_simulation::counts::Counts;
use windlass_simulation::dice::Dice;
use windlass_simulation::violation::Violation;
use windlass_store::{Append, MemoryStore};

use crate::breaking::Failed;
use crate::clock::Clock;
use crate::profile::Profile;
use crate::seen::Seen;
use crate::sharing::Sharing;

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Nothing.
    Quick,
    /// Everything.
    Story,
}

/// All that is known.
pub(crate) struct Shared {
    pub(crate) clock: Arc<Clock>,
    /// What really is on the disk.
    pub(crate) disk: MemoryStore,
    /// Told when the process is to end.
    pub(crate) ends: Notify,
    /// Told when it is to end, and may take its time.
    pub(crate) winds_down: Notify,
    state: Mutex<State>,
}

/// See [`Shared`].
pub(crate) struct State {
    pub(crate) dice: Dice,
    pub(crate) profile: Profile,
    pub(crate) sharing: Sharing,
    pub(crate) sharing_dice: Dice,
    pub(crate) detail: Detail,
    pub(crate) story: String,
    pub(crate) counts: Counts,
    pub(crate) violation: Option<Violation>,
    /// From when on the world is willing.
    pub(crate) healed: bool,
    /// The process has ended, whatever its tasks still do.
    pub(crate) dead: bool,
    /// After so many happenings it ends.
    pub(crate) life: Option<u64>,
    /// Whether it is asked to end then, and not killed.
    pub(crate) is_asked: bool,
    pub(crate) releases: BTreeMap<ReleaseId, Seen>,
    pub(crate) plans: BTreeMap<Digest, Arc<Plan>>,
    /// Appends on their way to the disk, in their order.
    pub(crate) on_the_way: BTreeMap<u64, Append>,
    pub(crate) flights: BTreeMap<u64, crate::calls::Flight>,
    pub(crate) failed: Failed,
    pub(crate) number: u64,
    /// When something last happened after which things take a while: in milliseconds that have passed.
    pub(crate) troubled_at: u64,
    /// Since when everything is held, for certain.
    pub(crate) tripped: Option<u64>,
    /// How often somebody began to close the breaker that holds everything.
    pub(crate) closings: u64,
    /// When what is live of each service was last about to change: in milliseconds that have passed.
    pub(crate) services_changed: BTreeMap<String, u64>,
    pub(crate) runtime: Option<Runtime>,
}

impl Shared {
    pub(crate) fn new(seed: u64, detail: Detail) -> Self {
        let profile = Profile::new(&mut Dice::new(seed, 12));
        let state = State {
            dice: Dice::new(seed, 13),
            profile,
            sharing: Sharing::new(&mut Dice::new(seed, 15)),
            sharing_dice: Dice::new(seed, 16),
            detail,
            story: String::new(),
            counts: Counts::default(),
            violation: None,
            healed: false,
            dead: false,
            life: None,
            is_asked: false,
            releases: BTreeMap::new(),
            plans: BTreeMap::new(),
            on_the_way: BTreeMap::new(),
            flights: BTreeMap::new(),
            failed: Failed::default(),
            number: 0,
            troubled_at: 0,
            tripped: None,
            closings: 0,
            services_changed: BTreeMap::new(),
            runtime: None,
        };
        Self {
            clock: Arc::default(),
            disk: MemoryStore::new(),
            ends: Notify::new(),
            winds_down: Notify::new(),
            state: Mutex::new(state),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tell(&self, line: impl FnOnce() -> String) {
        let passed = self.clock.passed();
        let mut state = self.state();
        if state.detail == Detail::Story {
            // Writing into a text cannot fail.
            let _ = writeln!(state.story, "{:>9.3}  {}", passed as f64 / 1000.0, line());
        }
    }

    pub(crate) fn count(&self, what: &'static str) {
        self.state().counts.add(what);
    }

    /// Ends everything if a rule was broken.
    pub(crate) fn judge(&self, judged: Result<(), Violation>) {
        let Err(violation) = judged else { return };
        self.tell(|| format!("BROKEN: {violation}"));
        let mut state = self.state();
        state.violation.get_or_insert(violation);
        state.dead = true;
        self.ends.notify_one();
    }

    /// Something happened, after which the process may end.
    pub(crate) fn happened(&self) {
        let mut state = self.state();
        if state.dead {
            return;
        }
        let Some(life) = &mut state.life else { return };
        *life = life.saturating_sub(1);
        if *life > 0 {
            return;
        }
        state.life = None;
        if state.is_asked {
            self.winds_down.notify_one();
        } else {
            state.dead = true;
            self.ends.notify_one();
        }
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// Things may take a while from here.
    pub(crate) fn troubled(&self) {
        self.troubled_for(0);
    }

    /// What waits for a time waits so many milliseconds longer.
    pub(crate) fn delayed(&self, milliseconds: u64) {
        let passed = self.clock.passed();
        let mut state = self.state();
        state.troubled_at = state.troubled_at.max(passed) + milliseconds;
    }

    /// Things may take a while when so many milliseconds have passed.
    pub(crate) fn troubled_for(&self, milliseconds: u64) {
        let until = self.clock.passed() + milliseconds;
        let mut state = self.state();
        state.troubled_at = state.troubled_at.max(until);
    }
}

impl State {
    pub(crate) fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// A share of a thousand, while days are bad.
    pub(crate) fn misfortune(&mut self, permille: u64) -> bool {
        !self.healed && self.dice.permille(permille)
    }
}
