//! Releases over the API.

use std::collections::{BTreeMap, BTreeSet, btree_map};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures::FutureExt as _;
use futures::future::select_all;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use windlass_engine::Input;
use windlass_model::cause::RollbackCause;
use windlass_model::check::{Copies, OnCopies, check_copies, check_inputs_given};
use windlass_model::concurrency::Priority;
use windlass_model::name::{ReleaseId, StepName};
use windlass_model::parse::{FileProblems, Planned, check_parameters, parameter_from_text, validate_all};
use windlass_model::plan::Plan;
use windlass_model::problem::{Color, Severity, Source, render};
use windlass_model::service::PlannedWait;

use super::{Answer, ApiError, Caller, release_id};
use crate::admission::Asked;
use crate::callbacks::kept_headers;
use crate::going_back::GoingBackView;
use crate::runtime::Runtime;
use crate::step_log::Entry;
use crate::view::{CardView, ReleaseView, RollbackPreviewView, StoryLine, story};

/// Starts a release, or checks a workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartBody {
    /// The workflow file's name, for messages.
    pub file: String,
    /// The workflow file.
    pub workflow: String,
    /// The workflow files that it uses, and that these use, by where they are from its folder.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// What the release begins with.
    #[serde(default)]
    pub parameters: Value,
    /// Parameters as they were typed: texts where the workflow wants a text, else JSON.
    #[serde(default)]
    pub arguments: BTreeMap<String, String>,
    /// Whom the local user acts for.
    #[serde(default, rename = "as")]
    pub on_behalf_of: Option<String>,
    /// Of a rehearsal: which connections lead to copies of those that the files name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<Copies>,
    /// Whether it only shows what it would do: reads are made, writes are stopped and listed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Whether what its steps ask for, and get, is recorded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub record: bool,
    /// Whether problems are to be rendered in colours.
    #[serde(default)]
    pub color: bool,
    /// Whom it lets go first where releases wait.
    #[serde(default, skip_serializing_if = "is_normal")]
    pub priority: Priority,
}

fn is_normal(priority: &Priority) -> bool {
    *priority == Priority::Normal
}

/// What is wrong with a workflow file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProblemsBody {
    /// Each problem with its place and a code, for programs.
    pub problems: Vec<Value>,
    /// All of them for people: file, line, caret, suggestion.
    pub rendered: String,
}

impl ProblemsBody {
    pub(super) fn of(files: &[FileProblems], color: bool) -> Self {
        let color = if color { Color::Ansi } else { Color::None };
        let mut all = Self::default();
        for FileProblems { source, problems } in files {
            let values = problems.iter().map(|it| {
                let mut value = serde_json::to_value(it).unwrap_or_default();
                if let Some(fields) = value.as_object_mut().filter(|_| files.len() > 1) {
                    fields.insert("file".to_owned(), source.name().into());
                }
                value
            });
            all.problems.extend(values);
            all.rendered.push_str(&render(source, problems, color));
        }
        all
    }
}

impl StartBody {
    /// A workflow file, with nothing else.
    pub fn of(source: &Source) -> Self {
        Self {
            file: source.name().to_owned(),
            workflow: source.text().to_owned(),
            files: BTreeMap::new(),
            parameters: Value::Null,
            arguments: BTreeMap::new(),
            on_behalf_of: None,
            rehearsal: None,
            dry_run: false,
            record: false,
            color: false,
            priority: Priority::default(),
        }
    }

    /// The parameters of both kinds, as the workflow wants them.
    pub(super) fn given(&self, plan: &Plan) -> Result<Value, ApiError> {
        let mut given = match &self.parameters {
            Value::Null => serde_json::Map::new(),
            Value::Object(given) => given.clone(),
            _ => return Err(ApiError::new(StatusCode::BAD_REQUEST, "`parameters` is an object")),
        };
        for (name, text) in &self.arguments {
            let value = match plan.workflow().parameters.get(name) {
                Some(parameter) => parameter_from_text(parameter, text),
                None => Value::String(text.clone()),
            };
            given.insert(name.clone(), value);
        }
        Ok(Value::Object(given))
    }
}

/// A release that was started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// Its id.
    pub release: String,
    /// What is worth knowing about the workflow file.
    pub warnings: ProblemsBody,
    /// Which versions of services it will wait for, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<String>,
    /// Of a dry run: why a run would be refused as things are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<String>,
}

/// What was found of a workflow.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ValidatedBody {
    /// What is worth knowing about its files.
    #[serde(flatten)]
    pub problems: ProblemsBody,
    /// Where parameters were given: which versions of services a release would wait for now, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<String>,
}

/// Answers an approval gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VoteBody {
    /// Of which step; may be left out when only one waits.
    #[serde(default)]
    pub step: Option<String>,
    /// Yes or no.
    pub approved: bool,
    /// Why.
    #[serde(default)]
    pub comment: String,
    /// Whom the local user acts for.
    #[serde(default, rename = "as")]
    pub on_behalf_of: Option<String>,
}

/// A release's journal, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalBody {
    /// What happened, in order.
    pub story: Vec<StoryLine>,
}

pub(super) fn planned(runtime: &Runtime, body: &StartBody) -> Result<(Planned, ProblemsBody), ApiError> {
    let source = Source::new(body.file.clone(), body.workflow.clone());
    let catalog = runtime.catalog();
    let none = Copies::new();
    let catalog = OnCopies { catalog: &catalog, copies: body.rehearsal.as_ref().unwrap_or(&none) };
    let (planned, files) = validate_all(&source, &body.files, &catalog);
    let shown = ProblemsBody::of(&files, body.color);
    match planned {
        Some(nested) => Ok((nested, shown)),
        None => {
            let problems = files.iter().flat_map(|it| &it.problems);
            let count = problems.filter(|it| it.severity == Severity::Error).count();
            let plural = if count == 1 { "" } else { "s" };
            Err(ApiError::problems(format!("{} has {count} problem{plural}", body.file), shown))
        }
    }
}

pub(super) async fn validate(State(runtime): State<Runtime>, Json(body): Json<StartBody>) -> Answer<ValidatedBody> {
    let (nested, problems) = planned(&runtime, &body)?;
    if body.rehearsal.is_none() {
        runtime.check_triggers(&nested)?;
    }
    let mut waits = nobody_decides(&runtime, &nested);
    if body.parameters.is_null() && body.arguments.is_empty() {
        return Ok(Json(ValidatedBody { problems, waits }));
    }
    let parameters = checked(&runtime, &body, &nested.plan)?;
    let plan = runtime.keep_nested(nested).await?;
    waits.extend(in_words(runtime.check_services(&plan, &parameters)?));
    Ok(Json(ValidatedBody { problems, waits }))
}

/// What waits for ever unless somebody is added to a group.
fn nobody_decides(runtime: &Runtime, planned: &Planned) -> Vec<String> {
    let groups = runtime.catalog().groups;
    planned.inner.iter().chain([&planned.plan]).flat_map(|it| groups.nobody_decides(it)).collect()
}

/// The parameters that a release of this plan would have.
pub(super) fn checked(runtime: &Runtime, body: &StartBody, plan: &Plan) -> Result<Value, ApiError> {
    let refused = |problems: Vec<String>| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, problems.join("; "));
    let parameters = check_parameters(plan.workflow(), body.given(plan)?).map_err(refused)?;
    let catalog = runtime.catalog();
    let problems = check_inputs_given(plan, &parameters, |component| catalog.manifest(component));
    if problems.is_empty() { Ok(parameters) } else { Err(refused(problems)) }
}

/// `step deploy waits for ledger >=2.4: ledger-14 is to deliver 2.4.0`
fn in_words(waits: Vec<PlannedWait>) -> Vec<String> {
    let words = waits.into_iter().map(|PlannedWait { step, need, by: (release, version) }| {
        format!("step `{step}` will wait for {need}: {release} is to deliver {version}")
    });
    words.collect()
}

pub(super) async fn start(
    State(runtime): State<Runtime>,
    caller: Caller,
    Json(body): Json<StartBody>,
) -> Answer<Started> {
    let (nested, warnings) = planned(&runtime, &body)?;
    let parameters = checked(&runtime, &body, &nested.plan)?;
    if body.rehearsal.is_some() && body.dry_run {
        let error = "a rehearsal does what it does, on copies, and a dry run does nothing: ask for one of them";
        return Err(ApiError::new(StatusCode::BAD_REQUEST, error));
    }
    if let Some(copies) = &body.rehearsal {
        let problems = check_copies(&nested.plan, &nested.inner, copies);
        if !problems.is_empty() {
            return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, problems.join("; ")));
        }
    }
    let actor = caller.actor(&runtime, body.on_behalf_of.as_deref());
    let rehearsal = body.rehearsal.is_some();
    let triggers = if rehearsal { Ok(()) } else { runtime.check_triggers(&nested) };
    let nobody = if body.dry_run { Vec::new() } else { nobody_decides(&runtime, &nested) };
    let plan = runtime.keep_nested(nested).await?;
    let (mut waits, mut refusals) = (Vec::new(), Vec::new());
    if body.dry_run {
        let mut told =
            |refused: Result<(), crate::RuntimeError>| refusals.extend(refused.err().map(|it| it.to_string()));
        told(triggers);
        told(runtime.check_rehearsed(&plan));
        told(runtime.check_circle(&plan, &parameters).await);
        match runtime.check_services(&plan, &parameters) {
            Ok(needed) => waits = in_words(needed),
            Err(error) => told(Err(error)),
        }
    } else if !rehearsal {
        triggers?;
        runtime.check_rehearsed(&plan)?;
        waits = in_words(runtime.check_services(&plan, &parameters)?);
        runtime.check_circle(&plan, &parameters).await?;
    }
    let (dry_run, priority) = (body.dry_run, body.priority);
    let asked = Asked { parameters, rehearsal, dry_run, recorded: body.record, priority, ..Asked::by(actor) };
    let release = runtime.begin_asked(&plan, asked).await?;
    let waits = nobody.into_iter().chain(waits).collect();
    Ok(Json(Started { release: release.to_string(), warnings, waits, refusals }))
}

pub(super) async fn show(State(runtime): State<Runtime>, Path(release): Path<String>) -> Answer<ReleaseView> {
    Ok(Json(runtime.view(&release_id(&release)?).await?))
}

/// Says why a release had to be rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CauseBody {
    /// The cause.
    #[serde(flatten)]
    pub cause: RollbackCause,
    /// Whom the local user acts for.
    #[serde(default, rename = "as")]
    pub on_behalf_of: Option<String>,
}

pub(super) async fn give_cause(
    State(runtime): State<Runtime>,
    caller: Caller,
    Path(release): Path<String>,
    Json(body): Json<CauseBody>,
) -> Answer<ReleaseView> {
    let id = release_id(&release)?;
    let actor = caller.actor(&runtime, body.on_behalf_of.as_deref());
    runtime.tell(&id, Input::GiveCause { actor, cause: Box::new(body.cause) }).await?;
    Ok(Json(runtime.view(&id).await?))
}

pub(super) async fn card(State(runtime): State<Runtime>, Path(release): Path<String>) -> Answer<CardView> {
    let id = release_id(&release)?;
    let card = CardView::of(&*runtime.release(&id).await?);
    card.map(Json).ok_or_else(|| {
        let error = format!(
            "{id} has no decision card: its workflow declares none (`rollback.decision`), and nothing asks whether it is rolled back"
        );
        ApiError::new(StatusCode::NOT_FOUND, error)
    })
}

/// Tells what a rollback would do.
pub(super) async fn rollback_preview(
    State(runtime): State<Runtime>,
    Path(release): Path<String>,
) -> Answer<RollbackPreviewView> {
    let id = release_id(&release)?;
    let mut preview = runtime.rollback_preview(&id).await?;
    preview.newer = runtime.newer(&id).await?.iter().map(ToString::to_string).collect();
    Ok(Json(preview))
}

/// How a way back is meant.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GoingBackQuery {
    /// What nothing can roll back may stay.
    #[serde(default)]
    accept: bool,
}

/// Tells what going back to a release would take.
pub(super) async fn going_back(
    State(runtime): State<Runtime>,
    Path(release): Path<String>,
    Query(query): Query<GoingBackQuery>,
) -> Answer<GoingBackView> {
    Ok(Json(runtime.going_back(&release_id(&release)?, query.accept).await?))
}

pub(super) async fn journal(State(runtime): State<Runtime>, Path(release): Path<String>) -> Answer<JournalBody> {
    let records = runtime.journal(&release_id(&release)?)?;
    Ok(Json(JournalBody { story: story(&records) }))
}

/// One JSON line per change, until the release ends.
pub(super) async fn watch(State(runtime): State<Runtime>, Path(release): Path<String>) -> Result<Response, ApiError> {
    let id = release_id(&release)?;
    runtime.view(&id).await?;
    // The subscription is older than the first view, so no change between the two is missed.
    let subscription = runtime.subscribe(&id);
    let moves = runtime.moves();
    let first = Watch { runtime, id, subscription, moves, last: None, within: BTreeMap::new() };
    let stream = futures::stream::unfold(first, async |mut watch| {
        let view = watch.next().await?;
        Some((Ok::<Bytes, std::convert::Infallible>(line(&view)), watch))
    });
    Response::builder()
        .header("content-type", "application/x-ndjson")
        .body(Body::from_stream(stream))
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error))
}

type Receiver = tokio::sync::watch::Receiver<u64>;

struct Watch {
    runtime: Runtime,
    id: ReleaseId,
    subscription: Option<(Receiver, Receiver)>,
    /// Of a release that waits for its turn the place changes with others.
    moves: Receiver,
    last: Option<ReleaseView>,
    /// Changes of the releases inside of it that are not over.
    within: BTreeMap<ReleaseId, Receiver>,
}

impl Watch {
    /// What it shows, once every change inside of it is heard of.
    async fn look(&mut self) -> Option<ReleaseView> {
        loop {
            let view = self.runtime.view(&self.id).await.ok()?;
            let of_within: BTreeSet<ReleaseId> = view.within.iter().filter_map(|it| it.release.parse().ok()).collect();
            self.within.retain(|it, _| of_within.contains(it));
            let mut is_older = false;
            for inner in of_within {
                if let btree_map::Entry::Vacant(entry) = self.within.entry(inner)
                    && let Some(changes) = self.runtime.changes(entry.key())
                {
                    entry.insert(changes);
                    is_older = true;
                }
            }
            if !is_older {
                return Some(view);
            }
        }
    }

    async fn next(&mut self) -> Option<ReleaseView> {
        loop {
            let mut is_aside = false;
            if let Some(last) = &self.last {
                let is_queued = last.waits.iter().any(|it| it.queue.is_some());
                let (changes, logs) = self.subscription.as_mut().filter(|_| !last.ended)?;
                let gone = tokio::select! {
                    it = changes.changed() => it.is_err(),
                    it = logs.changed() => it.is_err(),
                    _ = self.moves.changed(), if is_queued => {
                        is_aside = true;
                        false
                    }
                    () = any_changes(&mut self.within) => {
                        is_aside = true;
                        false
                    }
                };
                if gone {
                    self.subscription = None;
                }
            }
            let view = self.look().await?;
            if !is_aside || self.last.as_ref() != Some(&view) {
                self.last = Some(view.clone());
                return Some(view);
            }
        }
    }
}

/// Ends when one of them changes; one that will not change any more is forgotten.
async fn any_changes(within: &mut BTreeMap<ReleaseId, Receiver>) {
    if within.is_empty() {
        return std::future::pending().await;
    }
    let each = within.iter_mut().map(|(id, it)| async { it.changed().await.is_err().then(|| id.clone()) }.boxed());
    let (gone, ..) = select_all(each).await;
    if let Some(gone) = gone {
        within.remove(&gone);
    }
}

fn line<T: Serialize>(value: &T) -> Bytes {
    let mut bytes = serde_json::to_vec(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes.into()
}

/// Which part of a log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogQuery {
    step: Option<String>,
    #[serde(default)]
    after: usize,
}

pub(super) async fn logs(
    State(runtime): State<Runtime>,
    Path(release): Path<String>,
    Query(query): Query<LogQuery>,
) -> Answer<Vec<Entry>> {
    let id = release_id(&release)?;
    runtime.journal(&id)?;
    let entries = runtime
        .log(&id)
        .entries(query.after)
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error))?;
    Ok(Json(entries.into_iter().filter(|it| query.step.as_ref().is_none_or(|step| it.step.as_str() == step)).collect()))
}

/// The step that was named, or the only one with such a wait.
pub(super) async fn waiting_step(
    runtime: &Runtime,
    id: &ReleaseId,
    step: Option<&str>,
    cause: &str,
    what: &str,
) -> Result<StepName, ApiError> {
    if let Some(step) = step {
        return step.parse().map_err(|error| ApiError::new(StatusCode::BAD_REQUEST, error));
    }
    let view = runtime.view(id).await?;
    let waiting: Vec<&str> = view.waits.iter().filter(|it| it.cause == cause).map(|it| it.step.as_str()).collect();
    match waiting.as_slice() {
        [step] => step.parse().map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error)),
        [] => Err(ApiError::new(
            StatusCode::CONFLICT,
            format!("no step of {id} waits for {what}: it is {} ({})", view.state, view.headline),
        )),
        several => Err(ApiError::new(
            StatusCode::CONFLICT,
            format!("several steps of {id} wait for {what}: name one of {}", several.join(", ")),
        )),
    }
}

pub(super) async fn vote(
    State(runtime): State<Runtime>,
    caller: Caller,
    Path(release): Path<String>,
    Json(body): Json<VoteBody>,
) -> Answer<ReleaseView> {
    let id = release_id(&release)?;
    let step = waiting_step(&runtime, &id, body.step.as_deref(), "approval", "an approval").await?;
    let actor = caller.actor(&runtime, body.on_behalf_of.as_deref());
    runtime.tell(&id, Input::Vote { step, actor, approved: body.approved, comment: body.comment }).await?;
    Ok(Json(runtime.view(&id).await?))
}

/// Whose callback it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalledBack {
    /// The release.
    pub release: String,
}

pub(super) async fn call_back(
    State(runtime): State<Runtime>,
    Path(topic): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<CalledBack>), ApiError> {
    let release = runtime.call_back(&topic, kept_headers(&headers), body.to_vec()).await?;
    Ok((StatusCode::ACCEPTED, Json(CalledBack { release: release.to_string() })))
}
