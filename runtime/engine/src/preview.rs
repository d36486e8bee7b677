//! Which steps a rollback is about, in its order, and what one would do that nobody has asked for yet.

use std::collections::VecDeque;

use windlass_model::actor::Actor;
use windlass_model::event::{Intervention, Operation};
use windlass_model::graph::StepIndex;
use windlass_model::manifest::Effect;
use windlass_model::time::Timestamp;
use windlass_model::workflow::RollbackPart;

use crate::input::{Input, Rejected};
use crate::release::{Release, ReleaseState};
use crate::step::StepState;

/// Why the effect of a step would stay as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stays {
    /// Its action has no rollback: what was there before is not known.
    NoRollback,
    /// Its workflow says so (`rollback: skip`).
    Skipped,
    /// What runs last is never rolled back.
    Finally,
    /// Somebody has settled its rollback so.
    Settled,
}

/// What a rollback of a release, as it stands, would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackPreview {
    /// Why one would be refused.
    pub refused: Option<Rejected>,
    /// The steps, and items of steps, that would be rolled back, each after all that ran after it. What runs is
    /// stopped first.
    pub steps: Vec<StepIndex>,
    /// What may have had an effect and would stay as it is.
    pub stays: Vec<(StepIndex, Stays)>,
}

impl Release {
    /// The steps whose effects are, or were, rolled back, each after all that ran after it.
    pub fn rollback_order(&self) -> Vec<StepIndex> {
        let mut order = self.in_order_of_rollback();
        order.retain(|it| self.all_items(*it).chain([*it]).any(|it| self.is_of_rollback(it)));
        order
    }

    /// What a rollback that somebody asks for at this time would do. Nothing is changed.
    pub fn rollback_preview(&self, now: Timestamp) -> RollbackPreview {
        let actor = Actor { name: "somebody".to_owned(), groups: Vec::new(), authenticated: "preview".to_owned() };
        let asks = Input::Intervene { actor, reason: "a preview".to_owned(), intervention: Intervention::Rollback };
        let refused = self.clone().decide(asks, now).err();
        let (mut steps, mut stays) = (Vec::new(), Vec::new());
        for step in self.in_order_of_rollback() {
            let items: Vec<StepIndex> = self.all_items(step).collect();
            for run in if items.is_empty() { vec![step] } else { items } {
                if self.would_be_rolled_back(run) {
                    steps.push(run);
                } else if let Some(why) = self.would_stay(run) {
                    stays.push((run, why));
                }
            }
        }
        RollbackPreview { refused, steps, stays }
    }

    /// All steps, each after all that its rollback waits for.
    fn in_order_of_rollback(&self) -> Vec<StepIndex> {
        let graph = self.plan.graph();
        let mut left = vec![0; graph.len()];
        for step in graph.steps() {
            left[step.as_usize()] = graph.children(step).count() + graph.rolled_back_before(step).count();
        }
        let mut reached: VecDeque<StepIndex> = graph.steps().filter(|it| left[it.as_usize()] == 0).collect();
        let mut order = Vec::new();
        while let Some(step) = reached.pop_front() {
            order.push(step);
            for parent in graph.parents(step).chain(graph.rolled_back_after(step)) {
                left[parent.as_usize()] -= 1;
                if left[parent.as_usize()] == 0 {
                    reached.push_back(parent);
                }
            }
        }
        order
    }

    fn is_of_rollback(&self, index: StepIndex) -> bool {
        let state = &self.steps[index.as_usize()].state;
        let was = matches!(state, StepState::RolledBack | StepState::LeftInPlace | StepState::RollbackBlocked { .. });
        let is = state.activity().is_some_and(|it| it.operation == Operation::Rollback);
        let will_be = matches!(self.state, ReleaseState::RollingBack { .. }) && self.is_to_be_rolled_back(index);
        was || is || will_be
    }

    /// As [`Self::is_to_be_rolled_back`], of what runs too: it is stopped before.
    fn would_be_rolled_back(&self, index: StepIndex) -> bool {
        let definition = self.definition(index);
        let would_be = self.steps[index.as_usize()].called
            && self.can_be_rolled_back(index)
            && !definition.finally
            && definition.rollback == RollbackPart::Automatic;
        self.is_to_be_rolled_back(index) || self.steps[index.as_usize()].state.activity().is_some() && would_be
    }

    fn would_stay(&self, index: StepIndex) -> Option<Stays> {
        let run = &self.steps[index.as_usize()];
        if !run.called || self.pin(index).effect == Effect::Read {
            return None;
        }
        let definition = self.definition(index);
        match run.state {
            StepState::RolledBack | StepState::FannedOut => None,
            StepState::LeftInPlace => Some(Stays::Settled),
            _ if definition.finally => Some(Stays::Finally),
            _ if definition.rollback == RollbackPart::Skip => Some(Stays::Skipped),
            _ => Some(Stays::NoRollback),
        }
    }
}
