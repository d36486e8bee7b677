//! Plans in the store, and those that are at hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use windlass_model::digest::Digest;
use windlass_model::parse::Planned;
use windlass_model::plan::Plan;
use windlass_model::workflow::Uses;
use windlass_store::StoreError;

use crate::runtime::{Inner, Runtime, RuntimeError, lock};

/// How many plans are kept at hand that no release in memory has.
const PLANS_MAX: usize = 1024;

/// A plan in the store, with what the first event of its releases says of it.
#[derive(Debug, Clone)]
pub struct KeptPlan {
    pub(crate) plan: Arc<Plan>,
    pub(crate) digest: Digest,
    pub(crate) components: Vec<(String, Digest)>,
}

impl KeptPlan {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

impl Runtime {
    /// Keeps a plan, so that releases of it can begin; keeping it again changes nothing.
    pub async fn keep_plan(&self, plan: Plan) -> Result<KeptPlan, RuntimeError> {
        let document = plan.to_json();
        let digest = Digest::of(&document);
        let known = lock(&self.inner.plans).get(&digest).cloned();
        let plan = match known {
            Some(plan) => plan,
            None => {
                self.inner.store.put_blob(document).await?;
                let plan = Arc::new(plan);
                self.inner.have_at_hand(digest, &plan);
                plan
            }
        };
        self.kept_as(plan, digest)
    }

    /// Keeps a workflow with those inside of it.
    pub async fn keep_nested(&self, nested: Planned) -> Result<KeptPlan, RuntimeError> {
        for inner in nested.inner {
            self.keep_plan(inner).await?;
        }
        self.keep_plan(nested.plan).await
    }

    /// A plan that was kept before.
    pub(crate) fn kept(&self, digest: Digest) -> Result<KeptPlan, RuntimeError> {
        let missing = || StoreError::CorruptItem { item: format!("plan {digest}"), what: "it is missing".to_owned() };
        let plan = self.inner.plan(digest)?.ok_or_else(missing)?;
        self.kept_as(plan, digest)
    }

    fn kept_as(&self, plan: Arc<Plan>, digest: Digest) -> Result<KeptPlan, RuntimeError> {
        let mut components = BTreeMap::new();
        self.add_components(&plan, &mut components)?;
        Ok(KeptPlan { plan, digest, components: components.into_iter().collect() })
    }

    /// What a plan uses, and what the workflows inside of it use.
    fn add_components(&self, plan: &Plan, components: &mut BTreeMap<String, Digest>) -> Result<(), RuntimeError> {
        for index in plan.graph().steps() {
            let (step, pin) = (plan.step(index), plan.pin(index));
            match (&step.uses, pin.runs) {
                (Uses::Action(uses), runs) => {
                    components.insert(format!("{}@{}", uses.plugin, pin.version), runs.digest());
                }
                (Uses::Workflow { .. }, runs) => {
                    // Two files may name their workflow alike.
                    let is_new = components
                        .insert(format!("{} ({})", step.uses.short(), runs.digest().short()), runs.digest())
                        .is_none();
                    if let Some(inner) = self.inner.plan(runs.digest())?.filter(|_| is_new) {
                        self.add_components(&inner, components)?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Inner {
    pub(crate) fn plan(&self, digest: Digest) -> Result<Option<Arc<Plan>>, RuntimeError> {
        if let Some(plan) = lock(&self.plans).get(&digest) {
            return Ok(Some(plan.clone()));
        }
        let Some(bytes) = self.store.blob(&digest)? else { return Ok(None) };
        let plan: Plan = serde_json::from_slice(&bytes)
            .map_err(|error| StoreError::CorruptItem { item: format!("plan {digest}"), what: error.to_string() })?;
        let plan = Arc::new(plan);
        self.have_at_hand(digest, &plan);
        Ok(Some(plan))
    }

    fn have_at_hand(&self, digest: Digest, plan: &Arc<Plan>) {
        let mut plans = lock(&self.plans);
        if plans.len() >= PLANS_MAX {
            // Those of nobody: no release in memory, nobody who is about to begin one.
            plans.retain(|_, it| Arc::strong_count(it) > 1);
        }
        plans.insert(digest, plan.clone());
    }
}
