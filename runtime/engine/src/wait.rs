//! Why a release is waiting: one type for every wait, so that it explains itself in the same words
//! everywhere.
//!
//! **Invariant:** who is named here can end the wait: a step that is held or paused waits for people only
//! while the release runs, one whose rollback is blocked only while it is rolled back.

use windlass_model::event::{HeldBy, Operation, Outcome};
use windlass_model::graph::StepIndex;
use windlass_model::name::StepName;
use windlass_model::text::shortened;
use windlass_model::time::Timestamp;

use crate::approval;
use crate::release::{Release, ReleaseState};
use crate::step::{Stage, StepState};

/// How long the reason of a failure is at most where lists show it.
const WHY_CHARS_MAX: usize = 120;

/// A wait: its cause, who owns it, when it is expected to end, and what one can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// Which step waits; none when the release as a whole does.
    pub step: Option<StepName>,
    /// For what.
    pub cause: WaitCause,
    /// In a sentence.
    pub text: String,
    /// Who can end it.
    pub owner: String,
    /// When it ends by itself, if it does.
    pub until: Option<Timestamp>,
    /// What to do about it: the arguments of a `windlass release` command, for a breaker or a service those of `windlass`; empty
    /// when nothing is to be done.
    pub action: String,
    /// What else one can do.
    pub others: Vec<String>,
}

/// What a wait is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitCause {
    /// People.
    Approval,
    /// The system that the plugin talks to.
    Outside,
    /// The next attempt.
    Backoff,
    /// A decision about a failure.
    Decision,
    /// Somebody paused the release.
    Pause,
    /// The workflow lets it wait.
    Delay,
    /// A circuit breaker is not closed.
    Breaker,
    /// A version of a service that is not live yet.
    Service,
    /// Other releases go before it.
    Queue,
    /// A decision whether it is rolled back.
    Rollback,
}

impl Release {
    /// Every wait, those that need a person first.
    pub fn waits(&self) -> Vec<Wait> {
        let mut waits: Vec<Wait> = self.attention.iter().chain(&self.active).filter_map(|it| self.wait(*it)).collect();
        waits.extend(self.pause().map(|pause| Wait {
            step: None,
            cause: WaitCause::Pause,
            text: format!("{} paused it: {}", pause.by, pause.reason),
            owner: pause.by.name.clone(),
            until: None,
            action: format!("resume {} --reason …", self.id()),
            others: Vec::new(),
        }));
        waits.extend(self.queue_wait());
        waits.extend(self.question_wait());
        waits.sort_by_key(|it| match it.cause {
            WaitCause::Rollback | WaitCause::Pause => 0,
            WaitCause::Decision => 1,
            WaitCause::Approval => 2,
            WaitCause::Breaker | WaitCause::Service | WaitCause::Queue => 3,
            WaitCause::Outside | WaitCause::Backoff | WaitCause::Delay => 4,
        });
        waits
    }

    fn wait(&self, index: StepIndex) -> Option<Wait> {
        let definition = self.definition(index);
        let name = self.name_of(index);
        let step = Some(name.clone());
        let run = &self.steps[index.as_usize()];
        let id = self.id();
        let is_running = self.goes_forward(index);
        let is_rolling_back = matches!(self.state, ReleaseState::RollingBack { .. });
        Some(match &run.state {
            StepState::Held { questions, until } if is_running => {
                let missing = approval::missing(definition, &run.votes, &self.created.requested_by);
                if let Some(until) = until.filter(|_| missing.iter().all(|it| *it == 0)) {
                    let text = format!("starts {} after its turn has come", definition.delay.unwrap_or_default());
                    let owner = "the workflow".to_owned();
                    return Some(Wait {
                        step,
                        cause: WaitCause::Delay,
                        text,
                        owner,
                        until: Some(until),
                        action: String::new(),
                        others: Vec::new(),
                    });
                }
                if missing.iter().all(|it| *it == 0) {
                    // It starts when the pause is over, and that wait is told once for all steps.
                    return None;
                }
                let open = approval::gates(definition).zip(missing).filter(|(_, missing)| *missing > 0);
                let owner = open
                    .map(|(gate, missing)| format!("{missing} of {}", approval::who(gate)))
                    .collect::<Vec<_>>()
                    .join(", and ");
                let question = questions.iter().filter(|it| !it.is_empty()).cloned().collect::<Vec<_>>().join("; ");
                let colon = if question.is_empty() { "" } else { ": " };
                let pivot = if definition.pivot { " (after this there is no way back)" } else { "" };
                let text = format!("approval by {owner}{colon}{question}{pivot}");
                let (action, reject) = (format!("approve {id} --step {name}"), format!("reject {id} --step {name}"));
                Wait { step, cause: WaitCause::Approval, text, owner, until: None, action, others: vec![reject] }
            }
            StepState::Paused { error, .. } if is_running => {
                let action = if error.is_of_expression() && definition.finally {
                    format!("skip {id} --step {name} --reason …")
                } else if error.is_of_expression() {
                    format!("rerun {id} --step {name} --reason …")
                } else {
                    format!("retry {id} --step {name} --reason …")
                };
                let skip = (!definition.mandatory && !action.starts_with("skip"))
                    .then(|| format!("skip {id} --step {name} --reason …"));
                let others = skip.into_iter().chain([format!("cancel {id} --reason …")]).collect();
                Wait {
                    step,
                    cause: WaitCause::Decision,
                    text: error.to_string(),
                    owner: self.created.requested_by.name.clone(),
                    until: None,
                    action,
                    others,
                }
            }
            StepState::RollbackBlocked { error, .. } if is_rolling_back => {
                let action = format!("retry {id} --step {name} --reason …");
                let others = ["done", "in-place"];
                let others = others.map(|it| format!("settle {id} --step {name} --{it} --reason …")).to_vec();
                let text = format!("its rollback failed: {error}");
                Wait {
                    step,
                    cause: WaitCause::Decision,
                    text,
                    owner: self.created.requested_by.name.clone(),
                    until: None,
                    action,
                    others,
                }
            }
            StepState::Active(activity) => {
                let plugin = definition.uses.owner();
                match &activity.stage {
                    Stage::Suspended { wake_at, status, .. } => {
                        let text = match activity.operation {
                            Operation::Start => status.clone(),
                            Operation::Cancel => format!("canceling: {status}"),
                            Operation::Rollback => format!("rolling back: {status}"),
                        };
                        Wait {
                            step,
                            cause: WaitCause::Outside,
                            text,
                            owner: plugin,
                            until: *wake_at,
                            action: String::new(),
                            others: Vec::new(),
                        }
                    }
                    Stage::Backoff { until, error } => {
                        let text = format!("attempt {} failed: {error}", activity.attempt);
                        Wait {
                            step,
                            cause: WaitCause::Backoff,
                            text,
                            owner: plugin,
                            until: Some(*until),
                            action: String::new(),
                            others: Vec::new(),
                        }
                    }
                    Stage::Held { .. } if self.is_held_back() => return None,
                    Stage::Held { hold, .. } => {
                        let (cause, text, action) = match &hold.by {
                            HeldBy::Breaker(key) => (
                                WaitCause::Breaker,
                                format!("{key} is open: {}", hold.text),
                                format!("breaker reset {key} --reason …"),
                            ),
                            HeldBy::Service(_) => (WaitCause::Service, hold.text.clone(), "service list".to_owned()),
                        };
                        Wait {
                            step,
                            cause,
                            text,
                            owner: hold.owner.clone(),
                            until: hold.until,
                            action,
                            others: Vec::new(),
                        }
                    }
                    Stage::Calling(_) | Stage::Stopped => return None,
                }
            }
            // Held, paused or blocked in a release that does something else by now: nobody is asked.
            StepState::Held { .. }
            | StepState::Paused { .. }
            | StepState::RollbackBlocked { .. }
            | StepState::Waiting
            | StepState::FannedOut
            | StepState::Succeeded
            | StepState::Failed { .. }
            | StepState::Skipped { .. }
            | StepState::Canceled
            | StepState::RolledBack
            | StepState::LeftInPlace => return None,
        })
    }

    /// Of a release that ended badly: the step that failed, or else what caused its rollback, or what stopped it, in one
    /// short line.
    fn why_not_succeeded(&self) -> Option<String> {
        if matches!(self.outcome()?, Outcome::Succeeded | Outcome::Canceled) {
            return None;
        }
        let failed = self.failures().next().map(|(step, error)| format!("{step}: {error}"));
        let why = failed.or_else(|| Some(self.rollback()?.trigger.clone()));
        let why = why.or_else(|| self.overdue.clone()).or_else(|| self.phase_that_failed());
        Some(headline_of(&why?))
    }

    /// What it is doing or waiting for, or why it failed, in one line.
    pub fn headline(&self) -> String {
        if let Some(wait) = self.waits().into_iter().next() {
            return match wait.step {
                Some(step) => format!("{step}: {}", wait.text),
                None => wait.text,
            };
        }
        if let Some(problem) = self.outputs_refused() {
            return problem.to_owned();
        }
        if let Some(newer) = &self.superseded_by {
            return format!("{}: {newer} is newer, and only the newest that waits goes on", self.state.name());
        }
        if let Some(why) = self.why_not_succeeded() {
            return format!("{}: {why}", self.state.name());
        }
        let running: Vec<String> = self.active.iter().map(|it| self.name_of(*it).to_string()).collect();
        if running.is_empty() {
            self.state.name().to_owned()
        } else {
            format!("{} {}", self.state.name(), running.join(", "))
        }
    }
}

/// The first line of a text, as far as lists show it.
pub(crate) fn headline_of(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let more = line.len() < text.len() && line.chars().count() <= WHY_CHARS_MAX;
    shortened(line, WHY_CHARS_MAX) + if more { "…" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_shortened_and_says_so() {
        assert_eq!(headline_of("deploy: refused"), "deploy: refused");
        assert_eq!(headline_of("deploy: refused\nfor a reason"), "deploy: refused…");
        let long = "é".repeat(WHY_CHARS_MAX + 1);
        assert_eq!(headline_of(&long), "é".repeat(WHY_CHARS_MAX) + "…");
    }
}
