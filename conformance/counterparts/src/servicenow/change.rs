//! The state model of change requests: which moves there are, what each needs, and what follows from it.

use super::tables::{Record, value};
use serde_json::{Value, json};

pub(crate) const NEW: &str = "-5";
pub(crate) const ASSESS: &str = "-4";
pub(crate) const AUTHORIZE: &str = "-3";
pub(crate) const SCHEDULED: &str = "-2";
pub(crate) const IMPLEMENT: &str = "-1";
pub(crate) const REVIEW: &str = "0";
pub(crate) const CLOSED: &str = "3";
pub(crate) const CANCELED: &str = "4";

/// A move of the model.
struct Move {
    from: &'static str,
    to: &'static str,
    /// Happens by itself when the condition comes true; asking for it before is refused.
    automatic: bool,
    condition: Option<Condition>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Approved,
    NotOnHold,
}

impl Condition {
    fn name(self) -> &'static str {
        match self {
            Condition::Approved => "Approved",
            Condition::NotOnHold => "Not On hold",
        }
    }

    fn passed(self, change: &Record) -> bool {
        match self {
            Condition::Approved => value(change, "approval") == "approved",
            Condition::NotOnHold => value(change, "on_hold") != "true",
        }
    }
}

const fn by_hand(from: &'static str, to: &'static str) -> Move {
    Move { from, to, automatic: false, condition: Some(Condition::NotOnHold) }
}

const fn free(from: &'static str, to: &'static str) -> Move {
    Move { from, to, automatic: false, condition: None }
}

const fn by_approval(from: &'static str, to: &'static str) -> Move {
    Move { from, to, automatic: true, condition: Some(Condition::Approved) }
}

/// What all kinds of change share from `Scheduled` on.
const LATER: &[Move] = &[
    by_hand(SCHEDULED, IMPLEMENT),
    free(SCHEDULED, CANCELED),
    by_hand(IMPLEMENT, REVIEW),
    free(IMPLEMENT, CANCELED),
    by_hand(REVIEW, CLOSED),
    free(REVIEW, CANCELED),
];

const NORMAL: &[Move] = &[
    by_hand(NEW, ASSESS),
    free(NEW, CANCELED),
    by_approval(ASSESS, AUTHORIZE),
    free(ASSESS, NEW),
    free(ASSESS, CANCELED),
    by_approval(AUTHORIZE, SCHEDULED),
    free(AUTHORIZE, NEW),
    free(AUTHORIZE, CANCELED),
    free(SCHEDULED, NEW),
];

const EMERGENCY: &[Move] = &[
    by_hand(NEW, AUTHORIZE),
    free(NEW, CANCELED),
    by_approval(AUTHORIZE, SCHEDULED),
    free(AUTHORIZE, NEW),
    free(AUTHORIZE, CANCELED),
    free(SCHEDULED, NEW),
];

const STANDARD: &[Move] = &[by_hand(NEW, SCHEDULED), free(NEW, CANCELED)];

fn moves(kind: &str) -> impl Iterator<Item = &'static Move> {
    let own = match kind {
        "standard" => STANDARD,
        "emergency" => EMERGENCY,
        _ => NORMAL,
    };
    own.iter().chain(LATER)
}

/// What is said of a state.
pub(crate) fn label(state: &str) -> &'static str {
    super::columns::choice_label("change_request", "state", state).unwrap_or("unknown")
}

/// Why a write to a change is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The model has no such move, or not now.
    StateModel { from: String, to: String },
    /// Fields a closed change must have.
    Mandatory(Vec<&'static str>),
}

impl Refusal {
    /// The `detail` of the error.
    pub(crate) fn detail(&self) -> String {
        match self {
            Refusal::StateModel { from, to } => format!(
                "Operation against file 'change_request' was aborted by Business Rule 'State model transition': \
                 {} to {} is not allowed",
                label(from),
                label(to)
            ),
            Refusal::Mandatory(labels) => {
                format!("Data Policy Exception: The following fields are mandatory: {}", labels.join(", "))
            }
        }
    }
}

/// Tells whether a change may go from the state it is in to that of `after`.
pub(crate) fn check_move(before: &Record, after: &Record) -> Result<(), Refusal> {
    let (from, to) = (value(before, "state"), value(after, "state"));
    if from == to {
        return Ok(());
    }
    let allowed = moves(value(before, "type"))
        .any(|it| it.from == from && it.to == to && it.condition.is_none_or(|condition| condition.passed(before)));
    if !allowed {
        return Err(Refusal::StateModel { from: from.to_owned(), to: to.to_owned() });
    }
    if to == CLOSED {
        let missing: Vec<&'static str> = [("close_code", "Close code"), ("close_notes", "Close notes")]
            .into_iter()
            .filter(|(column, _)| value(after, column).is_empty())
            .map(|(_, label)| label)
            .collect();
        if !missing.is_empty() {
            return Err(Refusal::Mandatory(missing));
        }
    }
    Ok(())
}

/// Where an approval takes a change.
pub(crate) fn approved_state(change: &Record) -> Option<&'static str> {
    let from = value(change, "state");
    moves(value(change, "type")).find(|it| it.automatic && it.from == from).map(|it| it.to)
}

/// Which group is asked when a change comes into its state: the assigned one to assess, the board to authorize.
pub(crate) fn approving_group(change: &Record) -> Option<Approving> {
    match (value(change, "type"), value(change, "state")) {
        ("standard", _) => None,
        (_, ASSESS) => Some(Approving::AssignmentGroup),
        ("emergency", AUTHORIZE) => Some(Approving::EmergencyBoard),
        (_, AUTHORIZE) => Some(Approving::Board),
        _ => None,
    }
}

/// Who approves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Approving {
    AssignmentGroup,
    Board,
    EmergencyBoard,
}

impl Approving {
    /// The group's name, when it does not depend on the change.
    pub(crate) fn group_name(self) -> &'static str {
        match self {
            Approving::AssignmentGroup => "Change Management",
            Approving::Board => "CAB Approval",
            Approving::EmergencyBoard => "eCAB Approval",
        }
    }
}

/// What `GET …/nextstates` says.
pub(crate) fn next_states(change: &Record) -> Value {
    let from = value(change, "state");
    let mut by_target: Vec<(&'static str, Vec<Value>)> = Vec::new();
    let mut available: Vec<String> = Vec::new();
    for it in moves(value(change, "type")).filter(|it| it.from == from) {
        let passed = it.condition.is_none_or(|condition| condition.passed(change));
        let conditions: Vec<Value> = it
            .condition
            .iter()
            .map(|condition| {
                json!({
                    "passed": condition.passed(change),
                    "condition": {
                        "name": condition.name(),
                        "description": null,
                        "sys_id": stable_id(condition.name()),
                    },
                })
            })
            .collect();
        let name = format!("{} to {}", label(it.from), label(it.to));
        let transition = json!({
            "sys_id": stable_id(&format!("{}{name}", value(change, "type"))),
            "display_value": name,
            "from_state": it.from,
            "to_state": it.to,
            "transition_available": passed,
            "automatic_transition": it.automatic,
            "conditions": conditions,
        });
        if passed {
            available.push(it.to.to_owned());
        }
        match by_target.iter_mut().find(|(to, _)| *to == it.to) {
            Some((_, list)) => list.push(transition),
            None => by_target.push((it.to, vec![transition])),
        }
    }
    available.push(from.to_owned());
    let labels: serde_json::Map<String, Value> =
        available.iter().map(|state| (state.clone(), json!(label(state)))).collect();
    json!({
        "available_states": available,
        "state_transitions": by_target.into_iter().map(|(_, list)| list).collect::<Vec<_>>(),
        "state_label": labels,
    })
}

/// A `sys_id` that is the same for the same text.
fn stable_id(text: &str) -> String {
    use sha2::{Digest, Sha256};
    hex::encode(&Sha256::digest(text.as_bytes())[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(fields: &[(&str, &str)]) -> Record {
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn moves_follow_the_model() {
        let cases = [
            ("normal", NEW, ASSESS, "not requested", true),
            ("normal", NEW, IMPLEMENT, "approved", false),
            ("normal", ASSESS, AUTHORIZE, "requested", false),
            ("normal", ASSESS, AUTHORIZE, "approved", true),
            ("normal", AUTHORIZE, SCHEDULED, "requested", false),
            ("normal", SCHEDULED, IMPLEMENT, "approved", true),
            ("normal", SCHEDULED, CLOSED, "approved", false),
            ("normal", IMPLEMENT, REVIEW, "approved", true),
            ("normal", CLOSED, NEW, "approved", false),
            ("standard", NEW, SCHEDULED, "", true),
            ("standard", NEW, ASSESS, "", false),
            ("emergency", NEW, AUTHORIZE, "", true),
            ("normal", IMPLEMENT, CANCELED, "", true),
        ];
        for (kind, from, to, approval, allowed) in cases {
            let before = change(&[("type", kind), ("state", from), ("approval", approval)]);
            let after = change(&[("type", kind), ("state", to)]);
            assert_eq!(check_move(&before, &after).is_ok(), allowed, "{kind} {from} to {to}");
        }
    }

    #[test]
    fn a_change_on_hold_does_not_go_on_but_can_be_canceled() {
        let before = change(&[("type", "normal"), ("state", SCHEDULED), ("on_hold", "true")]);
        assert!(check_move(&before, &change(&[("state", IMPLEMENT)])).is_err());
        assert!(check_move(&before, &change(&[("state", CANCELED)])).is_ok());
    }

    #[test]
    fn closing_needs_a_code_and_notes() {
        let before = change(&[("type", "normal"), ("state", REVIEW)]);
        let after = change(&[("type", "normal"), ("state", CLOSED), ("close_code", "successful")]);
        assert_eq!(check_move(&before, &after), Err(Refusal::Mandatory(vec!["Close notes"])));
    }
}
