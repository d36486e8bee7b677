//! Which facts to record when something comes in.

use windlass_model::event::{AfterFailure, AfterInterruption, Event, Operation, Record, Wake};
use windlass_model::failure::{FailureClass, StepError};
use windlass_model::graph::StepIndex;
use windlass_model::manifest::Effect;
use windlass_model::name::StepName;
use windlass_model::time::{Span, Timestamp};
use windlass_model::workflow::OnFailure;

use crate::input::{CallId, CallResult, Input, Rejected, Suspension, WakeCondition};
use crate::release::{DueKey, Release, ReleaseState, call_id};
use crate::retry;
use crate::step::{Activity, Call, Stage, StepState};

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
            Input::Callback { callback, maker } => self.callback(callback, &maker, now)?,
            Input::ParentTold => self.parent_told(now),
            Input::Vote { step, actor, approved, comment } => self.vote(step, actor, approved, comment, now)?,
            Input::CallHeld { call, hold, is_open } => self.hold(call, hold, is_open, now)?,
            Input::CallLetThrough { call } => self.let_through(call, now)?,
            Input::Alert(alert) => self.take_alert(*alert, now)?,
            Input::GiveCause { actor, cause } => self.give_cause(actor, *cause, now)?,
            Input::Admitted => self.admit(now)?,
            Input::Superseded { by } => self.supersede(by, now)?,
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

    /// As [`Self::decide`], for a driver that is about to go and makes no call any more: what it decides is left for the
    /// next one. None of the release's calls may be going on.
    pub fn decide_last(&mut self, input: Input, now: Timestamp) -> Result<Option<Record>, Rejected> {
        let mut record = self.decide(input, now)?;
        if let Some(record) = &mut record {
            self.leave_alone_with(record);
        }
        Ok(record)
    }

    /// Says that none of the calls that should be going on has been begun, if that has not been said: whoever takes the
    /// release over need not ask whether they had their effect.
    pub fn leave_alone(&mut self, now: Timestamp) -> Option<Record> {
        let mut record = Record { at: now.max(self.updated_at), events: Vec::new() };
        self.leave_alone_with(&mut record);
        if record.events.is_empty() {
            return None;
        }
        self.records += 1;
        Some(record)
    }

    /// As [`Self::leave_alone`], in the release's last record, which has not been written yet.
    pub fn leave_alone_with(&mut self, record: &mut Record) {
        if !self.left_alone && self.calls().next().is_some() {
            self.record(&mut record.events, Event::LeftAlone, record.at);
        }
    }

    /// Whether the journal says that none of the calls that should be going on has been begun.
    pub fn is_left_alone(&self) -> bool {
        self.left_alone
    }

    fn parent_told(&mut self, now: Timestamp) -> Vec<Event> {
        let mut events = Vec::new();
        if self.is_untold() {
            self.record(&mut events, Event::ParentTold, now);
        }
        events
    }

    /// Takes a fact of our own making in.
    ///
    /// # Panics
    ///
    /// When the fact does not fit: then `decide` is wrong, and going on would write a journal that
    /// cannot be replayed.
    pub(crate) fn record(&mut self, events: &mut Vec<Event>, event: Event, now: Timestamp) {
        if let Err(illegal) = self.apply(&event, now) {
            panic!("release {}: decided what cannot follow: {illegal}", self.id());
        }
        events.push(event);
    }

    pub(crate) fn find_step(&self, step: &StepName) -> Result<StepIndex, Rejected> {
        self.index_of(step).ok_or_else(|| {
            let of = step.item().and_then(|_| self.plan.index_of(&step.of_step().parse().ok()?));
            match of.filter(|it| self.plan.step(*it).for_each.is_some()) {
                Some(of) => Rejected::UnknownItem {
                    item: step.clone(),
                    step: self.plan.step(of).name.clone(),
                    items: self.items(of).map(Iterator::count),
                },
                None => Rejected::UnknownStep {
                    step: step.clone(),
                    steps: self.plan.workflow().steps.iter().map(|it| it.name.to_string()).collect(),
                },
            }
        })
    }

    pub(crate) fn activity(&self, call: CallId) -> Result<&Activity, Rejected> {
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
            let pin = self.pin(call.step);
            // What writes nothing can be repeated.
            let next = if left_alone || self.is_dry_run() {
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
            let step = self.name_of(call.step);
            self.record(&mut events, Event::CallInterrupted { step, next, unbegun: left_alone }, now);
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
        let step = self.name_of(call.step);
        let mut events = Vec::new();
        match result {
            Ok(CallResult::Done(output)) => {
                self.record(&mut events, Event::AttemptSucceeded { step, output }, now);
                self.after_cancel(&mut events, call.step, now, dice);
            }
            Ok(CallResult::Suspended(suspension)) => {
                let event = suspended(step, suspension, now);
                match self.steps[call.step.as_usize()].suspended_too_much(&event) {
                    Some(error) => self.fail(&mut events, call.step, error, now, dice),
                    None => {
                        self.record(&mut events, event, now);
                        self.wake_by_kept(&mut events, call.step, now, dice);
                    }
                }
            }
            Ok(CallResult::WouldDo { output, dry_run }) if self.is_dry_run() => {
                self.tell_dry_run(&mut events, call.step, *dry_run, now);
                self.record(&mut events, Event::AttemptSucceeded { step, output }, now);
                self.after_cancel(&mut events, call.step, now, dice);
            }
            Ok(CallResult::WouldDo { .. }) => {
                let error = StepError::engine(
                    FailureClass::Internal,
                    "contract-broken",
                    "only in a dry run a call ends by what it would have done",
                );
                self.fail(&mut events, call.step, error, now, dice);
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
        self.steps[call.step.as_usize()].has_room_for_checkpoint(&name, &value)?;
        let mut events = Vec::new();
        let step = self.name_of(call.step);
        self.record(&mut events, Event::CheckpointRecorded { step, name, value }, now);
        Ok(events)
    }

    /// Records that an attempt failed, and what follows.
    pub(crate) fn fail(
        &mut self,
        events: &mut Vec<Event>,
        index: StepIndex,
        error: StepError,
        now: Timestamp,
        dice: u64,
    ) {
        let Some(activity) = self.steps[index.as_usize()].state.activity() else { return };
        let may_stand = self.steps[index.as_usize()].may_stand_after(activity, &error);
        // A dry run writes nothing that another attempt could repeat.
        let may_be_done = may_stand && !self.is_dry_run();
        let next = retry::after(self.definition(index), self.pin(index), activity, &error, may_be_done, now, dice);
        let next = self.within_allowance(index, &error, next);
        // Past a point of no return nothing is rolled back by itself: a person says how to go forward.
        let wants_rollback = self.definition(index).on_failure == OnFailure::Rollback;
        let next = match next {
            AfterFailure::Fail
                if activity.operation == Operation::Start && wants_rollback && self.is_past_pivot(index, may_stand) =>
            {
                AfterFailure::Pause
            }
            other => other,
        };
        let next = self.without_asking(next);
        let operation = activity.operation;
        let step = self.name_of(index);
        self.record(events, Event::AttemptFailed { step: step.clone(), error, next }, now);
        self.after_cancel(events, index, now, dice);
        if operation == Operation::Start && next == AfterFailure::Fail && !self.fails_later(index) {
            self.begin_failing(events, index, now);
        }
        if operation == Operation::Start && next == AfterFailure::Continue {
            self.check_threshold(events, index, now);
        }
    }

    /// Whether a point of no return is passed when this step has failed so.
    fn is_past_pivot(&self, index: StepIndex, may_stand: bool) -> bool {
        self.pivot_passed_but_for((!may_stand).then_some(index)).is_some()
    }

    /// A failure that is tolerated may be one too many for its phase.
    pub(crate) fn check_threshold(&mut self, events: &mut Vec<Event>, index: StepIndex, now: Timestamp) {
        if self.state != ReleaseState::Running {
            return;
        }
        if let Some((_, rollback)) = self.threshold_crossed(index) {
            let rollback = rollback && !self.is_dry_run() && self.pivot_passed().is_none();
            self.record(events, Event::FailingStarted { step: self.name_of(index), rollback }, now);
        }
    }

    pub(crate) fn begin_failing(&mut self, events: &mut Vec<Event>, index: StepIndex, now: Timestamp) {
        let wants_rollback = self.definition(index).on_failure == OnFailure::Rollback;
        let rollback = wants_rollback && !self.is_dry_run() && self.pivot_passed().is_none();
        let step = self.name_of(index);
        match &self.state {
            ReleaseState::Running => self.record(events, Event::FailingStarted { step, rollback }, now),
            ReleaseState::Failing { rollback: false, .. } if rollback => {
                self.record(events, Event::FailingStarted { step, rollback }, now);
            }
            ReleaseState::Queued
            | ReleaseState::Failing { .. }
            | ReleaseState::Canceling { .. }
            | ReleaseState::RollingBack { .. }
            | ReleaseState::Finishing { .. }
            | ReleaseState::Ended { .. } => {}
        }
    }

    /// When a cancel is over: settles what it stopped. In a release that is being canceled, an attempt
    /// that was too slow gets no other.
    fn after_cancel(&mut self, events: &mut Vec<Event>, index: StepIndex, now: Timestamp, dice: u64) {
        let run = &self.steps[index.as_usize()];
        let Some(Activity { stage: Stage::Stopped, .. }) = run.state.activity() else { return };
        let (step, timed_out) = (self.name_of(index), run.timing_out);
        let unwanted =
            matches!(self.state, ReleaseState::Canceling { .. } | ReleaseState::Finishing { canceled: true, .. });
        if timed_out && !unwanted {
            let mut error = self.timed_out(index);
            if let Some(why) = &self.steps[index.as_usize()].unstopped {
                error.message.push_str(&format!("; it could not be stopped, and may go on: {why}"));
            }
            self.fail(events, index, error, now, dice);
        } else {
            self.record(events, Event::StepCanceled { step }, now);
        }
    }

    fn timed_out(&self, index: StepIndex) -> StepError {
        let timeout = self.definition(index).timeout.unwrap_or(CANCEL_TIMEOUT);
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
                    DueKey::PhaseDeadline(phase) => self.overdue(&mut events, Some(phase), now),
                    DueKey::ReleaseDeadline => self.overdue(&mut events, None, now),
                    DueKey::Escalation => self.escalate(&mut events, now),
                    DueKey::RollbackObjective => self.record(&mut events, Event::RollbackOverdue, now),
                }
            }
        }
        events
    }

    pub(crate) fn wake(&mut self, events: &mut Vec<Event>, index: StepIndex, wake: Wake, now: Timestamp) {
        let step = self.name_of(index);
        if matches!(self.steps[index.as_usize()].state, StepState::Held { .. }) {
            return self.record(events, Event::DelayOver { step }, now);
        }
        let Some(activity) = self.steps[index.as_usize()].state.activity().cloned() else { return };
        match &activity.stage {
            Stage::Suspended { .. } => self.record(events, Event::Resumed { step, wake }, now),
            Stage::Backoff { error, .. } => {
                let error = error.clone();
                self.try_again(events, index, &activity, &error, now);
            }
            Stage::Held { .. } | Stage::Calling(_) | Stage::Stopped => {}
        }
    }

    /// Begins the next attempt of an operation; looks for the effect first where it may have happened.
    pub(crate) fn try_again(
        &mut self,
        events: &mut Vec<Event>,
        index: StepIndex,
        before: &Activity,
        error: &StepError,
        now: Timestamp,
    ) {
        let step = self.name_of(index);
        let stands = self.steps[index.as_usize()].stands;
        let definite = error.class.is_definite() && (before.operation != Operation::Start || !stands);
        let may_have_had_it = stands && !self.is_dry_run();
        let started = Event::AttemptStarted {
            step: step.clone(),
            operation: before.operation,
            attempt: before.attempt + 1,
            round: before.round + u32::from(definite),
            input: None,
        };
        self.record(events, started, now);
        let pin = self.pin(index);
        if before.operation == Operation::Start && may_have_had_it && pin.find && pin.effect == Effect::Write {
            let next = AfterInterruption::Find;
            self.record(events, Event::CallInterrupted { step, next, unbegun: false }, now);
        }
    }

    fn deadline_passed(&mut self, events: &mut Vec<Event>, index: StepIndex, now: Timestamp, dice: u64) {
        let step = self.name_of(index);
        let Some(activity) = self.steps[index.as_usize()].state.activity().cloned() else { return };
        if !matches!(activity.stage, Stage::Calling(_) | Stage::Suspended { .. }) {
            return;
        }
        self.record(events, Event::AttemptTimedOut { step: step.clone() }, now);
        if activity.operation == Operation::Start && self.is_stopped_by_its_plugin(index) {
            let started = self.cancel(index, &activity);
            self.record(events, started, now);
        } else {
            let mut error = self.timed_out(index);
            let pin = self.pin(index);
            if activity.operation == Operation::Start && pin.effect != Effect::Read && !self.is_dry_run() {
                error.message.push_str("; its action has no `cancel`, so what it began may go on");
            }
            self.fail(events, index, error, now, dice);
        }
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
