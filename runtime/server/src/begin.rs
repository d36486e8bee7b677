//! How a release begins: at once, or in its queue.

use windlass_engine::Release;
use windlass_model::actor::Actor;
use windlass_model::concurrency::Priority;
use windlass_model::event::Created;
use windlass_model::name::ReleaseId;
use windlass_store::AppendError;

use crate::admission::{Asked, Start};
use crate::clock::now;
use crate::driver::{self, Beginning};
use crate::plans::KeptPlan;
use crate::runtime::{Runtime, RuntimeError};

impl Runtime {
    /// Begins a release of a plan.
    ///
    /// The parameters have been checked against the plan's workflow.
    pub async fn begin(
        &self,
        kept: &KeptPlan,
        parameters: serde_json::Value,
        requested_by: Actor,
    ) -> Result<ReleaseId, RuntimeError> {
        self.begin_with(kept, parameters, requested_by, Priority::default()).await
    }

    /// As [`Self::begin`], with a priority.
    pub async fn begin_with(
        &self,
        kept: &KeptPlan,
        parameters: serde_json::Value,
        requested_by: Actor,
        priority: Priority,
    ) -> Result<ReleaseId, RuntimeError> {
        let asked = Asked { parameters, requested_by, parent: None, priority, may_be_refused: true };
        loop {
            let id = self.inner.new_id(kept)?;
            match self.begin_as(kept, id.clone(), rand::random(), asked.clone()).await {
                Ok(()) => return Ok(id),
                // Somebody else began a release of this workflow with the same number.
                Err(RuntimeError::Append(AppendError::Conflict { .. })) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Begins the release of this id, if there is none yet.
    pub(crate) async fn begin_as(
        &self,
        kept: &KeptPlan,
        release: ReleaseId,
        salt: [u8; 16],
        asked: Asked,
    ) -> Result<(), RuntimeError> {
        let KeptPlan { plan, digest, components } = kept.clone();
        let now = now();
        let start = self.start_of(&plan, &release, &asked, now).await?;
        let is_new = start != Start::Known;
        let (claim, create): (_, fn(_, _, _) -> _) = match start {
            Start::Free | Start::Known => (None, Release::create),
            Start::Admitted(claim) => (Some(claim), Release::create_admitted),
            Start::Queued(claim) => (Some(claim), Release::create),
        };
        let Asked { parameters, requested_by, parent, .. } = asked;
        let created = Created { release, plan: digest, components, parameters, requested_by, salt, parent, claim };
        let (release, record) = create(plan, created, now);
        if let Err(error) = driver::append(&self.inner, &release, 0, record).await {
            if is_new {
                self.not_begun(release.id(), &error);
            }
            return Err(error.into());
        }
        self.drive(release, Beginning::Fresh);
        Ok(())
    }
}
