//! What holds after every record.

use windlass_model::graph::StepIndex;

use super::{Phase, Stage, State, Witness, gate};
use crate::violation::{Violation, ensure};

const FORGOTTEN: &str = "no step is forgotten";
const ENDS: &str = "a release ends";

impl Witness {
    pub(super) fn rest(&self) -> Result<(), Violation> {
        self.no_callback_is_forgotten()?;
        for (step, doing) in self.active() {
            ensure(doing.stage != Stage::Stopped, "a cancel settles what it stopped", || {
                format!("{} was stopped, and nothing follows", self.name(step))
            })?;
            if self.is_item(step) {
                let fan = &self.seen(self.of(step)).state;
                let fits = *fan == State::FannedOut || self.phase == Phase::RollingBack;
                ensure(fits, "items run while their step does", || format!("{} is {fan:?}", self.name(step)))?;
            }
        }
        let idle = self.active().next().is_none();
        match self.phase {
            Phase::Queued => {
                let has_begun = |it: &StepIndex| self.seen(*it).state != State::Waiting;
                ensure(!self.all().any(|it| has_begun(&it)), "nothing begins before its turn", || {
                    let names: Vec<String> = self.all().filter(has_begun).map(|it| self.name(it).to_string()).collect();
                    names.join(", ")
                })?;
            }
            Phase::Running => {
                self.nothing_is_forgotten()?;
                let mut done = true;
                for step in self.planned().filter(|it| !self.definition(*it).finally) {
                    let state = &self.seen(step).state;
                    done &= state.lets_dependents_run();
                    ensure(
                        !matches!(state, State::Failed { tolerated: false } | State::Canceled),
                        "a failure has consequences",
                        || format!("{} is {}, and the release runs on", self.name(step), state.name()),
                    )?;
                }
                ensure(!done, ENDS, || "every step has ended, the release has not".to_owned())?;
                self.no_phase_has_too_many_failures()?;
            }
            Phase::Failing { .. } | Phase::Canceling { .. } => {
                ensure(!idle, ENDS, || format!("it is {:?}, and nothing goes on that it could wait for", self.phase))?
            }
            Phase::RollingBack => {
                for step in &self.rollback {
                    let state = &self.seen(*step).state;
                    let moves =
                        matches!(state, State::Active(_) | State::Blocked(_) | State::RolledBack | State::LeftInPlace);
                    ensure(moves || !self.is_free_for_rollback(*step), FORGOTTEN, || {
                        format!("it is the turn of {} to be rolled back, and it is {}", self.name(*step), state.name())
                    })?;
                }
                let settled = |it: &StepIndex| matches!(self.seen(*it).state, State::RolledBack | State::LeftInPlace);
                ensure(!self.rollback.iter().all(settled), ENDS, || {
                    "all is rolled back, and the release goes on".to_owned()
                })?;
            }
            Phase::Finishing { canceled: true, .. } => ensure(!idle, ENDS, || {
                "what ran last was canceled, nothing goes on, and the release does not end".to_owned()
            })?,
            Phase::Finishing { .. } => {
                self.nothing_is_forgotten()?;
                let mut last = self.all().filter(|it| self.definition(*it).finally);
                let moves = last
                    .any(|it| matches!(self.seen(it).state, State::Active(_) | State::Paused(_) | State::Held { .. }));
                ensure(moves, ENDS, || "what runs last is over, the release is not".to_owned())?;
            }
            Phase::Ended(_) => {
                ensure(idle, "nothing goes on after the end", || {
                    let names: Vec<_> = self.active().map(|(it, _)| self.name(it).to_string()).collect();
                    format!("{} are active", names.join(", "))
                })?;
                let open = self.planned().find(|it| self.seen(*it).state == State::FannedOut);
                ensure(open.is_none(), "nothing goes on after the end", || format!("{open:?} runs for its items"))?;
            }
        }
        ensure(!self.paused || self.phase == Phase::Running, "only a release that runs is paused", || {
            format!("{:?}", self.phase)
        })?;
        // A step is looked at once, and rolled back once; all else was brought by an input of its own.
        let bound = 6 * self.records + 8 * self.work + 2 * self.interrupted;
        ensure(self.events <= bound, "a journal grows with the work done", || {
            format!("{} events in {} records for {} beginnings", self.events, self.records, self.work)
        })
    }

    /// Whatever may go on, does.
    fn nothing_is_forgotten(&self) -> Result<(), Violation> {
        if self.paused {
            return Ok(());
        }
        for step in self.planned().filter(|it| self.goes_forward(*it)) {
            let (seen, definition) = (self.seen(step), self.definition(step));
            match &seen.state {
                State::Waiting => ensure(!self.may_start(step), FORGOTTEN, || {
                    format!("{} could start, and nobody looks at it", self.name(step))
                })?,
                State::Held { until: None } => {
                    let voters: Vec<_> = seen.votes.iter().map(|(it, _)| it).collect();
                    let open = gate::are_enough(definition, &voters, &self.created.requested_by);
                    ensure(!open, FORGOTTEN, || format!("all gates of {} are open", self.name(step)))?;
                }
                State::FannedOut => self.no_item_is_forgotten(step)?,
                _ => {}
            }
        }
        Ok(())
    }
}
