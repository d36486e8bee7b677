//! Schedules over the API.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use windlass_model::check::{Copies, check_copies};
use windlass_model::concurrency::Priority;
use windlass_model::parse::FileProblems;
use windlass_model::problem::Source;
use windlass_model::schedule::{InvalidTimes, Once, Overlap, Schedule, ScheduledWorkflow, Times, Zone};
use windlass_model::time::Timestamp;

use super::release::{checked, planned};
use super::{Answer, ApiError, Caller, ProblemsBody, StartBody};
use crate::clock::now;
use crate::runtime::Runtime;
use crate::schedules::{DrillView, FiringTime, ScheduleView, TIMES_MAX};

/// Makes a schedule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleBody {
    /// Its name.
    pub name: String,
    /// A cron expression, or else `at`.
    #[serde(default)]
    pub cron: Option<String>,
    /// A time, or else `cron`.
    #[serde(default)]
    pub at: Option<String>,
    /// The time zone; UTC if none is given.
    #[serde(default)]
    pub zone: Option<String>,
    /// The workflow file's name, for messages.
    pub file: String,
    /// The workflow file.
    pub workflow: String,
    /// The workflow files that it uses, and that these use, by where they are from its folder.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// Of a drill: which connections lead to copies of those that the files name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<Copies>,
    /// What its releases begin with.
    #[serde(default)]
    pub parameters: Value,
    /// Parameters as they were typed: texts where the workflow wants a text, else JSON.
    #[serde(default)]
    pub arguments: BTreeMap<String, String>,
    /// `none`, `latest` (if none is given), `all` or `all:N`.
    #[serde(default)]
    pub catch_up: Option<String>,
    /// `skip` (if none is given), `queue`, `allow` or `cancel_running`.
    #[serde(default)]
    pub overlap: Option<String>,
    /// Nothing comes before this time.
    #[serde(default)]
    pub starts: Option<String>,
    /// Nothing comes from this time on.
    #[serde(default)]
    pub ends: Option<String>,
    /// Whom the local user acts for.
    #[serde(default, rename = "as")]
    pub on_behalf_of: Option<String>,
    /// Whether problems are to be rendered in colours.
    #[serde(default)]
    pub color: bool,
}

/// Asks for something in somebody's name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActorBody {
    /// Whom the local user acts for.
    #[serde(default, rename = "as")]
    pub on_behalf_of: Option<String>,
}

fn wrong(error: impl ToString) -> ApiError {
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, error)
}

fn times_of(cron: Option<&str>, at: Option<&str>, zone: Option<&str>, color: bool) -> Result<Times, ApiError> {
    Times::parse(cron, at, zone).map_err(|error| match &error {
        InvalidTimes::Cron { text, problem } => {
            let source = Source::new("cron", text.clone());
            ApiError::problems(&error, {
                let problems = vec![(**problem).clone()];
                ProblemsBody::of(&[FileProblems { source, problems }], color)
            })
        }
        InvalidTimes::Zone(_) | InvalidTimes::Time(_) | InvalidTimes::NotOne => wrong(error),
    })
}

fn time_in(text: &str, zone: &Zone) -> Result<Timestamp, ApiError> {
    // Beside a zone of its own, the schedule's does not matter.
    let read = if text.contains('[') { Once::parse(text, None) } else { Once::parse(text, Some(zone)) };
    read.map(|it| it.at()).map_err(wrong)
}

pub(super) async fn set(
    State(runtime): State<Runtime>,
    caller: Caller,
    Json(body): Json<ScheduleBody>,
) -> Answer<ScheduleView> {
    let name = body.name.parse().map_err(wrong)?;
    let times = times_of(body.cron.as_deref(), body.at.as_deref(), body.zone.as_deref(), body.color)?;
    let bound = |text: &Option<String>| text.as_deref().map(|it| time_in(it, times.zone())).transpose();
    let (starts, ends) = (bound(&body.starts)?, bound(&body.ends)?);
    let catch_up = body.catch_up.as_deref().map(str::parse).transpose().map_err(wrong)?.unwrap_or_default();
    let overlap = body.overlap.as_deref().map(str::parse).transpose().map_err(wrong)?.unwrap_or(Overlap::Skip);
    let start = StartBody {
        rehearsal: body.copies.clone(),
        dry_run: false,
        record: false,
        file: body.file.clone(),
        workflow: body.workflow.clone(),
        files: body.files.clone(),
        parameters: body.parameters,
        arguments: body.arguments,
        on_behalf_of: None,
        color: body.color,
        priority: Priority::default(),
    };
    let nested = planned(&runtime, &start)?.0;
    if let Some(copies) = &body.copies {
        let problems = check_copies(&nested.plan, &nested.inner, copies);
        if !problems.is_empty() {
            return Err(wrong(problems.join("; ")));
        }
    } else {
        runtime.check_triggers(&nested)?;
    }
    let plan = nested.plan;
    let parameters = start.given(&plan)?;
    checked(&runtime, &start, &plan)?;
    let workflow = ScheduledWorkflow { file: body.file, text: body.workflow, files: body.files, copies: body.copies };
    let schedule = Schedule { name, times, workflow, parameters, catch_up, overlap, starts, ends, paused: false };
    let actor = caller.actor(&runtime, body.on_behalf_of.as_deref());
    Ok(Json(runtime.set_schedule(schedule, actor).await?))
}

pub(super) async fn drills(State(runtime): State<Runtime>) -> Answer<Vec<DrillView>> {
    Ok(Json(runtime.drills().await?))
}

/// Those that are there, or were.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    #[serde(default)]
    deleted: bool,
}

pub(super) async fn list(State(runtime): State<Runtime>, Query(query): Query<ListQuery>) -> Answer<Vec<ScheduleView>> {
    Ok(Json(if query.deleted { runtime.deleted_schedules().await? } else { runtime.schedules().await? }))
}

pub(super) async fn show(State(runtime): State<Runtime>, Path(name): Path<String>) -> Answer<ScheduleView> {
    Ok(Json(runtime.schedule(&name).await?))
}

/// From when, and how many.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NextQuery {
    from: Option<String>,
    count: Option<usize>,
}

impl NextQuery {
    fn count(&self) -> Result<usize, ApiError> {
        let count = self.count.unwrap_or(10);
        if count > TIMES_MAX { Err(wrong(format!("{count} are too many; {TIMES_MAX} at most"))) } else { Ok(count) }
    }

    fn from(&self, zone: &Zone) -> Result<Timestamp, ApiError> {
        self.from.as_deref().map_or_else(|| Ok(now()), |it| time_in(it, zone))
    }
}

pub(super) async fn next(
    State(runtime): State<Runtime>,
    Path(name): Path<String>,
    Query(query): Query<NextQuery>,
) -> Answer<Vec<FiringTime>> {
    let zone: Zone = runtime.schedule(&name).await?.zone.parse().map_err(wrong)?;
    Ok(Json(runtime.schedule_times(&name, query.from(&zone)?, query.count()?).await?))
}

/// Times that no schedule has yet.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TimesQuery {
    cron: Option<String>,
    at: Option<String>,
    zone: Option<String>,
    from: Option<String>,
    count: Option<usize>,
}

pub(super) async fn times(Query(query): Query<TimesQuery>) -> Answer<Vec<FiringTime>> {
    let times = times_of(query.cron.as_deref(), query.at.as_deref(), query.zone.as_deref(), false)?;
    let query = NextQuery { from: query.from, count: query.count };
    Ok(Json(FiringTime::of_times(&times, query.from(times.zone())?, query.count()?)))
}

pub(super) async fn pause(
    State(runtime): State<Runtime>,
    caller: Caller,
    Path(name): Path<String>,
    Json(body): Json<ActorBody>,
) -> Answer<ScheduleView> {
    let actor = caller.actor(&runtime, body.on_behalf_of.as_deref());
    Ok(Json(runtime.pause_schedule(&name, true, actor).await?))
}

pub(super) async fn resume(
    State(runtime): State<Runtime>,
    caller: Caller,
    Path(name): Path<String>,
    Json(body): Json<ActorBody>,
) -> Answer<ScheduleView> {
    let actor = caller.actor(&runtime, body.on_behalf_of.as_deref());
    Ok(Json(runtime.pause_schedule(&name, false, actor).await?))
}

pub(super) async fn run(
    State(runtime): State<Runtime>,
    caller: Caller,
    Path(name): Path<String>,
    Json(body): Json<ActorBody>,
) -> Answer<ScheduleView> {
    let actor = caller.actor(&runtime, body.on_behalf_of.as_deref());
    Ok(Json(runtime.run_schedule(&name, actor).await?))
}

/// Who deletes a schedule, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeleteQuery {
    reason: Option<String>,
    #[serde(rename = "as")]
    on_behalf_of: Option<String>,
}

pub(super) async fn delete(
    State(runtime): State<Runtime>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<DeleteQuery>,
) -> Result<StatusCode, ApiError> {
    let actor = caller.actor(&runtime, query.on_behalf_of.as_deref());
    runtime.delete_schedule(&name, actor, query.reason.as_deref().unwrap_or_default()).await?;
    Ok(StatusCode::NO_CONTENT)
}
