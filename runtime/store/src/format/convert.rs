//! Between the model's types and the written ones, both ways.

use std::borrow::Cow;

use minicbor::bytes::{ByteArray, ByteSlice};
use serde_json::Value;
use windlass_model::actor::Actor;
use windlass_model::cause::{CauseCategory, RollbackCause};
use windlass_model::digest::Digest;
use windlass_model::event::{
    AfterFailure, AfterInterruption, Created, Event, HeldBy, Hold, Intervention, Operation, Outcome, Parent, Record,
    SkipReason, Wake,
};
use windlass_model::failure::{FailureClass, FailureOrigin, RetryAdvice, StepError};
use windlass_model::name::{PhaseName, ReleaseId, StepName};
use windlass_model::time::{Span, Timestamp};

use super::alert::{from_alert, from_on_alert, to_alert, to_on_alert};
use super::claim::{from_claim, from_standing, to_claim, to_standing};
use super::dry_run::{from_dry_run, to_dry_run};
use super::{Garbled, v1};
use crate::{Outline, Rest};

pub(super) fn from_record(record: &Record) -> v1::Record<'_> {
    v1::Record { at: record.at.0, events: record.events.iter().map(from_event).collect() }
}

pub(super) fn to_record(record: v1::Record<'_>) -> Result<Record, Garbled> {
    if record.events.is_empty() {
        return Err(Garbled::new("a record without events"));
    }
    let events = record.events.into_iter().map(to_event).collect::<Result<_, _>>()?;
    Ok(Record { at: Timestamp(record.at), events })
}

fn from_event(event: &Event) -> v1::Event<'_> {
    use v1::Event as W;
    match event {
        Event::ReleaseCreated(created) => W::ReleaseCreated(from_created(created)),
        Event::StepHeld { step, questions, until } => {
            W::StepHeld { step: step.as_str(), questions: texts(questions), until: until.map(|it| it.0) }
        }
        Event::Voted { step, actor, approved, comment } => {
            W::Voted { step: step.as_str(), actor: from_actor(actor), approved: *approved, comment }
        }
        Event::StepSkipped { step, reason } => W::StepSkipped { step: step.as_str(), reason: from_skip_reason(reason) },
        Event::AttemptStarted { step, operation, attempt, round, input } => W::AttemptStarted {
            step: step.as_str(),
            operation: from_operation(*operation),
            attempt: *attempt,
            round: *round,
            input: input.as_ref().map(from_json),
        },
        Event::Suspended { step, state, wake_at, topics, status } => W::Suspended {
            step: step.as_str(),
            state: bytes(state),
            wake_at: wake_at.map(|it| it.0),
            topics: texts(topics),
            status,
        },
        Event::Resumed { step, wake } => W::Resumed { step: step.as_str(), wake: from_wake(wake) },
        Event::CheckpointRecorded { step, name, value } => {
            W::CheckpointRecorded { step: step.as_str(), name, value: bytes(value) }
        }
        Event::CallInterrupted { step, next, unbegun } => {
            let unbegun = unbegun.then_some(true);
            W::CallInterrupted { step: step.as_str(), next: from_after_interruption(*next), unbegun }
        }
        Event::EffectNotFound { step } => W::EffectNotFound { step: step.as_str() },
        Event::AttemptSucceeded { step, output } => {
            W::AttemptSucceeded { step: step.as_str(), output: from_json(output) }
        }
        Event::AttemptFailed { step, error, next } => {
            W::AttemptFailed { step: step.as_str(), error: from_step_error(error), next: from_after_failure(*next) }
        }
        Event::AttemptTimedOut { step } => W::AttemptTimedOut { step: step.as_str() },
        Event::Intervened { actor, reason, intervention } => {
            W::Intervened { actor: from_actor(actor), reason, intervention: from_intervention(intervention) }
        }
        Event::FailingStarted { step, rollback } => W::FailingStarted { step: step.as_str(), rollback: *rollback },
        Event::CancelingStarted { rollback } => W::CancelingStarted { rollback: *rollback },
        Event::RollbackStarted { trigger } => W::RollbackStarted { trigger },
        Event::StepCanceled { step } => W::StepCanceled { step: step.as_str() },
        Event::ReleaseEnded { outcome, outputs } => {
            W::ReleaseEnded { outcome: from_outcome(*outcome), outputs: from_json(outputs) }
        }
        Event::LeftAlone => W::LeftAlone,
        Event::ParentTold => W::ParentTold,
        Event::OutputGiven { step, output } => W::OutputGiven { step: step.as_str(), output: from_json(output) },
        Event::StepsReset { steps } => W::StepsReset { steps: steps.iter().map(StepName::as_str).collect() },
        Event::DelayOver { step } => W::DelayOver { step: step.as_str() },
        Event::DeadlinePassed { phase } => W::DeadlinePassed { phase: phase.as_ref().map(PhaseName::as_str) },
        Event::FinallyStarted { outcome } => W::FinallyStarted { outcome: from_outcome(*outcome) },
        Event::RollbackSettled { step, done } => W::RollbackSettled { step: step.as_str(), done: *done },
        Event::FannedOut { step, items } => {
            W::FannedOut { step: step.as_str(), items: items.iter().map(from_json).collect() }
        }
        Event::Joined { step, output } => W::Joined { step: step.as_str(), output: output.as_ref().map(from_json) },
        Event::CallbackKept { step, topic, headers, body } => {
            W::CallbackKept { step: step.as_str(), topic, headers: from_pairs(headers), body: bytes(body) }
        }
        Event::CallHeld { step, hold: Hold { by, text, owner, until } } => {
            let (key, by) = match by {
                HeldBy::Breaker(key) => (key, None),
                HeldBy::Service(need) => (need, Some(v1::HeldBy::Service)),
            };
            W::CallHeld { step: step.as_str(), key, text, owner, until: until.map(|it| it.0), by }
        }
        Event::CallLetThrough { step } => W::CallLetThrough { step: step.as_str() },
        Event::RollbackOverdue => W::RollbackOverdue,
        Event::Escalated { to } => W::Escalated { to },
        Event::CauseGiven { actor, cause } => W::CauseGiven {
            actor: from_actor(actor),
            category: cause.category.name(),
            cause: &cause.cause,
            risk: cause.risk.as_deref(),
            runbook: cause.runbook.as_deref(),
        },
        Event::AlertTaken { alert, then } => W::AlertTaken { alert: from_alert(alert), then: from_on_alert(*then) },
        Event::OutputsRefused { problem } => W::OutputsRefused { problem },
        Event::Admitted => W::Admitted,
        Event::GatesLeftOut { step, questions, delay } => {
            W::GatesLeftOut { step: step.as_str(), questions: texts(questions), delay: delay.map(|it| it.0) }
        }
        Event::InputUnknown { step, problem } => W::InputUnknown { step: step.as_str(), problem },
        Event::DryRunTold { step, dry_run } => W::DryRunTold { step: step.as_str(), dry_run: from_dry_run(dry_run) },
        Event::Superseded { by } => W::Superseded { workflow: by.workflow().as_str(), number: by.number() },
    }
}

fn to_event(event: v1::Event<'_>) -> Result<Event, Garbled> {
    use v1::Event as W;
    Ok(match event {
        W::ReleaseCreated(created) => Event::ReleaseCreated(Box::new(to_created(created)?)),
        W::StepHeld { step, questions, until } => {
            Event::StepHeld { step: to_name(step)?, questions: owned(questions), until: until.map(Timestamp) }
        }
        W::Voted { step, actor, approved, comment } => {
            Event::Voted { step: to_name(step)?, actor: to_actor(actor), approved, comment: comment.to_owned() }
        }
        W::StepSkipped { step, reason } => Event::StepSkipped { step: to_name(step)?, reason: to_skip_reason(reason)? },
        W::AttemptStarted { step, operation, attempt, round, input } => Event::AttemptStarted {
            step: to_name(step)?,
            operation: to_operation(operation),
            attempt,
            round,
            input: input.map(|it| to_json(&it)).transpose()?,
        },
        W::Suspended { step, state, wake_at, topics, status } => Event::Suspended {
            step: to_name(step)?,
            state: state.to_vec(),
            wake_at: wake_at.map(Timestamp),
            topics: owned(topics),
            status: status.to_owned(),
        },
        W::Resumed { step, wake } => Event::Resumed { step: to_name(step)?, wake: to_wake(wake) },
        W::CheckpointRecorded { step, name, value } => {
            Event::CheckpointRecorded { step: to_name(step)?, name: name.to_owned(), value: value.to_vec() }
        }
        W::CallInterrupted { step, next, unbegun } => {
            let unbegun = unbegun.unwrap_or_default();
            Event::CallInterrupted { step: to_name(step)?, next: to_after_interruption(next), unbegun }
        }
        W::EffectNotFound { step } => Event::EffectNotFound { step: to_name(step)? },
        W::AttemptSucceeded { step, output } => {
            Event::AttemptSucceeded { step: to_name(step)?, output: to_json(&output)? }
        }
        W::AttemptFailed { step, error, next } => {
            Event::AttemptFailed { step: to_name(step)?, error: to_step_error(error), next: to_after_failure(next) }
        }
        W::AttemptTimedOut { step } => Event::AttemptTimedOut { step: to_name(step)? },
        W::Intervened { actor, reason, intervention } => Event::Intervened {
            actor: to_actor(actor),
            reason: reason.to_owned(),
            intervention: to_intervention(intervention)?,
        },
        W::FailingStarted { step, rollback } => Event::FailingStarted { step: to_name(step)?, rollback },
        W::CancelingStarted { rollback } => Event::CancelingStarted { rollback },
        W::RollbackStarted { trigger } => Event::RollbackStarted { trigger: trigger.to_owned() },
        W::StepCanceled { step } => Event::StepCanceled { step: to_name(step)? },
        W::ReleaseEnded { outcome, outputs } => {
            Event::ReleaseEnded { outcome: to_outcome(outcome), outputs: to_json(&outputs)? }
        }
        W::LeftAlone => Event::LeftAlone,
        W::ParentTold => Event::ParentTold,
        W::OutputGiven { step, output } => Event::OutputGiven { step: to_name(step)?, output: to_json(&output)? },
        W::StepsReset { steps } => {
            Event::StepsReset { steps: steps.into_iter().map(to_name).collect::<Result<_, _>>()? }
        }
        W::DelayOver { step } => Event::DelayOver { step: to_name(step)? },
        W::DeadlinePassed { phase } => Event::DeadlinePassed { phase: phase.map(to_name).transpose()? },
        W::FinallyStarted { outcome } => Event::FinallyStarted { outcome: to_outcome(outcome) },
        W::RollbackSettled { step, done } => Event::RollbackSettled { step: to_name(step)?, done },
        W::FannedOut { step, items } => Event::FannedOut {
            step: to_name(step)?,
            items: items.iter().map(|it| to_json(it)).collect::<Result<_, _>>()?,
        },
        W::Joined { step, output } => {
            Event::Joined { step: to_name(step)?, output: output.map(|it| to_json(&it)).transpose()? }
        }
        W::CallHeld { step, key, text, owner, until, by } => Event::CallHeld {
            step: to_name(step)?,
            hold: Hold {
                by: match by {
                    None | Some(v1::HeldBy::Breaker) => HeldBy::Breaker(key.to_owned()),
                    Some(v1::HeldBy::Service) => HeldBy::Service(key.to_owned()),
                },
                text: text.to_owned(),
                owner: owner.to_owned(),
                until: until.map(Timestamp),
            },
        },
        W::RollbackOverdue => Event::RollbackOverdue,
        W::CauseGiven { actor, category, cause, risk, runbook } => {
            let known = CauseCategory::ALL.into_iter().find(|(name, _)| *name == category);
            let (_, category) = known.ok_or_else(|| Garbled::new(format!("the category `{category}` of a cause")))?;
            let (risk, runbook) = (risk.map(str::to_owned), runbook.map(str::to_owned));
            let cause = Box::new(RollbackCause { category, cause: cause.to_owned(), risk, runbook });
            Event::CauseGiven { actor: to_actor(actor), cause }
        }
        W::Escalated { to } => Event::Escalated { to: to.to_owned() },
        W::AlertTaken { alert, then } => {
            Event::AlertTaken { alert: Box::new(to_alert(alert)), then: to_on_alert(then) }
        }
        W::OutputsRefused { problem } => Event::OutputsRefused { problem: problem.to_owned() },
        W::CallLetThrough { step } => Event::CallLetThrough { step: to_name(step)? },
        W::Admitted => Event::Admitted,
        W::GatesLeftOut { step, questions, delay } => {
            Event::GatesLeftOut { step: to_name(step)?, questions: owned(questions), delay: delay.map(Span) }
        }
        W::InputUnknown { step, problem } => Event::InputUnknown { step: to_name(step)?, problem: problem.to_owned() },
        W::DryRunTold { step, dry_run } => {
            Event::DryRunTold { step: to_name(step)?, dry_run: Box::new(to_dry_run(dry_run)?) }
        }
        W::Superseded { workflow, number } => Event::Superseded { by: ReleaseId::new(to_name(workflow)?, number) },
        W::CallbackKept { step, topic, headers, body } => Event::CallbackKept {
            step: to_name(step)?,
            topic: topic.to_owned(),
            headers: to_pairs(headers),
            body: body.to_vec(),
        },
    })
}

fn from_created(created: &Created) -> v1::Created<'_> {
    v1::Created {
        workflow: created.release.workflow().as_str(),
        number: created.release.number(),
        plan: ByteArray::from(*created.plan.as_bytes()),
        components: created
            .components
            .iter()
            .map(|(name, digest)| v1::Component { name, digest: ByteArray::from(*digest.as_bytes()) })
            .collect(),
        parameters: from_json(&created.parameters),
        requested_by: from_actor(&created.requested_by),
        salt: ByteArray::from(created.salt),
        parent: created.parent.as_ref().map(|it| v1::Parent {
            workflow: it.release.workflow().as_str(),
            number: it.release.number(),
            step: it.step.as_str(),
        }),
        rehearsal: created.rehearsal.then_some(true),
        dry_run: created.dry_run.then_some(true),
        recorded: created.recorded.then_some(true),
        claim: created.claim.as_ref().map(from_claim),
    }
}

fn to_created(created: v1::Created<'_>) -> Result<Created, Garbled> {
    Ok(Created {
        release: ReleaseId::new(to_name(created.workflow)?, created.number),
        plan: Digest::from_bytes(created.plan.into()),
        components: created
            .components
            .into_iter()
            .map(|it| (it.name.to_owned(), Digest::from_bytes(it.digest.into())))
            .collect(),
        parameters: to_json(&created.parameters)?,
        requested_by: to_actor(created.requested_by),
        salt: created.salt.into(),
        parent: match created.parent {
            None => None,
            Some(it) => {
                Some(Parent { release: ReleaseId::new(to_name(it.workflow)?, it.number), step: to_name(it.step)? })
            }
        },
        rehearsal: created.rehearsal.unwrap_or_default(),
        dry_run: created.dry_run.unwrap_or_default(),
        recorded: created.recorded.unwrap_or_default(),
        claim: created.claim.map(to_claim).transpose()?,
    })
}

fn from_actor(actor: &Actor) -> v1::Actor<'_> {
    v1::Actor { name: &actor.name, groups: texts(&actor.groups), authenticated: &actor.authenticated }
}

fn to_actor(actor: v1::Actor<'_>) -> Actor {
    Actor { name: actor.name.to_owned(), groups: owned(actor.groups), authenticated: actor.authenticated.to_owned() }
}

fn from_skip_reason(reason: &SkipReason) -> v1::SkipReason<'_> {
    match reason {
        SkipReason::Condition { expression, values } => v1::SkipReason::Condition {
            expression,
            values: values.iter().map(|(name, it)| v1::Named { name, value: from_json(it) }).collect(),
        },
        SkipReason::NeedsSkipped => v1::SkipReason::NeedsSkipped,
        SkipReason::Rehearsal => v1::SkipReason::Rehearsal,
        SkipReason::Person { by, reason } => v1::SkipReason::Person { by, reason },
    }
}

fn to_skip_reason(reason: v1::SkipReason<'_>) -> Result<SkipReason, Garbled> {
    Ok(match reason {
        v1::SkipReason::Condition { expression, values } => SkipReason::Condition {
            expression: expression.to_owned(),
            values: values
                .into_iter()
                .map(|it| Ok((it.name.to_owned(), to_json(&it.value)?)))
                .collect::<Result<_, Garbled>>()?,
        },
        v1::SkipReason::NeedsSkipped => SkipReason::NeedsSkipped,
        v1::SkipReason::Rehearsal => SkipReason::Rehearsal,
        v1::SkipReason::Person { by, reason } => SkipReason::Person { by: by.to_owned(), reason: reason.to_owned() },
    })
}

fn from_wake(wake: &Wake) -> v1::Wake<'_> {
    match wake {
        Wake::Timer => v1::Wake::Timer,
        Wake::Callback { topic, headers, body } => {
            v1::Wake::Callback { topic, headers: from_pairs(headers), body: bytes(body) }
        }
    }
}

fn to_wake(wake: v1::Wake<'_>) -> Wake {
    match wake {
        v1::Wake::Timer => Wake::Timer,
        v1::Wake::Callback { topic, headers, body } => {
            Wake::Callback { topic: topic.to_owned(), headers: to_pairs(headers), body: body.to_vec() }
        }
    }
}

fn from_intervention(intervention: &Intervention) -> v1::Intervention<'_> {
    match intervention {
        Intervention::Retry { step } => v1::Intervention::Retry { step: step.as_str() },
        Intervention::Cancel { rollback } => v1::Intervention::Cancel { rollback: *rollback },
        Intervention::Rollback => v1::Intervention::Rollback,
        Intervention::Keep => v1::Intervention::Keep,
        Intervention::RunAgain { step } => v1::Intervention::RunAgain { step: step.as_str() },
        Intervention::Skip { step, output } => {
            v1::Intervention::Skip { step: step.as_str(), output: output.as_ref().map(from_json) }
        }
        Intervention::ReplaceOutput { step, output } => {
            v1::Intervention::ReplaceOutput { step: step.as_str(), output: from_json(output) }
        }
        Intervention::RetryWith { step, pin } => v1::Intervention::RetryWith {
            step: step.as_str(),
            pin: Cow::Owned(serde_json::to_string(pin).expect("a pin holds only what JSON can hold")),
        },
        Intervention::Pause => v1::Intervention::Pause,
        Intervention::Resume => v1::Intervention::Resume,
        Intervention::SettleRollback { step, done } => {
            v1::Intervention::SettleRollback { step: step.as_str(), done: *done }
        }
    }
}

fn to_intervention(intervention: v1::Intervention<'_>) -> Result<Intervention, Garbled> {
    Ok(match intervention {
        v1::Intervention::Retry { step } => Intervention::Retry { step: to_name(step)? },
        v1::Intervention::Cancel { rollback } => Intervention::Cancel { rollback },
        v1::Intervention::Rollback => Intervention::Rollback,
        v1::Intervention::Keep => Intervention::Keep,
        v1::Intervention::RunAgain { step } => Intervention::RunAgain { step: to_name(step)? },
        v1::Intervention::Skip { step, output } => {
            Intervention::Skip { step: to_name(step)?, output: output.map(|it| to_json(&it)).transpose()? }
        }
        v1::Intervention::ReplaceOutput { step, output } => {
            Intervention::ReplaceOutput { step: to_name(step)?, output: to_json(&output)? }
        }
        v1::Intervention::RetryWith { step, pin } => {
            let pin = serde_json::from_str(&pin).map_err(Garbled::new)?;
            Intervention::RetryWith { step: to_name(step)?, pin: Box::new(pin) }
        }
        v1::Intervention::Pause => Intervention::Pause,
        v1::Intervention::Resume => Intervention::Resume,
        v1::Intervention::SettleRollback { step, done } => Intervention::SettleRollback { step: to_name(step)?, done },
    })
}

fn from_after_failure(next: AfterFailure) -> v1::AfterFailure {
    match next {
        AfterFailure::RetryAt(at) => v1::AfterFailure::RetryAt(at.0),
        AfterFailure::Pause => v1::AfterFailure::Pause,
        AfterFailure::Fail => v1::AfterFailure::Fail,
        AfterFailure::Continue => v1::AfterFailure::Continue,
    }
}

fn to_after_failure(next: v1::AfterFailure) -> AfterFailure {
    match next {
        v1::AfterFailure::RetryAt(at) => AfterFailure::RetryAt(Timestamp(at)),
        v1::AfterFailure::Pause => AfterFailure::Pause,
        v1::AfterFailure::Fail => AfterFailure::Fail,
        v1::AfterFailure::Continue => AfterFailure::Continue,
    }
}

fn from_step_error(error: &StepError) -> v1::StepError<'_> {
    v1::StepError {
        origin: from_origin(error.origin),
        class: from_class(error.class),
        code: &error.code,
        message: &error.message,
        advice: match error.advice {
            RetryAdvice::ByPolicy => v1::RetryAdvice::ByPolicy,
            RetryAdvice::After(span) => v1::RetryAdvice::After(span.0),
            RetryAdvice::Never => v1::RetryAdvice::Never,
            RetryAdvice::Pause => v1::RetryAdvice::Pause,
        },
        details: from_pairs(&error.details),
        without_effect: error.without_effect.then_some(true),
    }
}

fn to_step_error(error: v1::StepError<'_>) -> StepError {
    StepError {
        origin: to_origin(error.origin),
        class: to_class(error.class),
        code: error.code.to_owned(),
        message: error.message.to_owned(),
        advice: match error.advice {
            v1::RetryAdvice::ByPolicy => RetryAdvice::ByPolicy,
            v1::RetryAdvice::After(span) => RetryAdvice::After(Span(span)),
            v1::RetryAdvice::Never => RetryAdvice::Never,
            v1::RetryAdvice::Pause => RetryAdvice::Pause,
        },
        details: to_pairs(error.details),
        without_effect: error.without_effect.unwrap_or_default(),
    }
}

/// Both directions of an enum without fields. A variant that one side lacks does not compile.
macro_rules! same_variants {
    ($($from:ident $to:ident $name:ident { $($variant:ident)* };)*) => {$(
        fn $from(it: $name) -> v1::$name {
            match it { $($name::$variant => v1::$name::$variant,)* }
        }
        fn $to(it: v1::$name) -> $name {
            match it { $(v1::$name::$variant => $name::$variant,)* }
        }
    )*};
}

same_variants! {
    from_operation to_operation Operation { Start Cancel Rollback };
    from_after_interruption to_after_interruption AfterInterruption { Repeat Find Pause };
    from_outcome to_outcome Outcome { Succeeded Failed Canceled RolledBack PartiallyRolledBack };
    from_origin to_origin FailureOrigin { Plugin Host Engine };
    from_class to_class FailureClass {
        Transient RateLimited TimedOut Unauthenticated Forbidden NotFound Conflict Invalid Rejected Canceled Internal
    };
}

pub(super) fn from_outline(outline: &Outline) -> v1::Outline<'_> {
    v1::Outline {
        workflow: outline.release.workflow().as_str(),
        number: outline.release.number(),
        state: &outline.state,
        since: outline.since.0,
        created_at: outline.created_at.0,
        updated_at: outline.updated_at.0,
        requested_by: &outline.requested_by,
        headline: &outline.headline,
        open: outline.open,
        rest: outline.rest.map(|it| match it {
            Rest::Until(at) => v1::Rest::Until(at.0),
            Rest::ForInput => v1::Rest::ForInput,
            Rest::ForBreaker(until) => v1::Rest::ForBreaker(until.map(|it| it.0)),
        }),
        promises: outline.promises.then_some(true),
        review: outline.review.then_some(true),
        standing: outline.standing.as_deref().map(from_standing),
        rehearsal: outline.rehearsal.then_some(true),
        dry_run: outline.dry_run.then_some(true),
    }
}

pub(super) fn to_outline(outline: v1::Outline<'_>) -> Result<Outline, Garbled> {
    Ok(Outline {
        release: ReleaseId::new(to_name(outline.workflow)?, outline.number),
        state: outline.state.to_owned(),
        since: Timestamp(outline.since),
        created_at: Timestamp(outline.created_at),
        updated_at: Timestamp(outline.updated_at),
        requested_by: outline.requested_by.to_owned(),
        headline: outline.headline.to_owned(),
        open: outline.open,
        rest: outline.rest.map(|it| match it {
            v1::Rest::Until(at) => Rest::Until(Timestamp(at)),
            v1::Rest::ForInput => Rest::ForInput,
            v1::Rest::ForBreaker(until) => Rest::ForBreaker(until.map(Timestamp)),
        }),
        promises: outline.promises.unwrap_or_default(),
        review: outline.review.unwrap_or_default(),
        standing: outline.standing.map(to_standing).transpose()?.map(Box::new),
        rehearsal: outline.rehearsal.unwrap_or_default(),
        dry_run: outline.dry_run.unwrap_or_default(),
    })
}

fn from_json(value: &Value) -> v1::Json<'static> {
    Cow::Owned(value.to_string())
}

fn to_json(text: &str) -> Result<Value, Garbled> {
    serde_json::from_str(text).map_err(Garbled::new)
}

pub(super) fn to_name<T: std::str::FromStr<Err = windlass_model::name::InvalidName>>(text: &str) -> Result<T, Garbled> {
    text.parse().map_err(Garbled::new)
}

fn bytes(bytes: &[u8]) -> &ByteSlice {
    bytes.into()
}

fn texts(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn owned(texts: Vec<&str>) -> Vec<String> {
    texts.into_iter().map(str::to_owned).collect()
}

fn from_pairs(pairs: &[(String, String)]) -> Vec<v1::Pair<'_>> {
    pairs.iter().map(|(name, value)| v1::Pair { name, value }).collect()
}

fn to_pairs(pairs: Vec<v1::Pair<'_>>) -> Vec<(String, String)> {
    pairs.into_iter().map(|it| (it.name.to_owned(), it.value.to_owned())).collect()
}
