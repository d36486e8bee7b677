//! The order of a rollback: each step after all that ran after it.
//!
//! A step with nothing to roll back is settled as soon as everything after it is; so is one whose
//! effect is gone. A step whose rollback is blocked is not, and what it was built on stays as it is
//! until a person has decided, while independent steps go on.

use windlass_model::event::Operation;
use windlass_model::graph::StepIndex;
use windlass_model::time::Timestamp;
use windlass_model::workflow::RollbackPart;

use crate::release::Release;
use crate::step::StepState;

impl Release {
    /// Whether a step may have had an effect that its plugin can roll back.
    pub(crate) fn is_to_be_rolled_back(&self, index: StepIndex) -> bool {
        let run = &self.steps[index.as_usize()];
        let ran = match &run.state {
            // One that waits or is skipped may have run before: then its effect is still there.
            StepState::Succeeded
            | StepState::Failed { .. }
            | StepState::Canceled
            | StepState::Paused { .. }
            | StepState::Waiting
            | StepState::Held { .. }
            | StepState::Skipped { .. } => run.called,
            StepState::RollbackBlocked { .. } => true,
            StepState::Active(activity) => activity.operation == Operation::Rollback,
            StepState::FannedOut | StepState::RolledBack | StepState::LeftInPlace => false,
        };
        !self.definition(index).finally
            && ran
            && self.can_be_rolled_back(index)
            && self.definition(index).rollback == RollbackPart::Automatic
    }

    pub(crate) fn begin_rollback(&mut self) {
        let plan = self.plan.clone();
        self.ready.clear();
        self.unsettled = vec![0; plan.graph().len()];
        for step in plan.graph().steps() {
            let before = plan.graph().children(step).count() + plan.graph().rolled_back_before(step).count();
            self.unsettled[step.as_usize()] = before as u32;
        }
        let last: Vec<StepIndex> = plan.graph().steps().filter(|it| self.unsettled[it.as_usize()] == 0).collect();
        for step in last {
            self.reach_in_rollback(step);
        }
    }

    /// When the rollback that goes on should be over, while it is not known to be late.
    pub(crate) fn rollback_due(&self) -> Option<Timestamp> {
        let rollback = self.rollback.as_ref().filter(|it| it.ended_at.is_none() && !it.is_overdue)?;
        Some(rollback.began_at + self.plan.workflow().rollback.as_ref()?.objective?)
    }

    /// What is left of it is not rolled back any more, or there is nothing left.
    pub(crate) fn end_rollback(&mut self, at: Timestamp) {
        if let Some(rollback) = self.rollback.as_mut().filter(|it| it.ended_at.is_none()) {
            rollback.ended_at = Some(at);
        }
    }

    /// All that ran after `step` is settled: it is its turn.
    fn reach_in_rollback(&mut self, step: StepIndex) {
        let mut reached = vec![step];
        while let Some(step) = reached.pop() {
            let items = self.items_to_roll_back(step);
            if !items.is_empty() {
                self.unsettled[step.as_usize()] = items.len() as u32;
                self.rollback_ready.extend(items);
                continue;
            }
            if self.is_to_be_rolled_back(step) {
                self.rollback_ready.insert(step);
                continue;
            }
            reached.extend(self.settled_parents(step));
        }
    }

    /// The effect of `step` is gone.
    pub(crate) fn settle_in_rollback(&mut self, index: StepIndex) {
        let step = self.definition_index(index);
        if step != index {
            // Of a step that ran for items: all of them.
            let unsettled = &mut self.unsettled[step.as_usize()];
            *unsettled -= 1;
            if *unsettled > 0 {
                return;
            }
            self.go_back_with_items(step);
        }
        for parent in self.settled_parents(step) {
            self.reach_in_rollback(parent);
        }
    }

    /// What is said of a step that ran for items follows from them: it is rolled back when they are, and stays in place
    /// where one of them does. One that failed goes on to say why.
    fn go_back_with_items(&mut self, step: StepIndex) {
        let was_left = |it: StepIndex| self.steps[it.as_usize()].state == StepState::LeftInPlace;
        let state = if self.all_items(step).any(was_left) { StepState::LeftInPlace } else { StepState::RolledBack };
        let run = &mut self.steps[step.as_usize()];
        if run.state == StepState::Succeeded {
            run.state = state;
        }
    }

    /// Counts `step` as settled; gives the parents whose turn it is now.
    fn settled_parents(&mut self, step: StepIndex) -> Vec<StepIndex> {
        let plan = self.plan.clone();
        let mut reached = Vec::new();
        for parent in plan.graph().parents(step).chain(plan.graph().rolled_back_after(step)) {
            let unsettled = &mut self.unsettled[parent.as_usize()];
            *unsettled -= 1;
            if *unsettled == 0 {
                reached.push(parent);
            }
        }
        reached
    }
}
