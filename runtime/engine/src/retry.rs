//! What follows a failed attempt.
//!
//! Exponential backoff with full jitter: the delay is anywhere between nothing and the bound, which
//! doubles with each attempt. Source: M. Brooker, "Exponential Backoff And Jitter", AWS, 2015.

use windlass_model::event::{AfterFailure, Operation};
use windlass_model::failure::{RetryAdvice, StepError};
use windlass_model::manifest::Effect;
use windlass_model::plan::Pin;
use windlass_model::time::{Span, Timestamp};
use windlass_model::workflow::{OnFailure, RetryPolicy, Step};

use crate::step::Activity;

/// Whether another attempt would repeat a write that may have been done, and that nobody can look for. Nobody does that
/// by himself; a plugin that knows better says when to try again.
fn is_blind(pin: &Pin, activity: &Activity, may_be_done: bool) -> bool {
    activity.operation == Operation::Start && pin.effect == Effect::Write && !pin.find && may_be_done
}

/// What follows; `may_be_done` when what the attempt was to do may be done.
pub(crate) fn after(
    step: &Step,
    pin: &Pin,
    activity: &Activity,
    error: &StepError,
    may_be_done: bool,
    now: Timestamp,
    dice: u64,
) -> AfterFailure {
    let policy = &step.retry;
    let exhausted = match (activity.operation, step.on_failure) {
        (Operation::Rollback, _) => AfterFailure::Pause,
        (Operation::Cancel, _) => AfterFailure::Fail,
        (Operation::Start, OnFailure::Pause) => AfterFailure::Pause,
        (Operation::Start, OnFailure::Fail | OnFailure::Rollback) => AfterFailure::Fail,
        (Operation::Start, OnFailure::Continue) => AfterFailure::Continue,
    };
    let not_before = match error.advice {
        RetryAdvice::Never => return exhausted,
        RetryAdvice::Pause if activity.operation == Operation::Start => return AfterFailure::Pause,
        RetryAdvice::Pause => return exhausted,
        RetryAdvice::After(span) => Some(span),
        RetryAdvice::ByPolicy if is_blind(pin, activity, may_be_done) => return exhausted,
        RetryAdvice::ByPolicy if policy.on.contains(&error.class) => None,
        RetryAdvice::ByPolicy => return exhausted,
    };
    let used = activity.attempt - activity.spent;
    if used >= policy.attempts {
        return exhausted;
    }
    let delay = jittered(policy, used, dice).max(not_before.unwrap_or_default());
    let at = now + delay;
    match policy.within {
        Some(within) if at > activity.began_at + within => exhausted,
        _ => AfterFailure::RetryAt(at),
    }
}

fn jittered(policy: &RetryPolicy, used: u32, dice: u64) -> Span {
    let doubled =
        policy.backoff.as_millis().saturating_mul(1_u64.checked_shl(used.saturating_sub(1)).unwrap_or(u64::MAX));
    let bound = doubled.min(policy.max_backoff.as_millis());
    Span(dice % (bound.saturating_add(1)).max(1))
}
