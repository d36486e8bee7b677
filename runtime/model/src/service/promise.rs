//! What a release will need and deliver, as far as that is known before it starts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::digest::Digest;
use crate::expression::Scope;
use crate::graph::StepIndex;
use crate::parse::check_parameters;
use crate::plan::{Plan, Runs};

use super::{Delivery, Need};

/// What a release will need and deliver, releases inside of it included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Promise {
    /// What its steps wait for.
    pub needs: Vec<PromisedNeed>,
    /// What its steps make live.
    pub deliveries: Vec<PromisedDelivery>,
}

/// A need of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromisedNeed {
    /// Which step; of a release inside of it `outer/inner`.
    pub step: String,
    /// What it needs.
    pub need: Need,
}

/// A delivery of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromisedDelivery {
    /// Which step; of a release inside of it `outer/inner`.
    pub step: String,
    /// What it delivers.
    pub delivery: Delivery,
    /// The needs, by their place in [`Promise::needs`], that are met before.
    pub after: BTreeSet<usize>,
}

impl Promise {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.needs.is_empty() && self.deliveries.is_empty()
    }
}

/// What a release of a plan with these parameters will need and deliver.
///
/// Steps whose condition is known to be false are left out. What a workflow inside of it needs is left out where
/// its parameters are not known yet. Errors are what is no version, each with its step.
pub fn promise_of(
    plan: &Plan,
    parameters: &Value,
    inner: &dyn Fn(Digest) -> Option<Arc<Plan>>,
) -> Result<Promise, Vec<String>> {
    let mut promise = Promise::default();
    let mut errors = Vec::new();
    add(plan, parameters, inner, "", &BTreeSet::new(), &mut promise, &mut errors);
    if errors.is_empty() { Ok(promise) } else { Err(errors) }
}

/// Adds what a plan needs and delivers, all of it after `before`; gives the needs that are met when it has ended.
fn add(
    plan: &Plan,
    parameters: &Value,
    inner: &dyn Fn(Digest) -> Option<Arc<Plan>>,
    prefix: &str,
    before: &BTreeSet<usize>,
    promise: &mut Promise,
    errors: &mut Vec<String>,
) -> BTreeSet<usize> {
    let facts = json!({});
    let scope = Scope::new(parameters, &facts, &|_| None);
    let mut met: BTreeMap<StepIndex, BTreeSet<usize>> = BTreeMap::new();
    let mut all = before.clone();
    for index in plan.graph().steps() {
        let step = plan.step(index);
        let name = format!("{prefix}{}", step.name);
        let mut after = before.clone();
        after.extend(plan.graph().parents(index).filter_map(|it| met.get(&it)).flatten());
        let is_left_out = step.when.as_ref().is_some_and(|it| it.holds(&scope) == Ok(false));
        if !is_left_out {
            for requires in &step.requires {
                match requires.resolve(&scope) {
                    Ok(need) => {
                        after.insert(promise.needs.len());
                        promise.needs.push(PromisedNeed { step: name.clone(), need });
                    }
                    Err(error) => errors.push(format!("step `{name}` requires {}: {error}", requires.service)),
                }
            }
            if let Runs::Plan(digest) = plan.pin(index).runs
                && let Some(plan) = inner(digest)
                && let Ok(given) = step.with.evaluate(&scope)
                && let Ok(given) = check_parameters(plan.workflow(), given)
            {
                // What is wrong inside of it is told when it begins, with what it really gets.
                after = add(&plan, &given, inner, &format!("{name}/"), &after, promise, &mut Vec::new());
            }
            match step.delivers.as_ref().map(|it| it.resolve(&scope)) {
                None => {}
                Some(Ok(delivery)) => {
                    let after = after.clone();
                    promise.deliveries.push(PromisedDelivery { step: name.clone(), delivery, after });
                }
                Some(Err(error)) => errors.push(format!("step `{name}` delivers a version: {error}")),
            }
        }
        all.extend(&after);
        met.insert(index, after);
    }
    all
}
