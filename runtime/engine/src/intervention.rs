//! What people may ask of a release, and what they are told when they may not.

use serde_json::Value;
use windlass_model::event::{Operation, Outcome};
use windlass_model::graph::StepIndex;
use windlass_model::name::StepName;

use crate::input::Rejected;
use crate::release::{Release, ReleaseState};
use crate::step::{Stage, StepState};

impl Release {
    /// The steps that run again with `step`: itself, all after it, and in a release that has ended all that kept
    /// it from succeeding, for else it could not end well.
    pub(crate) fn to_run_again(&self, step: &StepName) -> Result<Vec<StepName>, Rejected> {
        let first = self.find_step(step)?;
        let mut open = vec![first];
        match &self.state {
            ReleaseState::Running => {}
            ReleaseState::Ended { outcome: Outcome::Failed | Outcome::Canceled, .. } => {
                let kept = |it: &StepIndex| {
                    let state = &self.steps[it.as_usize()].state;
                    matches!(
                        state,
                        StepState::Failed { tolerated: false, .. } | StepState::Canceled | StepState::Paused { .. }
                    )
                };
                open.extend(self.plan.graph().steps().filter(kept));
            }
            other => {
                return Err(Rejected::WrongState {
                    state: other.name(),
                    reason: "steps can run again while the release runs, and after it failed or was canceled",
                });
            }
        }
        if self.steps[first.as_usize()].state == StepState::Waiting {
            return Err(Rejected::HasNotRun { step: step.clone() });
        }
        let mut again = vec![false; self.plan.graph().len()];
        while let Some(index) = open.pop() {
            if !std::mem::replace(&mut again[index.as_usize()], true) {
                open.extend(self.plan.graph().children(index));
            }
        }
        let again: Vec<StepIndex> = self.plan.graph().steps().filter(|it| again[it.as_usize()]).collect();
        let running = again.iter().copied().find(|it| self.steps[it.as_usize()].state.activity().is_some());
        if let Some(running) = running {
            return Err(Rejected::StillRuns { step: self.plan.step(running).name.clone() });
        }
        Ok(again.into_iter().map(|it| self.plan.step(it).name.clone()).collect())
    }

    /// A step that may be skipped, with this output.
    pub(crate) fn to_skip(&self, step: &StepName, output: Option<&Value>) -> Result<StepIndex, Rejected> {
        let index = self.find_step(step)?;
        if self.state != ReleaseState::Running {
            let reason = "steps can be skipped while the release runs";
            return Err(Rejected::WrongState { state: self.state.name(), reason });
        }
        let run = &self.steps[index.as_usize()];
        let may = match &run.state {
            StepState::Waiting | StepState::Held { .. } | StepState::Paused { .. } => true,
            StepState::Active(activity) => {
                activity.operation == Operation::Start && matches!(activity.stage, Stage::Backoff { .. })
            }
            _ => false,
        };
        if !may {
            return Err(Rejected::NotSkippable { step: step.clone(), state: run.state.name() });
        }
        if self.plan.step(index).mandatory {
            return Err(Rejected::Mandatory { step: step.clone() });
        }
        let users = self.plan.users_of(index);
        if output.is_none() && !users.is_empty() {
            let users = users.into_iter().map(|it| self.plan.step(it).name.to_string()).collect();
            return Err(Rejected::OutputNeeded { step: step.clone(), users });
        }
        Ok(index)
    }
}
