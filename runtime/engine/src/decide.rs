//! Which facts to record when something comes in.

use serde_json::Value;
use windlass_model::actor::Actor;
use windlass_model::event::{
    AfterFailure, AfterInterruption, Event, Intervention, Operation, Outcome, Record, SkipReason, Wake,
};
use windlass_model::expression::EvaluationError;
use windlass_model::failure::{FailureClass, StepError};
use windlass_model::graph::StepIndex;
use windlass_model::manifest::Effect;
use windlass_model::name::StepName;
use windlass_model::time::{Span, Timestamp};
use windlass_model::workflow::OnFailure;

use crate::approval;
use crate::input::{CallId, CallResult, Input, Rejected, Suspension, WakeCondition};
use crate::release::{DueKey, Release, ReleaseState, call_id};
use crate::retry;
use crate::step::{Activity, Call, PassedOver, Stage, StepState};

/// How long a plugin may take to stop what it does before it is left alone.
pub(crate) const CANCEL_TIMEOUT: Span = Span::seconds(300);

/// The shortest wait: a plugin that asks for less waits this long.
pub(crate) const WAIT_MIN: Span = Span(100);

impl Release {
    /// Tells which facts to record when `input` comes in, and takes them in.
    ///
    /// An input that is late or foolish is refused and changes nothing. An empty answer means that
    /// there is nothing to record. Whoever cannot record the answer must not use this release any more.
    pub fn decide(&mut self, input: Input, now: Timestamp) -> Result<Option<Record>, Rejected> {
        // Time never runs backwards in a journal, whatever the clock does.
        let now = now.max(self.updated_at);
        let mut events = match input {
            Input::TakenOver => self.take_over(now),
            Input::CallEnded { call, result, dice } => self.call_ended(call, result, now, dice)?,
            Input::CheckpointReached { call, name, value } => self.checkpoint_reached(call, name, value, now)?,
            Input::Tick { dice } => self.tick(now, dice),
            Input::Callback { topic, headers, body } => self.callback(topic, headers, body, now)?,
            Input::Vote { step, actor, approved, comment } => self.vote(step, actor, approved, comment, now)?,
            Input::Intervene { actor, reason, intervention } => self.intervene(actor, reason, intervention, now)?,
        };
        events.extend(self.settle(now));
        if events.is_empty() {
            return Ok(None);
        }
        self.records += 1;
        Ok(Some(Record { at: now, events }))
    }

    /// As [`Self::decide`], for a process that drives no releases: what it decides is left for the next
    /// driver to do, who then knows that no call was begun.
    pub fn decide_unattended(&mut self, input: Input, now: Timestamp) -> Result<Option<Record>, Rejected> {
        let now = now.max(self.updated_at);
        // Refused inputs change nothing, so what is asked for is tried on a copy first.
        self.clone().decide(input.clone(), now)?;
        let mut events = self.take_over(now);
        match self.decide(input, now)? {
            Some(record) => events.extend(record.events),
            None if events.is_empty() => return Ok(None),
            None => self.records += 1,
        }
        self.record(&mut events, Event::LeftAlone, now);
        Ok(Some(Record { at: now, events }))
    }

    /// Takes a fact of our own making in.
    ///
    /// # Panics
    ///
    /// When the fact does not fit: then `decide` is wrong, and going on would write a journal that
    /// cannot be replayed.
    fn record(&mut self, events: &mut Vec<Event>, event: Event, now: Timestamp) {
        if let Err(illegal) = self.apply(&event, now) {
            panic!("release {}: decided what cannot follow: {illegal}", self.id());
        }
        events.push(event);
    }

    fn name(&self, step: StepIndex) -> StepName {
        self.plan.step(step).name.clone()
    }

    pub(crate) fn find_step(&self, step: &StepName) -> Result<StepIndex, Rejected> {
        self.plan.index_of(step).ok_or_else(|| Rejected::UnknownStep {
            step: step.clone(),
            steps: self.plan.workflow().steps.iter().map(|it| it.name.to_string()).collect(),
        })
    }

    fn activity(&self, call: CallId) -> Result<&Activity, Rejected> {
        self.steps
            .get(call.step.as_usize())
            .and_then(|it| it.state.activity())
            .filter(|it| call_id(call.step, it) == call && matches!(it.stage, Stage::Calling(_)))
            .ok_or(Rejected::LateAnswer)
    }

    fn take_over(&mut self, now: Timestamp) -> Vec<Event> {
        let calls: Vec<CallId> = self.calls().collect();
        let left_alone = self.left_alone;
        let mut events = Vec::new();
        for call in calls {
            let Ok(activity) = self.activity(call) else { continue };
            let pin = self.plan.pin(call.step);
            let next = if left_alone {
                AfterInterruption::Repeat
            } else {
                match (call.operation, &activity.stage, pin.effect) {
                    // Stopping and rolling back are repeatable by contract; so is looking.
                    (Operation::Cancel | Operation::Rollback, _, _)
                    | (Operation::Start, Stage::Calling(Call::Find), _)
                    | (Operation::Start, _, Effect::Read | Effect::IdempotentWrite) => AfterInterruption::Repeat,
                    (Operation::Start, _, Effect::Write) if pin.find => AfterInterruption::Find,
                    (Operation::Start, _, Effect::Write) => AfterInterruption::Pause,
                }
            };
            let step = self.name(call.step);
            self.record(&mut events, Event::CallInterrupted { step, next }, now);
        }
        events
    }

    fn call_ended(
        &mut self,
        call: CallId,
        result: Result<CallResult, StepError>,
        now: Timestamp,
        dice: u64,
    ) -> Result<Vec<Event>, Rejected> {
        let was_find = self.activity(call)?.stage == Stage::Calling(Call::Find);
        let step = self.name(call.step);
        let mut events = Vec::new();
        match result {
            Ok(CallResult::Done(output)) => {
                self.record(&mut events, Event::AttemptSucceeded { step, output }, now);
                self.after_cancel(&mut events, call.step, now, dice);
            }
            Ok(CallResult::Suspended(suspension)) => {
                let event = suspended(step, suspension, now);
                self.record(&mut events, event, now);
            }
            Ok(CallResult::NotFound) if was_find => self.record(&mut events, Event::EffectNotFound { step }, now),
            Ok(CallResult::NotFound) => {
                let error = StepError::engine(
                    FailureClass::Internal,
                    "contract-broken",
                    "only `find` may answer that nothing was found",
                );
                self.fail(&mut events, call.step, error, now, dice);
            }
            Err(error) => self.fail(&mut events, call.step, error, now, dice),
        }
        Ok(events)
    }

    fn checkpoint_reached(
        &mut self,
        call: CallId,
        name: String,
        value: Vec<u8>,
        now: Timestamp,
    ) -> Result<Vec<Event>, Rejected> {
        self.activity(call)?;
        let mut events = Vec::new();
        let step = self.name(call.step);
        self.record(&mut events, Event::CheckpointRecorded { step, name, value }, now);
        Ok(events)
    }

    /// Records that an attempt failed, and what follows.
    fn fail(&mut self, events: &mut Vec<Event>, index: StepIndex, error: StepError, now: Timestamp, dice: u64) {
        let Some(activity) = self.steps[index.as_usize()].state.activity() else { return };
        let next = retry::after(self.plan.step(index), activity, &error, now, dice);
        let operation = activity.operation;
        let step = self.name(index);
        self.record(events, Event::AttemptFailed { step: step.clone(), error, next }, now);
        self.after_cancel(events, index, now, dice);
        if operation == Operation::Start && next == AfterFailure::Fail {
            self.begin_failing(events, index, now);
        }
    }

    fn begin_failing(&mut self, events: &mut Vec<Event>, index: StepIndex, now: Timestamp) {
        let rollback = self.plan.step(index).on_failure == OnFailure::Rollback;
        let step = self.name(index);
        match &self.state {
            ReleaseState::Running => self.record(events, Event::FailingStarted { step, rollback }, now),
            ReleaseState::Failing { rollback: false, .. } if rollback => {
                self.record(events, Event::FailingStarted { step, rollback }, now);
            }
            ReleaseState::Failing { .. }
            | ReleaseState::Canceling { .. }
            | ReleaseState::RollingBack { .. }
            | ReleaseState::Ended { .. } => {}
        }
    }

    /// When a cancel is over: settles what it stopped. In a release that is being canceled, an attempt
    /// that was too slow gets no other.
    fn after_cancel(&mut self, events: &mut Vec<Event>, index: StepIndex, now: Timestamp, dice: u64) {
        let run = &self.steps[index.as_usize()];
        let Some(Activity { stage: Stage::Stopped, .. }) = run.state.activity() else { return };
        let (step, timed_out) = (self.name(index), run.timing_out);
        if timed_out && !matches!(self.state, ReleaseState::Canceling { .. }) {
            let error = self.timed_out(index);
            self.fail(events, index, error, now, dice);
        } else {
            self.record(events, Event::StepCanceled { step }, now);
        }
    }

    fn timed_out(&self, index: StepIndex) -> StepError {
        let timeout = self.plan.step(index).timeout.unwrap_or(CANCEL_TIMEOUT);
        StepError::engine(
            FailureClass::TimedOut,
            "timed-out",
            format!("the attempt took longer than its timeout of {timeout}"),
        )
    }

    fn tick(&mut self, now: Timestamp, dice: u64) -> Vec<Event> {
        let mut events = Vec::new();
        for timer in self.timers_due(now) {
            // What was due before it in this same tick may have settled it.
            if self.timers.contains(&timer) {
                match timer.1 {
                    DueKey::Wake(index) => self.wake(&mut events, index, Wake::Timer, now),
                    DueKey::Deadline(index) => self.deadline_passed(&mut events, index, now, dice),
                }
            }
        }
        events
    }

    fn wake(&mut self, events: &mut Vec<Event>, index: StepIndex, wake: Wake, now: Timestamp) {
        let step = self.name(index);
        let Some(activity) = self.steps[index.as_usize()].state.activity().cloned() else { return };
        match &activity.stage {
            Stage::Suspended { .. } => self.record(events, Event::Resumed { step, wake }, now),
            Stage::Backoff { error, .. } => {
                let error = error.clone();
                self.try_again(events, index, &activity, &error, now);
            }
            Stage::Calling(_) | Stage::Stopped => {}
        }
    }

    /// Begins the next attempt of an operation; looks for the effect first where it may have happened.
    fn try_again(
        &mut self,
        events: &mut Vec<Event>,
        index: StepIndex,
        before: &Activity,
        error: &StepError,
        now: Timestamp,
    ) {
        let step = self.name(index);
        let definite = error.class.is_definite();
        let started = Event::AttemptStarted {
            step: step.clone(),
            operation: before.operation,
            attempt: before.attempt + 1,
            round: before.round + u32::from(definite),
            input: None,
        };
        self.record(events, started, now);
        let pin = self.plan.pin(index);
        if before.operation == Operation::Start && !definite && pin.find && pin.effect == Effect::Write {
            self.record(events, Event::CallInterrupted { step, next: AfterInterruption::Find }, now);
        }
    }

    fn deadline_passed(&mut self, events: &mut Vec<Event>, index: StepIndex, now: Timestamp, dice: u64) {
        let step = self.name(index);
        let Some(activity) = self.steps[index.as_usize()].state.activity().cloned() else { return };
        if !matches!(activity.stage, Stage::Calling(_) | Stage::Suspended { .. }) {
            return;
        }
        self.record(events, Event::AttemptTimedOut { step: step.clone() }, now);
        if activity.operation == Operation::Start && self.plan.pin(index).cancel {
            let started = self.cancel(index, &activity);
            self.record(events, started, now);
        } else {
            let error = self.timed_out(index);
            self.fail(events, index, error, now, dice);
        }
    }

    fn callback(
        &mut self,
        topic: String,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
        now: Timestamp,
    ) -> Result<Vec<Event>, Rejected> {
        let waiting = self.active.iter().copied().find(|index| {
            matches!(self.steps[index.as_usize()].state.activity(),
                Some(Activity { stage: Stage::Suspended { topics, .. }, .. }) if topics.contains(&topic))
        });
        let Some(index) = waiting else { return Err(Rejected::UnknownTopic(topic)) };
        let mut events = Vec::new();
        self.wake(&mut events, index, Wake::Callback { topic, headers, body }, now);
        Ok(events)
    }

    fn vote(
        &mut self,
        step: StepName,
        actor: Actor,
        approved: bool,
        comment: String,
        now: Timestamp,
    ) -> Result<Vec<Event>, Rejected> {
        let index = self.find_step(&step)?;
        let run = &self.steps[index.as_usize()];
        if !matches!(run.state, StepState::Held { .. }) || self.state != ReleaseState::Running {
            return Err(Rejected::NotHeld { step, state: run.state.name() });
        }
        let definition = self.plan.step(index);
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
        if approved {
            if self.pause.is_none() && self.is_approved(index) {
                self.start(&mut events, index, now);
            }
        } else {
            let error = StepError::engine(
                FailureClass::Rejected,
                "approval-rejected",
                format!("{actor} rejected it: {comment}"),
            );
            let tolerated = self.plan.step(index).on_failure == OnFailure::Continue;
            let next = if tolerated { AfterFailure::Continue } else { AfterFailure::Fail };
            self.record(&mut events, Event::AttemptFailed { step, error, next }, now);
            if !tolerated {
                self.begin_failing(&mut events, index, now);
            }
        }
        Ok(events)
    }

    fn skip(
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

    /// Whether a held step has the votes that its gates ask for.
    fn is_approved(&self, index: StepIndex) -> bool {
        let run = &self.steps[index.as_usize()];
        let missing = approval::missing(self.plan.step(index), &run.votes, &self.created.requested_by);
        missing.iter().all(|it| *it == 0)
    }

    fn intervene(
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
                if self.state != ReleaseState::Running || !state.lets_dependents_run() {
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
                for index in self.attention.clone() {
                    let is_held = matches!(self.steps[index.as_usize()].state, StepState::Held { .. });
                    if is_held && self.is_approved(index) {
                        self.start(&mut events, index, now);
                    }
                }
            }
            Intervention::SettleRollback { step, done } => {
                let index = self.find_step(&step)?;
                let state = &self.steps[index.as_usize()].state;
                if !matches!(state, StepState::RollbackBlocked { .. }) {
                    return Err(Rejected::NotBlocked { step, state: state.name() });
                }
                self.record(&mut events, intervened, now);
                self.record(&mut events, Event::RollbackSettled { step, done }, now);
            }
            Intervention::Retry { step } => {
                if self.pause().is_some() {
                    return Err(Rejected::WrongState { state: "paused", reason: "resume it first" });
                }
                let index = self.find_step(&step)?;
                let (activity, error) = match (&self.state, &self.steps[index.as_usize()].state) {
                    (ReleaseState::Running, StepState::Paused { activity, error })
                    | (ReleaseState::RollingBack { .. }, StepState::RollbackBlocked { activity, error }) => {
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
            Intervention::Cancel { rollback } => match &self.state {
                ReleaseState::Running | ReleaseState::Failing { .. } => {
                    self.record(&mut events, intervened, now);
                    self.record(&mut events, Event::CancelingStarted { rollback }, now);
                    self.stop_active_steps(&mut events, now);
                }
                ReleaseState::RollingBack { .. } if self.active.is_empty() && !rollback => {
                    self.record(&mut events, intervened, now);
                    self.end(&mut events, Outcome::PartiallyRolledBack, now);
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
    fn cancel(&self, index: StepIndex, activity: &Activity) -> Event {
        Event::AttemptStarted {
            step: self.name(index),
            operation: Operation::Cancel,
            attempt: self.steps[index.as_usize()].cancels + 1,
            round: activity.round,
            input: None,
        }
    }

    fn stop_active_steps(&mut self, events: &mut Vec<Event>, now: Timestamp) {
        for index in self.active.clone() {
            let step = self.name(index);
            let Some(activity) = self.steps[index.as_usize()].state.activity() else { continue };
            if activity.operation == Operation::Cancel {
                continue;
            }
            let is_going_on = matches!(activity.stage, Stage::Calling(_) | Stage::Suspended { .. });
            if is_going_on && self.plan.pin(index).cancel {
                let started = self.cancel(index, activity);
                self.record(events, started, now);
            } else {
                self.record(events, Event::StepCanceled { step }, now);
            }
        }
    }

    /// Goes on as far as it can without anything coming in.
    pub(crate) fn settle(&mut self, now: Timestamp) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            match &self.state {
                ReleaseState::Running => match self.ready.first().copied() {
                    Some(_) if self.pause.is_some() => return events,
                    Some(index) => self.visit(&mut events, index, now),
                    None if self.unfinished == 0 => self.end(&mut events, Outcome::Succeeded, now),
                    None => return events,
                },
                ReleaseState::Failing { step, rollback } if self.active.is_empty() => {
                    let trigger = format!("step {step} failed");
                    if *rollback {
                        self.record(&mut events, Event::RollbackStarted { trigger }, now);
                    } else {
                        self.end(&mut events, Outcome::Failed, now);
                    }
                }
                ReleaseState::Canceling { rollback } if self.active.is_empty() => {
                    if *rollback {
                        self.record(&mut events, Event::RollbackStarted { trigger: "canceled".to_owned() }, now);
                    } else {
                        self.end(&mut events, Outcome::Canceled, now);
                    }
                }
                ReleaseState::RollingBack { .. } => match self.rollback_ready.first().copied() {
                    Some(index) => {
                        let step = self.name(index);
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
                        self.end(&mut events, outcome, now)
                    }
                    None => return events,
                },
                ReleaseState::Failing { .. } | ReleaseState::Canceling { .. } | ReleaseState::Ended { .. } => {
                    return events;
                }
            }
        }
    }

    fn has_blocked_rollback(&self) -> bool {
        self.attention.iter().any(|it| matches!(self.steps[it.as_usize()].state, StepState::RollbackBlocked { .. }))
    }

    /// Looks at a step whose needs are met: skips it, holds it or starts it.
    fn visit(&mut self, events: &mut Vec<Event>, index: StepIndex, now: Timestamp) {
        let plan = self.plan.clone();
        let step = plan.step(index);
        let name = step.name.clone();
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
        if step.gates.is_empty() {
            return self.start(events, index, now);
        }
        let questions = approval::gates(step).map(|gate| match &gate.message {
            None => Ok(String::new()),
            Some(message) => self.with_scope(|scope| message.evaluate(scope)).map(|it| match it {
                Value::String(text) => text,
                other => other.to_string(),
            }),
        });
        match questions.collect::<Result<Vec<_>, _>>() {
            Ok(questions) => self.record(events, Event::StepHeld { step: name, questions }, now),
            Err(error) => self.fail_unstarted(events, index, &error, now),
        }
    }

    fn start(&mut self, events: &mut Vec<Event>, index: StepIndex, now: Timestamp) {
        let plan = self.plan.clone();
        match self.with_scope(|scope| plan.step(index).with.evaluate(scope)) {
            Ok(input) => self.start_with(events, index, input, now),
            Err(error) => self.fail_unstarted(events, index, &error, now),
        }
    }

    fn start_with(&mut self, events: &mut Vec<Event>, index: StepIndex, input: Value, now: Timestamp) {
        let step = self.name(index);
        let run = &self.steps[index.as_usize()];
        // A step that runs again is another logical call: the other side must not take it for the first one.
        let (attempt, round) = (run.attempts + 1, run.rounds + 1);
        let started = Event::AttemptStarted { step, operation: Operation::Start, attempt, round, input: Some(input) };
        self.record(events, started, now);
    }

    /// An expression of a step has no value: its only attempt fails before any call is made.
    fn fail_unstarted(&mut self, events: &mut Vec<Event>, index: StepIndex, error: &EvaluationError, now: Timestamp) {
        self.start_with(events, index, Value::Null, now);
        let error = StepError::expression(error.to_string());
        self.fail(events, index, error, now, 0);
    }

    fn end(&mut self, events: &mut Vec<Event>, outcome: Outcome, now: Timestamp) {
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

fn suspended(step: StepName, suspension: Suspension, now: Timestamp) -> Event {
    let mut wake_at: Option<Timestamp> = None;
    let mut topics = Vec::new();
    for wake in suspension.wakes {
        let at = match wake {
            WakeCondition::After(span) => now + span.max(WAIT_MIN),
            WakeCondition::At(at) => at.max(now + WAIT_MIN),
            WakeCondition::Callback(topic) => {
                topics.push(topic);
                continue;
            }
        };
        wake_at = Some(wake_at.map_or(at, |it| it.min(at)));
    }
    Event::Suspended { step, state: suspension.state, wake_at, topics, status: suspension.status }
}
