//! How a release begins: at once, or in its queue.

use windlass_engine::Release;
use windlass_model::actor::Actor;
use windlass_model::event::{Created, Record};
use windlass_model::name::ReleaseId;
use windlass_store::AppendError;

use crate::admission::{Asked, Start};
use crate::clock::{now, random_bytes};
use crate::driver;
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
        self.begin_asked(kept, Asked { parameters, ..Asked::by(requested_by) }).await
    }

    /// The same, with all that can be asked for.
    pub(crate) async fn begin_asked(&self, kept: &KeptPlan, asked: Asked) -> Result<ReleaseId, RuntimeError> {
        loop {
            let id = self.inner.new_id(kept)?;
            match self.begin_as(kept, id.clone(), random_bytes(), asked.clone()).await {
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
        if !asked.rehearsal && !asked.dry_run {
            self.watch_for_alerts(&plan, &release, &asked.parameters).await?;
        }
        let now = now();
        let start = self.start_of(&plan, &release, &asked, now).await?;
        let is_new = start != Start::Known;
        let (claim, create): (_, fn(_, _, _) -> _) = match start {
            Start::Free | Start::Known => (None, Release::create),
            Start::Admitted(claim) => (Some(claim), Release::create_admitted),
            Start::Queued(claim) => (Some(claim), Release::create),
        };
        let Asked { parameters, requested_by, parent, rehearsal, dry_run, recorded, .. } = asked;
        let created = Created {
            release,
            plan: digest,
            components,
            parameters,
            requested_by,
            salt,
            parent,
            rehearsal,
            dry_run,
            recorded,
            claim,
        };
        let (release, record) = create(plan, created, now);
        // Who asked may go away at any moment; what has been handed to the store may be durable then.
        let runtime = self.clone();
        match tokio::spawn(async move { runtime.create(release, record, is_new).await }).await {
            Ok(created) => created,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The process is ending, and nobody hears the answer.
            Err(_) => std::future::pending().await,
        }
    }

    /// Records the first record of a release, and goes on with it.
    async fn create(&self, mut release: Release, mut record: Record, is_new: bool) -> Result<(), RuntimeError> {
        let desk = self.expect(release.id());
        // Nobody begins its calls here. Asked after it is expected: who winds down waits for all that is.
        if self.inner.is_winding_down() {
            release.leave_alone_with(&mut record);
        }
        match driver::append(&self.inner, &release, 0, record).await {
            Ok(()) => {
                self.inner.services.expect(&self.inner, &release);
                self.drive_expected(desk, release);
                Ok(())
            }
            Err(error) => {
                self.not_created(desk, release.id());
                // It may be there all the same.
                if let AppendError::Store(_) = error {
                    self.look_later(release.id());
                }
                if is_new {
                    self.not_begun(release.id(), &error);
                }
                Err(error.into())
            }
        }
    }
}
