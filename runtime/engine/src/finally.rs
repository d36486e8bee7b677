//! What runs when a release is about to end, however it ends; and points of no return.
//!
//! A step of `finally` runs after all others are over, and after a rollback; it is not rolled back itself, and
//! it does not change how the release ends, save that a success with a failed one of them is a failure.

use windlass_model::event::{Event, Outcome};
use windlass_model::graph::StepIndex;
use windlass_model::time::Timestamp;

use crate::release::{Release, ReleaseState};
use crate::step::StepState;

impl Release {
    /// Whether a step may go forward now: one of `finally` when all else is over, any other before.
    pub(crate) fn goes_forward(&self, index: StepIndex) -> bool {
        match self.state {
            ReleaseState::Running => !self.definition(index).finally,
            ReleaseState::Finishing { canceled, .. } => self.definition(index).finally && !canceled,
            ReleaseState::Queued
            | ReleaseState::Failing { .. }
            | ReleaseState::Canceling { .. }
            | ReleaseState::RollingBack { .. }
            | ReleaseState::Ended { .. } => false,
        }
    }

    /// All is decided: what runs last begins, or there is nothing of it.
    pub(crate) fn finish(&mut self, events: &mut Vec<Event>, outcome: Outcome, now: Timestamp) {
        let problem = Some(outcome).filter(|it| *it == Outcome::Succeeded).and_then(|_| self.outputs_problem());
        let outcome = if problem.is_some() { Outcome::Failed } else { outcome };
        if let Some(problem) = problem {
            self.record(events, Event::OutputsRefused { problem }, now);
        }
        if self.plan.workflow().steps.iter().any(|it| it.finally) {
            self.record(events, Event::FinallyStarted { outcome }, now);
        } else {
            self.end(events, outcome, now);
        }
    }

    /// What is wrong with what the release would give now. A rehearsal leaves steps out, and what they would
    /// give; of what is made up in a dry run nothing can be told.
    fn outputs_problem(&self) -> Option<String> {
        let workflow = self.plan.workflow();
        let is_told = |name: &str| {
            let is_made_up = workflow.outputs.get(name).is_some_and(|it| self.template_reads_made_up(it));
            !self.created.rehearsal && !is_made_up
        };
        workflow.output_types.iter().filter(|(name, _)| is_told(name)).find_map(|(name, declared)| {
            match self.with_scope(|scope| workflow.outputs.get(name).map(|it| it.evaluate(scope)))? {
                Ok(value) => {
                    let problem = declared.problems(&value).into_iter().next()?;
                    Some(format!("output `{name}` is not what it is declared to be: {problem}"))
                }
                Err(error) => Some(format!("output `{name}` has no value: {error}")),
            }
        })
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
            // Who said before its turn that it is to be skipped is heard.
            let run = &mut self.steps[step.as_usize()];
            let passed_over = run.passed_over.take().filter(|_| run.state == StepState::Waiting);
            self.begin_anew(*step);
            self.steps[step.as_usize()].passed_over = passed_over;
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

    /// The step after which there is no way back, if it had its effect, or may have had it.
    pub fn pivot_passed(&self) -> Option<StepIndex> {
        self.pivot_passed_but_for(None)
    }

    /// The same, when what this step, or item, does now is known to come to nothing.
    pub(crate) fn pivot_passed_but_for(&self, settled: Option<StepIndex>) -> Option<StepIndex> {
        if self.is_dry_run() {
            return None;
        }
        let stands = |it: StepIndex| {
            let run = &self.steps[it.as_usize()];
            run.stood || run.stands && settled != Some(it)
        };
        let passed = |step: &StepIndex| {
            let runs = self.fans.get(step).map(|it| it.runs.as_slice()).unwrap_or_default();
            stands(*step) || runs.iter().any(|it| stands(*it))
        };
        self.plan.graph().steps().filter(|it| self.plan.step(*it).pivot).find(passed)
    }
}
