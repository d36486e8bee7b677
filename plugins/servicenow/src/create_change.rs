//! `create-change`: one change for the step, however often it is tried; rolled back by cancelling it.

use crate::instance::{CHANGES, ChangeReport, Instance, Note, role};
use crate::record::{Fields, Record, date};
use crate::states::{self, CANCELED, CLOSED};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use windlass_sdk::{Action, Answer, Context, Effect, Ended, Failure, Find, Found, Method, Outcome, Role, Rollback};

/// Creates a change.
pub(crate) struct CreateChange;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateChangeInput {
    /// The kind of change.
    #[serde(default, rename = "type")]
    kind: Kind,
    /// The sys_id of the standard change template; needed for a standard change, and only there.
    template: Option<String>,
    /// What the change is about, in a line.
    short_description: String,
    /// What the change is about.
    description: Option<String>,
    /// The group that is responsible: its name or sys_id.
    assignment_group: Option<String>,
    /// The person who is responsible: a user name or sys_id.
    assigned_to: Option<String>,
    /// What is changed: the name or sys_id of a configuration item.
    configuration_item: Option<String>,
    /// When it is planned to begin, in UTC: `2026-03-09T14:05:00Z`.
    start: Option<String>,
    /// When it is planned to end, in UTC.
    end: Option<String>,
    /// Why it is made.
    justification: Option<String>,
    /// How it is made.
    implementation_plan: Option<String>,
    /// How it is taken back.
    backout_plan: Option<String>,
    /// How it is tested.
    test_plan: Option<String>,
    /// Further fields of the change, by their names in the table.
    #[serde(default)]
    fields: BTreeMap<String, Value>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Normal,
    Standard,
    Emergency,
}

impl Action for CreateChange {
    const NAME: &'static str = "create-change";
    const DESCRIPTION: &'static str = "Creates a change; rolling back cancels it.";
    const EFFECT: Effect = Effect::Write;

    type Input = CreateChangeInput;
    type Output = ChangeReport;
    type State = ();

    fn connections() -> Vec<Role> {
        let role = role()
            .allow(&[Method::Patch], "/api/now/table/change_request/*")
            .allow(&[Method::Get], "/api/now/table/sys_user_group")
            .allow(&[Method::Get], "/api/now/table/sys_user")
            .allow(&[Method::Get], "/api/now/table/cmdb_ci")
            .allow(&[Method::Get], "/api/sn_chg_rest/change/*/nextstate*")
            .allow(&[Method::Post], "/api/sn_chg_rest/change/normal")
            .allow(&[Method::Post], "/api/sn_chg_rest/change/emergency")
            .allow(&[Method::Post], "/api/sn_chg_rest/change/standard/*");
        vec![role]
    }

    fn start(ctx: &Context, input: CreateChangeInput) -> Answer<Self> {
        let instance = Instance::connect(ctx)?;
        let key = ctx.idempotency_key();
        let change = match instance.correlated(CHANGES, key)? {
            Some(change) => {
                ctx.log().info(format!("an earlier attempt has created {} already", change.number()));
                change
            }
            None => {
                let fields = fields(ctx, &instance, &input)?;
                let kind = kind(&input)?;
                let change = instance.insert_change(&kind, &fields)?;
                ctx.log().info(format!("created {}", change.number()));
                change
            }
        };
        Ok(Outcome::done(shown(ctx, &instance, &change)))
    }
}

impl Find for CreateChange {
    fn find(ctx: &Context, _: CreateChangeInput) -> Found<Self> {
        let instance = Instance::connect(ctx)?;
        let change = instance.correlated(CHANGES, ctx.idempotency_key())?;
        Ok(change.map(|change| Outcome::done(shown(ctx, &instance, &change))))
    }
}

impl Rollback for CreateChange {
    type RollbackState = ();

    fn rollback(ctx: &Context, _: CreateChangeInput, output: Option<ChangeReport>) -> Ended<()> {
        let instance = Instance::connect(ctx)?;
        let last = output.map(|report| instance.change(&report.sys_id)).transpose()?;
        let created = instance.created(ctx, CHANGES, last)?;
        let undone: Vec<Value> = created.iter().map(|it| cancel(ctx, &instance, it)).collect::<Result<_, _>>()?;
        Ok(Outcome::done(of_all(undone, "no change was created")))
    }
}

fn cancel(ctx: &Context, instance: &Instance, change: &Record) -> Result<Value, Failure> {
    let number = change.number();
    match change.value("state") {
        CLOSED => {
            ctx.log().warn(format!("{number} is closed and stays so"));
            Ok(json!({ "canceled": false, "number": number, "why": "the change is closed" }))
        }
        CANCELED => Ok(json!({ "canceled": true, "number": number })),
        state => {
            let next = instance.next_states(change.sys_id())?;
            if !next.allows(CANCELED) {
                let message = format!(
                    "{number} is in state {} and cannot be canceled; it can move to: {}",
                    states::label(change),
                    next.allowed(state)
                );
                return Err(Failure::rejected("cannot-cancel", message).pause());
            }
            let note = Note::new(ctx, &format!("Canceled by Windlass: release {} was rolled back.", ctx.release()));
            let mut fields = Fields::default();
            fields.set("state", CANCELED).set_some("work_notes", note.missing_in(change, "work_notes"));
            instance.update(CHANGES, change.sys_id(), &fields)?;
            ctx.log().info(format!("canceled {number}"));
            Ok(json!({ "canceled": true, "number": number }))
        }
    }
}

/// What a rollback came to: what it did with the last record, and with the `earlier` ones that there are after an attempt
/// with a definite answer.
pub(crate) fn of_all(mut undone: Vec<Value>, why_not: &str) -> Value {
    let Some(mut last) = undone.pop() else { return json!({ "canceled": false, "why": why_not }) };
    if !undone.is_empty() {
        last["earlier"] = undone.into();
    }
    last
}

fn shown(ctx: &Context, instance: &Instance, change: &Record) -> ChangeReport {
    let report = instance.report(change);
    ctx.progress().link(&report.number, &report.url);
    report
}

fn kind(input: &CreateChangeInput) -> Result<Vec<&str>, Failure> {
    match (input.kind, input.template.as_deref()) {
        (Kind::Normal, None) => Ok(vec!["normal"]),
        (Kind::Emergency, None) => Ok(vec!["emergency"]),
        (Kind::Standard, Some(template)) if crate::record::is_sys_id(template) => Ok(vec!["standard", template]),
        (Kind::Standard, _) => {
            let message =
                "a standard change is made from a template: give the sys_id of its current version as `template`";
            Err(Failure::invalid("template", message).never())
        }
        (Kind::Normal | Kind::Emergency, Some(_)) => {
            Err(Failure::invalid("template", "only a standard change is made from a `template`").never())
        }
    }
}

fn fields(ctx: &Context, instance: &Instance, input: &CreateChangeInput) -> Result<Fields, Failure> {
    let reference = |table: &str, field: &str, value: &Option<String>| {
        value.as_deref().map(|value| instance.reference(table, field, value)).transpose()
    };
    let mut fields = Fields::default();
    fields
        .set("short_description", input.short_description.as_str())
        .set_some("description", input.description.as_deref())
        .set_some("assignment_group", reference("sys_user_group", "name", &input.assignment_group)?)
        .set_some("assigned_to", reference("sys_user", "user_name", &input.assigned_to)?)
        .set_some("cmdb_ci", reference("cmdb_ci", "name", &input.configuration_item)?)
        .set_some("start_date", input.start.as_deref().map(|text| date("start", text)).transpose()?)
        .set_some("end_date", input.end.as_deref().map(|text| date("end", text)).transpose()?)
        .set_some("justification", input.justification.as_deref())
        .set_some("implementation_plan", input.implementation_plan.as_deref())
        .set_some("backout_plan", input.backout_plan.as_deref())
        .set_some("test_plan", input.test_plan.as_deref())
        .extend(&input.fields)?
        .set("correlation_id", ctx.idempotency_key())
        .set("correlation_display", format!("Windlass {}/{}", ctx.release(), ctx.step()));
    Ok(fields)
}
