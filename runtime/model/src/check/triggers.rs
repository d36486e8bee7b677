//! Places where nothing is changed without something that rolls it back: connections that an operator marked so.

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::Digest;
use crate::manifest::Effect;
use crate::plan::{Plan, Runs};

use super::Catalog;

/// What is wrong with a release of this plan, and those inside of it: it would change something where a rollback
/// trigger is needed, and has none. One of a workflow around another one is enough for that.
pub fn check_triggers(whole: &Plan, inner: &[Plan], catalog: &dyn Catalog) -> Option<String> {
    let inner: BTreeMap<Digest, &Plan> = inner.iter().map(|it| (Digest::of(&it.to_json()), it)).collect();
    let (mut open, mut seen) = (vec![whole], BTreeSet::new());
    while let Some(plan) = open.pop() {
        if plan.workflow().has_rollback_trigger() {
            continue;
        }
        for index in plan.graph().steps() {
            let pin = plan.pin(index);
            let is_marked = |it: &&_| catalog.connection(it).is_some_and(|it| it.needs_rollback_trigger);
            if let Some(name) = pin.connections.values().find(is_marked).filter(|_| pin.effect != Effect::Read) {
                return Some(format!(
                    "step `{}` of `{}` changes something at `{name}`, where a release needs something that rolls it back, and the workflow has nothing: add `rollback.alerts`, `rollback.triggers: [breaker]`, `on_failure: rollback` of a step, `on_exceeded: rollback` of a phase or `then: rollback` of a deadline",
                    plan.step(index).name,
                    plan.workflow().name
                ));
            }
            if let Runs::Plan(digest) = pin.runs
                && seen.insert(digest)
            {
                open.extend(inner.get(&digest));
            }
        }
    }
    None
}
