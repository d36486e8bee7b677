//! The states of a change, and which moves there are.

use crate::instance::{CHANGES, Instance};
use crate::record::{Fields, Record};
use serde::Deserialize;
use std::collections::BTreeMap;
use windlass_sdk::{Context, Failure};

/// The states of ServiceNow's own model; change models can have others.
const STATES: [(&str, &str); 8] = [
    ("-5", "New"),
    ("-4", "Assess"),
    ("-3", "Authorize"),
    ("-2", "Scheduled"),
    ("-1", "Implement"),
    ("0", "Review"),
    ("3", "Closed"),
    ("4", "Canceled"),
];

pub(crate) const NEW: &str = "-5";
pub(crate) const ASSESS: &str = "-4";
pub(crate) const CLOSED: &str = "3";
pub(crate) const CANCELED: &str = "4";
/// The states of a change that was authorised.
pub(crate) const AUTHORIZED: [&str; 4] = ["-2", "-1", "0", CLOSED];

/// What holds the state from which a move began, of each piece of work.
const MOVING_FROM: &str = "moving-from";

/// The state of a change in words.
pub(crate) fn label(change: &Record) -> String {
    let (value, display) = (change.value("state"), change.display("state"));
    let known = || STATES.iter().find(|(state, _)| *state == value).map(|(_, label)| *label);
    if display == value { known().unwrap_or(value).to_owned() } else { display.to_owned() }
}

/// Tells whether `wanted` – a label or a value, however it is capitalised – means this state.
fn means(wanted: &str, value: &str, label: &str) -> bool {
    let wanted = wanted.trim();
    let american = |text: &str| text.to_lowercase().replace("cancelled", "canceled");
    wanted == value || american(wanted) == american(label)
}

/// What ServiceNow says of the moves from a change's state.
#[derive(Debug, Deserialize)]
pub(crate) struct NextStates {
    /// Values, the present one among them.
    #[serde(default)]
    available_states: Vec<String>,
    #[serde(default)]
    state_label: BTreeMap<String, String>,
    #[serde(default)]
    state_transitions: Vec<Vec<Transition>>,
}

#[derive(Debug, Deserialize)]
struct Transition {
    #[serde(default)]
    to_state: String,
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Debug, Deserialize)]
struct Condition {
    #[serde(default)]
    passed: bool,
    condition: Option<ConditionName>,
}

#[derive(Debug, Deserialize)]
struct ConditionName {
    #[serde(default)]
    name: String,
}

impl NextStates {
    fn label<'a>(&'a self, value: &'a str) -> &'a str {
        let known = || STATES.iter().find(|(state, _)| *state == value).map(|(_, label)| *label);
        self.state_label.get(value).map(String::as_str).or_else(known).unwrap_or(value)
    }

    /// The value of a state that can be moved to.
    fn target(&self, from: &str, wanted: &str) -> Option<&str> {
        let mut others = self.available_states.iter().filter(|value| *value != from);
        others.find(|value| means(wanted, value, self.label(value))).map(String::as_str)
    }

    /// The states that can be moved to, in words.
    pub(crate) fn allowed(&self, from: &str) -> String {
        let others: Vec<&str> =
            self.available_states.iter().filter(|value| *value != from).map(|value| self.label(value)).collect();
        if others.is_empty() { "no other state".to_owned() } else { others.join(", ") }
    }

    pub(crate) fn allows(&self, value: &str) -> bool {
        self.available_states.iter().any(|available| available == value)
    }

    /// Why a move that exists cannot be made now.
    fn unmet(&self, wanted: &str) -> Vec<&str> {
        let transitions = self.state_transitions.iter().flatten();
        transitions
            .filter(|transition| means(wanted, &transition.to_state, self.label(&transition.to_state)))
            .flat_map(|transition| &transition.conditions)
            .filter(|condition| !condition.passed)
            .filter_map(|condition| condition.condition.as_ref().map(|condition| condition.name.as_str()))
            .collect()
    }
}

/// Moves a change to a state, with further fields; does nothing if it is there.
pub(crate) fn move_to(
    ctx: &Context,
    instance: &Instance,
    change: Record,
    wanted: &str,
    fields: &mut Fields,
) -> Result<Record, Failure> {
    let from = change.value("state").to_owned();
    let number = change.number().to_owned();
    if means(wanted, &from, &label(&change)) {
        ctx.log().info(format!("{number} is in state {} already", label(&change)));
        return Ok(change);
    }
    let next = instance.next_states(change.sys_id())?;
    let Some(target) = next.target(&from, wanted) else {
        // The answer to an earlier attempt got lost, and the change has gone on by itself since.
        let own = ctx.starts().pop().map(|it| it.recorded::<String>(MOVING_FROM));
        if let Some(began) = own.transpose()?.flatten()
            && began != from
        {
            ctx.log().info(format!("{number} was moved by an earlier attempt and is in state {}", label(&change)));
            return Ok(change);
        }
        let unmet = next.unmet(wanted);
        let because = if unmet.is_empty() { String::new() } else { format!(" (not met: {})", unmet.join(", ")) };
        let message = format!(
            "{number} is in state {} and cannot move to `{wanted}`{because}; it can move to: {}",
            label(&change),
            next.allowed(&from)
        );
        return Err(Failure::invalid("illegal-move", message)
            .detail("allowed", next.allowed(&from))
            .detail("state", label(&change)));
    };
    fields.set("state", target);
    ctx.once(MOVING_FROM, || Ok(from.clone()))?;
    let moved = instance.update(CHANGES, change.sys_id(), fields)?;
    if moved.value("state") == from {
        let message = format!("{number} stayed in state {}: a rule of the instance holds it there", label(&moved));
        return Err(Failure::rejected("move-had-no-effect", message));
    }
    ctx.log().info(format!("{number} is in state {} now", label(&moved)));
    Ok(moved)
}
