//! The decision card of a release: all that somebody needs who is to decide whether it is rolled back.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use windlass_engine::Release;
use windlass_model::time::{Span, Timestamp};

use super::{AlertView, state_name};

/// A decision card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CardView {
    /// Of which release.
    pub release: String,
    /// Its state in a word.
    pub state: String,
    /// The decision that is asked for; none when none is.
    pub asked: Option<AskedView>,
    /// What speaks for a rollback, with what it is made of now.
    pub criteria: Vec<CriterionView>,
    /// Who decides, in the order in which they are asked.
    pub owners: Vec<OwnerView>,
    /// Whom whoever decides is to tell.
    pub inform: Vec<String>,
    /// Alerts that came.
    pub alerts: Vec<AlertView>,
    /// What decides it; empty when nothing is asked.
    pub commands: Vec<String>,
    /// What was last decided.
    pub decided: Option<DecidedView>,
}

/// A decision that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedView {
    /// Why.
    pub cause: String,
    /// Since when.
    pub since: Timestamp,
    /// Who is asked now.
    pub owner: String,
    /// Since when.
    pub owner_since: Timestamp,
    /// When the next one is asked, if there is one.
    pub escalates_at: Option<Timestamp>,
    /// Who that is.
    pub then: Option<String>,
}

/// Something that speaks for a rollback.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CriterionView {
    /// In words.
    pub text: String,
    /// The expression.
    pub when: String,
    /// Whether it is so; none while that cannot be said.
    pub is_met: Option<bool>,
    /// What it is made of, with the values now.
    pub values: Vec<(String, Value)>,
    /// Why it cannot be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Somebody who decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerView {
    /// Who.
    pub who: String,
    /// How long they have; the last one has all the time.
    pub escalate_after: Option<Span>,
    /// Whether they are asked now.
    pub is_asked: bool,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecidedView {
    /// What it was about.
    pub cause: String,
    /// Who decided.
    pub by: String,
    /// How it was told who that is.
    pub authenticated: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// What: `roll back` or `keep`.
    pub decision: String,
}

impl CardView {
    /// The card of a release; none where its workflow has none and nothing is, or was, asked.
    pub fn of(release: &Release) -> Option<Self> {
        let (rules, question, decided) = (release.decision_rules(), release.question(), release.decided());
        if rules.is_none() && question.is_none() && decided.is_none() {
            return None;
        }
        let id = release.id();
        let asked = question.map(|it| {
            let owner = rules.and_then(|rules| rules.owners.get(it.owner)).map(|it| it.who.to_string());
            let next = release.escalation();
            AskedView {
                cause: it.cause.clone(),
                since: it.since,
                owner: owner.unwrap_or_else(|| release.created().requested_by.name.clone()),
                owner_since: it.owner_since,
                escalates_at: next.map(|(at, _)| at),
                then: next.map(|(_, it)| it.who.to_string()),
            }
        });
        let named = rules.map(|it| it.criteria.as_slice()).unwrap_or_default();
        let criteria = named.iter().zip(release.criteria()).map(|(named, stands)| CriterionView {
            text: named.text.clone(),
            when: named.when.source().to_owned(),
            is_met: stands.is_met,
            values: stands.values,
            problem: stands.problem,
        });
        let owners = rules.map(|it| it.owners.as_slice()).unwrap_or_default().iter().enumerate();
        let commands = match (question, release.pivot_passed()) {
            (None, _) => &[][..],
            (Some(_), None) => &["rollback", "keep"],
            (Some(_), Some(_)) => &["keep"],
        };
        Some(Self {
            release: id.to_string(),
            state: state_name(release),
            asked,
            criteria: criteria.collect(),
            owners: owners
                .map(|(at, it)| OwnerView {
                    who: it.who.to_string(),
                    escalate_after: it.escalate_after,
                    is_asked: question.is_some_and(|it| it.owner == at),
                })
                .collect(),
            inform: rules.map(|it| it.inform.iter().map(ToString::to_string).collect()).unwrap_or_default(),
            alerts: release.alerts().iter().map(AlertView::of).collect(),
            commands: commands.iter().map(|it| format!("windlass release {it} {id} --reason …")).collect(),
            decided: decided.map(|it| DecidedView {
                cause: it.cause.clone(),
                by: it.by.name.clone(),
                authenticated: it.by.authenticated.clone(),
                reason: it.reason.clone(),
                at: it.at,
                decision: if it.against { "roll back" } else { "keep" }.to_owned(),
            }),
        })
    }
}
