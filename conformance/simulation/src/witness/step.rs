//! Rules about events of one step.

use serde_json::Value;
use windlass_model::event::{AfterFailure, AfterInterruption, Event, Operation, SkipReason, Wake};
use windlass_model::failure::{FailureClass, RetryAdvice, StepError};
use windlass_model::graph::StepIndex;
use windlass_model::manifest::Effect;
use windlass_model::time::{Span, Timestamp};
use windlass_model::workflow::{Gate, OnFailure, Step};

use super::gate;
use super::{Doing, Phase, Stage, State, Within, Witness};
use crate::violation::{Violation, ensure, violated};

const ORDER: &str = "events of a step follow each other";

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
            (State::Waiting, Event::StepHeld { .. }) => {
                self.ensure_may_begin(step)?;
                ensure(!self.plan.step(step).gates.is_empty(), "only gates hold", || self.name(step).to_string())?;
                self.counts.add("step: held");
                State::Held
            }
            (State::Held, Event::Voted { actor, approved, comment, .. }) => {
                let definition = self.plan.step(step);
                let known = self.seen(step).votes.iter().any(|(it, _)| it.name == actor.name);
                let may = gate::may_vote(definition, actor, &self.created.requested_by);
                ensure(may && !known && self.phase == Phase::Running, "only who may vote does, once", || {
                    format!("{actor} on {}", definition.name)
                })?;
                ensure(*approved || !comment.trim().is_empty(), "a rejection has a reason", || actor.to_string())?;
                if !approved {
                    within.rejected = Some(step);
                }
                self.counts.add(if *approved { "vote: approved" } else { "vote: rejected" });
                self.steps[at].votes.push((actor.clone(), *approved));
                State::Held
            }
            (State::Waiting, Event::StepSkipped { reason, .. }) => self.skipped(step, reason)?,
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
                State::Active(Doing { stage: Stage::Resume { state, wake: wake.clone() }, ..doing })
            }
            (state @ (State::Active(_) | State::Paused(_) | State::Blocked(_)), Event::CallbackKept { .. }) => state,
            (State::Active(doing), Event::CheckpointRecorded { name, value, .. }) if doing.stage.is_calling() => {
                self.steps[at].checkpoints.insert(name.clone(), value.clone());
                self.counts.add("attempt: checkpoint");
                State::Active(doing)
            }
            (State::Active(doing), Event::CallInterrupted { next, .. }) if doing.stage.is_calling() => {
                self.interrupted(step, doing, *next, within)?
            }
            (State::Active(doing), Event::EffectNotFound { .. }) if doing.stage == Stage::Find => {
                State::Active(Doing { stage: Stage::Begin, ..doing })
            }
            (State::Active(doing), Event::AttemptSucceeded { output, .. }) if doing.stage.is_calling() => {
                match doing.operation {
                    Operation::Start => {
                        self.steps[at].output = Some(output.clone());
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
                    Operation::Start | Operation::Rollback => self.plan.step(step).timeout,
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
            (State::Held, Event::AttemptFailed { next, .. }) => {
                ensure(within.rejected == Some(step), "a held step fails by a vote", || self.name(step).to_string())?;
                let tolerated = self.plan.step(step).on_failure == OnFailure::Continue;
                let fits = *next == if tolerated { AfterFailure::Continue } else { AfterFailure::Fail };
                ensure(fits, "what follows a failure is what the file says", || format!("{next:?}"))?;
                State::Failed { tolerated }
            }
            (State::Active(doing), Event::StepCanceled { .. }) => {
                let canceling = matches!(self.phase, Phase::Canceling { .. });
                ensure(
                    canceling && doing.operation == Operation::Start,
                    "only a canceled release cancels steps",
                    || format!("{} while the release is {:?}", self.name(step), self.phase),
                )?;
                let asked = doing.stage == Stage::Stopped
                    || matches!(doing.stage, Stage::Backoff { .. })
                    || !self.plan.pin(step).cancel;
                ensure(asked, "a plugin that can cancel is asked to", || self.name(step).to_string())?;
                self.counts.add("step: canceled");
                State::Canceled
            }
            (state, _) => return refuse(&state),
        };
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

    fn ensure_may_begin(&self, step: StepIndex) -> Result<(), Violation> {
        ensure(self.phase == Phase::Running, "after a failure nothing new starts", || {
            format!("{} while the release is {:?}", self.name(step), self.phase)
        })?;
        ensure(self.may_start(step), "no step before its needs", || self.name(step).to_string())
    }

    fn skipped(&mut self, step: StepIndex, reason: &SkipReason) -> Result<State, Violation> {
        self.ensure_may_begin(step)?;
        let definition = self.plan.step(step);
        let needs_skipped = !definition.needs.is_empty()
            && definition
                .needs
                .iter()
                .all(|it| self.plan.index_of(it).is_some_and(|it| self.seen(it).state == State::Skipped));
        let (fits, name) = match reason {
            SkipReason::Person { .. } => (false, "step: skipped by somebody"),
            SkipReason::NeedsSkipped => (needs_skipped, "step: skipped with what it needs"),
            SkipReason::Condition { .. } => {
                let holds = definition.when.as_ref().map(|it| self.with_scope(|scope| it.holds(scope)));
                (matches!(holds, Some(Ok(false))) && !needs_skipped, "step: skipped by its condition")
            }
        };
        ensure(fits, "a step is skipped for its reason", || format!("{}: {reason:?}", self.name(step)))?;
        self.counts.add(name);
        Ok(State::Skipped)
    }

    /// The value that a step's input should have, if it has one.
    fn input(&self, step: StepIndex) -> Option<Value> {
        self.with_scope(|scope| self.plan.step(step).with.evaluate(scope)).ok()
    }

    fn has_no_value(&self, step: StepIndex) -> bool {
        let definition = self.plan.step(step);
        let when = definition.when.as_ref().is_some_and(|it| self.with_scope(|scope| it.holds(scope)).is_err());
        let message = definition.gates.iter().any(|Gate::Approval(rule)| {
            rule.message.as_ref().is_some_and(|it| self.with_scope(|scope| it.evaluate(scope)).is_err())
        });
        when || message || self.input(step).is_none()
    }

    fn start(
        &mut self,
        step: StepIndex,
        state: State,
        attempt: u32,
        round: u32,
        input: Option<&Value>,
        within: &Within<'_>,
    ) -> Result<Begun, Violation> {
        let definition = self.plan.step(step);
        let stillborn = matches!(within.next, Some(Event::AttemptFailed { step: of, error, .. })
            if *of == definition.name && error.code == "expression-failed");
        let first = Begun { began_at: self.at, spent: attempt - 1, stops: None };
        let begun = match state {
            State::Waiting | State::Held => {
                self.ensure_may_begin(step)?;
                ensure(attempt == 1 && round == 1, "attempts are counted from 1", || format!("{attempt}, {round}"))?;
                if !stillborn {
                    let held = matches!(state, State::Held);
                    ensure(held != definition.gates.is_empty(), "gates are never passed by", || {
                        self.name(step).to_string()
                    })?;
                    let when = definition.when.as_ref().map(|it| self.with_scope(|scope| it.holds(scope)));
                    ensure(!matches!(when, Some(Ok(false) | Err(_))), "a condition is heeded", || {
                        self.name(step).to_string()
                    })?;
                    self.ensure_votes(step, definition)?;
                }
                first
            }
            State::Active(Doing { stage: Stage::Backoff { until }, operation: Operation::Start, .. })
                if until > self.at =>
            {
                return violated("a retry waits for its time", format!("{} until {until}", self.name(step)));
            }
            State::Active(doing)
                if doing.operation == Operation::Start && matches!(doing.stage, Stage::Backoff { .. }) =>
            {
                self.ensure_next_attempt(step, &doing, attempt, round, stillborn, within)?;
                self.counts.add("attempt: retried by policy");
                Begun { began_at: doing.began_at, spent: doing.spent, stops: None }
            }
            State::Paused(doing) if within.retried == Some(step) => {
                self.ensure_next_attempt(step, &doing, attempt, round, stillborn, within)?;
                self.counts.add("attempt: retried by a person");
                first
            }
            other => return violated(ORDER, format!("the start of attempt {attempt} came while {other:?}")),
        };
        if stillborn {
            ensure(self.has_no_value(step), "an expression fails only if it has no value", || {
                self.name(step).to_string()
            })?;
            self.counts.add("step: expression without a value");
            return Ok(begun);
        }
        let expected = self.input(step);
        let given = input.or(self.seen(step).input.as_ref());
        ensure(expected.is_some() && given == expected.as_ref(), "a step's input is what its file says", || {
            format!("{}: {given:?}, not {expected:?}", self.name(step))
        })?;
        let given = given.cloned();
        if !self.seen(step).may_have_acted {
            self.counts.add("step: started");
        }
        let seen = &mut self.steps[step.as_usize()];
        seen.input = given;
        seen.may_have_acted = true;
        Ok(begun)
    }

    fn ensure_votes(&self, step: StepIndex, definition: &Step) -> Result<(), Violation> {
        let votes = &self.seen(step).votes;
        let voters: Vec<_> = votes.iter().filter(|(_, yes)| *yes).map(|(actor, _)| actor).collect();
        let enough = gate::are_enough(definition, &voters, &self.created.requested_by);
        ensure(enough && votes.iter().all(|(_, yes)| *yes), "no gate without its votes", || {
            let names: Vec<_> = voters.iter().map(|it| it.name.as_str()).collect();
            format!("{} starts with {}", definition.name, names.join(", "))
        })
    }

    fn ensure_next_attempt(
        &self,
        step: StepIndex,
        before: &Doing,
        attempt: u32,
        round: u32,
        stillborn: bool,
        within: &Within<'_>,
    ) -> Result<(), Violation> {
        ensure(
            matches!(self.phase, Phase::Running | Phase::Failing { .. } | Phase::RollingBack),
            "after a cancel nothing new starts",
            || format!("attempt {attempt} of {} while the release is {:?}", self.name(step), self.phase),
        )?;
        ensure(attempt == before.attempt + 1, "attempts are counted", || format!("{attempt} after {before:?}"))?;
        let class = before.error.as_ref().map(|it| it.class);
        let rounds = match class {
            Some(FailureClass::Rejected) => before.round + 1..=before.round + 1,
            Some(
                FailureClass::Transient | FailureClass::RateLimited | FailureClass::TimedOut | FailureClass::Internal,
            )
            | None => before.round..=before.round,
            // What these say of the effect depends on what was asked; that no effect is doubled is the world's rule.
            Some(_) => before.round..=before.round + 1,
        };
        ensure(rounds.contains(&round), "a new key exactly after a definite answer", || {
            format!("{} goes from round {} to {round} after {class:?}", self.name(step), before.round)
        })?;
        let pin = self.plan.pin(step);
        let in_doubt = before.operation == Operation::Start && round == before.round;
        if in_doubt && pin.effect == Effect::Write && pin.find && !stillborn {
            let looks = matches!(within.next, Some(Event::CallInterrupted { next: AfterInterruption::Find, .. }));
            ensure(looks || !self.seen(step).may_have_acted, "who can look looks before trying again", || {
                self.name(step).to_string()
            })?;
        }
        Ok(())
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
        let wanted = doing.timed_out || matches!(self.phase, Phase::Canceling { .. });
        ensure(
            going && wanted && doing.operation == Operation::Start && self.plan.pin(step).cancel,
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
            State::Succeeded | State::Failed { .. } | State::Canceled | State::Paused(_) => {
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
            State::Blocked(doing) if within.retried == Some(step) && attempt == doing.attempt + 1 => Ok(first),
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
        let pin = self.plan.pin(step);
        let looks_first = matches!(within.previous, Some(Event::AttemptStarted { step: of, attempt, .. })
            if of == self.name(step) && *attempt > 1);
        let expected = if looks_first {
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
                self.counts.add("step: paused");
                State::Paused(Doing { error: Some(error.clone()), ..doing })
            }
            (AfterFailure::Fail, Operation::Cancel) => stopped(doing),
            (AfterFailure::Fail, Operation::Start) => State::Failed { tolerated: false },
            (AfterFailure::Continue, Operation::Start) => {
                self.counts.add("step: failed, tolerated");
                State::Failed { tolerated: true }
            }
            (next, operation) => {
                return violated("what follows a failure is what the file says", format!("{next:?} of {operation:?}"));
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
        let definition = self.plan.step(step);
        let policy = &definition.retry;
        let exhausted = match (doing.operation, definition.on_failure) {
            (Operation::Rollback, _) => AfterFailure::Pause,
            (Operation::Cancel, _) => AfterFailure::Fail,
            (Operation::Start, OnFailure::Pause) => AfterFailure::Pause,
            (Operation::Start, OnFailure::Fail | OnFailure::Rollback) => AfterFailure::Fail,
            (Operation::Start, OnFailure::Continue) => AfterFailure::Continue,
        };
        let declared = policy.on.contains(&error.class);
        let canceling = matches!(self.phase, Phase::Canceling { .. }) && doing.operation == Operation::Start;
        let (may_retry, not_before) = match error.advice {
            RetryAdvice::Never | RetryAdvice::Pause => (false, Span(0)),
            RetryAdvice::After(span) => (true, span),
            RetryAdvice::ByPolicy => (declared, Span(0)),
        };
        let may_retry = may_retry && doing.attempt - doing.spent < policy.attempts && !canceling;
        let fits = match next {
            AfterFailure::RetryAt(at) => {
                let latest = self.at + Span(policy.max_backoff.0.max(not_before.0));
                let in_time = policy.within.is_none_or(|it| at <= doing.began_at + it);
                may_retry && in_time && at >= self.at + not_before && at <= latest
            }
            _ if error.advice == RetryAdvice::Pause && doing.operation == Operation::Start => {
                next == AfterFailure::Pause
            }
            _ if may_retry => policy.within.is_some() && next == exhausted,
            _ => next == exhausted,
        };
        ensure(fits, "what follows a failure is what the file says", || {
            format!("{}: {next:?} after {error} (advice {:?}) of {doing:?}", definition.name, error.advice)
        })
    }
}

/// What an attempt takes over from what was before it.
struct Begun {
    began_at: Timestamp,
    spent: u32,
    stops: Option<Box<Doing>>,
}

fn stopped(cancel: Doing) -> State {
    match cancel.stops {
        Some(doing) => State::Active(Doing { stage: Stage::Stopped, ..*doing }),
        None => State::Canceled,
    }
}
