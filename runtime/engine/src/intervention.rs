//! What people may ask of a release, and what they are told when they may not.

use serde_json::Value;
use windlass_model::actor::Actor;
use windlass_model::event::{AfterFailure, Event, Intervention, Operation, Outcome, SkipReason};
use windlass_model::failure::{FailureClass, StepError};
use windlass_model::graph::StepIndex;
use windlass_model::name::StepName;
use windlass_model::time::Timestamp;
use windlass_model::workflow::OnFailure;

use crate::approval;
use crate::input::Rejected;
use crate::release::{Release, ReleaseState};
use crate::step::{Activity, Stage, StepState};

impl Release {
    pub(crate) fn vote(
        &mut self,
        step: StepName,
        actor: Actor,
        approved: bool,
        comment: String,
        now: Timestamp,
    ) -> Result<Vec<Event>, Rejected> {
        let index = self.find_step(&step)?;
        let run = &self.steps[index.as_usize()];
        if !matches!(run.state, StepState::Held { .. }) || !self.goes_forward(index) {
            return Err(Rejected::NotHeld { step, state: run.state.name() });
        }
        let definition = self.definition(index);
        let requester = &self.created.requested_by;
        if !approval::gates(definition).any(|gate| approval::is_eligible(gate, &actor, requester)) {
            let own = approval::gates(definition).all(|it| !it.requester_may_approve) && actor.name == requester.name;
            let who = approval::gates(definition).map(approval::who).collect::<Vec<_>>().join(", and ");
            let reason = if own { format!("they started this release; {who} may") } else { format!("{who} may") };
            return Err(Rejected::NotEligible { actor: actor.name, step, reason });
        }
        if run.votes.iter().any(|it| it.actor.name == actor.name) {
            return Err(Rejected::AlreadyVoted { actor: actor.name, step });
        }
        if !approved && comment.trim().is_empty() {
            return Err(Rejected::NoReason);
        }
        let mut events = Vec::new();
        let voted = Event::Voted { step: step.clone(), actor: actor.clone(), approved, comment: comment.clone() };
        self.record(&mut events, voted, now);
        // When it is approved it starts as anything does whose turn it is.
        if !approved {
            let error = StepError::engine(
                FailureClass::Rejected,
                "approval-rejected",
                format!("{actor} rejected it: {comment}"),
            );
            let tolerated = self.definition(index).on_failure == OnFailure::Continue;
            let next = if tolerated { AfterFailure::Continue } else { AfterFailure::Fail };
            self.record(&mut events, Event::AttemptFailed { step, error, next }, now);
            if tolerated {
                self.check_threshold(&mut events, index, now);
            } else {
                self.begin_failing(&mut events, index, now);
            }
        }
        Ok(events)
    }

    pub(crate) fn skip(
        &mut self,
        events: &mut Vec<Event>,
        step: StepName,
        by: &Actor,
        reason: String,
        output: Option<Value>,
        now: Timestamp,
    ) {
        let reason = SkipReason::Person { by: by.to_string(), reason };
        self.record(events, Event::StepSkipped { step: step.clone(), reason }, now);
        if let Some(output) = output {
            self.record(events, Event::OutputGiven { step, output }, now);
        }
    }

    /// Whether a step is held and has the votes that its gates ask for.
    pub(crate) fn is_approved(&self, index: StepIndex) -> bool {
        let run = &self.steps[index.as_usize()];
        if !matches!(run.state, StepState::Held { .. }) {
            return false;
        }
        if matches!(run.state, StepState::Held { until: Some(_), .. }) || !self.goes_forward(index) {
            return false;
        }
        let missing = approval::missing(self.definition(index), &run.votes, &self.created.requested_by);
        missing.iter().all(|it| *it == 0)
    }

    pub(crate) fn intervene(
        &mut self,
        actor: Actor,
        reason: String,
        intervention: Intervention,
        now: Timestamp,
    ) -> Result<Vec<Event>, Rejected> {
        if reason.trim().is_empty() {
            return Err(Rejected::NoReason);
        }
        let mut events = Vec::new();
        let intervened =
            Event::Intervened { actor: actor.clone(), reason: reason.clone(), intervention: intervention.clone() };
        match intervention {
            Intervention::RunAgain { step } => {
                let steps = self.to_run_again(&step)?;
                self.record(&mut events, intervened, now);
                self.record(&mut events, Event::StepsReset { steps }, now);
            }
            Intervention::Skip { step, output } => {
                let index = self.to_skip(&step, output.as_ref())?;
                self.record(&mut events, intervened, now);
                // One that waits is skipped when its turn comes: what it needs must have ended for those after it.
                if self.steps[index.as_usize()].state != StepState::Waiting {
                    self.skip(&mut events, step, &actor, reason, output, now);
                }
            }
            Intervention::ReplaceOutput { step, output } => {
                let index = self.find_step(&step)?;
                let state = &self.steps[index.as_usize()].state;
                let is_joined = self.is_item(index) && !self.open_fans.contains(&self.definition_index(index));
                if !self.goes_forward(index) || !state.lets_dependents_run() || is_joined {
                    return Err(Rejected::NoOutput { step, state: state.name() });
                }
                self.record(&mut events, intervened, now);
                self.record(&mut events, Event::OutputGiven { step, output }, now);
            }
            Intervention::Pause => {
                if self.state != ReleaseState::Running || self.pause.is_some() {
                    let state = if self.pause.is_some() { "paused" } else { self.state.name() };
                    return Err(Rejected::WrongState { state, reason: "a release can be paused while it runs" });
                }
                self.record(&mut events, intervened, now);
            }
            Intervention::Resume => {
                if self.pause().is_none() {
                    let state = self.state.name();
                    return Err(Rejected::WrongState {
                        state,
                        reason: "only a release that somebody paused can be resumed",
                    });
                }
                self.record(&mut events, intervened, now);
            }
            Intervention::SettleRollback { step, done } => {
                let index = self.find_step(&step)?;
                let state = &self.steps[index.as_usize()].state;
                if let ReleaseState::Ended { .. } | ReleaseState::Finishing { .. } = self.state {
                    let reason = "a rollback is settled while it goes on";
                    return Err(Rejected::WrongState { state: self.state.name(), reason });
                }
                if !matches!(state, StepState::RollbackBlocked { .. }) {
                    return Err(Rejected::NotBlocked { step, state: state.name() });
                }
                self.record(&mut events, intervened, now);
                self.record(&mut events, Event::RollbackSettled { step, done }, now);
            }
            Intervention::Retry { step } | Intervention::RetryWith { step, .. } => {
                if self.pause().is_some() {
                    return Err(Rejected::WrongState { state: "paused", reason: "resume it first" });
                }
                if self.question().is_some() && self.state == ReleaseState::Running {
                    let reason = "decide first whether it is rolled back (`release rollback` or `release keep`)";
                    return Err(Rejected::WrongState { state: "held", reason });
                }
                let index = self.find_step(&step)?;
                let (activity, error) = match (&self.state, &self.steps[index.as_usize()].state) {
                    (_, StepState::Paused { activity, error }) if self.goes_forward(index) => {
                        (activity.clone(), error.clone())
                    }
                    (ReleaseState::RollingBack { .. }, StepState::RollbackBlocked { activity, error }) => {
                        (activity.clone(), error.clone())
                    }
                    (_, other) => return Err(Rejected::NotPaused { step, state: other.name() }),
                };
                if error.is_of_expression() {
                    return Err(Rejected::NoInput { step });
                }
                self.record(&mut events, intervened, now);
                self.try_again(&mut events, index, &activity, &error, now);
            }
            Intervention::Keep if self.question().is_none() => return Err(Rejected::NothingToDecide),
            Intervention::Keep => self.record(&mut events, intervened, now),
            Intervention::Cancel { rollback: true } | Intervention::Rollback if self.pivot_passed().is_some() => {
                let pivot = self.pivot_passed().expect("just seen");
                return Err(Rejected::PastPivot { step: self.name_of(pivot) });
            }
            Intervention::Cancel { rollback: true } | Intervention::Rollback if self.is_dry_run() => {
                let reason = "a dry run has done nothing that could be rolled back; it can be canceled without";
                return Err(Rejected::WrongState { state: self.state.name(), reason });
            }
            // Nothing of it has begun.
            Intervention::Cancel { .. } | Intervention::Rollback if self.is_queued() => {
                self.record(&mut events, intervened, now);
                self.end(&mut events, Outcome::Canceled, now);
            }
            Intervention::Rollback if self.never_began() => {
                let reason = "nothing of it ever began, so there is nothing to roll back";
                return Err(Rejected::WrongState { state: self.state.name(), reason });
            }
            Intervention::Cancel { rollback } => match &self.state {
                ReleaseState::Finishing { canceled: false, .. } if !rollback => {
                    self.record(&mut events, intervened, now);
                    self.record(&mut events, Event::CancelingStarted { rollback }, now);
                    self.stop_active_steps(&mut events, now);
                }
                ReleaseState::Running | ReleaseState::Failing { .. } => {
                    self.record(&mut events, intervened, now);
                    self.record(&mut events, Event::CancelingStarted { rollback }, now);
                    self.stop_active_steps(&mut events, now);
                }
                ReleaseState::RollingBack { .. } if self.active.is_empty() && !rollback => {
                    self.record(&mut events, intervened, now);
                    self.finish(&mut events, Outcome::PartiallyRolledBack, now);
                }
                other => {
                    return Err(Rejected::WrongState {
                        state: other.name(),
                        reason: "a release can be canceled while it runs, and a blocked rollback can be given up",
                    });
                }
            },
            Intervention::Rollback => match &self.state {
                ReleaseState::Running | ReleaseState::Failing { .. } => {
                    self.record(&mut events, intervened, now);
                    self.record(&mut events, Event::CancelingStarted { rollback: true }, now);
                    self.stop_active_steps(&mut events, now);
                }
                ReleaseState::Ended { outcome: Outcome::Succeeded | Outcome::Failed | Outcome::Canceled, .. } => {
                    self.record(&mut events, intervened, now);
                    self.record(&mut events, Event::RollbackStarted { trigger: format!("{actor}: {reason}") }, now);
                }
                other => {
                    return Err(Rejected::WrongState {
                        state: other.name(),
                        reason: "a release can be rolled back while it runs and after it ended, once",
                    });
                }
            },
        }
        Ok(events)
    }

    /// Stopping what a step does. A step can be stopped more than once, when attempts are too slow.
    pub(crate) fn cancel(&self, index: StepIndex, activity: &Activity) -> Event {
        Event::AttemptStarted {
            step: self.name_of(index),
            operation: Operation::Cancel,
            attempt: self.steps[index.as_usize()].cancels + 1,
            round: activity.round,
            input: None,
        }
    }

    pub(crate) fn stop_active_steps(&mut self, events: &mut Vec<Event>, now: Timestamp) {
        for index in self.active.clone() {
            let step = self.name_of(index);
            let Some(activity) = self.steps[index.as_usize()].state.activity() else { continue };
            if activity.operation == Operation::Cancel {
                continue;
            }
            let is_going_on = matches!(activity.stage, Stage::Calling(_) | Stage::Suspended { .. })
                || self.is_cut_off(index, activity);
            if is_going_on && self.is_stopped_by_its_plugin(index) {
                let started = self.cancel(index, activity);
                self.record(events, started, now);
            } else {
                self.record(events, Event::StepCanceled { step }, now);
            }
        }
    }

    /// The steps that run again with `step`: itself, all after it, and in a release that has ended all that kept
    /// it from succeeding, for else it could not end well.
    pub(crate) fn to_run_again(&self, step: &StepName) -> Result<Vec<StepName>, Rejected> {
        let first = self.find_step(step)?;
        if self.definition(first).finally {
            return Err(Rejected::RunsLast { step: step.clone() });
        }
        let mut open = vec![first];
        match &self.state {
            ReleaseState::Running => {}
            ReleaseState::Ended { outcome: Outcome::Failed | Outcome::Canceled, .. } => {
                for step in self.plan.graph().steps().filter(|it| !self.plan.step(*it).finally) {
                    let items = self.items_that_failed(step);
                    if !self.has_kept(step) && !items.iter().any(|it| self.has_kept(*it)) {
                        continue;
                    }
                    if items.is_empty() { open.push(step) } else { open.extend(items) }
                }
            }
            other => {
                return Err(Rejected::WrongState {
                    state: other.name(),
                    reason: "steps can run again while the release runs, and after it failed or was canceled",
                });
            }
        }
        if self.steps[first.as_usize()].state == StepState::Waiting {
            return Err(Rejected::HasNotRun { step: step.clone() });
        }
        let mut again = vec![false; self.steps.len()];
        while let Some(index) = open.pop() {
            if !std::mem::replace(&mut again[index.as_usize()], true) {
                open.extend(self.plan.graph().children(self.definition_index(index)));
            }
        }
        let steps = self.plan.graph().steps().flat_map(|step| {
            let items = self.items(step).into_iter().flatten().map(|(item, _)| item);
            // An item runs again with its step, or by itself.
            let items = items.filter(|it| again[it.as_usize()] && !again[step.as_usize()]);
            std::iter::once(step).chain(items.collect::<Vec<_>>())
        });
        let again: Vec<StepIndex> = steps.filter(|it| again[it.as_usize()]).collect();
        let mut runs = again.iter().flat_map(|it| {
            let items = self.items(*it).into_iter().flatten().map(|(item, _)| item);
            std::iter::once(*it).chain(items.collect::<Vec<_>>())
        });
        let running = runs.find(|it| self.steps[it.as_usize()].state.activity().is_some());
        if let Some(running) = running {
            return Err(Rejected::StillRuns { step: self.name_of(running) });
        }
        Ok(again.into_iter().map(|it| self.name_of(it)).collect())
    }

    /// Whether a step, or an item, kept its release from succeeding.
    pub(crate) fn has_kept(&self, index: StepIndex) -> bool {
        match self.steps[index.as_usize()].state {
            StepState::Failed { tolerated: false, .. } | StepState::Canceled | StepState::Paused { .. } => true,
            // Tolerated, but one of more than its phase tolerates.
            StepState::Failed { tolerated: true, .. } => self.threshold_crossed(index).is_some(),
            _ => false,
        }
    }

    /// A step that may be skipped, with this output.
    pub(crate) fn to_skip(&self, step: &StepName, output: Option<&Value>) -> Result<StepIndex, Rejected> {
        let index = self.find_step(step)?;
        let too_late = match self.state {
            ReleaseState::Running => false,
            _ => !self.goes_forward(index),
        };
        if too_late {
            let reason = "steps can be skipped while the release runs";
            return Err(Rejected::WrongState { state: self.state.name(), reason });
        }
        let run = &self.steps[index.as_usize()];
        let may = match &run.state {
            // What runs last has no items before its turn.
            StepState::Waiting => self.goes_forward(index) || !self.is_item(index),
            StepState::Held { .. } | StepState::Paused { .. } => true,
            StepState::Active(activity) => {
                let is_over = matches!(activity.stage, Stage::Backoff { .. } | Stage::Held { .. });
                activity.operation == Operation::Start && is_over
            }
            _ => false,
        };
        if !may {
            return Err(Rejected::NotSkippable { step: step.clone(), state: run.state.name() });
        }
        if self.definition(index).mandatory {
            return Err(Rejected::Mandatory { step: step.clone() });
        }
        let users = self.plan.users_of(self.definition_index(index));
        if output.is_none() && !users.is_empty() {
            let users = users.into_iter().map(|it| self.name_of(it).to_string()).collect();
            return Err(Rejected::OutputNeeded { step: step.clone(), users });
        }
        Ok(index)
    }
}
