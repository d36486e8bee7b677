//! The decision whether a release is rolled back: who is asked, who is asked next when nobody answers, and by what one
//! decides.
//!
//! **Invariant:** a decision that is asked for waits for as long as it takes; when an owner's time is over the next one
//! is asked, which is recorded, and nothing is decided by that.

use serde_json::Value;
use windlass_model::actor::Actor;
use windlass_model::decision::{DecisionRules, Owner};
use windlass_model::event::Event;
use windlass_model::time::Timestamp;

use crate::release::{DueKey, Release};
use crate::wait::{Wait, WaitCause};

/// Somebody is to decide whether a release is rolled back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Why: `alert HighErrorRate (service=payments)`.
    pub cause: String,
    /// Since when.
    pub since: Timestamp,
    /// Which of the owners is asked now, from 0.
    pub owner: usize,
    /// Since when.
    pub owner_since: Timestamp,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// What it was about.
    pub cause: String,
    /// Who.
    pub by: Actor,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// Whether it is, or was, rolled back or stopped.
    pub against: bool,
}

/// How something that speaks for a rollback stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Whether it is so; none while that cannot be said.
    pub is_met: Option<bool>,
    /// What it is made of.
    pub values: Vec<(String, Value)>,
    /// Why that cannot be said.
    pub problem: Option<String>,
}

impl Release {
    /// The decision that is asked for, if one is.
    pub fn question(&self) -> Option<&Question> {
        self.question.as_ref()
    }

    /// What was last decided, if something was asked.
    pub fn decided(&self) -> Option<&Decided> {
        self.decided.as_ref()
    }

    /// What its workflow says of such decisions.
    pub fn decision_rules(&self) -> Option<&DecisionRules> {
        self.plan.workflow().rollback.as_ref()?.decision.as_ref()
    }

    fn owner(&self, at: usize) -> Option<&Owner> {
        self.decision_rules()?.owners.get(at)
    }

    /// Who is asked next, and when, if nobody decides before.
    pub fn escalation(&self) -> Option<(Timestamp, &Owner)> {
        let question = self.question()?;
        let after = self.owner(question.owner)?.escalate_after?;
        Some((question.owner_since + after, self.owner(question.owner + 1)?))
    }

    /// How each criterion of its card stands now.
    pub fn criteria(&self) -> Vec<Standing> {
        let criteria = self.decision_rules().map(|it| it.criteria.as_slice()).unwrap_or_default();
        let stands = |when: &windlass_model::expression::Expression| {
            let (is_met, problem) = match self.with_scope(|scope| when.holds(scope)) {
                Ok(is_met) => (Some(is_met), None),
                Err(error) => (None, Some(error.to_string())),
            };
            Standing { is_met, values: self.with_scope(|scope| when.values(scope)), problem }
        };
        criteria.iter().map(|it| stands(&it.when)).collect()
    }

    pub(crate) fn ask(&mut self, cause: String, at: Timestamp) {
        self.question = Some(Question { cause, since: at, owner: 0, owner_since: at });
        self.set_all_timers();
        self.set_deadlines();
    }

    /// The time of whoever is asked is over.
    pub(crate) fn escalate(&mut self, events: &mut Vec<Event>, now: Timestamp) {
        if let Some((_, owner)) = self.escalation() {
            let to = owner.who.to_string();
            self.record(events, Event::Escalated { to }, now);
        }
    }

    /// Takes in that the next one is asked; false when nobody is.
    pub(crate) fn take_escalation(&mut self, at: Timestamp) -> bool {
        let Some(question) = &mut self.question else { return false };
        question.owner += 1;
        question.owner_since = at;
        self.set_deadlines();
        true
    }

    /// Somebody decided.
    pub(crate) fn decide_question(&mut self, by: &Actor, reason: &str, against: bool, at: Timestamp) {
        if let Some(Question { cause, .. }) = &self.question {
            let (cause, by, reason) = (cause.clone(), by.clone(), reason.to_owned());
            self.decided = Some(Decided { cause, by, reason, at, against });
        }
        self.end_question();
    }

    /// Nobody is asked any more.
    pub(crate) fn end_question(&mut self) {
        if self.question.take().is_some() {
            self.set_all_timers();
            self.set_deadlines();
        }
    }

    pub(crate) fn set_escalation(&mut self) {
        self.timers.retain(|(_, key)| *key != DueKey::Escalation);
        if let Some((at, _)) = self.escalation() {
            self.timers.insert((at, DueKey::Escalation));
        }
    }

    pub(crate) fn question_wait(&self) -> Option<Wait> {
        let question = self.question()?;
        let id = self.id();
        let keep = format!("keep {id} --reason …");
        let (ask, action) = match self.pivot_passed() {
            None => (format!("roll back, or `windlass release {keep}`?"), format!("rollback {id} --reason …")),
            Some(pivot) => (format!("there is no way back after step {}", self.name_of(pivot)), keep),
        };
        let card = self.decision_rules().map(|_| format!(" (`windlass release card {id}`)")).unwrap_or_default();
        let owner = self.owner(question.owner).map(|it| it.who.to_string());
        Some(Wait {
            step: None,
            cause: WaitCause::Rollback,
            text: format!("{} – {ask}{card}", question.cause),
            owner: owner.unwrap_or_else(|| self.created.requested_by.name.clone()),
            until: self.escalation().map(|(at, _)| at),
            action,
            others: Vec::new(),
        })
    }
}
