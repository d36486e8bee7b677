//! `check-conflicts`: what else is planned for the same systems at the same time.

use crate::instance::{Instance, role};
use crate::record::Record;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use windlass_sdk::{Action, Answer, Context, Effect, Event, Failure, Method, Outcome, Role, suspend};

const LOOKS_MAX: u32 = 60;
const CONFLICTS_MAX: u32 = 100;
const NOT_RUN: &str = "Not Run";

/// Checks a change for conflicts.
pub(crate) struct CheckConflicts;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckConflictsInput {
    /// The change: its number or sys_id.
    change: String,
    /// Whether to run the detection; otherwise the last result is read.
    #[serde(default = "yes")]
    run: bool,
    /// Whether a conflict fails the step.
    #[serde(default)]
    fail_on_conflict: bool,
}

fn yes() -> bool {
    true
}

/// A detection that runs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Detecting {
    /// When the detection before ours ran.
    previous_run: String,
    looks: u32,
}

/// The result.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Conflicts {
    /// The change's number.
    number: String,
    /// `Conflict`, `No Conflict` or `Not Run`.
    status: String,
    /// When the detection ran.
    checked_at: Option<String>,
    /// The conflicts; none if the connection's user may not read them.
    conflicts: Option<Vec<Conflict>>,
}

/// A conflict.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Conflict {
    /// What kind: the same item, a blackout window, outside a maintenance window, …
    #[serde(rename = "type")]
    kind: String,
    /// The other change.
    conflicting_change: Option<String>,
    /// The system in question.
    configuration_item: Option<String>,
    /// The window in question.
    schedule: Option<String>,
}

impl Action for CheckConflicts {
    const NAME: &'static str = "check-conflicts";
    const DESCRIPTION: &'static str = "Runs conflict detection for a change and reads what it found.";
    const EFFECT: Effect = Effect::IdempotentWrite;

    type Input = CheckConflictsInput;
    type Output = Conflicts;
    type State = Detecting;

    fn connections() -> Vec<Role> {
        let role = role()
            .allow(&[Method::Get], "/api/now/table/conflict")
            .allow(&[Method::Post], "/api/sn_chg_rest/change/*/conflict");
        vec![role]
    }

    fn start(ctx: &Context, input: CheckConflictsInput) -> Answer<Self> {
        let instance = Instance::connect(ctx)?;
        let change = instance.change(&input.change)?;
        if !input.run {
            return found(&instance, &change, &input);
        }
        let previous_run = change.value("conflict_last_run").to_owned();
        instance.detect_conflicts(change.sys_id())?;
        look(ctx, &input, Detecting { previous_run, looks: 0 })
    }

    fn resume(ctx: &Context, input: CheckConflictsInput, state: Detecting, _: Event) -> Answer<Self> {
        look(ctx, &input, state)
    }
}

fn look(ctx: &Context, input: &CheckConflictsInput, mut detecting: Detecting) -> Answer<CheckConflicts> {
    let instance = Instance::connect(ctx)?;
    let change = instance.change(&input.change)?;
    let number = change.number();
    let last_run = change.value("conflict_last_run");
    if !last_run.is_empty() && last_run != detecting.previous_run && change.value("conflict_status") != NOT_RUN {
        return found(&instance, &change, input);
    }
    detecting.looks += 1;
    if detecting.looks > LOOKS_MAX {
        let message = format!("the conflict detection of {number} has not ended after {LOOKS_MAX} looks");
        return Err(Failure::timed_out("detection-does-not-end", message));
    }
    let wait = Duration::from_millis(500 * u64::from(detecting.looks)).min(Duration::from_secs(15));
    Ok(suspend(detecting).after(wait).status(format!("{number} is being checked for conflicts")))
}

fn found(instance: &Instance, change: &Record, input: &CheckConflictsInput) -> Answer<CheckConflicts> {
    let query = format!("change={}", change.sys_id());
    let rows = instance.query_if_there("conflict", &query, CONFLICTS_MAX)?;
    let conflicts = rows.map(|rows| {
        let of_change = rows.iter().filter(|row| row.value("change") == change.sys_id());
        of_change
            .map(|row| Conflict {
                kind: row.display("type").to_owned(),
                conflicting_change: row.shown("conflicting_change"),
                configuration_item: row.shown("configuration_item"),
                schedule: row.shown("schedule"),
            })
            .collect::<Vec<_>>()
    });
    let status = change.given("conflict_status").unwrap_or_else(|| NOT_RUN.to_owned());
    if input.fail_on_conflict && status == "Conflict" {
        let kinds: Vec<&str> = conflicts.iter().flatten().map(|conflict| conflict.kind.as_str()).collect();
        let which = if kinds.is_empty() { String::new() } else { format!(": {}", kinds.join(", ")) };
        let message = format!("{} has conflicts{which}", change.number());
        return Err(Failure::rejected("conflicts", message));
    }
    Ok(Outcome::done(Conflicts {
        number: change.number().to_owned(),
        status,
        checked_at: change.given("conflict_last_run"),
        conflicts,
    }))
}
