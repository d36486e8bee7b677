//! What a guest's answer, trap or exit means for its step.
//!
//! **Invariant:** what is in a [`CallOutcome`] was checked: sizes, the schema, the wake-ups.

use serde_json::Value;
use wasmtime::component::ResourceTableError;
use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;
use windlass_bindings::windlass::plugin::step_types as wit;
use windlass_model::event::Operation;
use windlass_model::failure::{FailureClass, FailureOrigin, RetryAdvice, StepError};
use windlass_model::time::{Span, Timestamp};

use crate::busy::is_busy;
use crate::engine::BACKTRACE_FRAMES_MAX;
use crate::plugin::ReadyAction;
use crate::shared::{ENTRY_BYTES, Shared};
use crate::state::RESOURCES_MAX;
use crate::stop::{Limit, Stop, broken};

/// The shortest wait: a shorter one counts as this, so that a plugin cannot spin by suspending.
pub const WAKE_DELAY_MIN: Span = Span(100);

/// What is kept of a suspension's status: it is a sentence for people, and each one is an entry of the journal.
const STATUS_CHARS_MAX: usize = 1000;

/// Wake-ups of one suspension.
const WAKES_MAX: usize = 64;

/// How a call that did not fail ended.
#[derive(Debug, Clone, PartialEq)]
pub enum CallOutcome {
    /// The operation is complete.
    Done(Value),
    /// The operation goes on outside.
    Suspended {
        /// Given back with `resume`.
        state: Vec<u8>,
        /// The first to happen wakes the step; at least one.
        wakes: Vec<WakeUp>,
        /// What a person reads while it waits.
        status: String,
    },
    /// `find` looked and there is no effect.
    NotFound,
}

/// What ends a wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WakeUp {
    /// This long after the suspension was recorded, [`WAKE_DELAY_MIN`] at least.
    After(Span),
    /// At this time, [`WAKE_DELAY_MIN`] from the call's end at least.
    At(Timestamp),
    /// When this callback of the step is called.
    Callback(String),
}

/// What a guest gave, before it is believed.
pub(crate) type Answer = Result<Option<wit::Outcome>, wit::Failure>;

/// Judges what a guest gave.
pub(crate) fn judge(
    answer: Answer,
    shared: &Shared,
    action: &ReadyAction,
    operation: Operation,
) -> Result<CallOutcome, StepError> {
    match answer {
        Ok(None) => Ok(CallOutcome::NotFound),
        Ok(Some(wit::Outcome::Done(output))) => done(&output, shared, action, operation),
        Ok(Some(wit::Outcome::Suspended(suspension))) => suspended(suspension, shared),
        Err(failure) => Err(declared(failure, shared)),
    }
}

fn done(output: &str, shared: &Shared, action: &ReadyAction, operation: Operation) -> Result<CallOutcome, StepError> {
    fits(Limit::Output, output.len(), shared)?;
    let value: Value = serde_json::from_str(output).map_err(|error| {
        broken(
            "output-not-json",
            format!("the plugin's output is no JSON: {}", shared.scrubber().text(error.to_string())),
        )
    })?;
    let value = shared.scrubber().value(value);
    if operation == Operation::Start
        && let Some(problems) = action.output.problems(&value)
    {
        return Err(broken(
            "output-breaks-schema",
            format!("the plugin's output is not what its manifest says: {}", shared.scrubber().text(problems)),
        ));
    }
    Ok(CallOutcome::Done(value))
}

fn suspended(suspension: wit::Suspension, shared: &Shared) -> Result<CallOutcome, StepError> {
    let wit::Suspension { state, wakes, status } = suspension;
    fits(Limit::State, state.len(), shared)?;
    let topics: usize = wakes.iter().map(|it| if let wit::Wake::Callback(topic) = it { topic.len() } else { 0 }).sum();
    fits(Limit::Output, status.len() + topics, shared)?;
    if wakes.is_empty() {
        return Err(broken("no-wakes", "the plugin suspended the step without saying what wakes it"));
    }
    if wakes.len() > WAKES_MAX {
        return Err(broken(
            "too-many-wakes",
            format!("the plugin named {} wake-ups; {WAKES_MAX} are the most", wakes.len()),
        ));
    }
    if shared.scrubber().finds(&state) {
        return Err(broken("credential-in-state", "the suspension's state holds a credential, which must not be kept"));
    }
    let soonest = now() + WAKE_DELAY_MIN;
    let wakes = wakes
        .into_iter()
        .map(|wake| match wake {
            wit::Wake::After(millis) => Ok(WakeUp::After(Span(millis).max(WAKE_DELAY_MIN))),
            wit::Wake::At(instant) => Ok(WakeUp::At(Timestamp(instant).max(soonest))),
            wit::Wake::Callback(topic) if shared.host.has_callback(&topic) => Ok(WakeUp::Callback(topic)),
            // It may be another step's, and is a secret: it is not told.
            wit::Wake::Callback(_) => {
                Err(broken("unknown-callback", "the plugin waits for a callback that this step never made"))
            }
        })
        .collect::<Result<_, _>>()?;
    let mut status = shared.scrubber().text(status);
    if let Some((end, _)) = status.char_indices().nth(STATUS_CHARS_MAX) {
        status.truncate(end);
        status.push('…');
    }
    Ok(CallOutcome::Suspended { state, wakes, status })
}

fn now() -> Timestamp {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

fn fits(limit: Limit, bytes: usize, shared: &Shared) -> Result<(), StepError> {
    if bytes as u64 > limit.of(&shared.limits) { Err(shared.hit(limit).0) } else { Ok(()) }
}

fn declared(failure: wit::Failure, shared: &Shared) -> StepError {
    let wit::Failure { class, code, message, retry, details } = failure;
    let bytes = code.len()
        + message.len()
        + details.iter().map(|(name, value)| name.len() + value.len() + ENTRY_BYTES).sum::<usize>();
    if let Err(error) = fits(Limit::Output, bytes, shared) {
        return error;
    }
    let scrubber = shared.scrubber();
    StepError {
        origin: FailureOrigin::Plugin,
        class: class_of(class),
        code: scrubber.text(code),
        message: scrubber.text(message),
        advice: match retry {
            wit::RetryAdvice::ByPolicy => RetryAdvice::ByPolicy,
            wit::RetryAdvice::After(millis) => RetryAdvice::After(Span(millis)),
            wit::RetryAdvice::Never => RetryAdvice::Never,
            wit::RetryAdvice::Pause => RetryAdvice::Pause,
        },
        details: details.into_iter().map(|(name, value)| (scrubber.text(name), scrubber.text(value))).collect(),
        without_effect: false,
    }
}

fn class_of(class: wit::FailureClass) -> FailureClass {
    match class {
        wit::FailureClass::Transient => FailureClass::Transient,
        wit::FailureClass::RateLimited => FailureClass::RateLimited,
        wit::FailureClass::TimedOut => FailureClass::TimedOut,
        wit::FailureClass::Unauthenticated => FailureClass::Unauthenticated,
        wit::FailureClass::Forbidden => FailureClass::Forbidden,
        wit::FailureClass::NotFound => FailureClass::NotFound,
        wit::FailureClass::Conflict => FailureClass::Conflict,
        wit::FailureClass::Invalid => FailureClass::Invalid,
        wit::FailureClass::Rejected => FailureClass::Rejected,
        wit::FailureClass::Canceled => FailureClass::Canceled,
        wit::FailureClass::Internal => FailureClass::Internal,
    }
}

/// Says what ended a guest that gave no answer.
pub(crate) fn fallen(error: &wasmtime::Error, shared: &Shared) -> StepError {
    if let Some(stopped) = shared.stopped() {
        return stopped.clone();
    }
    if let Some(Stop(stopped)) = error.downcast_ref::<Stop>() {
        return stopped.clone();
    }
    let scrubber = shared.scrubber();
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return broken(
            "plugin-exited",
            format!("the plugin ended its process with code {} instead of answering", exit.0),
        );
    }
    if matches!(error.downcast_ref::<ResourceTableError>(), Some(ResourceTableError::Full)) {
        let message = format!(
            "the plugin holds more than {RESOURCES_MAX} of the host's things at once (requests, headers, bodies, streams, timers, checkpoints): drop those that are done with"
        );
        return broken("too-many-resources", message);
    }
    if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        return StepError::host(FailureClass::Transient, "sandbox-full", "no room for another instance; try again");
    }
    if is_busy(error) {
        let message = "the kernel did not let go of an instance's memory; try again";
        return StepError::host(FailureClass::Transient, "sandbox-busy", message);
    }
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return trapped(*trap, error, shared);
    }
    // The type is wasmtime's own; nothing but its text tells it.
    if error.root_cause().to_string().starts_with("too much data is being copied") {
        return if error.downcast_ref::<WasmBacktrace>().is_none() {
            shared.hit(Limit::Output).0
        } else {
            broken("host-call-too-large", "the plugin handed more data to one host call than any limit allows")
        };
    }
    broken("plugin-broken", scrubber.text(format!("the plugin breaks the contract: {}", error.root_cause())))
}

fn trapped(trap: Trap, error: &wasmtime::Error, shared: &Shared) -> StepError {
    let backtrace = error.downcast_ref::<WasmBacktrace>();
    let deep = backtrace.is_some_and(|it| it.frames().len() >= BACKTRACE_FRAMES_MAX);
    let said = shared.scrubber().text(shared.stderr_tail());
    match trap {
        Trap::StackOverflow => {
            broken("stack-overflow", "the plugin's calls are nested too deeply: its stack is used up")
        }
        // Languages that keep a stack of their own in memory run off its end.
        Trap::MemoryOutOfBounds if deep => broken(
            "stack-overflow",
            format!(
                "the plugin's calls are nested too deeply: it left its memory more than {BACKTRACE_FRAMES_MAX} calls deep"
            ),
        ),
        Trap::UnreachableCodeReached if said.contains("panicked at") => {
            broken("plugin-panicked", format!("the plugin panicked: {said}"))
        }
        _ => {
            let mut message = format!("the plugin trapped: {trap}");
            if let Some(frame) = backtrace.and_then(|it| it.frames().first()).and_then(|it| it.func_name()) {
                message.push_str(&format!(" in `{frame}`"));
            }
            if !said.is_empty() {
                message.push_str(&format!("; it last said: {said}"));
            }
            broken("plugin-trapped", message)
        }
    }
}

/// A failure for want of a credential, with what the plugin cannot know: whether one was sent. Not in a recording, which has
/// what came of the plugin.
pub(crate) fn with_credential(mut error: StepError, shared: &Shared) -> StepError {
    if let (FailureOrigin::Plugin, FailureClass::Unauthenticated, Some(told)) =
        (error.origin, error.class, shared.not_let_in())
    {
        error.message = format!("{}; {told}", error.message);
    }
    error
}

/// The error of a call whose guest failed right after a denial: what is missing matters, not how the
/// guest puts it.
pub(crate) fn blamed_on_denial(error: StepError, shared: &Shared) -> StepError {
    let (denials, denied_last) = shared.denials();
    let fell = matches!(error.code.as_str(), "plugin-panicked" | "plugin-trapped" | "plugin-exited");
    let Some((code, denial)) = denials.last() else { return error };
    if !denied_last || (error.origin == FailureOrigin::Host && !fell) {
        return error;
    }
    let mut blamed = StepError::host(FailureClass::Forbidden, code, shared.scrubber().text(denial.to_string()));
    blamed.details.push(("remedy".to_owned(), denial.remedy.clone()));
    blamed.details.push(("plugin-code".to_owned(), error.code));
    blamed.details.push(("plugin-message".to_owned(), error.message));
    blamed.details.extend(error.details);
    blamed
}
