//! Which versions of services are live, who will deliver which, and who waits for that.
//!
//! What is live is a document per service and environment, written when the step that delivers has succeeded or was
//! rolled back, before its release goes on. A release that delivers is open until all of that is written, so a crash
//! in between loses nothing; writing again changes nothing. What open releases will need and deliver follows from
//! their plans and parameters, and is kept in memory only.
//!
//! **Invariant:** who is refused by [`Services::admit`] is told when the service changes: both happen under one lock.

mod record;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value;
use windlass_engine::{Release, ReleaseState, StepState};
use windlass_model::actor::Actor;
use windlass_model::event::{HeldBy, Hold, Operation};
use windlass_model::graph::StepIndex;
use windlass_model::name::ReleaseId;
use windlass_model::service::{self, Known, Need, Place, PlannedWait, Promise, describe, parse_version, plan_waits};
use windlass_store::{DocumentKind, Store, StoreError};

use self::record::{By, Entry, Record};
pub use self::view::{ServiceChange, ServiceView};
use crate::circle::{Goal, Planned};
use crate::clock::now;
use crate::plans::KeptPlan;
use crate::runtime::{Inner, Runtime, RuntimeError, lock};
use crate::view::{ReleaseView, StepView};

/// What a release that does not exist yet is called when it is asked what it would wait for.
pub(crate) const THIS: &str = "this release";

/// What cannot be done with a service.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Nothing is known of it.
    #[error("no version of {place} is known; {known}")]
    Unknown {
        /// What was asked for.
        place: Place,
        /// What there is.
        known: String,
    },
    /// A reason is missing.
    #[error("a reason is missing: say why, it is kept with the service (`--reason`)")]
    NoReason,
    /// This is no version.
    #[error("{0}")]
    Version(String),
    /// A release would need what will never be there.
    #[error("{}", .0.join("\n"))]
    NeverThere(Vec<String>),
}

/// The services of an installation.
pub(crate) struct Services {
    store: Arc<dyn Store>,
    state: Mutex<State>,
    /// What is written, is written one after the other.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    records: BTreeMap<Place, Record>,
    /// Of open releases.
    promises: BTreeMap<String, Promise>,
    /// Releases that wait for a version there.
    waiting: BTreeMap<Place, BTreeSet<ReleaseId>>,
    /// Whether `promises` are known: a process that drives no releases reads them when they are asked for.
    is_read: bool,
}

impl State {
    fn known(&self) -> Known {
        let live = self.records.iter().filter_map(|(place, it)| Some((place.clone(), it.live()?.version.clone())));
        Known { live: live.collect(), promises: self.promises.clone() }
    }

    fn is_live(&self, need: &Need) -> bool {
        let live = self.records.get(&need.place).and_then(Record::live);
        live.is_some_and(|it| need.version.matches(&it.version))
    }
}

/// Whether what a release does is no matter of services: what a rehearsal runs against is no place where they are live,
/// and a dry run delivers nothing.
fn is_apart(release: &Release) -> bool {
    release.created().rehearsal || release.is_dry_run()
}

/// What a release will need and deliver from its beginning to its end. What is no version fails where it is needed.
pub(crate) fn promise_of(inner: &Inner, release: &Release) -> Option<Promise> {
    let plan = release.plan();
    let promise = || service::promise_of(plan, &release.created().parameters, &|it| inner.plan(it).ok().flatten());
    plan.promises().then(promise)?.ok()
}

impl Services {
    /// Reads what is live. A record that cannot be read is left out, and said: it must not keep the others away.
    pub(crate) fn load(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let mut state = State::default();
        for (name, bytes) in store.documents(DocumentKind::Service)? {
            match serde_json::from_slice::<Record>(&bytes) {
                Ok(record) => {
                    state.records.insert(record.place.clone(), record);
                }
                Err(error) => tracing::error!(service = %name, %error, "this service cannot be read; set it again"),
            }
        }
        Ok(Self { store, state: Mutex::new(state), writing: tokio::sync::Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Takes in what an open release will need and deliver.
    pub(crate) fn expect(&self, inner: &Inner, release: &Release) {
        if release.outcome().is_some() || is_apart(release) {
            return;
        }
        if let Some(promise) = promise_of(inner, release).filter(|it| !it.is_empty()) {
            self.state().promises.insert(release.id().to_string(), promise);
        }
    }

    /// Reads what open releases promise, in a process that drives none of them.
    fn read_promises(&self, inner: &Inner) {
        if inner.options.drive || std::mem::replace(&mut self.state().is_read, true) {
            return;
        }
        for id in inner.store.open_releases().unwrap_or_default() {
            let promises = inner.store.outline(&id).is_ok_and(|it| it.is_some_and(|it| it.promises));
            if let Some(release) = promises.then(|| inner.replay(&id).ok()).flatten() {
                self.expect(inner, &release);
                self.keep_promises(&release);
            }
        }
    }

    /// A release that is over will deliver nothing any more.
    pub(crate) fn forget(&self, release: &ReleaseId) {
        let mut state = self.state();
        if !state.promises.is_empty() {
            state.promises.remove(release.to_string().as_str());
        }
        state.waiting.retain(|_, waiting| {
            waiting.remove(release);
            !waiting.is_empty()
        });
    }

    /// Asks whether a step may begin: all versions that it requires are live. One that may not is told when to ask
    /// again.
    pub(crate) fn admit(&self, release: &Release, step: StepIndex) -> Result<(), Hold> {
        let requires = &release.definition(step).requires;
        if requires.is_empty() || is_apart(release) {
            return Ok(());
        }
        let mut state = self.state();
        for required in requires {
            let need = match release.with_scope(|scope| required.resolve(scope)) {
                Ok(need) if state.is_live(&need) => continue,
                Ok(need) => need,
                Err(error) => {
                    let owner = release.created().requested_by.name.clone();
                    let text = format!("what it requires of {} cannot be told: {error}", required.service);
                    return Err(Hold { by: HeldBy::Service(required.service.to_string()), text, owner, until: None });
                }
            };
            state.waiting.entry(need.place.clone()).or_default().insert(release.id().clone());
            // Whoever waits for it already knows what that is; the words are made when somebody looks.
            let by = HeldBy::Service(need.to_string());
            if let Some((_, hold)) = release.held_calls().find(|(call, hold)| call.step == step && hold.by == by) {
                return Err(hold.clone());
            }
            let (text, by) = describe(&state.known(), &need);
            let owner = by.unwrap_or_else(|| format!("whoever delivers {}", need.place));
            return Err(Hold { by: HeldBy::Service(need.to_string()), text, owner, until: None });
        }
        Ok(())
    }

    /// Who is to deliver what a step of a release is held for, one that is only planned included.
    pub(crate) fn deliverers(
        &self,
        release: &Release,
        step: StepIndex,
        held_for: &str,
        planned: Option<&Planned>,
    ) -> Vec<Goal> {
        let mut needs = release.definition(step).requires.iter();
        let need = needs
            .find_map(|it| release.with_scope(|scope| it.resolve(scope)).ok().filter(|it| it.to_string() == held_for));
        let Some(need) = need else { return Vec::new() };
        let state = self.state();
        let planned = planned.map(|it| (it.name, &it.promise));
        let promises = state.promises.iter().map(|(release, it)| (release.as_str(), it)).chain(planned);
        let goals = promises.flat_map(|(release, promise)| {
            let here = promise.deliveries.iter().filter(|it| need.is_met_by(&it.delivery));
            here.map(move |it| Goal { release: release.to_owned(), step: Some(it.step.clone()) })
        });
        goals.collect()
    }

    /// Brings what a release's waits say up to date: they were recorded when they began.
    pub(crate) fn tell_waits(&self, inner: &Inner, release: &Release, view: &mut ReleaseView) {
        if release.held_calls().any(|(_, hold)| matches!(hold.by, HeldBy::Service(_))) {
            self.read_promises(inner);
        }
        for (call, hold) in release.held_calls() {
            let HeldBy::Service(held_by) = &hold.by else { continue };
            let step = release.name_of(call.step);
            let wait = view.waits.iter_mut().find(|it| it.cause == "service" && it.step == step.as_str());
            let mut needs = release.definition(call.step).requires.iter();
            let need = needs.find_map(|it| {
                release.with_scope(|scope| it.resolve(scope)).ok().filter(|it| it.to_string() == *held_by)
            });
            if let Some((wait, need)) = wait.zip(need) {
                let (text, by) = describe(&self.state().known(), &need);
                let mut shown = view.steps.iter_mut().flat_map(|it| {
                    let StepView { name, status, items, .. } = it;
                    items.iter_mut().map(|it| (&it.name, &mut it.status)).chain([(&*name, status)])
                });
                if let Some((_, status)) = shown.find(|(name, _)| **name == wait.step) {
                    status.clone_from(&text);
                }
                wait.text = text;
                if let Some(by) = by {
                    wait.command = format!("windlass release show {by}");
                    wait.owner = by;
                }
            }
        }
    }

    /// Writes a service as it stands, or that nothing is known of it; durable when this returns.
    async fn write(&self, place: &Place) -> Result<(), StoreError> {
        let record = self.state().records.get(place).cloned();
        let name = format!("{}/{}", place.environment, place.service);
        match record {
            Some(record) => {
                let bytes = serde_json::to_vec(&record).expect("it holds only what JSON can hold");
                self.store.put_document(DocumentKind::Service, &name, bytes).await
            }
            None => self.store.remove_document(DocumentKind::Service, &name).await.map(|_| ()),
        }
    }

    /// Changes a service; it is as before if it cannot be written. Gives those who are to ask again.
    async fn change(&self, place: &Place, change: impl FnOnce(&mut Record)) -> Result<BTreeSet<ReleaseId>, StoreError> {
        let _alone = self.writing.lock().await;
        let (before, after) = {
            let mut state = self.state();
            let before = state.records.get(place).cloned();
            let mut after = before.clone().unwrap_or_else(|| Record::of(place.clone()));
            change(&mut after);
            if before.as_ref() == Some(&after) || before.is_none() && after.is_empty() {
                return Ok(BTreeSet::new());
            }
            state.put(place, Some(after.clone()).filter(|it| !it.is_empty()));
            (before, after)
        };
        if let Err(error) = self.write(place).await {
            self.state().put(place, before);
            return Err(error);
        }
        let is_other = before.as_ref().and_then(Record::live) != after.live();
        Ok(if is_other { self.state().waiting.remove(place).unwrap_or_default() } else { BTreeSet::new() })
    }

    /// Writes what a release has delivered, and what of that it has rolled back. Once it returns, that is durable.
    pub(crate) async fn note(&self, inner: &Arc<Inner>, release: &Release) -> Result<(), StoreError> {
        if is_apart(release) || !release.plan().promises() {
            return Ok(());
        }
        for index in release.plan().delivering() {
            let run = release.step(*index);
            let Some(delivers) = &release.definition(*index).delivers else { continue };
            // One that cannot be told was refused at the start, or is an inner release's own mistake.
            let Ok(delivery) = release.with_scope(|scope| delivers.resolve(scope)) else { continue };
            let by = By::Release { release: release.id().clone(), step: release.name_of(*index) };
            let told = if is_taken_back(release, *index) {
                self.change(&delivery.place, |it| it.take_back(&by)).await?
            } else if run.state == StepState::Succeeded {
                let at = run.ended_at.unwrap_or_else(|| release.updated_at());
                let entry = Entry { version: delivery.version, by, at };
                self.change(&delivery.place, |it| it.deliver(entry)).await?
            } else {
                continue;
            };
            ask_again(inner, told);
        }
        self.keep_promises(release);
        Ok(())
    }

    /// Takes out of a release's promise what it has delivered, and what it will not deliver any more.
    fn keep_promises(&self, release: &Release) {
        let mut state = self.state();
        let Some(promise) = state.promises.get_mut(release.id().to_string().as_str()) else { return };
        let goes_forward = matches!(release.state(), ReleaseState::Queued | ReleaseState::Running);
        promise.deliveries.retain(|it| {
            let step = it.step.split('/').next().and_then(|it| release.index_of(&it.parse().ok()?));
            let has_ended = step.is_some_and(|it| release.step(it).state.lets_dependents_run());
            goes_forward && !has_ended
        });
    }
}

/// Whether what a step delivered is being rolled back, or was: itself, or something that it stands on. A step that
/// only looked whether a version is there has nothing to roll back, and says no more that it is.
pub(crate) fn is_taken_back(release: &Release, step: StepIndex) -> bool {
    if release.rollback().is_none() {
        return false;
    }
    let is_back = |it: StepIndex| match &release.step(it).state {
        StepState::RolledBack | StepState::RollbackBlocked { .. } => true,
        StepState::Active(activity) => activity.operation == Operation::Rollback,
        _ => false,
    };
    let (mut open, mut seen) = (vec![step], BTreeSet::new());
    while let Some(step) = open.pop() {
        if !seen.insert(step) {
            continue;
        }
        if is_back(step) || release.all_items(step).any(is_back) {
            return true;
        }
        open.extend(release.plan().graph().parents(step));
    }
    false
}

impl State {
    fn put(&mut self, place: &Place, record: Option<Record>) {
        match record {
            Some(record) => self.records.insert(place.clone(), record),
            None => self.records.remove(place),
        };
    }
}

/// Those who wait for a version look again whether it is there.
fn ask_again(inner: &Arc<Inner>, waiting: BTreeSet<ReleaseId>) {
    let runtime = Runtime { inner: inner.clone() };
    for release in waiting {
        // It asks by itself when it is brought back, so nobody need wait for that.
        drop(runtime.ask_again(&release));
    }
}

impl Runtime {
    /// What a release of a plan with these parameters would wait for.
    pub(crate) fn check_services(&self, kept: &KeptPlan, parameters: &Value) -> Result<Vec<PlannedWait>, RuntimeError> {
        if !kept.plan().promises() {
            return Ok(Vec::new());
        }
        let refused = |it| RuntimeError::from(ServiceError::NeverThere(it));
        let promise = self.promise_of(kept, parameters)?;
        let mut known = self.inner.services.state().known();
        known.promises.insert(THIS.to_owned(), promise);
        plan_waits(&known, THIS).map_err(refused)
    }

    /// What a release of a plan with these parameters would need and deliver; what others will is known then, too.
    pub(crate) fn promise_of(&self, kept: &KeptPlan, parameters: &Value) -> Result<Promise, RuntimeError> {
        let refused = |it| RuntimeError::from(ServiceError::NeverThere(it));
        let promise =
            service::promise_of(kept.plan(), parameters, &|it| self.inner.plan(it).ok().flatten()).map_err(refused)?;
        self.inner.services.read_promises(&self.inner);
        Ok(promise)
    }

    /// Every service of which something is known.
    pub fn services(&self) -> Vec<ServiceView> {
        self.inner.services.read_promises(&self.inner);
        let state = self.inner.services.state();
        let kept = state.records.iter().filter(|(_, it)| !it.history.is_empty());
        let mut places: BTreeSet<&Place> = kept.map(|(place, _)| place).collect();
        places.extend(state.promises.values().flat_map(|it| &it.deliveries).map(|it| &it.delivery.place));
        places.into_iter().map(|it| ServiceView::of(it, state.records.get(it), &state.promises)).collect()
    }

    /// One service somewhere.
    pub fn service(&self, place: &Place) -> Result<ServiceView, RuntimeError> {
        let all = self.services();
        let found = all.iter().find(|it| it.place == *place).cloned();
        found.ok_or_else(|| self.unknown_service(place).into())
    }

    fn unknown_service(&self, place: &Place) -> ServiceError {
        let known: Vec<String> = self.services().iter().map(|it| it.place.to_string()).collect();
        let known = match known.as_slice() {
            [] => "none of any service is; a step that `delivers` one makes it known, or `windlass service set`"
                .to_owned(),
            all => format!("known are {}", windlass_model::problem::listed(all)),
        };
        ServiceError::Unknown { place: place.clone(), known }
    }

    /// Says which version is live, of a service that no release delivered.
    pub async fn set_service(
        &self,
        place: &Place,
        version: &str,
        by: Actor,
        reason: String,
    ) -> Result<ServiceView, RuntimeError> {
        let reason = reasoned(reason)?;
        let version = parse_version(version).map_err(ServiceError::Version)?;
        let entry = Entry { version, by: By::Person { actor: by, reason }, at: now() };
        let told = self.inner.services.change(place, |it| it.deliver(entry)).await?;
        ask_again(&self.inner, told);
        self.service(place)
    }

    /// Forgets what is live of a service, and what was.
    pub async fn forget_service(&self, place: &Place, by: &Actor, reason: String) -> Result<(), RuntimeError> {
        let reason = reasoned(reason)?;
        if self.inner.services.state().records.get(place).and_then(Record::live).is_none() {
            return Err(self.unknown_service(place).into());
        }
        tracing::info!(service = %place, %by, reason, "it is forgotten which version is live");
        let told = self.inner.services.change(place, |it| it.forget(now())).await?;
        ask_again(&self.inner, told);
        Ok(())
    }
}

fn reasoned(reason: String) -> Result<String, ServiceError> {
    if reason.trim().is_empty() { Err(ServiceError::NoReason) } else { Ok(reason) }
}
