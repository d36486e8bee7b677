//! Somebody goes round and looks whether every release is looked after.

use windlass_engine::{CallId, Release};
use windlass_model::name::ReleaseId;
use windlass_model::time::Timestamp;
use windlass_server::{Attended, Runtime};
use windlass_simulation::violation::{Violation, ensure};

use crate::shared::{Shared, State};

/// How long a runtime may take, where nothing is in its way.
const PATIENCE: u64 = 20_000;

/// How long a step may take to begin another release, or to ask it something, after the store last failed.
const NESTED_PATIENCE: u64 = 150_000;

/// How late a timer may be, because the clock was set: the runtime looks at it once a minute.
const TIMER_PATIENCE: u64 = 75_000;

/// How long a release whose record could not be written waits, and a little.
const RETRY_PATIENCE: u64 = 6_000;

impl Shared {
    /// Looks after those who look after releases.
    pub(crate) fn go_round(&self, runtime: &Runtime) -> Result<(), Violation> {
        let (passed, wall) = (self.clock.passed(), self.clock.wall());
        let ids: Vec<ReleaseId> = self.state().releases.keys().cloned().collect();
        for id in ids {
            let attended = runtime.attends(&id);
            self.state().look_at(&id, attended, passed, wall)?;
        }
        Ok(())
    }
}

impl State {
    /// Nobody who takes over has to ask what became of a call.
    pub(crate) fn is_wound_down(&self, runtime: &Runtime) -> Result<(), Violation> {
        let flight = self.flights.values().next();
        ensure(flight.is_none(), "no call goes on when all is wound down", || {
            flight.map(|it| format!("{}: {:?}", it.release, it.id)).unwrap_or_default()
        })?;
        for (id, seen) in &self.releases {
            let release = &seen.release;
            // What could not be written, and was parked for that, may have been going on; so may have what comes just now.
            let is_unsure = self.on_the_way.values().any(|it| it.release == *id)
                || runtime.attends(id) != Attended::Driven
                || self.troubled_at > seen.landed_at;
            let is_told = release.calls().next().is_none() || release.is_left_alone();
            ensure(is_told || is_unsure, "what was not begun is known not to have been", || {
                format!("{id}: {:?} was not begun, and nothing says so", release.calls().next())
            })?;
        }
        Ok(())
    }

    fn look_at(&mut self, id: &ReleaseId, attended: Attended, passed: u64, wall: Timestamp) -> Result<(), Violation> {
        let is_on_the_way = self.on_the_way.values().any(|it| it.release == *id);
        let troubled_at = self.troubled_at;
        let nothing_moves = self.on_the_way.is_empty() && passed.saturating_sub(troubled_at) > NESTED_PATIENCE;
        let is_free = self.profile.calls_max > 2;
        let made: Vec<CallId> = self.flights.values().filter(|it| it.release == *id).map(|it| it.id).collect();
        let Some(seen) = self.releases.get_mut(id) else { return Ok(()) };
        // What is not known yet is not judged.
        if is_on_the_way {
            return Ok(());
        }
        let quiet = passed.saturating_sub(seen.landed_at.max(troubled_at));
        let release = &seen.release;
        if !seen.is_open() {
            seen.alone_since = None;
            let is_left = attended != Attended::Driven || quiet < PATIENCE || !self.healed;
            return ensure(is_left, "nobody looks after what is over", || format!("{id} is {attended:?}"));
        }
        match attended {
            Attended::ByNobody => {
                let since = *seen.alone_since.get_or_insert(passed);
                let lately = since.max(seen.landed_at).max(troubled_at);
                return ensure(passed.saturating_sub(lately) < PATIENCE, "somebody looks after every release", || {
                    format!("{id} is {:?}, and nobody has looked after it for {} ms", release.state(), passed - since)
                });
            }
            Attended::Driven => {}
            Attended::Parked(until) => parked(release, until, wall, quiet)?,
        }
        seen.alone_since = None;
        if let Some(at) = release.wake_at() {
            let late = wall.since(at).0;
            ensure(late < TIMER_PATIENCE || quiet < TIMER_PATIENCE, "no timer is forgotten", || {
                format!("{id} was to wake {late} ms ago, and is {attended:?}: {:?}", release.due(wall))
            })?;
        }
        // Calls of steps that run a workflow are not made here, and wait for the other release's records.
        let missing = release.calls().find(|it| {
            let is_ours = release.definition(it.step).uses.action().is_some();
            if is_ours { !made.contains(it) } else { nothing_moves }
        });
        let is_fresh = quiet.min(passed.saturating_sub(seen.call_ended_at)) < PATIENCE;
        ensure(missing.is_none() || is_fresh || !is_free, "what should be going on goes on", || {
            format!("{id} is {attended:?}, and {missing:?} is not")
        })
    }
}

fn parked(release: &Release, until: Option<Timestamp>, wall: Timestamp, quiet: u64) -> Result<(), Violation> {
    let id = release.id();
    let soon = until.is_some_and(|it| it.since(wall).0 <= RETRY_PATIENCE);
    let is_busy = release.calls().next().is_some() || release.outcome().is_some();
    ensure(!is_busy || soon || quiet < PATIENCE, "nothing is parked that has something to do", || {
        format!("{id} is {:?}, and parked until {until:?}", release.state())
    })?;
    let in_time = match (release.wake_at(), until) {
        (None, _) => true,
        (Some(_), None) => false,
        // What waited for a store that failed waits longer where the clock was set back meanwhile.
        (Some(at), Some(until)) => until <= at || until.since(at).0 <= RETRY_PATIENCE || soon || quiet == 0,
    };
    ensure(in_time, "what is parked is woken in time", || {
        format!("{id} is to wake at {:?}, and parked until {until:?}", release.wake_at())
    })
}
