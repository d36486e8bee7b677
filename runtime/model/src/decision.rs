//! The decision card: by what, and by whom, it is decided whether a release is rolled back.

use serde::{Deserialize, Serialize};

use crate::expression::Expression;
use crate::time::Span;
use crate::workflow::Approver;

/// How many criteria, and how many owners, a card may have.
pub const CARD_LINES_MAX: usize = 20;

/// What a workflow says of how it is decided whether its releases are rolled back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionRules {
    /// What speaks for a rollback.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub criteria: Vec<Criterion>,
    /// Who decides, in the order in which they are asked; at least one.
    pub owners: Vec<Owner>,
    /// Who is to be told, by whoever decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inform: Vec<Approver>,
}

/// Something that speaks for a rollback.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Criterion {
    /// In words.
    pub text: String,
    /// Whether it is so, over parameters, steps and `release.alerts`.
    pub when: Expression,
}

/// Somebody who decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Who.
    pub who: Approver,
    /// How long they have until the next one is asked; the last one has all the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalate_after: Option<Span>,
}
