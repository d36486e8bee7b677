//! `create-task`, `update-task`, `close-task`: the work that a change consists of.

use crate::create_change::of_all;
use crate::instance::{CHANGES, Instance, Note, TASKS, role};
use crate::record::{Fields, Record, date};
use crate::update_change::CloseCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use windlass_sdk::{Action, Answer, Context, Effect, Ended, Failure, Find, Found, Method, Outcome, Role, Rollback};

const CLOSED: &str = "3";
const CANCELED: &str = "4";

/// A change task.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct TaskReport {
    /// `CTASK0010001`.
    number: String,
    /// Its identity.
    sys_id: String,
    /// Its page.
    url: String,
    /// The state's value: `1`.
    state: String,
    /// The state in words.
    state_label: String,
}

fn report(instance: &Instance, task: &Record) -> TaskReport {
    TaskReport {
        number: task.number().to_owned(),
        sys_id: task.sys_id().to_owned(),
        url: instance.page(TASKS, task.sys_id()),
        state: task.value("state").to_owned(),
        state_label: task.display("state").to_owned(),
    }
}

fn reading() -> Role {
    role().allow(&[Method::Get], "/api/now/table/change_task/**")
}

fn updating() -> Role {
    reading().allow(&[Method::Patch], "/api/now/table/change_task/*")
}

/// Creates a task of a change.
pub(crate) struct CreateTask;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateTaskInput {
    /// The change: its number or sys_id.
    change: String,
    /// What is to be done, in a line.
    short_description: String,
    /// What is to be done.
    description: Option<String>,
    /// The kind of work.
    #[serde(rename = "type")]
    kind: Option<TaskKind>,
    /// The group that does it: its name or sys_id.
    assignment_group: Option<String>,
    /// When it is planned to begin, in UTC.
    start: Option<String>,
    /// When it is planned to end, in UTC.
    end: Option<String>,
    /// Further fields of the task, by their names in the table.
    #[serde(default)]
    fields: BTreeMap<String, Value>,
}

#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum TaskKind {
    Planning,
    Implementation,
    Testing,
    Review,
}

impl TaskKind {
    fn value(self) -> &'static str {
        match self {
            Self::Planning => "planning",
            Self::Implementation => "implementation",
            Self::Testing => "testing",
            Self::Review => "review",
        }
    }
}

impl Action for CreateTask {
    const NAME: &'static str = "create-task";
    const DESCRIPTION: &'static str = "Creates a task of a change; rolling back cancels it.";
    const EFFECT: Effect = Effect::Write;

    type Input = CreateTaskInput;
    type Output = TaskReport;
    type State = ();

    fn connections() -> Vec<Role> {
        let role = updating()
            .allow(&[Method::Get], "/api/now/table/sys_user_group")
            .allow(&[Method::Post], "/api/now/table/change_task");
        vec![role]
    }

    fn start(ctx: &Context, input: CreateTaskInput) -> Answer<Self> {
        let instance = Instance::connect(ctx)?;
        let key = ctx.idempotency_key();
        if let Some(task) = instance.correlated(TASKS, key)? {
            ctx.log().info(format!("an earlier attempt has created {} already", task.number()));
            return Ok(Outcome::done(report(&instance, &task)));
        }
        let change = instance.record(CHANGES, &input.change)?;
        let group = input.assignment_group.as_deref();
        let group = group.map(|group| instance.reference("sys_user_group", "name", group)).transpose()?;
        let mut fields = Fields::default();
        fields
            .set("change_request", change.sys_id())
            .set("short_description", input.short_description)
            .set_some("description", input.description)
            .set_some("change_task_type", input.kind.map(TaskKind::value))
            .set_some("assignment_group", group)
            .set_some("planned_start_date", input.start.as_deref().map(|text| date("start", text)).transpose()?)
            .set_some("planned_end_date", input.end.as_deref().map(|text| date("end", text)).transpose()?)
            .extend(&input.fields)?
            .set("correlation_id", key)
            .set("correlation_display", format!("Windlass {}/{}", ctx.release(), ctx.step()));
        let task = instance.insert(TASKS, &fields)?;
        ctx.log().info(format!("created {} of {}", task.number(), change.number()));
        Ok(Outcome::done(report(&instance, &task)))
    }
}

impl Find for CreateTask {
    fn find(ctx: &Context, _: CreateTaskInput) -> Found<Self> {
        let instance = Instance::connect(ctx)?;
        let task = instance.correlated(TASKS, ctx.idempotency_key())?;
        Ok(task.map(|task| Outcome::done(report(&instance, &task))))
    }
}

impl Rollback for CreateTask {
    type RollbackState = ();

    fn rollback(ctx: &Context, _: CreateTaskInput, output: Option<TaskReport>) -> Ended<()> {
        let instance = Instance::connect(ctx)?;
        let last = output.map(|report| instance.record(TASKS, &report.sys_id)).transpose()?;
        let created = instance.created(ctx, TASKS, last)?;
        let undone: Vec<Value> = created.iter().map(|it| cancel(ctx, &instance, it)).collect::<Result<_, _>>()?;
        Ok(Outcome::done(of_all(undone, "no task was created")))
    }
}

fn cancel(ctx: &Context, instance: &Instance, task: &Record) -> Result<Value, Failure> {
    if matches!(task.value("state"), CLOSED | CANCELED) {
        let canceled = task.value("state") == CANCELED;
        return Ok(json!({ "canceled": canceled, "number": task.number() }));
    }
    let note = Note::new(ctx, &format!("Canceled by Windlass: release {} was rolled back.", ctx.release()));
    let mut fields = Fields::default();
    fields.set("state", CANCELED).set_some("work_notes", note.missing_in(task, "work_notes"));
    instance.update(TASKS, task.sys_id(), &fields)?;
    Ok(json!({ "canceled": true, "number": task.number() }))
}

/// Sets fields of a task, and adds a note.
pub(crate) struct UpdateTask;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateTaskInput {
    /// The task: its number or sys_id.
    task: String,
    /// The state.
    state: Option<TaskState>,
    /// Fields to set, by their names in the table.
    #[serde(default)]
    fields: BTreeMap<String, Value>,
    /// A note for those who work on the task.
    work_note: Option<String>,
}

/// The states of a task that is not closed.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum TaskState {
    Pending,
    Open,
    InProgress,
}

impl TaskState {
    fn value(self) -> &'static str {
        match self {
            Self::Pending => "-5",
            Self::Open => "1",
            Self::InProgress => "2",
        }
    }
}

impl Action for UpdateTask {
    const NAME: &'static str = "update-task";
    const DESCRIPTION: &'static str = "Sets fields of a change task and adds a note.";
    const EFFECT: Effect = Effect::IdempotentWrite;

    type Input = UpdateTaskInput;
    type Output = TaskReport;
    type State = ();

    fn connections() -> Vec<Role> {
        vec![updating()]
    }

    fn start(ctx: &Context, input: UpdateTaskInput) -> Answer<Self> {
        let instance = Instance::connect(ctx)?;
        let task = instance.record(TASKS, &input.task)?;
        let note = input.work_note.as_deref().and_then(|text| Note::new(ctx, text).missing_in(&task, "work_notes"));
        let mut fields = Fields::default();
        fields.extend(&input.fields)?.set_some("state", input.state.map(TaskState::value)).set_some("work_notes", note);
        if fields.is_empty() {
            return Ok(Outcome::done(report(&instance, &task)));
        }
        let task = instance.update(TASKS, task.sys_id(), &fields)?;
        Ok(Outcome::done(report(&instance, &task)))
    }
}

/// Closes a task.
pub(crate) struct CloseTask;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CloseTaskInput {
    /// The task: its number or sys_id.
    task: String,
    /// How it went.
    close_code: CloseCode,
    /// How it went, in words.
    close_notes: String,
}

impl Action for CloseTask {
    const NAME: &'static str = "close-task";
    const DESCRIPTION: &'static str = "Closes a change task with a code and notes.";
    const EFFECT: Effect = Effect::IdempotentWrite;

    type Input = CloseTaskInput;
    type Output = TaskReport;
    type State = ();

    fn connections() -> Vec<Role> {
        vec![updating()]
    }

    fn start(ctx: &Context, input: CloseTaskInput) -> Answer<Self> {
        let instance = Instance::connect(ctx)?;
        let task = instance.record(TASKS, &input.task)?;
        if task.value("state") == CLOSED {
            ctx.log().info(format!("{} is closed already", task.number()));
            return Ok(Outcome::done(report(&instance, &task)));
        }
        let mut fields = Fields::default();
        fields.set("state", CLOSED).set("close_code", input.close_code.value()).set("close_notes", input.close_notes);
        let task = instance.update(TASKS, task.sys_id(), &fields)?;
        Ok(Outcome::done(report(&instance, &task)))
    }
}
