//! Alerts that concern a release, and the decision that one of them may ask for.
//!
//! An alert counts from the beginning of a release's work to its end, and, where its workflow says so, for a while
//! after it has succeeded. It is taken once, whatever becomes of it, so that one that is sent again and again does
//! nothing more.
//!
//! **Invariant:** while a decision is asked for nothing new starts; what runs goes on, and a release in which all has
//! ended ends, and asks on.

use serde_json::json;
use windlass_model::alert::{Alert, AlertMatch, OnAlert};
use windlass_model::event::{Event, Outcome};
use windlass_model::time::Timestamp;

use crate::input::Rejected;
use crate::release::{Release, ReleaseState};

/// How many alerts a release takes; more change nothing about it.
pub const ALERTS_MAX: usize = 50;

/// An alert that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenAlert {
    /// The alert.
    pub alert: Alert,
    /// When it came.
    pub at: Timestamp,
    /// What followed.
    pub then: OnAlert,
}

fn not_concerned(reason: &'static str) -> Rejected {
    Rejected::NotConcerned { reason }
}

impl Release {
    /// The alerts that came, in order.
    pub fn alerts(&self) -> &[TakenAlert] {
        &self.alerts
    }

    /// Whether something holds forward work: somebody paused it, or is to decide about it.
    pub(crate) fn is_held_back(&self) -> bool {
        self.pause.is_some() || self.question.is_some()
    }

    pub(crate) fn take_alert(&mut self, alert: Alert, now: Timestamp) -> Result<Vec<Event>, Rejected> {
        if self.alerts.iter().any(|it| it.alert.is_same(&alert)) {
            return Err(Rejected::AlertRepeated);
        }
        let then = self.effect_of(&alert, now)?;
        if self.alerts.len() >= ALERTS_MAX {
            return Err(not_concerned("it has taken as many as it can"));
        }
        // Past a point of no return a person says how to go forward.
        let then = if self.pivot_passed().is_some() { OnAlert::AfterConfirmation } else { then };
        let trigger = alert.in_words();
        let mut events = Vec::new();
        self.record(&mut events, Event::AlertTaken { alert: Box::new(alert), then }, now);
        match (then, &self.state) {
            (OnAlert::AfterConfirmation, _) => {}
            (OnAlert::Rollback, ReleaseState::Running | ReleaseState::Failing { .. }) => {
                self.record(&mut events, Event::CancelingStarted { rollback: true }, now);
                self.stop_active_steps(&mut events, now);
            }
            (OnAlert::Rollback, ReleaseState::Ended { .. }) => {
                self.record(&mut events, Event::RollbackStarted { trigger }, now);
            }
            // What runs last runs first.
            (OnAlert::Rollback, _) => {}
        }
        Ok(events)
    }

    /// What an alert does to the release as it stands; a refusal when that is nothing.
    fn effect_of(&self, alert: &Alert, now: Timestamp) -> Result<OnAlert, Rejected> {
        let rules = self.plan.workflow().rollback.as_ref().map(|it| it.alerts.as_slice()).unwrap_or_default();
        let named = rules.iter().filter_map(|rule| {
            let labels = rule.resolve(&self.created.parameters).ok()?;
            labels.concerns(alert).then_some((labels, rule.then))
        });
        let named: Vec<(AlertMatch, OnAlert)> = named.collect();
        if named.is_empty() {
            return Err(not_concerned("its workflow names no such alert"));
        }
        if self.created.rehearsal {
            return Err(not_concerned("it is a rehearsal"));
        }
        if self.is_dry_run() {
            return Err(not_concerned("it is a dry run"));
        }
        if !self.steps.iter().any(|it| it.called) {
            return Err(not_concerned("nothing of it has begun"));
        }
        if alert.starts_at < self.running_since {
            return Err(not_concerned("it fired before the release began"));
        }
        let counting: Vec<OnAlert> = match self.state {
            ReleaseState::Queued => return Err(not_concerned("nothing of it has begun")),
            ReleaseState::Canceling { .. } | ReleaseState::RollingBack { .. } => {
                return Err(not_concerned("it is being stopped or rolled back already"));
            }
            ReleaseState::Running
            | ReleaseState::Failing { .. }
            | ReleaseState::Finishing { outcome: Outcome::Succeeded, canceled: false } => {
                named.iter().map(|(_, then)| *then).collect()
            }
            // What becomes of one inside of another is the outer one's.
            ReleaseState::Ended { outcome: Outcome::Succeeded, .. } if self.created.parent.is_none() => {
                let ended_at = self.ended_at.unwrap_or(self.updated_at);
                let counts = |it: &&(AlertMatch, OnAlert)| it.0.stabilisation.is_some_and(|it| now <= ended_at + it);
                named.iter().filter(counts).map(|(_, then)| *then).collect()
            }
            ReleaseState::Finishing { .. } | ReleaseState::Ended { .. } => {
                return Err(not_concerned("it has ended, or is about to, without success"));
            }
        };
        if counting.contains(&OnAlert::Rollback) {
            return Ok(OnAlert::Rollback);
        }
        let is_never_long = named.iter().all(|(it, _)| it.stabilisation.is_none());
        let over = if is_never_long {
            "it has succeeded, and its workflow gives this alert no `stabilisation`"
        } else {
            "its time of stabilisation is over"
        };
        counting.first().copied().ok_or_else(|| not_concerned(over))
    }

    /// Takes an alert in.
    pub(crate) fn note_alert(&mut self, alert: &Alert, then: OnAlert, at: Timestamp) {
        if let Some(known) = self.facts.get_mut("alerts").and_then(|it| it.as_array_mut()) {
            known.push(json!({ "name": alert.name(), "labels": alert.labels, "annotations": alert.annotations }));
        }
        self.alerts.push(TakenAlert { alert: alert.clone(), at, then });
        match then {
            OnAlert::Rollback => {
                // Whatever deadline passed before, this is what stops it.
                self.overdue = None;
                self.asked_for_rollback = Some(alert.in_words());
                self.rolls_back_at_end = matches!(self.state, ReleaseState::Finishing { .. });
                self.end_question();
            }
            OnAlert::AfterConfirmation if self.question.is_none() => {
                self.ask(alert.in_words(), at);
            }
            OnAlert::AfterConfirmation => {}
        }
    }
}
