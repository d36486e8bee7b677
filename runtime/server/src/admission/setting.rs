//! Limits, as operators set, see and remove them.

use std::sync::atomic::Ordering;

use windlass_model::actor::Actor;
use windlass_model::name::ReleaseId;
use windlass_store::{DocumentKind, StoreError};

use super::limits::{LIMIT_MAX, Limit, LimitScope, Limits};
use super::view::LimitView;
use super::{AdmissionError, limits_of, restore};
use crate::clock::now;
use crate::runtime::{Inner, Runtime, RuntimeError, lock};

impl Runtime {
    /// All limits; the installation's first.
    pub fn limits(&self) -> Vec<LimitView> {
        // Where nothing limits how many run, nobody counts them: outlines tell.
        let found = if self.drives() && self.inner.admission.is_limited() { None } else { self.line_as_found() };
        let kept = lock(&self.inner.admission.kept);
        let queue = self.inner.admission.queue();
        let of = |scope: &LimitScope, limit: Option<&Limit>| {
            let tenant = match scope {
                LimitScope::Installation => None,
                LimitScope::Tenant(tenant) => Some(tenant),
            };
            let (running, waiting) = queue.counts(tenant);
            let found = found.as_ref().map(|it| it.counts(tenant));
            let waiting = if self.drives() { Some(waiting) } else { found.map(|it| it.1) };
            LimitView::of(tenant, limit, Some(found.map_or(running, |it| it.0)), waiting)
        };
        let installation = of(&LimitScope::Installation, kept.get(&LimitScope::Installation));
        let tenants = kept.iter().filter(|(scope, _)| **scope != LimitScope::Installation);
        std::iter::once(installation).chain(tenants.map(|(scope, limit)| of(scope, Some(limit)))).collect()
    }

    /// Sets how many releases may run, or wait, or both; what is not said stays as it is.
    pub async fn set_limit(
        &self,
        scope: LimitScope,
        (releases, waiting): (Option<u32>, Option<u32>),
        by: Actor,
    ) -> Result<LimitView, RuntimeError> {
        if releases.is_none() && waiting.is_none() {
            return Err(AdmissionError::NothingSet.into());
        }
        for (what, least, given) in [("releases", 1, releases), ("waiting", 0, waiting)] {
            if let Some(given) = given.filter(|it| !(least..=LIMIT_MAX).contains(it)) {
                return Err(AdmissionError::OutOfRange { what, least, given }.into());
            }
        }
        let _alone = self.inner.admission.writing.lock().await;
        let before = lock(&self.inner.admission.kept).get(&scope).cloned();
        let limit = Limit {
            tenant: match &scope {
                LimitScope::Installation => None,
                LimitScope::Tenant(tenant) => Some(tenant.clone()),
            },
            releases: releases.or(before.as_ref().and_then(|it| it.releases)),
            waiting: waiting.or(before.as_ref().and_then(|it| it.waiting)),
            set_by: by,
            set_at: now(),
        };
        let bytes = serde_json::to_vec(&limit).expect("limits hold only what JSON can hold");
        self.store().put_document(DocumentKind::Limit, &scope.to_string(), bytes).await?;
        lock(&self.inner.admission.kept).insert(scope.clone(), limit);
        self.take_limits().await?;
        let tenant = |it: &LimitView| it.tenant.clone();
        let wanted = match &scope {
            LimitScope::Installation => None,
            LimitScope::Tenant(it) => Some(it.to_string()),
        };
        Ok(self.limits().into_iter().find(|it| tenant(it) == wanted).expect("it was just set"))
    }

    /// Takes a limit away.
    pub async fn remove_limit(&self, scope: LimitScope) -> Result<(), RuntimeError> {
        let _alone = self.inner.admission.writing.lock().await;
        let known: Vec<String> = lock(&self.inner.admission.kept).keys().map(ToString::to_string).collect();
        if !known.contains(&scope.to_string()) {
            let known =
                if known.is_empty() { "none is set".to_owned() } else { format!("set are {}", known.join(", ")) };
            return Err(AdmissionError::NoSuchLimit { scope, known }.into());
        }
        self.store().remove_document(DocumentKind::Limit, &scope.to_string()).await?;
        lock(&self.inner.admission.kept).remove(&scope);
        self.take_limits().await
    }

    /// Lets the limits hold that are kept.
    async fn take_limits(&self) -> Result<(), RuntimeError> {
        let limits = limits_of(&lock(&self.inner.admission.kept));
        let counts_now = limits.are_set() && !self.inner.admission.counts_all.load(Ordering::SeqCst);
        self.inner.admission.is_limited.store(limits.are_set(), Ordering::SeqCst);
        if !self.drives() {
            return Ok(());
        }
        let inner = self.inner.clone();
        let are_set = limits.are_set();
        let taken = tokio::task::spawn_blocking(move || inner.take_limits(limits, counts_now)).await;
        let stirred = taken.map_err(|error| RuntimeError::Sandbox(error.to_string()))??;
        // Only now: who could not be counted is counted with the next limit that is set.
        self.inner.admission.counts_all.store(are_set, Ordering::SeqCst);
        self.stir(stirred);
        Ok(())
    }
}

impl Inner {
    /// Until now nobody counted those that belong to no group. All that is durable is found; whoever becomes durable
    /// later, or ends later, sees that it is counted, and waits for this.
    fn take_limits(&self, limits: Limits, counts_now: bool) -> Result<Vec<ReleaseId>, StoreError> {
        let mut queue = self.admission.queue();
        if counts_now {
            for id in self.store.open_releases()? {
                if let Some(outline) = self.store.outline(&id)? {
                    // One that is queued comes by itself.
                    if outline.standing.as_ref().is_none_or(|it| it.admitted) {
                        restore(&mut queue, &outline, true);
                    }
                }
            }
        }
        Ok(queue.limit(limits, now()))
    }
}
