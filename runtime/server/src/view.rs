//! A release as people and programs see it: one type for the terminal, the API and later the console.

mod card;
mod dry_run;
mod preview;
mod rollback;
mod story;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use windlass_engine::{Release, ReleaseState, Stage, StepState, Wait, WaitCause};
use windlass_model::artifact::{Artifact, artifacts_in};
use windlass_model::event::{Operation, SkipReason};
use windlass_model::failure::StepError;
use windlass_model::graph::StepIndex;
use windlass_model::manifest::Effect;
use windlass_model::name::StepName;
use windlass_model::plan::Runs;
use windlass_model::time::Timestamp;

use crate::admission::{QueueView, unusual};
use crate::nested::Begun;
use crate::rehearsal::RehearsedView;
use crate::step_log::Progress;

pub use self::card::{AskedView, CardView, CriterionView, DecidedView, OwnerView};
pub use self::dry_run::DryStepView;
pub use self::preview::{RollbackPreviewView, RolledBackStepView, StaysView};
pub use self::rollback::{AlertView, CauseView, RollbackView};
pub use self::story::{StoryLine, story};

/// A release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseView {
    /// Its id.
    pub release: String,
    /// The workflow it is a release of.
    pub workflow: String,
    /// One word.
    pub state: String,
    /// Whether it is over.
    pub ended: bool,
    /// Whether it is over and ended well.
    pub succeeded: bool,
    /// What it is doing or waiting for.
    pub headline: String,
    /// Who asked for it.
    pub requested_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When its last event happened.
    pub updated_at: Timestamp,
    /// The release that it is a part of, and the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<(String, String)>,
    /// What it began with.
    pub parameters: Value,
    /// What it gave.
    pub outputs: Value,
    /// Artifacts that it began with, or that it and its steps gave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<ArtifactView>,
    /// Digest of its plan.
    pub plan: String,
    /// Its rollback, if there was one or one goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackView>,
    /// Alerts that its workflow names and that came, in order: with their labels and what they say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<AlertView>,
    /// Whether it is a rehearsal of its rollback, on copies.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rehearsal: bool,
    /// Whether it is a dry run: nothing that it runs writes anything.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Of a dry run: what it leaves out as a whole, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// How urgent it is, where that is not as usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// The last rehearsal of its workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsed: Option<RehearsedView>,
    /// Phases in order.
    pub phases: Vec<String>,
    /// Steps, in the order of the workflow file.
    pub steps: Vec<StepView>,
    /// Why it waits.
    pub waits: Vec<WaitView>,
    /// Releases inside of it that are not over, each followed by those inside of that one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<WithinView>,
    /// How many records its journal has.
    pub records: u64,
}

/// A release inside of another one that is not over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WithinView {
    /// Its id.
    pub release: String,
    /// The step that began it, of the release that it is a part of.
    pub step: String,
    /// One word.
    pub state: String,
    /// What of it waits for somebody who can do something about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<WaitView>,
}

/// An artifact, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactView {
    /// `parameter image`, `step build`, `output image`.
    pub from: String,
    /// The artifact.
    #[serde(flatten)]
    pub artifact: Artifact,
}

/// How many artifacts are shown.
const ARTIFACTS_MAX: usize = 100;

fn artifacts(release: &Release, outputs: &Value) -> Vec<ArtifactView> {
    let named = |what: &'static str, values: &Value| -> Vec<ArtifactView> {
        let fields = values.as_object().into_iter().flatten();
        let each = fields.flat_map(|(name, it)| artifacts_in(it).into_iter().map(move |it| (name.clone(), it)));
        each.map(|(name, artifact)| ArtifactView { from: format!("{what} {name}"), artifact }).collect()
    };
    let given = release.outputs().into_iter().flat_map(|(step, output)| {
        artifacts_in(output).into_iter().map(move |artifact| ArtifactView { from: format!("step {step}"), artifact })
    });
    let mut all = named("parameter", &release.created().parameters);
    all.extend(given);
    all.extend(named("output", outputs));
    all.truncate(ARTIFACTS_MAX);
    all
}

/// A step of a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepView {
    /// Its name.
    pub name: String,
    /// Its phase.
    pub phase: Option<String>,
    /// The steps it needs.
    pub needs: Vec<String>,
    /// What it runs: `jenkins/trigger-build`.
    pub uses: String,
    /// The plugin's pinned version.
    pub version: String,
    /// The component's digest.
    pub component: String,
    /// Of a step that runs a workflow: the release, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// One word.
    pub state: String,
    /// What it is doing, waiting for, or why it failed.
    pub status: String,
    /// How far it is, 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// Places to look at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<(String, String)>,
    /// The attempt it is at.
    pub attempt: u32,
    /// When its needs were met.
    pub began_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What it was given.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub input: Value,
    /// What it gave.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub output: Value,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<StepError>,
    /// Why its work had failed, where it is being rolled back or was, or that is blocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<StepError>,
    /// Answers to its approval gates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub votes: Vec<VoteView>,
    /// Of a dry run: what would have been done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<DryStepView>,
    /// Of an item: what the step runs for here.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub item: Value,
    /// Of a step that runs once for each item of a list: these, once they are known, and those of an earlier run of the
    /// step that may have left something behind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<StepView>,
}

/// An answer to an approval gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VoteView {
    /// Who.
    pub by: String,
    /// How it was told who that is.
    pub authenticated: String,
    /// Yes or no.
    pub approved: bool,
    /// Why.
    pub comment: String,
    /// When.
    pub at: Timestamp,
}

/// Why a release waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WaitView {
    /// Which step; empty when it is the release as a whole.
    pub step: String,
    /// `approval`, `outside`, `backoff`, `delay`, `decision`, `pause`, `breaker`, `service`, `queue` or `rollback`.
    pub cause: String,
    /// In a sentence.
    pub text: String,
    /// Who can end it.
    pub owner: String,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// The command that does something about it; empty when there is none.
    pub command: String,
    /// Other commands that do something else about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    /// Of a release that waits for its turn: where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueView>,
    /// Of one that waits in a circle: who waits for whom, link by link. It does not end by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub circle: Vec<String>,
}

impl ReleaseView {
    /// Shows a release.
    pub fn of(release: &Release, progress: &BTreeMap<StepName, Progress>) -> Self {
        let plan = release.plan();
        let workflow = plan.workflow();
        let outputs = match release.state() {
            ReleaseState::Ended { outputs, .. } => outputs.clone(),
            _ => Value::Null,
        };
        let outcome = release.outcome();
        let waits = release.waits();
        Self {
            release: release.id().to_string(),
            workflow: workflow.name.to_string(),
            state: state_name(release),
            ended: outcome.is_some(),
            succeeded: outcome == Some(windlass_model::event::Outcome::Succeeded),
            headline: release.headline(),
            requested_by: release.created().requested_by.to_string(),
            created_at: release.created_at(),
            updated_at: release.updated_at(),
            parent: release.created().parent.as_ref().map(|it| (it.release.to_string(), it.step.to_string())),
            parameters: release.created().parameters.clone(),
            artifacts: artifacts(release, &outputs),
            outputs,
            plan: release.created().plan.to_string(),
            rollback: release.rollback().map(|it| RollbackView::of(release, it)),
            alerts: release.alerts().iter().map(AlertView::of).collect(),
            rehearsal: release.created().rehearsal,
            dry_run: release.is_dry_run(),
            left_out: dry_run::left_out(release),
            priority: release.created().claim.as_ref().and_then(|it| unusual(it.priority)),
            rehearsed: None,
            phases: workflow.phases.iter().map(ToString::to_string).collect(),
            steps: workflow
                .steps
                .iter()
                .filter_map(|it| plan.index_of(&it.name))
                .map(|index| step_view(release, index, &waits, progress))
                .collect(),
            waits: waits
                .into_iter()
                .map(|it| WaitView {
                    step: it.step.as_ref().map(ToString::to_string).unwrap_or_default(),
                    cause: match it.cause {
                        WaitCause::Approval => "approval",
                        WaitCause::Outside => "outside",
                        WaitCause::Backoff => "backoff",
                        WaitCause::Decision => "decision",
                        WaitCause::Pause => "pause",
                        WaitCause::Delay => "delay",
                        WaitCause::Breaker => "breaker",
                        WaitCause::Service => "service",
                        WaitCause::Queue => "queue",
                        WaitCause::Rollback => "rollback",
                    }
                    .to_owned(),
                    text: it.text,
                    owner: it.owner,
                    until: it.until,
                    command: match it.cause {
                        _ if it.action.is_empty() => String::new(),
                        WaitCause::Breaker | WaitCause::Service => format!("windlass {}", it.action),
                        _ => format!("windlass release {}", it.action),
                    },
                    others: it.others.iter().map(|it| format!("windlass release {it}")).collect(),
                    queue: None,
                    circle: Vec::new(),
                })
                .collect(),
            within: Vec::new(),
            records: release.records(),
        }
    }
}

/// Every state that a list can be asked for, but the ways of ending ([`Outcome::ALL`]).
pub const OPEN_STATES: [&str; 8] =
    ["queued", "running", "paused", "failing", "canceling", "rolling back", "rollback blocked", "finishing"];

/// One word for a release; `paused` when a step waits for a decision.
pub fn state_name(release: &Release) -> String {
    let waits = release.waits();
    let waits_for_decision = waits
        .first()
        .is_some_and(|it| matches!(it.cause, WaitCause::Decision | WaitCause::Pause | WaitCause::Rollback));
    match release.state() {
        ReleaseState::Running | ReleaseState::Finishing { .. } if waits_for_decision => "paused".to_owned(),
        ReleaseState::RollingBack { .. } if waits_for_decision => "rollback blocked".to_owned(),
        state => state.name().to_owned(),
    }
}

fn step_view(release: &Release, index: StepIndex, waits: &[Wait], progress: &BTreeMap<StepName, Progress>) -> StepView {
    let (definition, pin, run) = (release.definition(index), release.pin(index), release.step(index));
    let name = release.name_of(index);
    let noted = progress.get(&name);
    // What it said in an earlier attempt is not what it does now.
    let says_now = noted.filter(|it| run.state.activity().is_none_or(|activity| activity.attempt_began_at <= it.at));
    let wait = waits.iter().find(|it| it.step.as_ref() == Some(&name));
    let items: Vec<StepView> = release
        .items(index)
        .into_iter()
        .flatten()
        .map(|(index, item)| StepView { item: item.clone(), ..step_view(release, index, waits, progress) })
        .collect();
    let earlier = release.earlier_items(index).map(|it| {
        let view = step_view(release, it, waits, progress);
        let status = if view.status.is_empty() { "of an earlier run".to_owned() } else { view.status };
        StepView { status, ..view }
    });
    let error = match &run.state {
        StepState::Failed { error, .. }
        | StepState::Paused { error, .. }
        | StepState::RollbackBlocked { error, .. } => Some(error.clone()),
        StepState::Active(activity) => match &activity.stage {
            Stage::Backoff { error, .. } => Some(error.clone()),
            Stage::Calling(_) | Stage::Suspended { .. } | Stage::Held { .. } | Stage::Stopped => None,
        },
        _ => None,
    };
    let goes_back = match &run.state {
        StepState::RolledBack | StepState::LeftInPlace | StepState::RollbackBlocked { .. } => true,
        state => state.activity().is_some_and(|it| it.operation == Operation::Rollback),
    };
    let failure = run.failure.as_deref().filter(|_| goes_back);
    let status = match &run.state {
        StepState::Skipped { reason } => skip_text(reason),
        StepState::Failed { error, .. }
            if release.rollback().is_some()
                && !run.called
                && pin.effect != Effect::Read
                && release.items(index).is_none() =>
        {
            format!("{error}; it had done nothing")
        }
        StepState::Failed { error, .. } => error.to_string(),
        StepState::Active(_)
        | StepState::Held { .. }
        | StepState::Paused { .. }
        | StepState::RollbackBlocked { .. } => {
            let failed = error.as_ref().map(ToString::to_string);
            let noted = says_now.and_then(|it| it.status.clone());
            wait.map(|it| it.text.clone()).or(failed).or(noted).unwrap_or_default()
        }
        StepState::FannedOut => items_text(&items),
        StepState::Waiting if run.passed_over.is_some() => "is skipped when its turn comes".to_owned(),
        StepState::Canceled if release.created().dry_run => String::new(),
        StepState::Canceled if run.may_stand() && pin.effect != Effect::Read => match &run.unstopped {
            _ if !pin.cancel => "its action has no `cancel`: what it began may go on".to_owned(),
            Some(error) => format!("it could not be stopped, and may go on: {error}"),
            None => String::new(),
        },
        StepState::Succeeded
        | StepState::Waiting
        | StepState::Canceled
        | StepState::RolledBack
        | StepState::LeftInPlace => String::new(),
    };
    let status = match failure {
        Some(failure) if status.is_empty() => format!("it had failed: {failure}"),
        Some(failure) => format!("{status}; it had failed: {failure}"),
        None => status,
    };
    let is_active = run.state.activity().is_some();
    // What nobody decides any more.
    let gave_up = matches!(run.state, StepState::Paused { .. })
        && (release.outcome().is_some() || matches!(release.state(), ReleaseState::RollingBack { .. }));
    let ended_with_it = gave_up.then(|| release.rollback().map_or(release.updated_at(), |it| it.began_at));
    StepView {
        name: name.to_string(),
        phase: definition.phase.as_ref().map(ToString::to_string),
        needs: definition.needs.iter().map(ToString::to_string).collect(),
        uses: definition.uses.short(),
        version: pin.version.to_string(),
        component: pin.runs.digest().to_string(),
        release: matches!(pin.runs, Runs::Plan(_)).then(|| Begun::of(run).last().map(ToString::to_string)).flatten(),
        state: if release.outcome().is_some()
            && !run.called
            && matches!(run.state, StepState::Waiting | StepState::Held { .. })
        {
            "not run".to_owned()
        } else if gave_up {
            "failed".to_owned()
        } else {
            run.state.name().replace('_', " ")
        },
        status,
        percent: says_now.and_then(|it| it.percent).filter(|_| is_active),
        links: noted.map(|it| it.links.clone()).unwrap_or_default(),
        attempt: run.state.activity().map_or(0, |it| it.attempt),
        began_at: run.began_at,
        ended_at: run.ended_at.or(ended_with_it),
        input: run.input.as_deref().cloned().unwrap_or_default(),
        output: run.output.as_deref().cloned().unwrap_or_default(),
        error,
        failure: failure.cloned(),
        votes: run
            .votes
            .iter()
            .map(|it| VoteView {
                by: it.actor.name.clone(),
                authenticated: it.actor.authenticated.clone(),
                approved: it.approved,
                comment: it.comment.clone(),
                at: it.at,
            })
            .collect(),
        dry_run: DryStepView::of(release, index),
        item: Value::Null,
        items: items.into_iter().chain(earlier).collect(),
    }
}

/// `12 of 40 have ended, 1 failed`
fn items_text(items: &[StepView]) -> String {
    let ended = items.iter().filter(|it| it.ended_at.is_some()).count();
    let failed = items.iter().filter(|it| it.state == "failed").count();
    let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
    format!("{ended} of {} have ended{failed}", items.len())
}

fn skip_text(reason: &SkipReason) -> String {
    match reason {
        SkipReason::Rehearsal => "a rehearsal ends before the point of no return".to_owned(),
        SkipReason::NeedsSkipped => "every step it needs was skipped".to_owned(),
        SkipReason::Person { by, reason } => format!("by {by}: {reason}"),
        SkipReason::Condition { expression, values } => {
            let values: Vec<String> = values.iter().map(|(name, value)| format!("{name} = {value}")).collect();
            format!("`{expression}` is false: {}", values.join(", "))
        }
    }
}
