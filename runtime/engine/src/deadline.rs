//! Deadlines of releases and phases, and how many failures a phase tolerates.
//!
//! A release's time begins when it does, and anew when steps run again after it had ended; a phase's begins
//! with the first of its steps. A deadline stands only while the release runs.

use windlass_model::actor::Actor;
use windlass_model::event::Event;
use windlass_model::graph::StepIndex;
use windlass_model::time::Timestamp;
use windlass_model::workflow::{Deadline, OnDeadline};

use crate::release::{DueKey, Pause, Release, ReleaseState};
use crate::step::StepState;

/// How a phase stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct PhaseRun {
    pub(crate) began_at: Option<Timestamp>,
    /// Steps that have not ended in a way that lets those after them run.
    pub(crate) unfinished: usize,
    /// Whether its deadline has passed, and was acted on.
    pub(crate) overdue: bool,
}

impl Release {
    /// Which phase a step belongs to, by its place.
    fn phase_of(&self, index: StepIndex) -> Option<usize> {
        let phase = self.definition(index).phase.as_ref()?;
        self.plan.workflow().phases.iter().position(|it| it == phase)
    }

    fn phase_deadline(&self, phase: usize) -> Option<Deadline> {
        let workflow = self.plan.workflow();
        workflow.rules(&workflow.phases[phase])?.deadline
    }

    /// Counts the phases' steps, when the release begins and when steps run again.
    pub(crate) fn begin_phases(&mut self, at: Timestamp) {
        self.running_since = at;
        self.late = false;
        self.overdue = None;
        let plan = self.plan.clone();
        let mut phases = vec![PhaseRun::default(); plan.workflow().phases.len()];
        for step in plan.graph().steps() {
            let run = &self.steps[step.as_usize()];
            let Some(phase) = self.phase_of(step) else { continue };
            phases[phase].unfinished += usize::from(!run.state.lets_dependents_run());
            phases[phase].began_at = [phases[phase].began_at, run.began_at].into_iter().flatten().min();
        }
        for phase in &mut phases {
            // One that had begun before has its whole time again.
            phase.began_at = phase.began_at.map(|_| at);
        }
        self.phases = phases;
        self.set_deadlines();
    }

    /// A step of a phase has begun.
    pub(crate) fn phase_begins(&mut self, index: StepIndex, at: Timestamp) {
        let Some(phase) = self.phase_of(index) else { return };
        if self.phases[phase].began_at.is_none() {
            self.phases[phase].began_at = Some(at);
            self.set_deadlines();
        }
    }

    /// A step of a phase has ended well enough.
    pub(crate) fn phase_goes_on(&mut self, index: StepIndex) {
        let Some(phase) = self.phase_of(index) else { return };
        self.phases[phase].unfinished -= 1;
        if self.phases[phase].unfinished == 0 {
            self.set_deadlines();
        }
    }

    /// Brings the timers of deadlines up to date.
    pub(crate) fn set_deadlines(&mut self) {
        self.timers.retain(|(_, key)| {
            !matches!(key, DueKey::ReleaseDeadline | DueKey::PhaseDeadline(_) | DueKey::RollbackObjective)
        });
        self.set_escalation();
        if let (ReleaseState::RollingBack { .. }, Some(due)) = (&self.state, self.rollback_due()) {
            self.timers.insert((due, DueKey::RollbackObjective));
        }
        if self.state != ReleaseState::Running {
            return;
        }
        if let Some(deadline) = self.plan.workflow().deadline.filter(|_| !self.late) {
            self.timers.insert((self.running_since + deadline.within, DueKey::ReleaseDeadline));
        }
        for (at, phase) in self.phases.iter().enumerate() {
            if phase.overdue || phase.unfinished == 0 {
                continue;
            }
            if let (Some(began_at), Some(deadline)) = (phase.began_at, self.phase_deadline(at)) {
                self.timers.insert((began_at + deadline.within, DueKey::PhaseDeadline(at)));
            }
        }
    }

    /// A deadline has passed: says so, and does what is to be done then.
    pub(crate) fn overdue(&mut self, events: &mut Vec<Event>, phase: Option<usize>, now: Timestamp) {
        let workflow = self.plan.workflow();
        let name = phase.map(|it| workflow.phases[it].clone());
        let deadline = match phase {
            Some(phase) => self.phase_deadline(phase),
            None => workflow.deadline,
        };
        let Some(deadline) = deadline else { return };
        self.record(events, Event::DeadlinePassed { phase: name }, now);
        let rollback = match deadline.then {
            // Nobody is asked.
            _ if self.is_dry_run() => false,
            OnDeadline::Pause => return,
            OnDeadline::Fail => false,
            // Past the point of no return there is only forward: a person says how.
            OnDeadline::Rollback if self.pivot_passed().is_some() => return,
            OnDeadline::Rollback => true,
        };
        self.record(events, Event::CancelingStarted { rollback }, now);
        self.stop_active_steps(events, now);
    }

    /// Takes in that a deadline has passed.
    pub(crate) fn take_overdue(&mut self, phase: Option<usize>, at: Timestamp) {
        let deadline = match phase {
            Some(phase) => {
                self.phases[phase].overdue = true;
                self.phase_deadline(phase)
            }
            None => {
                self.late = true;
                self.plan.workflow().deadline
            }
        };
        let what = match phase {
            Some(phase) => format!("phase {}", self.plan.workflow().phases[phase]),
            None => "the release".to_owned(),
        };
        let Some(deadline) = deadline else { return };
        let reason = format!("{what} took longer than its deadline of {}", deadline.within);
        let pauses = match deadline.then {
            _ if self.is_dry_run() => false,
            OnDeadline::Pause => true,
            OnDeadline::Rollback => self.pivot_passed().is_some(),
            OnDeadline::Fail => false,
        };
        if pauses && self.pause.is_none() {
            let by =
                Actor { name: "the deadline".to_owned(), groups: Vec::new(), authenticated: "workflow".to_owned() };
            self.pause = Some(Pause { by, reason: reason.clone(), since: at });
            self.set_all_timers();
        }
        self.overdue = Some(reason);
        self.set_deadlines();
    }

    /// When a phase has more failures than it tolerates: the whole story of it.
    pub(crate) fn threshold_crossed(&self, index: StepIndex) -> Option<(String, bool)> {
        self.phase_crossed(self.phase_of(index)?)
    }

    /// The first phase that had more failures than it tolerates, in words.
    pub(crate) fn phase_that_failed(&self) -> Option<String> {
        (0..self.phases.len()).find_map(|it| self.phase_crossed(it)).map(|(text, _)| text)
    }

    fn phase_crossed(&self, phase: usize) -> Option<(String, bool)> {
        let name = &self.plan.workflow().phases[phase];
        let threshold = self.plan.workflow().rules(name)?.threshold?;
        let mut all = 0;
        let mut failed = 0;
        for step in self.plan.graph().steps().filter(|it| self.phase_of(*it) == Some(phase)) {
            let items = self.items(step).into_iter().flatten().map(|(item, _)| item);
            let runs: Vec<StepIndex> = items.chain([step]).collect();
            // A step with items is counted by them, and by itself when it could make nothing of what they gave.
            all += (runs.len() - 1).max(1);
            let is_tolerated =
                |it: &&StepIndex| matches!(self.steps[it.as_usize()].state, StepState::Failed { tolerated: true, .. });
            failed += runs.iter().filter(is_tolerated).count();
        }
        let allowed = threshold.failures_allowed;
        let crossed = failed > allowed.of(all);
        crossed.then(|| (format!("phase {name}: {failed} of {all} failed, {allowed} may"), threshold.rollback))
    }
}
