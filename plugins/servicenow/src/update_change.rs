//! `update-change`, `move-change`, `close-change`: what a change is to be like, and in which state.

use crate::instance::{CHANGES, ChangeReport, Instance, Note, role};
use crate::record::Fields;
use crate::states;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use windlass_sdk::{Action, Answer, Context, Effect, Method, Outcome, Role};

/// Sets fields of a change, and adds notes.
pub(crate) struct UpdateChange;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateChangeInput {
    /// The change: its number or sys_id.
    change: String,
    /// Fields to set, by their names in the table.
    #[serde(default)]
    fields: BTreeMap<String, Value>,
    /// A note for those who work on the change.
    work_note: Option<String>,
    /// A comment for those who asked for the change.
    comment: Option<String>,
}

fn updating() -> Role {
    role().allow(&[Method::Patch], "/api/now/table/change_request/*")
}

fn moving() -> Role {
    updating().allow(&[Method::Get], "/api/sn_chg_rest/change/*/nextstate*")
}

impl Action for UpdateChange {
    const NAME: &'static str = "update-change";
    const DESCRIPTION: &'static str = "Sets fields of a change and adds notes.";
    const EFFECT: Effect = Effect::IdempotentWrite;

    type Input = UpdateChangeInput;
    type Output = ChangeReport;
    type State = ();

    fn connections() -> Vec<Role> {
        vec![updating()]
    }

    fn start(ctx: &Context, input: UpdateChangeInput) -> Answer<Self> {
        let instance = Instance::connect(ctx)?;
        let change = instance.change(&input.change)?;
        let mut fields = Fields::default();
        fields.extend(&input.fields)?;
        for (name, text) in [("work_notes", &input.work_note), ("comments", &input.comment)] {
            let note = text.as_deref().and_then(|text| Note::new(ctx, text).missing_in(&change, name));
            fields.set_some(name, note);
        }
        if fields.is_empty() {
            return Ok(Outcome::done(instance.report(&change)));
        }
        let change = instance.update(CHANGES, change.sys_id(), &fields)?;
        ctx.log().info(format!("updated {}", change.number()));
        Ok(Outcome::done(instance.report(&change)))
    }
}

/// Moves a change to a state.
pub(crate) struct MoveChange;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MoveChangeInput {
    /// The change: its number or sys_id.
    change: String,
    /// The state: `assess`, `authorize`, `scheduled`, `implement`, `review`, `canceled`, or one of the change's model.
    state: String,
    /// A note for those who work on the change.
    work_note: Option<String>,
    /// Further fields that the state asks for.
    #[serde(default)]
    fields: BTreeMap<String, Value>,
}

impl Action for MoveChange {
    const NAME: &'static str = "move-change";
    const DESCRIPTION: &'static str = "Moves a change to a state; an illegal move is refused with the allowed ones.";
    const EFFECT: Effect = Effect::IdempotentWrite;

    type Input = MoveChangeInput;
    type Output = ChangeReport;
    type State = ();

    fn connections() -> Vec<Role> {
        vec![moving()]
    }

    fn start(ctx: &Context, input: MoveChangeInput) -> Answer<Self> {
        let instance = Instance::connect(ctx)?;
        let change = instance.change(&input.change)?;
        let mut fields = Fields::default();
        fields.extend(&input.fields)?;
        let note = input.work_note.as_deref().and_then(|text| Note::new(ctx, text).missing_in(&change, "work_notes"));
        fields.set_some("work_notes", note);
        let change = states::move_to(ctx, &instance, change, &input.state, &mut fields)?;
        Ok(Outcome::done(instance.report(&change)))
    }
}

/// Closes a change.
pub(crate) struct CloseChange;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CloseChangeInput {
    /// The change: its number or sys_id.
    change: String,
    /// How it went.
    close_code: CloseCode,
    /// How it went, in words.
    close_notes: String,
}

/// How a change or task went.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CloseCode {
    Successful,
    SuccessfulIssues,
    Unsuccessful,
}

impl CloseCode {
    pub(crate) fn value(self) -> &'static str {
        match self {
            Self::Successful => "successful",
            Self::SuccessfulIssues => "successful_issues",
            Self::Unsuccessful => "unsuccessful",
        }
    }
}

impl Action for CloseChange {
    const NAME: &'static str = "close-change";
    const DESCRIPTION: &'static str = "Closes a change with a code and notes.";
    const EFFECT: Effect = Effect::IdempotentWrite;

    type Input = CloseChangeInput;
    type Output = ChangeReport;
    type State = ();

    fn connections() -> Vec<Role> {
        vec![moving()]
    }

    fn start(ctx: &Context, input: CloseChangeInput) -> Answer<Self> {
        let instance = Instance::connect(ctx)?;
        let change = instance.change(&input.change)?;
        let mut fields = Fields::default();
        fields.set("close_code", input.close_code.value()).set("close_notes", input.close_notes);
        let change = states::move_to(ctx, &instance, change, "Closed", &mut fields)?;
        Ok(Outcome::done(instance.report(&change)))
    }
}
