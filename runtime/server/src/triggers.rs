//! Places where nothing is changed without something that rolls it back: connections that an operator marked so.

use std::collections::BTreeSet;

use windlass_model::manifest::Effect;
use windlass_model::plan::{Plan, Runs};

use crate::plans::KeptPlan;
use crate::runtime::{Runtime, RuntimeError};

impl Runtime {
    /// Refuses what would change something where a rollback trigger is needed, and has none. One of a workflow around
    /// another one is enough for that.
    pub(crate) fn check_triggers(&self, kept: &KeptPlan) -> Result<(), RuntimeError> {
        if kept.plan().workflow().has_rollback_trigger() {
            return Ok(());
        }
        let mut plans = vec![kept.clone()];
        let mut seen = BTreeSet::new();
        while let Some(next) = plans.pop() {
            if next.plan().workflow().has_rollback_trigger() {
                continue;
            }
            if let Some(problem) = self.without_trigger(next.plan()) {
                return Err(RuntimeError::NoRollbackTrigger(problem));
            }
            for index in next.plan().graph().steps() {
                if let Runs::Plan(inner) = next.plan().pin(index).runs
                    && seen.insert(inner)
                {
                    plans.push(self.kept(inner)?);
                }
            }
        }
        Ok(())
    }

    fn without_trigger(&self, plan: &Plan) -> Option<String> {
        let catalog = self.catalog();
        plan.graph().steps().find_map(|index| {
            let (step, pin) = (plan.step(index), plan.pin(index));
            let marked = |it: &&_| catalog.connections.get(*it).is_some_and(|it| it.needs_rollback_trigger);
            let name = pin.connections.values().find(marked).filter(|_| pin.effect != Effect::Read)?;
            Some(format!(
                "step `{}` of `{}` changes something at `{name}`, where a release needs something that rolls it back, and the workflow has nothing: add `rollback.alerts`, `rollback.triggers: [breaker]`, `on_failure: rollback` of a step, `on_exceeded: rollback` of a phase or `then: rollback` of a deadline",
                step.name,
                plan.workflow().name
            ))
        })
    }
}
