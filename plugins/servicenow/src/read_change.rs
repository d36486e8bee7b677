//! `read-change`: what a change says of itself, its board date and configuration items among it.

use crate::instance::{CHANGES, Instance, role};
use crate::record::Record;
use crate::states;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_sdk::{Action, Answer, Context, Effect, Failure, Method, Outcome, Role};

const ITEMS_MAX: u32 = 200;

/// Reads a change.
pub(crate) struct ReadChange;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadChangeInput {
    /// The change: its number or sys_id.
    change: String,
}

/// A change.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ChangeDetails {
    /// `CHG0030001`.
    number: String,
    /// Its identity.
    sys_id: String,
    /// Its page.
    url: String,
    /// `normal`, `standard` or `emergency`.
    #[serde(rename = "type")]
    kind: String,
    /// The state's value: `-5`.
    state: String,
    /// The state in words: `New`.
    state_label: String,
    /// What it is about, in a line.
    short_description: String,
    /// `not requested`, `requested`, `approved` or `rejected`.
    approval: String,
    /// Whether it is on hold.
    on_hold: bool,
    /// The responsible group.
    assignment_group: Option<String>,
    /// When it is planned to begin, in UTC as ServiceNow writes it.
    start: Option<String>,
    /// When it is planned to end.
    end: Option<String>,
    /// When the change advisory board looks at it.
    cab_date_time: Option<String>,
    /// Whether the board has to.
    cab_required: bool,
    /// The risk, in words.
    risk: Option<String>,
    /// `Conflict`, `No Conflict` or `Not Run`.
    conflict_status: Option<String>,
    /// How it went, once it is closed.
    close_code: Option<String>,
    /// What it changes.
    configuration_items: Vec<ConfigurationItem>,
}

/// A configuration item.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ConfigurationItem {
    /// Its identity.
    sys_id: String,
    /// Its name.
    name: String,
}

impl Action for ReadChange {
    const NAME: &'static str = "read-change";
    const DESCRIPTION: &'static str = "Reads a change with its board date and configuration items.";
    const EFFECT: Effect = Effect::Read;

    type Input = ReadChangeInput;
    type Output = ChangeDetails;
    type State = ();

    fn connections() -> Vec<Role> {
        vec![role().allow(&[Method::Get], "/api/now/table/task_ci")]
    }

    fn start(ctx: &Context, input: ReadChangeInput) -> Answer<Self> {
        let instance = Instance::connect(ctx)?;
        let change = instance.change(&input.change)?;
        let configuration_items = items(&instance, &change)?;
        Ok(Outcome::done(ChangeDetails {
            number: change.number().to_owned(),
            sys_id: change.sys_id().to_owned(),
            url: instance.page(CHANGES, change.sys_id()),
            kind: change.value("type").to_owned(),
            state: change.value("state").to_owned(),
            state_label: states::label(&change),
            short_description: change.value("short_description").to_owned(),
            approval: change.value("approval").to_owned(),
            on_hold: change.value("on_hold") == "true",
            assignment_group: change.shown("assignment_group"),
            start: change.given("start_date"),
            end: change.given("end_date"),
            cab_date_time: change.given("cab_date_time").or_else(|| change.given("cab_date")),
            cab_required: change.value("cab_required") == "true",
            risk: change.shown("risk"),
            conflict_status: change.given("conflict_status"),
            close_code: change.given("close_code"),
            configuration_items,
        }))
    }
}

/// The item of the change itself first, then the affected ones.
fn items(instance: &Instance, change: &Record) -> Result<Vec<ConfigurationItem>, Failure> {
    let item = |record: &Record, field: &str| {
        let sys_id = record.given(field)?;
        let name = record.display(field).to_owned();
        Some(ConfigurationItem { sys_id, name })
    };
    let mut items: Vec<ConfigurationItem> = item(change, "cmdb_ci").into_iter().collect();
    let query = format!("task={}", change.sys_id());
    for row in instance.query_if_there("task_ci", &query, ITEMS_MAX)?.unwrap_or_default() {
        if let Some(item) =
            item(&row, "ci_item").filter(|item| row.value("task") == change.sys_id() && !items.contains(item))
        {
            items.push(item);
        }
    }
    Ok(items)
}
