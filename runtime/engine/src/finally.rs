//! What runs when a release is about to end, however it ends; and points of no return.
//!
//! A step of `finally` runs after all others are over, and after a rollback; it is not rolled back itself, and
//! it does not change how the release ends, save that a success with a failed one of them is a failure.

use windlass_model::event::{Event, Operation, Outcome};
use windlass_model::graph::StepIndex;
use windlass_model::time::Timestamp;

use crate::release::{Release, ReleaseState};
use crate::step::{Stage, StepState};

impl Release {
    /// Whether a step may go forward now: one of `finally` when all else is over, any other before.
    pub(crate) fn goes_forward(&self, index: StepIndex) -> bool {
        match self.state {
            ReleaseState::Running => !self.definition(index).finally,
            ReleaseState::Finishing { .. } => self.definition(index).finally,
            ReleaseState::Failing { .. }
            | ReleaseState::Canceling { .. }
            | ReleaseState::RollingBack { .. }
            | ReleaseState::Ended { .. } => false,
        }
    }

    /// All is decided: what runs last begins, or there is nothing of it.
    pub(crate) fn finish(&mut self, events: &mut Vec<Event>, outcome: Outcome, now: Timestamp) {
        if self.plan.workflow().steps.iter().any(|it| it.finally) {
            self.record(events, Event::FinallyStarted { outcome }, now);
        } else {
            self.end(events, outcome, now);
        }
    }

    /// Takes in that what runs last begins. What of it ran before runs again: the release ends anew.
    pub(crate) fn begin_finally(&mut self, outcome: Outcome) {
        self.state = ReleaseState::Finishing { outcome, canceled: false };
        self.end_pause();
        self.set_deadlines();
        if let Some(facts) = self.facts.as_object_mut() {
            facts.insert("outcome".to_owned(), outcome.word().into());
        }
        let plan = self.plan.clone();
        let last: Vec<StepIndex> = plan.graph().steps().filter(|it| plan.step(*it).finally).collect();
        for step in &last {
            self.begin_anew(*step);
            self.reset_fan(*step);
            self.unmet[step.as_usize()] = plan.graph().parents(*step).count() as u32;
        }
        self.ready = last.into_iter().filter(|it| self.unmet[it.as_usize()] == 0).collect();
    }

    /// How the release ends when nothing of what runs last can go on; none while something can.
    pub(crate) fn finished(&self) -> Option<Outcome> {
        let ReleaseState::Finishing { outcome, .. } = self.state else { return None };
        let is_last = |it: &&StepIndex| self.definition(**it).finally;
        if !self.active.is_empty() || !self.open_fans.is_empty() || self.attention.iter().any(|it| is_last(&it)) {
            return None;
        }
        let failed = self.plan.graph().steps().any(|it| {
            let failed = matches!(self.steps[it.as_usize()].state, StepState::Failed { tolerated: false, .. });
            self.plan.step(it).finally && failed
        });
        Some(if failed && outcome == Outcome::Succeeded { Outcome::Failed } else { outcome })
    }

    /// The step after which there is no way back, if it may have had its effect.
    pub fn pivot_passed(&self) -> Option<StepIndex> {
        let passed = |it: &StepIndex| {
            let run = &self.steps[it.as_usize()];
            run.called
                && match &run.state {
                    StepState::Succeeded | StepState::Canceled => true,
                    StepState::Active(activity) => {
                        let backs_off =
                            matches!(&activity.stage, Stage::Backoff { error, .. } if error.class.is_definite());
                        activity.operation == Operation::Start && !backs_off
                    }
                    StepState::Failed { error, .. } | StepState::Paused { error, .. } => !error.class.is_definite(),
                    StepState::FannedOut => true,
                    StepState::Waiting | StepState::Held { .. } | StepState::Skipped { .. } => false,
                    StepState::RolledBack | StepState::LeftInPlace | StepState::RollbackBlocked { .. } => false,
                }
        };
        let with_items = |step: StepIndex| {
            let items = self.items(step).map(|it| it.map(|(item, _)| item).collect::<Vec<_>>()).unwrap_or_default();
            std::iter::once(step).chain(items)
        };
        self.plan
            .graph()
            .steps()
            .filter(|it| self.plan.step(*it).pivot)
            .find(|it| with_items(*it).any(|it| passed(&it)))
    }
}
