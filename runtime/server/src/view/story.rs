//! A release's journal in sentences.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use windlass_model::alert::OnAlert;
use windlass_model::digest::Digest;
use windlass_model::event::{AfterFailure, AfterInterruption, Event, HeldBy, Intervention, Operation, Record, Wake};
use windlass_model::name::StepName;
use windlass_model::text::{one_line, part_name, shortened};
use windlass_model::time::Timestamp;

use super::{dry_run, skip_text};

/// A line of a release's story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoryLine {
    /// When.
    pub at: Timestamp,
    /// About which step.
    pub step: Option<String>,
    /// What happened.
    pub text: String,
}

/// Tells the story of a release, from its journal alone.
pub fn story(records: &[Record]) -> Vec<StoryLine> {
    let mut lines = Vec::new();
    let mut operations: BTreeMap<&StepName, Operation> = BTreeMap::new();
    for record in records {
        for event in &record.events {
            let text = match event {
                Event::AttemptStarted { step, operation, .. } => {
                    operations.insert(step, *operation);
                    tell(event)
                }
                Event::AttemptSucceeded { step, output } => match operations.get(step) {
                    Some(Operation::Rollback) => format!("is rolled back{}", given(output)),
                    Some(Operation::Cancel) => format!("is stopped{}", given(output)),
                    Some(Operation::Start) | None => tell(event),
                },
                _ => tell(event),
            };
            let step = event.step().map(ToString::to_string);
            lines.push(StoryLine { at: record.at, step, text: one_line(&text) });
        }
    }
    lines
}

/// What an operation gave that is no step's output, as far as it fits in a line.
fn given(output: &Value) -> String {
    const CHARS_MAX: usize = 200;
    if output.is_null() || output.as_object().is_some_and(serde_json::Map::is_empty) {
        return String::new();
    }
    format!(": {}", shortened(&output.to_string(), CHARS_MAX))
}

/// `http@0.1.0 (787639e814a6)`; the name of a workflow says its digest already, since two may be called alike.
fn pinned((name, digest): &(String, Digest)) -> String {
    let digest = format!(" ({})", digest.short());
    if name.ends_with(&digest) { name.clone() } else { format!("{name}{digest}") }
}

fn tell(event: &Event) -> String {
    match event {
        Event::ReleaseCreated(created) => {
            let components: Vec<String> = created.components.iter().map(pinned).collect();
            let dry_run = if created.dry_run { "a dry run, " } else { "" };
            format!(
                "{} asked for {dry_run}{} with {}; plan {}, pinned {}",
                created.requested_by,
                created.release,
                created.parameters,
                created.plan.short(),
                components.join(", ")
            )
        }
        Event::StepHeld { questions, until, .. } => {
            let asked: Vec<&str> = questions.iter().map(String::as_str).filter(|it| !it.is_empty()).collect();
            if let Some(until) = until.filter(|_| questions.is_empty()) {
                format!("waits until {until}")
            } else if asked.is_empty() {
                "waits for approval".to_owned()
            } else {
                format!("waits for approval: {}", asked.join("; "))
            }
        }
        Event::Voted { actor, approved, comment, .. } => {
            let verb = if *approved { "approved" } else { "rejected" };
            let comment = if comment.is_empty() { String::new() } else { format!(": {comment}") };
            format!("{verb} by {actor} ({}){comment}", actor.authenticated)
        }
        Event::StepSkipped { reason, .. } => format!("skipped: {}", skip_text(reason)),
        Event::AttemptStarted { operation, attempt, .. } => {
            format!("{}, attempt {attempt}", operation_text(*operation))
        }
        Event::Suspended { status, wake_at, topics, .. } => {
            let wake = wake_at.map(|it| format!(", looks again at {it}")).unwrap_or_default();
            let topics = if topics.is_empty() { String::new() } else { ", or when called back".to_owned() };
            format!("waits: {status}{wake}{topics}")
        }
        Event::Resumed { wake, .. } => match wake {
            Wake::Timer => "looks again".to_owned(),
            Wake::Callback { .. } => "was called back".to_owned(),
        },
        Event::CallHeld { hold, .. } => match &hold.by {
            HeldBy::Breaker(key) => format!("is held by the breaker {key}: {}", hold.text),
            HeldBy::Service(_) => format!("waits: {}", hold.text),
        },
        Event::CallLetThrough { .. } => "is not held any more".to_owned(),
        Event::Admitted => "its turn has come".to_owned(),
        Event::GatesLeftOut { .. } | Event::InputUnknown { .. } | Event::DryRunTold { .. } => {
            dry_run::tell(event).unwrap_or_default()
        }
        Event::Superseded { by } => {
            format!("{by} is newer, and of those that wait in its group only the newest goes on")
        }
        Event::CallbackKept { .. } => "was called back before it waited for it: kept".to_owned(),
        Event::CheckpointRecorded { name, .. } => format!("checkpoint {} is done", part_name(name)),
        Event::CallInterrupted { unbegun: true, .. } => "the call had not been begun; it is made now".to_owned(),
        Event::CallInterrupted { next, .. } => match next {
            AfterInterruption::Repeat => "the call was interrupted; it is made again".to_owned(),
            AfterInterruption::Find => "whether it had its effect is unknown; the plugin looks for it".to_owned(),
            AfterInterruption::Pause => {
                "the call was interrupted, and whether it had its effect is unknown; waits for a decision".to_owned()
            }
        },
        Event::EffectNotFound { .. } => "the effect was not found; it is done now".to_owned(),
        Event::AttemptSucceeded { .. } => "succeeded".to_owned(),
        Event::AttemptFailed { error, next, .. } => {
            let next = match next {
                AfterFailure::RetryAt(at) => format!("next attempt at {at}"),
                AfterFailure::Pause => "waits for a decision".to_owned(),
                AfterFailure::Fail => "no further attempt".to_owned(),
                AfterFailure::Continue => "the release goes on without it".to_owned(),
            };
            format!("failed: {error}; {next}")
        }
        Event::AttemptTimedOut { .. } => "took longer than its timeout; it is stopped".to_owned(),
        Event::Intervened { actor, reason, intervention } => {
            let what = match intervention {
                Intervention::Retry { step } => format!("try {step} again"),
                Intervention::RetryWith { step, pin } => {
                    let digest = pin.runs.digest();
                    format!("try {step} again with version {} ({})", pin.version, digest.short())
                }
                Intervention::Cancel { rollback: false } => "cancel".to_owned(),
                Intervention::Cancel { rollback: true } => "cancel and roll back".to_owned(),
                Intervention::Rollback => "roll back".to_owned(),
                Intervention::Keep => "not roll back".to_owned(),
                Intervention::RunAgain { step } => format!("run {step} and all after it again"),
                Intervention::Skip { step, .. } => format!("skip {step}"),
                Intervention::ReplaceOutput { step, .. } => format!("replace the output of {step}"),
                Intervention::Pause => "pause".to_owned(),
                Intervention::Resume => "resume".to_owned(),
                Intervention::SettleRollback { step, done: true } => format!("take {step} as rolled back"),
                Intervention::SettleRollback { step, done: false } => format!("leave what {step} did in place"),
            };
            format!("{actor} ({}) asked to {what}: {reason}", actor.authenticated)
        }
        Event::FailingStarted { rollback, .. } => {
            let then = if *rollback { "is rolled back" } else { "fails" };
            format!("nothing new starts; the release {then} when its running steps have ended")
        }
        Event::CancelingStarted { .. } => "running steps are being stopped".to_owned(),
        Event::RollbackStarted { trigger } => format!("rollback begins ({trigger})"),
        Event::OutputsRefused { problem } => format!("cannot succeed: {problem}"),
        Event::AlertTaken { alert, then } => {
            let then = match then {
                OnAlert::Rollback => "it is rolled back",
                OnAlert::AfterConfirmation => "somebody decides whether it is rolled back",
            };
            format!("{}, firing since {}, by {}: {then}", alert.in_words(), alert.starts_at, alert.source)
        }
        Event::CauseGiven { actor, cause } => {
            format!("{actor} ({}) gave the cause ({}): {}", actor.authenticated, cause.category.name(), cause.cause)
        }
        Event::Escalated { to } => format!("nobody decided in time whether it is rolled back: {to} is asked"),
        Event::RollbackOverdue => "the rollback takes longer than its objective".to_owned(),
        Event::StepCanceled { .. } => "canceled".to_owned(),
        Event::OutputGiven { output, .. } => format!("its output is {output} from now on"),
        Event::StepsReset { steps } => {
            let steps: Vec<&str> = steps.iter().map(StepName::as_str).collect();
            format!("these run again: {}", steps.join(", "))
        }
        Event::RollbackSettled { done: true, .. } => "its effect is gone, by other means".to_owned(),
        Event::RollbackSettled { done: false, .. } => "its effect stays".to_owned(),
        Event::DelayOver { .. } => "has waited long enough".to_owned(),
        Event::DeadlinePassed { phase: Some(phase) } => format!("phase {phase} took longer than its deadline"),
        Event::DeadlinePassed { phase: None } => "the release took longer than its deadline".to_owned(),
        Event::FinallyStarted { outcome } => format!("what runs last begins; it will have {}", outcome.name()),
        Event::FannedOut { items, .. } => format!("runs for {} items", items.len()),
        Event::Joined { output: None, .. } => "all items have ended".to_owned(),
        Event::Joined { output: Some(output), .. } => format!("all items have ended; it gives {output}"),
        Event::ParentTold => "who waits for its end knows of it".to_owned(),
        Event::LeftAlone => "nothing runs; what is to be done waits for the next start".to_owned(),
        Event::ReleaseEnded { outcome, .. } => format!("the release ended: {}", outcome.name()),
    }
}

fn operation_text(operation: Operation) -> &'static str {
    match operation {
        Operation::Start => "starts",
        Operation::Cancel => "is being canceled",
        Operation::Rollback => "is being rolled back",
    }
}
