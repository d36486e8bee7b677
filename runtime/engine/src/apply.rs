//! The one function that changes a release.

use std::sync::Arc;

use windlass_model::cause::RollbackCause;
use windlass_model::event::{Event, Intervention, Operation, Outcome};
use windlass_model::graph::StepIndex;
use windlass_model::name::StepName;
use windlass_model::plan::Pin;
use windlass_model::time::Timestamp;

use crate::release::{DueKey, Pause, Release, ReleaseState, RollbackRun};
use crate::review::GivenCause;
use crate::step::{PassedOver, Stage, StepState};
use crate::transition::{after, name_of};

/// An event that does not fit the state before it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum IllegalEvent {
    /// The plan has no such step.
    #[error("there is no step `{0}`")]
    UnknownStep(StepName),
    /// The step cannot get there from where it is.
    #[error("step `{step}` was {state}: {event} cannot follow")]
    Step {
        /// Which.
        step: StepName,
        /// Where it stood.
        state: &'static str,
        /// What came.
        event: &'static str,
    },
    /// The release cannot get there from where it is.
    #[error("the release was {state}: {event} cannot follow")]
    Release {
        /// Where it stood.
        state: &'static str,
        /// What came.
        event: &'static str,
    },
}

impl Release {
    /// Takes a recorded fact in.
    pub(crate) fn apply(&mut self, event: &Event, at: Timestamp) -> Result<(), IllegalEvent> {
        self.updated_at = at;
        self.left_alone = *event == Event::LeftAlone;
        match event {
            Event::LeftAlone => {}
            Event::ParentTold if self.is_untold() => self.parent_told = true,
            Event::Admitted if self.is_queued() => self.take_admission(at),
            Event::Admitted => return Err(self.illegal("an admission")),
            Event::Superseded { by } if self.is_queued() => self.superseded_by = Some(by.clone()),
            Event::Superseded { .. } => return Err(self.illegal("a newer one in its stead")),
            Event::ParentTold => return Err(self.illegal("a word to the release it is a part of")),
            Event::ReleaseCreated(_) => {
                return Err(IllegalEvent::Release { state: self.state.name(), event: "a second creation" });
            }
            Event::Intervened { actor, reason, intervention } => match intervention {
                Intervention::Pause => {
                    self.pause = Some(Pause { by: actor.clone(), reason: reason.clone(), since: at });
                    self.set_all_timers();
                }
                Intervention::Resume => {
                    self.pause = None;
                    self.set_all_timers();
                }
                Intervention::Skip { step, output } => {
                    let index = self.index_of(step).ok_or_else(|| IllegalEvent::UnknownStep(step.clone()))?;
                    let run = &mut self.steps[index.as_usize()];
                    if run.state == StepState::Waiting {
                        let output = output.clone().map(Arc::new);
                        run.passed_over = Some(PassedOver { by: actor.clone(), reason: reason.clone(), output });
                    }
                }
                Intervention::RetryWith { step, pin } => {
                    let index = self.index_of(step).ok_or_else(|| IllegalEvent::UnknownStep(step.clone()))?;
                    self.pins.insert(index, Pin::clone(pin));
                }
                // Whatever deadline passed before, it is a person who stops it.
                Intervention::Cancel { .. } | Intervention::Rollback => {
                    self.decide_question(actor, reason, true, at);
                    self.overdue = None;
                    self.asked_for_rollback = Some(format!("{actor}: {reason}"));
                }
                Intervention::Keep => self.decide_question(actor, reason, false, at),
                // What follows from these is in events of their own.
                Intervention::Retry { .. }
                | Intervention::RunAgain { .. }
                | Intervention::ReplaceOutput { .. }
                | Intervention::SettleRollback { .. } => {}
            },
            Event::StepsReset { steps } => self.reset(steps, at)?,
            Event::DeadlinePassed { phase } => {
                let place = |it| self.plan.workflow().phases.iter().position(|phase| phase == it);
                match (self.state == ReleaseState::Running, phase.as_ref().map(place)) {
                    (false, _) | (true, Some(None)) => return Err(self.illegal("the passing of a deadline")),
                    (true, phase) => self.take_overdue(phase.flatten(), at),
                }
            }
            Event::FinallyStarted { outcome } => match self.state {
                ReleaseState::Running
                | ReleaseState::Failing { .. }
                | ReleaseState::Canceling { .. }
                | ReleaseState::RollingBack { .. } => {
                    self.end_rollback(at);
                    self.begin_finally(*outcome);
                }
                _ => return Err(self.illegal("what runs last")),
            },
            Event::FailingStarted { step, rollback } => match self.state {
                ReleaseState::Running | ReleaseState::Failing { .. } => {
                    self.state = ReleaseState::Failing { step: step.clone(), rollback: *rollback };
                    self.end_pause();
                    self.set_deadlines();
                }
                _ => return Err(self.illegal("the start of failing")),
            },
            Event::CancelingStarted { rollback } => match self.state {
                ReleaseState::Running | ReleaseState::Failing { .. } => {
                    self.state = ReleaseState::Canceling { rollback: *rollback };
                    self.end_pause();
                    self.set_deadlines();
                }
                ReleaseState::Finishing { outcome, .. } if !rollback => {
                    self.state = ReleaseState::Finishing { outcome, canceled: true };
                }
                _ => return Err(self.illegal("the start of canceling")),
            },
            Event::RollbackStarted { trigger } => match self.state {
                ReleaseState::Running
                | ReleaseState::Failing { .. }
                | ReleaseState::Canceling { .. }
                | ReleaseState::Ended { outcome: Outcome::Succeeded | Outcome::Failed | Outcome::Canceled, .. } => {
                    self.state = ReleaseState::RollingBack { trigger: trigger.clone() };
                    let trigger = trigger.clone();
                    self.rollback = Some(RollbackRun { trigger, began_at: at, ended_at: None, is_overdue: false });
                    self.end_pause();
                    self.end_question();
                    self.rolls_back_at_end = false;
                    self.set_deadlines();
                    self.begin_rollback();
                }
                _ => return Err(self.illegal("the start of a rollback")),
            },
            Event::OutputsRefused { problem } if self.state == ReleaseState::Running => {
                self.outputs_refused = Some(problem.clone());
            }
            Event::OutputsRefused { .. } => return Err(self.illegal("a refusal of its outputs")),
            Event::RollbackOverdue => match (&self.state, &mut self.rollback) {
                (ReleaseState::RollingBack { .. }, Some(rollback)) => {
                    rollback.is_overdue = true;
                    self.set_deadlines();
                }
                _ => return Err(self.illegal("a rollback that takes too long")),
            },
            Event::AlertTaken { alert, then } => match self.state {
                ReleaseState::Queued | ReleaseState::Canceling { .. } | ReleaseState::RollingBack { .. } => {
                    return Err(self.illegal("an alert"));
                }
                _ => self.note_alert(alert, *then, at),
            },
            Event::Escalated { .. } if self.take_escalation(at) => {}
            Event::Escalated { .. } => return Err(self.illegal("an escalation")),
            Event::CauseGiven { actor, cause } if self.rollback.is_some() => {
                self.cause = Some(GivenCause { by: actor.clone(), at, cause: RollbackCause::clone(cause) });
            }
            Event::CauseGiven { .. } => return Err(self.illegal("the cause of a rollback")),
            Event::ReleaseEnded { outcome, outputs } => match self.state {
                ReleaseState::Ended { .. } => return Err(self.illegal("another end")),
                _ => {
                    self.end_rollback(at);
                    self.state = ReleaseState::Ended { outcome: *outcome, outputs: outputs.clone() };
                    self.parent_told = false;
                    self.pause = None;
                    self.ended_at = Some(at);
                    self.rolls_back_at_end &= *outcome == Outcome::Succeeded;
                    if !matches!(outcome, Outcome::Succeeded | Outcome::Failed) {
                        self.question = None;
                    }
                    self.ready.clear();
                    self.rollback_ready.clear();
                    self.timers.clear();
                    self.timers_of.clear();
                    self.set_escalation();
                }
            },
            Event::StepHeld { .. }
            | Event::DelayOver { .. }
            | Event::Voted { .. }
            | Event::StepSkipped { .. }
            | Event::AttemptStarted { .. }
            | Event::Suspended { .. }
            | Event::Resumed { .. }
            | Event::CheckpointRecorded { .. }
            | Event::CallInterrupted { .. }
            | Event::EffectNotFound { .. }
            | Event::AttemptSucceeded { .. }
            | Event::AttemptFailed { .. }
            | Event::AttemptTimedOut { .. }
            | Event::OutputGiven { .. }
            | Event::RollbackSettled { .. }
            | Event::FannedOut { .. }
            | Event::Joined { .. }
            | Event::StepCanceled { .. }
            | Event::CallbackKept { .. }
            | Event::CallHeld { .. }
            | Event::CallLetThrough { .. } => self.apply_to_step(event, at)?,
            Event::GatesLeftOut { .. } | Event::InputUnknown { .. } | Event::DryRunTold { .. } if self.is_dry_run() => {
                self.apply_to_step(event, at)?;
            }
            Event::GatesLeftOut { .. } | Event::InputUnknown { .. } | Event::DryRunTold { .. } => {
                return Err(self.illegal("what only a dry run has"));
            }
        }
        Ok(())
    }

    fn illegal(&self, event: &'static str) -> IllegalEvent {
        IllegalEvent::Release { state: self.state.name(), event }
    }

    fn apply_to_step(&mut self, event: &Event, at: Timestamp) -> Result<(), IllegalEvent> {
        let name = event.step().expect("only events about a step come here");
        let index = self.index_of(name).ok_or_else(|| IllegalEvent::UnknownStep(name.clone()))?;
        if let Event::FannedOut { items, .. } = event {
            if self.is_item(index) || self.definition(index).for_each.is_none() {
                return Err(IllegalEvent::Step { step: name.clone(), state: "one run", event: name_of(event) });
            }
            self.begin_fan(index, items);
        }
        let joined = match event {
            Event::Joined { output: None, .. } => Some(self.joined(index)),
            _ => None,
        };
        let run = &mut self.steps[index.as_usize()];
        run.output = joined.map(Arc::new).or(run.output.take());
        let before = run.state.name();
        let ran_on = run.state.lets_dependents_run();
        let old = std::mem::replace(&mut run.state, StepState::Waiting);
        run.state = after(run, old, event, at).map_err(|event| IllegalEvent::Step {
            step: name.clone(),
            state: before,
            event,
        })?;
        run.callbacks.take(event);
        self.note_made_up(index, event);
        let run = &mut self.steps[index.as_usize()];
        run.count(event);
        if !run.may_be_called_back() {
            run.callbacks.clear();
        }
        self.index(index, ran_on, at);
        Ok(())
    }

    /// Brings what is derived from the state of a step up to date.
    fn index(&mut self, index: StepIndex, ran_on: bool, at: Timestamp) {
        let run = &self.steps[index.as_usize()];
        let keep = |set: &mut std::collections::BTreeSet<StepIndex>, member: bool| {
            if member {
                set.insert(index)
            } else {
                set.remove(&index)
            };
        };
        keep(&mut self.active, run.state.activity().is_some());
        keep(&mut self.attention, run.state.needs_a_person());
        keep(&mut self.open_fans, run.state == StepState::FannedOut);
        self.ready.remove(&index);
        self.rollback_ready.remove(&index);
        self.set_timers(index);
        let run = &mut self.steps[index.as_usize()];
        let runs_on = run.state.lets_dependents_run();
        let began = run.began_at == Some(at);
        let rolled_back = matches!(run.state, StepState::RolledBack | StepState::LeftInPlace);
        if runs_on && !ran_on {
            run.ended_at = Some(at);
        }
        if self.is_item(index) {
            self.place_item(index);
        } else if runs_on && !ran_on {
            if !self.definition(index).finally {
                self.unfinished -= 1;
            }
            self.phase_goes_on(index);
            for child in self.plan.clone().graph().children(index) {
                let unmet = &mut self.unmet[child.as_usize()];
                *unmet -= 1;
                if *unmet == 0 && self.steps[child.as_usize()].state == StepState::Waiting {
                    self.ready.insert(child);
                }
            }
        }
        if began {
            self.phase_begins(index, at);
        }
        if rolled_back {
            self.settle_in_rollback(index);
        }
    }

    /// Takes steps back to their beginning; what they did stays done.
    fn reset(&mut self, names: &[StepName], at: Timestamp) -> Result<(), IllegalEvent> {
        let had_ended = self.outcome().is_some();
        match self.state {
            ReleaseState::Running | ReleaseState::Ended { outcome: Outcome::Failed | Outcome::Canceled, .. } => {}
            _ => return Err(self.illegal("a new run of steps")),
        }
        self.state = ReleaseState::Running;
        self.outputs_refused = None;
        for name in names {
            let index = self.index_of(name).ok_or_else(|| IllegalEvent::UnknownStep(name.clone()))?;
            let run = &self.steps[index.as_usize()];
            if run.state.activity().is_some() {
                let (step, state) = (name.clone(), run.state.name());
                return Err(IllegalEvent::Step { step, state, event: "a new run" });
            }
            self.begin_anew(index);
            if self.is_item(index) {
                self.reopen_fan(index);
            } else {
                self.reset_fan(index);
            }
        }
        let plan = self.plan.clone();
        // What runs last has its turn again when the release ends again.
        for step in plan.graph().steps().filter(|it| had_ended && plan.step(*it).finally) {
            self.begin_anew(step);
            self.reset_fan(step);
        }
        let lets_run = |index: StepIndex| self.steps[index.as_usize()].state.lets_dependents_run();
        let mut unmet = vec![0; plan.graph().len()];
        for step in plan.graph().steps() {
            unmet[step.as_usize()] = plan.graph().parents(step).filter(|it| !lets_run(*it)).count() as u32;
        }
        let forward = || plan.graph().steps().filter(|it| !plan.step(*it).finally);
        self.unfinished = forward().filter(|it| !lets_run(*it)).count();
        let is_ready =
            |it: &StepIndex| unmet[it.as_usize()] == 0 && self.steps[it.as_usize()].state == StepState::Waiting;
        self.ready = forward().filter(is_ready).collect();
        self.unmet = unmet;
        if let Some(facts) = self.facts.as_object_mut() {
            facts.remove("outcome");
        }
        // An end took all timers away; a step that is held goes on waiting.
        for index in self.attention.clone() {
            self.set_timers(index);
        }
        // While it runs, the time of its deadlines goes on.
        let (since, late) = (self.running_since, self.late);
        let (overdue, phases) = (self.overdue.take(), std::mem::take(&mut self.phases));
        self.begin_phases(at);
        if !had_ended {
            self.running_since = since;
            self.late = late;
            self.overdue = overdue;
            for (now, before) in self.phases.iter_mut().zip(phases) {
                (now.began_at, now.overdue) = (before.began_at, before.overdue);
            }
            self.set_deadlines();
        }
        Ok(())
    }

    /// Takes a step back to its beginning, and nobody waits for it any more.
    pub(crate) fn begin_anew(&mut self, index: StepIndex) {
        self.steps[index.as_usize()].begin_anew();
        self.attention.remove(&index);
        self.set_timers(index);
    }

    /// A pause holds forward work; a release that goes another way has none.
    pub(crate) fn end_pause(&mut self) {
        if self.pause.take().is_some() {
            self.set_all_timers();
        }
    }

    pub(crate) fn set_all_timers(&mut self) {
        for index in self.active.clone() {
            self.set_timers(index);
        }
    }

    fn set_timers(&mut self, index: StepIndex) {
        for timer in self.timers_of.remove(&index).into_iter().flatten() {
            self.timers.remove(&timer);
        }
        if let StepState::Held { until: Some(until), .. } = &self.steps[index.as_usize()].state {
            let timer = (*until, DueKey::Wake(index));
            self.timers.insert(timer);
            self.timers_of.insert(index, vec![timer]);
        }
        let Some(activity) = self.steps[index.as_usize()].state.activity() else { return };
        let wake = match &activity.stage {
            Stage::Suspended { wake_at, .. } => *wake_at,
            // A pause holds the next attempt, but never what stops or rolls back.
            Stage::Backoff { .. } if self.is_held_back() && activity.operation == Operation::Start => None,
            Stage::Backoff { until, .. } => Some(*until),
            Stage::Held { .. } | Stage::Calling(_) | Stage::Stopped => None,
        };
        let deadline = match &activity.stage {
            Stage::Backoff { .. } | Stage::Held { .. } | Stage::Stopped => None,
            Stage::Suspended { .. } | Stage::Calling(_) => self.deadline(index, activity),
        };
        let timers = [wake.map(|at| (at, DueKey::Wake(index))), deadline.map(|at| (at, DueKey::Deadline(index)))];
        self.timers.extend(timers.iter().flatten());
        self.timers_of.insert(index, timers.into_iter().flatten().collect());
    }
}
