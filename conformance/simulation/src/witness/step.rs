//! Rules about events of one step.

use windlass_model::event::{AfterFailure, AfterInterruption, Event, Operation, SkipReason, Wake};
use windlass_model::failure::{FailureClass, RetryAdvice, StepError};
use windlass_model::graph::StepIndex;
use windlass_model::manifest::Effect;
use windlass_model::time::Span;
use windlass_model::workflow::OnFailure;

use super::dry_run::DRY_RUN;
use super::gate;
use super::start::Begun;
use super::{Doing, Phase, Stage, State, Within, Witness};
use crate::violation::{Violation, ensure, violated};

pub(super) const ORDER: &str = "events of a step follow each other";
const FOLLOWS: &str = "what follows a failure is what the file says";

impl Witness {
    pub(super) fn step_event(
        &mut self,
        step: StepIndex,
        event: &Event,
        within: &mut Within<'_>,
    ) -> Result<(), Violation> {
        let at = step.as_usize();
        let state = std::mem::take(&mut self.steps[at].state);
        self.may_be_called_back(&state, event)?;
        // Conditions and expressions see the step as it was.
        self.steps[at].state = state.clone();
        let refuse = |state: &State| violated(ORDER, format!("{event:?} came while {state:?}"));
        self.steps[at].state = match (state, event) {
            (State::Waiting, Event::StepHeld { until, .. }) => {
                ensure(!self.is_dry_run(), DRY_RUN, || format!("{} is held", self.name(step)))?;
                self.ensure_may_begin(step)?;
                let definition = self.definition(step);
                let expected = definition.delay.map(|it| self.at + it);
                let holds = !definition.gates.is_empty() || expected.is_some();
                ensure(holds && *until == expected && !self.is_item(step), "only gates and delays hold", || {
                    format!("{} until {until:?}", self.name(step))
                })?;
                let when = definition.when.as_ref().map(|it| self.with_scope(|scope| it.holds(scope)));
                ensure(!matches!(when, Some(Ok(false) | Err(_))), "a condition is heeded", || {
                    self.name(step).to_string()
                })?;
                self.counts.add(if until.is_some() { "step: delayed" } else { "step: held" });
                self.began(step);
                State::Held { until: *until }
            }
            (State::Waiting, Event::GatesLeftOut { questions, delay, .. }) => {
                self.gates_left_out(step, questions.len(), *delay, within)?;
                State::Waiting
            }
            (state @ (State::Waiting | State::FannedOut), Event::InputUnknown { .. }) => {
                self.input_unknown(step, within)?;
                state
            }
            (State::Active(doing), Event::DryRunTold { .. }) if doing.stage.is_calling() => {
                self.dry_run_told(step, within)?;
                State::Active(doing)
            }
            (State::Held { until: Some(until) }, Event::DelayOver { .. }) => {
                ensure(until <= self.at, "a delay lasts as long as the file says", || self.name(step).to_string())?;
                self.counts.add("step: its delay was over");
                State::Held { until: None }
            }
            (state @ State::Held { .. }, Event::Voted { actor, approved, comment, .. }) => {
                let definition = self.definition(step);
                let known = self.seen(step).votes.iter().any(|(it, _)| it.name == actor.name);
                let may = gate::may_vote(definition, actor, &self.created.requested_by);
                ensure(may && !known && self.goes_forward(step), "only who may vote does, once", || {
                    format!("{actor} on {}", definition.name)
                })?;
                ensure(*approved || !comment.trim().is_empty(), "a rejection has a reason", || actor.to_string())?;
                if !approved {
                    within.rejected = Some(step);
                }
                self.counts.add(if *approved { "vote: approved" } else { "vote: rejected" });
                self.steps[at].votes.push((actor.clone(), *approved));
                state
            }
            (State::Waiting, Event::StepSkipped { reason, .. }) => self.skipped(step, reason, within)?,
            (state, Event::StepSkipped { reason: SkipReason::Person { .. }, .. }) => {
                self.skipped_by_hand(step, &state, within)?
            }
            (state, Event::OutputGiven { output, .. }) if state.lets_dependents_run() => {
                self.output_given(step, output, within)?;
                state
            }
            (State::Blocked(_), Event::RollbackSettled { done, .. }) => self.rollback_settled(step, *done, within)?,
            (State::Waiting | State::Held { .. }, Event::FannedOut { items, .. }) => {
                self.fanned_out(step, items)?;
                State::FannedOut
            }
            (State::FannedOut, Event::Joined { output, .. }) => {
                self.joined(step, output.as_ref())?;
                State::Succeeded
            }
            (State::FannedOut, Event::AttemptFailed { error, next, .. }) => self.fan_failed(step, error, *next)?,
            (State::FannedOut, Event::StepCanceled { .. }) => {
                self.fan_canceled(step)?;
                State::Canceled
            }
            (state, Event::AttemptStarted { operation, attempt, round, input, .. }) => {
                let before = match operation {
                    Operation::Start => self.start(step, state, *attempt, *round, input.as_ref(), within)?,
                    Operation::Cancel => self.cancel(step, state, *attempt)?,
                    Operation::Rollback => self.roll_back(step, state, *attempt, within)?,
                };
                self.begun(*operation, *attempt, *round, before)
            }
            (State::Active(doing), Event::Suspended { state, wake_at, topics, .. }) if doing.stage.is_calling() => {
                ensure(wake_at.is_some() || !topics.is_empty(), "a suspension names what ends it", || {
                    self.name(step).to_string()
                })?;
                self.counts.add("attempt: suspended");
                let stage = Stage::Suspended { state: state.clone(), wake_at: *wake_at, topics: topics.clone() };
                State::Active(Doing { stage, ..doing })
            }
            (State::Active(doing), Event::Resumed { wake, .. }) => {
                let (state, due) = match (&doing.stage, wake) {
                    (Stage::Suspended { state, wake_at, .. }, Wake::Timer) => {
                        (state.clone(), wake_at.is_some_and(|it| it <= self.at))
                    }
                    (Stage::Suspended { state, topics, .. }, Wake::Callback { topic, .. }) => {
                        (state.clone(), topics.contains(topic))
                    }
                    _ => (Vec::new(), false),
                };
                ensure(due, "a wait ends by what it waits for", || format!("{wake:?} for {doing:?}"))?;
                self.counts.add(match wake {
                    Wake::Timer => "attempt: resumed by its timer",
                    Wake::Callback { .. } => "attempt: resumed by a callback",
                });
                self.seen_mut(step).one_call = None;
                State::Active(Doing { stage: Stage::Resume { state, wake: wake.clone() }, ..doing })
            }
            (state @ (State::Active(_) | State::Paused(_) | State::Blocked(_)), Event::CallbackKept { .. }) => state,
            (State::Active(doing), Event::CheckpointRecorded { name, value, .. }) if doing.stage.is_calling() => {
                self.steps[at].checkpoints.insert(name.clone(), value.clone());
                self.counts.add("attempt: checkpoint");
                State::Active(doing)
            }
            (State::Active(doing), Event::CallInterrupted { next, unbegun, .. }) if doing.stage.is_calling() => {
                let left_alone = within.left_alone_before && *next == AfterInterruption::Repeat;
                ensure(*unbegun == left_alone, "a call that nobody began is the first", || {
                    self.name(step).to_string()
                })?;
                if !unbegun {
                    self.seen_mut(step).one_call = None;
                }
                self.interrupted(step, doing, *next, within)?
            }
            (State::Active(doing), Event::EffectNotFound { .. }) if doing.stage == Stage::Find => {
                State::Active(Doing { stage: Stage::Begin, ..doing })
            }
            (State::Active(doing), Event::AttemptSucceeded { output, .. }) if doing.stage.is_calling() => {
                match doing.operation {
                    Operation::Start => {
                        self.steps[at].output = Some(output.clone());
                        self.steps[at].made = Some(output.clone());
                        State::Succeeded
                    }
                    Operation::Cancel => stopped(doing),
                    Operation::Rollback => {
                        self.counts.add("step: rolled back");
                        State::RolledBack
                    }
                }
            }
            (State::Active(doing), Event::AttemptTimedOut { .. }) => {
                let limit = match doing.operation {
                    Operation::Cancel => Some(Span::seconds(300)),
                    Operation::Start | Operation::Rollback => self.definition(step).timeout,
                };
                let over = limit.is_some_and(|it| self.at >= doing.attempt_at + it);
                let going = doing.stage.is_calling() || matches!(doing.stage, Stage::Suspended { .. });
                ensure(over && going, "only what is too slow times out", || {
                    format!("{} began at {}, now it is {}", self.name(step), doing.attempt_at, self.at)
                })?;
                self.counts.add("attempt: timed out");
                State::Active(Doing { timed_out: true, ..doing })
            }
            (State::Active(doing), Event::AttemptFailed { error, next, .. }) => {
                self.failed(step, doing, error, *next)?
            }
            (State::Held { .. }, Event::AttemptFailed { next, .. }) => {
                ensure(within.rejected == Some(step), "a held step fails by a vote", || self.name(step).to_string())?;
                let tolerated = self.definition(step).on_failure == OnFailure::Continue;
                let fits = *next == if tolerated { AfterFailure::Continue } else { AfterFailure::Fail };
                ensure(fits, FOLLOWS, || format!("{next:?}"))?;
                State::Failed { tolerated }
            }
            (State::Active(doing), Event::StepCanceled { .. }) => {
                let canceling = matches!(self.phase, Phase::Canceling { .. } | Phase::Finishing { canceled: true, .. });
                ensure(
                    canceling && doing.operation == Operation::Start,
                    "only a canceled release cancels steps",
                    || format!("{} while the release is {:?}", self.name(step), self.phase),
                )?;
                let asked = self.is_dry_run()
                    || doing.stage == Stage::Stopped
                    || matches!(doing.stage, Stage::Backoff { .. })
                    || !self.pin(step).cancel;
                ensure(asked, "a plugin that can cancel is asked to", || self.name(step).to_string())?;
                self.counts.add("step: canceled");
                State::Canceled
            }
            (state, _) => return refuse(&state),
        };
        self.goes_back_with_items(step);
        self.gave(step, event);
        self.called_back(step, event, within.previous)
    }

    fn begun(&self, operation: Operation, attempt: u32, round: u32, before: Begun) -> State {
        State::Active(Doing {
            operation,
            attempt,
            round,
            spent: before.spent,
            began_at: before.began_at,
            attempt_at: self.at,
            stage: Stage::Begin,
            error: None,
            timed_out: false,
            stops: before.stops,
        })
    }

    fn cancel(&mut self, step: StepIndex, state: State, attempt: u32) -> Result<Begun, Violation> {
        let State::Active(doing) = state else {
            return violated(ORDER, format!("a cancel came while {state:?}"));
        };
        if doing.operation == Operation::Cancel {
            let due = matches!(doing.stage, Stage::Backoff { until } if until <= self.at);
            ensure(due && attempt == doing.attempt + 1, ORDER, || format!("a cancel came while {doing:?}"))?;
            return Ok(Begun { began_at: doing.began_at, spent: doing.spent, stops: doing.stops });
        }
        let going = doing.stage.is_calling() || matches!(doing.stage, Stage::Suspended { .. });
        let wanted =
            doing.timed_out || matches!(self.phase, Phase::Canceling { .. } | Phase::Finishing { canceled: true, .. });
        ensure(
            going && wanted && doing.operation == Operation::Start && self.pin(step).cancel && !self.is_dry_run(),
            "a cancel stops what is too slow or unwanted",
            || format!("{} is {doing:?}", self.name(step)),
        )?;
        Ok(Begun { began_at: self.at, spent: attempt - 1, stops: Some(Box::new(doing)) })
    }

    fn roll_back(
        &mut self,
        step: StepIndex,
        state: State,
        attempt: u32,
        within: &Within<'_>,
    ) -> Result<Begun, Violation> {
        ensure(self.phase == Phase::RollingBack, "a rollback has a cause", || {
            format!("{} while the release is {:?}", self.name(step), self.phase)
        })?;
        let first = Begun { began_at: self.at, spent: attempt - 1, stops: None };
        match state {
            State::Succeeded
            | State::Failed { .. }
            | State::Canceled
            | State::Paused(_)
            | State::Waiting
            | State::Held { .. }
            | State::Skipped { .. } => {
                ensure(self.rollback.contains(&step), "what had no effect is not rolled back", || {
                    self.name(step).to_string()
                })?;
                ensure(self.is_free_for_rollback(step), "a step is rolled back after what stands on it", || {
                    self.name(step).to_string()
                })?;
                Ok(first)
            }
            State::Active(Doing {
                operation: Operation::Rollback,
                stage: Stage::Backoff { until },
                began_at,
                spent,
                attempt: before,
                ..
            }) if until <= self.at && attempt == before + 1 => Ok(Begun { began_at, spent, stops: None }),
            State::Blocked(doing) if within.retries(&self.name(step)) && attempt == doing.attempt + 1 => Ok(first),
            other => violated(ORDER, format!("a rollback came while {other:?}")),
        }
    }

    fn interrupted(
        &mut self,
        step: StepIndex,
        doing: Doing,
        next: AfterInterruption,
        within: &Within<'_>,
    ) -> Result<State, Violation> {
        let pin = self.pin(step);
        let looks_first = matches!(within.previous, Some(Event::AttemptStarted { step: of, attempt, .. })
            if *of == self.name(step) && *attempt > 1);
        let expected = if self.is_dry_run() {
            AfterInterruption::Repeat
        } else if looks_first {
            AfterInterruption::Find
        } else if within.left_alone_before {
            self.counts.add("interrupted: left alone");
            AfterInterruption::Repeat
        } else if doing.operation != Operation::Start || doing.stage == Stage::Find || pin.effect != Effect::Write {
            AfterInterruption::Repeat
        } else if pin.find {
            AfterInterruption::Find
        } else {
            AfterInterruption::Pause
        };
        ensure(next == expected, "what may have happened is never blindly repeated", || {
            format!("{}: {next:?}, not {expected:?}", self.name(step))
        })?;
        if !looks_first {
            self.interrupted += 1;
            self.counts.add(match next {
                AfterInterruption::Repeat => "interrupted: repeat",
                AfterInterruption::Find => "interrupted: find",
                AfterInterruption::Pause => "interrupted: pause",
            });
        }
        Ok(match next {
            AfterInterruption::Repeat => State::Active(doing),
            AfterInterruption::Find => State::Active(Doing { stage: Stage::Find, ..doing }),
            AfterInterruption::Pause => State::Paused(doing),
        })
    }

    fn failed(
        &mut self,
        step: StepIndex,
        doing: Doing,
        error: &StepError,
        next: AfterFailure,
    ) -> Result<State, Violation> {
        let is_answer = says_that_nothing_stands(error.class) && error.code != "not-called";
        if doing.operation == Operation::Start && is_answer {
            self.seen_mut(step).standing.remove(&doing.round);
        }
        let is_start = doing.operation == Operation::Start;
        let one_call = if is_start { self.seen_mut(step).one_call.take() } else { None };
        if let Some(before) = one_call.filter(|_| error.without_effect) {
            // It is as if the attempt had not been made.
            let seen = self.seen_mut(step);
            seen.may_have_acted = before.may_have_acted;
            if !before.stood {
                seen.standing.remove(&doing.round);
            }
            self.counts.add(match (before.may_have_acted, before.stood) {
                (false, _) => "attempt: failed without an effect",
                (true, false) => "attempt: failed without an effect, an earlier run had one",
                (true, true) => "attempt: failed without an effect, an earlier one may have had it",
            });
        }
        self.ensure_follows(step, &doing, error, next)?;
        Ok(match (next, doing.operation) {
            (AfterFailure::RetryAt(until), _) => {
                State::Active(Doing { stage: Stage::Backoff { until }, error: Some(error.clone()), ..doing })
            }
            (AfterFailure::Pause, Operation::Rollback) => {
                self.counts.add("step: rollback blocked");
                State::Blocked(Doing { error: Some(error.clone()), ..doing })
            }
            (AfterFailure::Pause, Operation::Start) => {
                self.counts.add(if self.is_item(step) { "item: paused" } else { "step: paused" });
                State::Paused(Doing { error: Some(error.clone()), ..doing })
            }
            (AfterFailure::Fail, Operation::Cancel) => stopped(doing),
            (AfterFailure::Fail, Operation::Start) => State::Failed { tolerated: false },
            (AfterFailure::Continue, Operation::Start) => {
                self.counts.add(if self.is_item(step) { "item: failed, tolerated" } else { "step: failed, tolerated" });
                State::Failed { tolerated: true }
            }
            (next, operation) => {
                return violated(FOLLOWS, format!("{next:?} of {operation:?}"));
            }
        })
    }

    /// The retry policy, once more.
    fn ensure_follows(
        &self,
        step: StepIndex,
        doing: &Doing,
        error: &StepError,
        next: AfterFailure,
    ) -> Result<(), Violation> {
        let definition = self.definition(step);
        let policy = &definition.retry;
        let tolerated = self.may_fail_within_allowance(step);
        // In a dry run nobody is asked.
        let asks = if self.is_dry_run() { AfterFailure::Fail } else { AfterFailure::Pause };
        let exhausted = match (doing.operation, definition.on_failure) {
            (Operation::Rollback, _) => AfterFailure::Pause,
            (Operation::Cancel, _) => AfterFailure::Fail,
            (Operation::Start, _) if tolerated => AfterFailure::Continue,
            (Operation::Start, OnFailure::Pause) => asks,
            (Operation::Start, OnFailure::Rollback) if self.is_past_pivot() => AfterFailure::Pause,
            (Operation::Start, OnFailure::Fail | OnFailure::Rollback) => AfterFailure::Fail,
            (Operation::Start, OnFailure::Continue) => AfterFailure::Continue,
        };
        let declared = policy.on.contains(&error.class);
        let canceling = matches!(self.phase, Phase::Canceling { .. } | Phase::Finishing { canceled: true, .. })
            && doing.operation == Operation::Start;
        let pin = self.pin(step);
        let may_stand = self.seen(step).standing.contains(&doing.round);
        let may_be_done = may_stand && !self.is_dry_run();
        let is_blind = doing.operation == Operation::Start && pin.effect == Effect::Write && !pin.find && may_be_done;
        let (may_retry, not_before) = match error.advice {
            RetryAdvice::Never | RetryAdvice::Pause => (false, Span(0)),
            RetryAdvice::After(span) => (true, span),
            RetryAdvice::ByPolicy => (declared && !is_blind, Span(0)),
        };
        let may_retry = may_retry && doing.attempt - doing.spent < policy.attempts && !canceling;
        let fits = match next {
            AfterFailure::RetryAt(at) => {
                let latest = self.at + Span(policy.max_backoff.0.max(not_before.0));
                let in_time = policy.within.is_none_or(|it| at <= doing.began_at + it);
                may_retry && in_time && at >= self.at + not_before && at <= latest
            }
            AfterFailure::Pause if self.is_dry_run() => false,
            _ if error.advice == RetryAdvice::Pause && doing.operation == Operation::Start => next == asks,
            _ if may_retry => policy.within.is_some() && next == exhausted,
            _ => next == exhausted,
        };
        ensure(fits, FOLLOWS, || {
            format!("{}: {next:?} after {error} (advice {:?}) of {doing:?}", definition.name, error.advice)
        })
    }
}

/// Whether a failure is the other side's answer, so that the call it answers left nothing behind.
fn says_that_nothing_stands(class: FailureClass) -> bool {
    use FailureClass::{Canceled, Conflict, Invalid, NotFound, Rejected};
    matches!(class, NotFound | Conflict | Invalid | Rejected | Canceled)
}

fn stopped(cancel: Doing) -> State {
    match cancel.stops {
        Some(doing) => State::Active(Doing { stage: Stage::Stopped, ..*doing }),
        None => State::Canceled,
    }
}
