//! Going on as far as possible without anything coming in: what starts, what is skipped or held, when it ends.

use serde_json::Value;
use windlass_model::event::{Event, Operation, Outcome, SkipReason};
use windlass_model::failure::StepError;
use windlass_model::graph::StepIndex;
use windlass_model::name::StepName;
use windlass_model::time::Timestamp;

use crate::approval;
use crate::fan_out::FanTurn;
use crate::release::{Release, ReleaseState};
use crate::step::{PassedOver, StepState};
use crate::wait::headline_of;

impl Release {
    /// Goes on as far as it can without anything coming in.
    pub(crate) fn settle(&mut self, now: Timestamp) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            if let Some(index) = self.held_in_vain() {
                self.let_go(&mut events, index, now);
                continue;
            }
            let goes_forward = match &self.state {
                // A pause holds what is new; one that has nothing left to start may end.
                ReleaseState::Running => !self.is_held_back() || self.unfinished == 0,
                ReleaseState::Finishing { canceled, .. } => !canceled,
                ReleaseState::Queued
                | ReleaseState::Failing { .. }
                | ReleaseState::Canceling { .. }
                | ReleaseState::RollingBack { .. }
                | ReleaseState::Ended { .. } => false,
            };
            if goes_forward && self.go_forward(&mut events, now) {
                continue;
            }
            match &self.state {
                ReleaseState::Queued => return events,
                ReleaseState::Running if self.unfinished > 0 => return events,
                // What a rehearsal is for; of one inside of another the outer one sees to that.
                ReleaseState::Running if self.created.rehearsal && self.created.parent.is_none() => {
                    self.record(&mut events, Event::RollbackStarted { trigger: "rehearsal".to_owned() }, now);
                }
                ReleaseState::Running => self.finish(&mut events, Outcome::Succeeded, now),
                ReleaseState::Finishing { canceled: true, .. } if !self.active.is_empty() => return events,
                ReleaseState::Finishing { canceled: true, outcome } => match self.fan_left_open() {
                    Some(step) => self.close_fan(&mut events, step, now),
                    None => self.end(&mut events, *outcome, now),
                },
                ReleaseState::Finishing { .. } => match self.finished() {
                    Some(outcome) => self.end(&mut events, outcome, now),
                    None => return events,
                },
                ReleaseState::Failing { .. } | ReleaseState::Canceling { .. }
                    if self.active.is_empty()
                        && let Some(step) = self.fan_left_open() =>
                {
                    self.close_fan(&mut events, step, now);
                }
                ReleaseState::Failing { step, rollback } if self.active.is_empty() => {
                    let trigger = self.failure_trigger(step);
                    // A point of no return may have been passed by what still ran.
                    if *rollback && self.pivot_passed().is_none() {
                        self.record(&mut events, Event::RollbackStarted { trigger }, now);
                    } else {
                        self.finish(&mut events, Outcome::Failed, now);
                    }
                }
                ReleaseState::Canceling { rollback } if self.active.is_empty() => {
                    if *rollback {
                        let cause = self.overdue.as_ref().or(self.asked_for_rollback.as_ref());
                        let trigger = cause.cloned().unwrap_or_else(|| "canceled".to_owned());
                        self.record(&mut events, Event::RollbackStarted { trigger }, now);
                    } else {
                        let outcome = if self.overdue.is_some() { Outcome::Failed } else { Outcome::Canceled };
                        self.finish(&mut events, outcome, now);
                    }
                }
                ReleaseState::RollingBack { .. } => match self.rollback_ready.first().copied() {
                    Some(index) => {
                        let step = self.name_of(index);
                        let started = Event::AttemptStarted {
                            step,
                            operation: Operation::Rollback,
                            attempt: 1,
                            round: 1,
                            input: None,
                        };
                        self.record(&mut events, started, now);
                    }
                    None if self.active.is_empty() && !self.has_blocked_rollback() => {
                        let all = !self.steps.iter().any(|it| it.state == StepState::LeftInPlace);
                        let outcome = if all { Outcome::RolledBack } else { Outcome::PartiallyRolledBack };
                        self.finish(&mut events, outcome, now)
                    }
                    None => return events,
                },
                ReleaseState::Ended { outcome: Outcome::Succeeded, .. } if self.rolls_back_at_end => {
                    let trigger = self.asked_for_rollback.clone().unwrap_or_default();
                    self.record(&mut events, Event::RollbackStarted { trigger }, now);
                }
                ReleaseState::Failing { .. } | ReleaseState::Canceling { .. } | ReleaseState::Ended { .. } => {
                    return events;
                }
            }
        }
    }

    /// One step goes forward: is looked at, starts, or is closed over its items. False when none can.
    fn go_forward(&mut self, events: &mut Vec<Event>, now: Timestamp) -> bool {
        if let Some(index) = self.ready.first().copied() {
            self.visit(events, index, now);
        } else if let Some(index) = self.approved() {
            self.start(events, index, now);
        } else {
            match self.fan_turn() {
                Some(FanTurn::Start(item)) => self.start_item(events, item, now),
                Some(FanTurn::Close(step)) => self.close_fan(events, step, now),
                None => return false,
            }
        }
        true
    }

    /// Why a failing release is rolled back.
    fn failure_trigger(&self, step: &StepName) -> String {
        let index = self.index_of(step);
        let error = index.and_then(|it| match &self.steps[it.as_usize()].state {
            StepState::Failed { error, .. } => Some(error),
            _ => None,
        });
        let tolerated =
            |it: &StepIndex| matches!(self.steps[it.as_usize()].state, StepState::Failed { tolerated: true, .. });
        let crossed = index.filter(tolerated).and_then(|it| self.threshold_crossed(it));
        match (crossed, error) {
            (Some((text, _)), _) => text,
            (None, Some(error)) => headline_of(&format!("step {step} failed: {error}")),
            (None, None) => format!("step {step} failed"),
        }
    }

    /// A held step that may start.
    fn approved(&self) -> Option<StepIndex> {
        self.attention.iter().copied().find(|it| self.is_approved(*it))
    }

    fn has_blocked_rollback(&self) -> bool {
        self.attention.iter().any(|it| matches!(self.steps[it.as_usize()].state, StepState::RollbackBlocked { .. }))
    }

    /// Looks at a step whose needs are met: skips it, holds it or starts it.
    fn visit(&mut self, events: &mut Vec<Event>, index: StepIndex, now: Timestamp) {
        let plan = self.plan.clone();
        let step = plan.step(index);
        let name = step.name.clone();
        // Whatever somebody says: for what it would run against there need be no copy.
        if self.created.rehearsal && plan.is_beyond_rehearsal(index) {
            return self.record(events, Event::StepSkipped { step: name, reason: SkipReason::Rehearsal }, now);
        }
        if let Some(PassedOver { by, reason, output }) = self.steps[index.as_usize()].passed_over.clone() {
            return self.skip(events, name, &by, reason, output.as_deref().cloned(), now);
        }
        // Who skips a step by hand says that its work is done or not needed, not that nothing after it is.
        let is_skipped = |it: &StepName| {
            let state = plan.index_of(it).map(|it| &self.steps[it.as_usize()].state);
            matches!(
                state,
                Some(StepState::Skipped { reason: SkipReason::Condition { .. } | SkipReason::NeedsSkipped })
            )
        };
        if !step.needs.is_empty() && step.needs.iter().all(is_skipped) {
            return self.record(events, Event::StepSkipped { step: name, reason: SkipReason::NeedsSkipped }, now);
        }
        if let Some(condition) = &step.when {
            match self.with_scope(|scope| condition.holds(scope)) {
                Ok(true) => {}
                Ok(false) => {
                    let reason = SkipReason::Condition {
                        expression: condition.source().to_owned(),
                        values: self.with_scope(|scope| condition.values(scope)),
                    };
                    return self.record(events, Event::StepSkipped { step: name, reason }, now);
                }
                Err(error) => return self.fail_unstarted(events, index, &error, now),
            }
        }
        if step.gates.is_empty() && step.delay.is_none() {
            return self.start(events, index, now);
        }
        if self.is_dry_run() {
            return self.start_without_gates(events, index, now);
        }
        let until = step.delay.map(|it| now + it);
        let questions = approval::gates(step).map(|gate| match &gate.message {
            None => Ok(String::new()),
            Some(message) => self.with_scope(|scope| message.evaluate(scope)).map(|it| match it {
                Value::String(text) => text,
                other => other.to_string(),
            }),
        });
        match questions.collect::<Result<Vec<_>, _>>() {
            Ok(questions) => self.record(events, Event::StepHeld { step: name, questions, until }, now),
            Err(error) => self.fail_unstarted(events, index, &error, now),
        }
    }

    /// Starts an item, or passes it over where somebody said so.
    fn start_item(&mut self, events: &mut Vec<Event>, item: StepIndex, now: Timestamp) {
        match self.steps[item.as_usize()].passed_over.clone() {
            Some(PassedOver { by, reason, output }) => {
                self.skip(events, self.name_of(item), &by, reason, output.as_deref().cloned(), now);
            }
            None => self.start(events, item, now),
        }
    }

    pub(crate) fn start(&mut self, events: &mut Vec<Event>, index: StepIndex, now: Timestamp) {
        if !self.is_item(index) && self.definition(index).for_each.is_some() {
            return self.fan_out(events, index, now);
        }
        match self.with_scope_of(index, |scope| self.definition(index).with.evaluate(scope)) {
            Ok(input) => self.start_with(events, index, input, now),
            Err(error) => self.fail_unstarted(events, index, &error, now),
        }
    }

    pub(crate) fn start_with(&mut self, events: &mut Vec<Event>, index: StepIndex, input: Value, now: Timestamp) {
        let step = self.name_of(index);
        let run = &self.steps[index.as_usize()];
        // A step that runs again is another logical call: the other side must not take it for the first one.
        let (attempt, round) = (run.attempts + 1, run.rounds + 1);
        let started = Event::AttemptStarted { step, operation: Operation::Start, attempt, round, input: Some(input) };
        self.record(events, started, now);
    }

    /// An expression of a step has no value: its only attempt fails before any call is made.
    pub(crate) fn fail_unstarted(
        &mut self,
        events: &mut Vec<Event>,
        index: StepIndex,
        error: &impl std::fmt::Display,
        now: Timestamp,
    ) {
        if self.go_on_unknown(events, index, error, now) {
            return;
        }
        self.start_with(events, index, Value::Null, now);
        let error = StepError::expression(error.to_string());
        self.fail(events, index, error, now, 0);
    }

    pub(crate) fn end(&mut self, events: &mut Vec<Event>, outcome: Outcome, now: Timestamp) {
        let plan = self.plan.clone();
        let outputs = &plan.workflow().outputs;
        let outputs = outputs.iter().filter(|_| outcome == Outcome::Succeeded).map(|(name, template)| {
            let value = self.with_scope(|scope| template.evaluate(scope)).unwrap_or(Value::Null);
            (name.clone(), value)
        });
        let outputs = Value::Object(outputs.collect());
        self.record(events, Event::ReleaseEnded { outcome, outputs }, now);
    }
}
