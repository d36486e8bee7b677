//! Admission: which releases begin at once and which wait, for a place in a concurrency group or within limits.
//!
//! A release that waits is queued in its journal, parked, and in one line here. When its turn comes it is brought
//! back, and its driver records that it is admitted before anything of it starts. It keeps its place until it is
//! over, through pauses and rollbacks.
//!
//! **Invariant:** where nothing is limited, a release of no group asks one flag, and nothing is recorded for it.
//! **Invariant:** a place is taken here before the record that needs it is written, and free only when what gives it
//! up is durable. All of it follows from the outlines of open releases, so the next process finds it as it was.

mod door;
mod limits;
mod line;
mod queue;
mod setting;
mod view;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use tokio::sync::watch;
use windlass_engine::Release;
use windlass_model::actor::Actor;
use windlass_model::concurrency::{Claim, Group, Priority, UnresolvedGroup};
use windlass_model::event::{Outcome, Parent};
use windlass_model::name::{ReleaseId, TenantName};
use windlass_model::plan::Plan;
use windlass_model::time::Timestamp;
use windlass_store::{AppendError, DocumentKind, Outline, Store, StoreError};

pub(crate) use self::door::Door;
use self::limits::{Allowed, Limit, Limits};
pub use self::limits::{LIMIT_MAX, LimitScope, WAITING_MAX};
use self::queue::{Entrant, Entry, Queue};
pub use self::view::{LimitView, QueueView};
use crate::circle::{Goal, Planned, Waits};
use crate::clock::now;
use crate::plans::KeptPlan;
use crate::runtime::{Runtime, RuntimeError, lock};
use crate::services::THIS;
use crate::view::ReleaseView;

/// Why a release is not started, or a limit not set.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// Its group has no name.
    #[error(transparent)]
    Group(#[from] UnresolvedGroup),
    /// It would wait for who waits for it.
    #[error(
        "{text}: cancel one of them first (`windlass release cancel {holder} --reason …`), or start it in another group"
    )]
    Circle {
        /// The whole chain.
        text: String,
        /// Who has the place.
        holder: String,
    },
    /// Too many wait already.
    #[error(
        "{waiting} releases{} wait already, and {limit} may: start it when fewer do, or let more wait (`windlass limit set{} --waiting N`)",
        .tenant.as_ref().map(|it| format!(" of tenant {it}")).unwrap_or_default(),
        .tenant.as_ref().map(|it| format!(" --tenant {it}")).unwrap_or_default()
    )]
    TooManyWait {
        /// So many.
        waiting: u32,
        /// So many may.
        limit: u32,
        /// Of this tenant; of all when there is none.
        tenant: Option<TenantName>,
    },
    /// Nothing was said.
    #[error("say how many releases may run (`releases`), how many may wait (`waiting`), or both")]
    NothingSet,
    /// No such number.
    #[error("`{what}` is a whole number from {least} to {LIMIT_MAX}, not {given}")]
    OutOfRange {
        /// Of what.
        what: &'static str,
        /// The least that will do.
        least: u32,
        /// What was given.
        given: u32,
    },
    /// There is no such limit.
    #[error("no limit is set for {scope}; {known}")]
    NoSuchLimit {
        /// What was asked for.
        scope: LimitScope,
        /// What there is.
        known: String,
    },
}

/// What a release is begun with.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) parameters: serde_json::Value,
    pub(crate) requested_by: Actor,
    pub(crate) parent: Option<Parent>,
    /// Whether it only shows that, and how fast, it can be rolled back.
    pub(crate) rehearsal: bool,
    /// Whether it only shows what it would do. It takes no place, and waits for none.
    pub(crate) dry_run: bool,
    /// Whether it is recorded.
    pub(crate) recorded: bool,
    pub(crate) priority: Priority,
    /// Whether it is refused when too many wait. What a schedule or a step starts is bounded by them.
    pub(crate) may_be_refused: bool,
}

impl Asked {
    /// As a person asks.
    pub(crate) fn by(requested_by: Actor) -> Self {
        let parameters = serde_json::Value::Null;
        Self { may_be_refused: true, ..Self::within(parameters, requested_by, None) }
    }

    /// As a schedule or a step asks.
    pub(crate) fn within(parameters: serde_json::Value, requested_by: Actor, parent: Option<Parent>) -> Self {
        let priority = Priority::default();
        Self {
            parameters,
            requested_by,
            parent,
            rehearsal: false,
            dry_run: false,
            recorded: false,
            priority,
            may_be_refused: false,
        }
    }
}

/// How a release is to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Start {
    /// At once, with nothing to record of it.
    Free,
    /// At once, with a place of its own.
    Admitted(Claim),
    /// When its turn comes.
    Queued(Claim),
    /// Not at all: there is one of this id, and the store will say so.
    Known,
}

/// Who may begin in an installation.
pub(crate) struct Admission {
    queue: Mutex<Queue>,
    kept: Mutex<BTreeMap<LimitScope, Limit>>,
    /// Told when those that wait may stand elsewhere.
    moved: watch::Sender<u64>,
    /// Whether anything limits how many run.
    is_limited: AtomicBool,
    /// Whether those are counted, too, that began before anything was limited.
    counts_all: AtomicBool,
    /// What is written, is written one after the other.
    writing: tokio::sync::Mutex<()>,
}

impl Admission {
    /// Reads all limits. One that cannot be read is left out, and said: it must not keep everything from starting.
    pub(crate) fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let mut kept = BTreeMap::new();
        for (name, bytes) in store.documents(DocumentKind::Limit)? {
            match serde_json::from_slice::<Limit>(&bytes) {
                Ok(limit) => drop(kept.insert(LimitScope::of(limit.tenant.clone()), limit)),
                Err(error) => tracing::error!(limit = %name, %error, "this limit cannot be read; set it again"),
            }
        }
        let limits = limits_of(&kept);
        Ok(Self {
            moved: watch::Sender::new(0),
            is_limited: AtomicBool::new(limits.are_set()),
            counts_all: AtomicBool::new(limits.are_set()),
            queue: Mutex::new(Queue::new(limits)),
            kept: Mutex::new(kept),
            writing: tokio::sync::Mutex::default(),
        })
    }

    pub(crate) fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    fn is_limited(&self) -> bool {
        self.is_limited.load(Ordering::SeqCst)
    }

    /// Whether a release takes a place that somebody may wait for.
    fn concerns(&self, release: &Release) -> bool {
        if release.is_dry_run() {
            return false;
        }
        let (claim, is_limited) = (&release.created().claim, self.is_limited());
        if claim.as_ref().is_some_and(|it| it.group.is_some()) || is_limited && release.created().parent.is_none() {
            return true;
        }
        (claim.is_some() || is_limited) && self.queue().has(release.id())
    }

    /// Takes in an open release as it was found when the store was opened.
    pub(crate) fn restore(&self, outline: &Outline) {
        let is_admitted = outline.standing.as_ref().is_none_or(|it| it.admitted);
        let is_in_group = outline.standing.as_ref().is_some_and(|it| it.claim.group.is_some());
        if is_in_group || !is_admitted || self.is_limited() {
            restore(&mut self.queue(), outline, is_admitted);
        }
    }
}

/// A priority by its name, where it is not the usual one.
pub(crate) fn unusual(priority: Priority) -> Option<String> {
    (priority != Priority::default()).then(|| priority.name().to_owned())
}

fn waits_for(what: &str, whom: &[ReleaseId]) -> Waits {
    let names: Vec<String> = whom.iter().take(3).map(ToString::to_string).collect();
    let more = if whom.len() > names.len() { format!(" and {} more", whom.len() - names.len()) } else { String::new() };
    let text = format!("waits for {what}, which {}{more} must leave first", names.join(", "));
    Waits { step: None, text, any_of: whom.iter().map(Goal::end).collect(), is_for_place: true }
}

fn limits_of(kept: &BTreeMap<LimitScope, Limit>) -> Limits {
    let mut limits = Limits::default();
    for (scope, limit) in kept {
        limits.set(scope.clone(), Allowed { releases: limit.releases, waiting: limit.waiting });
    }
    limits
}

/// Takes an open release in as its outline tells of it. One that has ended is open, too, while it owes its end to the
/// release that it is a part of.
fn restore(queue: &mut Queue, outline: &Outline, is_admitted: bool) {
    if outline.dry_run || Outcome::ALL.iter().any(|(_, name)| *name == outline.state) {
        return;
    }
    let (claim, counted) = match outline.standing.as_deref() {
        Some(standing) => (standing.claim.clone(), standing.counted),
        None => (Claim { group: None, tenant: TenantName::default(), priority: Priority::default() }, true),
    };
    let entrant = Entrant {
        release: outline.release.clone(),
        claim,
        counted,
        created_at: outline.created_at,
        requested_by: outline.requested_by.clone(),
    };
    queue.restore(entrant, is_admitted);
}

/// What a release needs, as it is now.
fn entrant(release: &Release) -> Entrant {
    let created = release.created();
    let tenant = || release.plan().workflow().tenant.clone().unwrap_or_default();
    Entrant {
        release: release.id().clone(),
        claim: created.claim.clone().unwrap_or_else(|| Claim {
            group: None,
            tenant: tenant(),
            priority: Priority::default(),
        }),
        counted: created.parent.is_none(),
        created_at: release.created_at(),
        requested_by: created.requested_by.name.clone(),
    }
}

impl Runtime {
    /// How a release of this plan is to begin; takes its place, or counts it as one that waits.
    pub(crate) async fn start_of(
        &self,
        plan: &Plan,
        id: &ReleaseId,
        asked: &Asked,
        now: Timestamp,
    ) -> Result<Start, RuntimeError> {
        let admission = &self.inner.admission;
        let workflow = plan.workflow();
        let group = workflow.concurrency.as_ref().map(|it| it.resolve(&asked.parameters));
        // What runs on copies is in nobody's way but that of others on copies.
        let group = group.transpose().map_err(AdmissionError::from)?.map(|it| match asked.rehearsal {
            true => Group { name: format!("rehearsals of {}", it.name), ..it },
            false => it,
        });
        if asked.dry_run {
            return Ok(Start::Free);
        }
        let counted = asked.parent.is_none();
        let is_plain = group.is_none() && asked.priority == Priority::default();
        if is_plain && !(counted && admission.is_limited()) {
            return Ok(Start::Free);
        }
        let mut claim = Claim { group, tenant: workflow.tenant.clone().unwrap_or_default(), priority: asked.priority };
        if let Some(parent) = &asked.parent {
            self.inherit(parent, &mut claim).await?;
            // It has the place that the release has inside of which it is.
            if claim.group.is_none() {
                return Ok(Start::Free);
            }
        }
        let is_held_to_something = claim.group.is_some() || counted && admission.is_limited();
        if !is_held_to_something {
            return Ok(Start::Admitted(claim));
        }
        // Whoever drives releases lets them in.
        if !self.drives() {
            return Ok(Start::Queued(claim));
        }
        let entrant = Entrant {
            release: id.clone(),
            claim: claim.clone(),
            counted,
            created_at: now,
            requested_by: asked.requested_by.name.clone(),
        };
        match admission.queue().enter(entrant, asked.may_be_refused, now) {
            Entry::Runs if is_plain => Ok(Start::Free),
            Entry::Runs => Ok(Start::Admitted(claim)),
            Entry::Known => Ok(Start::Known),
            Entry::Waits => Ok(Start::Queued(claim)),
            Entry::Refused { waiting, limit, tenant } => {
                Err(AdmissionError::TooManyWait { waiting, limit, tenant }.into())
            }
        }
    }

    /// One inside of others takes no place that one of them has, and is as urgent as they are.
    async fn inherit(&self, parent: &Parent, claim: &mut Claim) -> Result<(), RuntimeError> {
        let mut next = Some(parent.release.clone());
        let mut priority = None;
        while let Some(id) = next {
            let outer = match self.release(&id).await {
                Err(RuntimeError::UnknownRelease(_)) => break,
                other => other?,
            };
            if let Some(theirs) = &outer.created().claim {
                priority = priority.or(Some(theirs.priority));
                let name = |it: &Claim| it.group.as_ref().map(|it| it.name.clone());
                if name(theirs) == name(claim) {
                    claim.group = None;
                }
            }
            next = outer.created().parent.as_ref().map(|it| it.release.clone());
        }
        claim.priority = priority.unwrap_or(claim.priority);
        Ok(())
    }

    /// A release was not begun: its place is free again, unless it may have been recorded after all.
    pub(crate) fn not_begun(&self, id: &ReleaseId, error: &AppendError) {
        let is_there = match error {
            AppendError::Conflict { .. } => false,
            AppendError::Store(_) => !matches!(self.store().outline(id), Ok(None)),
        };
        if !is_there {
            let stirred = self.inner.admission.queue().leave(id, false, now());
            self.stir(stirred);
        }
    }

    /// Lets those whose turn it is ask.
    pub(crate) fn stir(&self, stirred: Vec<ReleaseId>) {
        self.inner.admission.moved.send_modify(|it| *it += 1);
        for release in stirred {
            drop(self.ask_again(&release));
        }
    }

    /// Tells when those that wait may stand elsewhere.
    pub(crate) fn moves(&self) -> watch::Receiver<u64> {
        self.inner.admission.moved.subscribe()
    }

    /// All open releases are known now.
    pub(crate) fn admission_is_complete(&self) {
        let stirred = self.inner.admission.queue().complete(now());
        self.stir(stirred);
    }

    /// Brings what the wait of a queued release says up to date: what is recorded is only that it waits.
    pub(crate) fn tell_place(&self, release: &Release, view: &mut ReleaseView) {
        if !release.is_queued() {
            return;
        }
        let explained = if self.drives() {
            self.inner.admission.queue().explain(release.id(), now())
        } else {
            self.line_as_found().and_then(|it| it.explain(release.id(), now()))
        };
        let wait = view.waits.iter_mut().find(|it| it.cause == "queue");
        if let (Some(wait), Some(explained)) = (wait, explained) {
            view.headline.clone_from(&explained.text);
            wait.text = explained.text;
            wait.owner = explained.owner;
            wait.queue = Some(explained.queue);
        }
    }

    /// Whether, as far as this process knows, nobody waits for a place.
    pub(crate) fn nobody_waits(&self) -> bool {
        self.drives() && self.inner.admission.queue().is_idle()
    }

    /// What a queued release waits for.
    pub(crate) fn waits_for_place(&self, release: &ReleaseId) -> Option<Waits> {
        let found = if self.drives() {
            self.inner.admission.queue().waits_for(release, now())
        } else {
            self.line_as_found()?.waits_for(release, now())
        };
        found.map(|(what, whom)| waits_for(&what, &whom))
    }

    /// Refuses a release that would wait for the end of those that wait for what only it would deliver: it is certain
    /// that nobody of them would go on.
    pub(crate) async fn check_circle(
        &self,
        kept: &KeptPlan,
        parameters: &serde_json::Value,
    ) -> Result<(), RuntimeError> {
        let workflow = kept.plan().workflow();
        let Some(group) = workflow.concurrency.as_ref().filter(|_| kept.plan().promises()) else { return Ok(()) };
        let group = group.resolve(parameters).map_err(AdmissionError::from)?;
        let holders = if self.drives() {
            self.inner.admission.queue().holders(&group.name, group.limit)
        } else {
            self.line_as_found().map(|it| it.holders(&group.name, group.limit)).unwrap_or_default()
        };
        if holders.is_empty() {
            return Ok(());
        }
        let promise = self.promise_of(kept, parameters)?;
        let waits = waits_for(&format!("a place in group {}", group.name), &holders);
        match self.would_close(Planned { name: THIS, waits, promise }).await? {
            None => Ok(()),
            Some(circle) => Err(AdmissionError::Circle { text: circle.text(), holder: circle.holder }.into()),
        }
    }

    /// The queue as it stands in the store, where nobody drives releases.
    fn line_as_found(&self) -> Option<Queue> {
        let mut queue = Queue::new(limits_of(&lock(&self.inner.admission.kept)));
        for id in self.store().open_releases().ok()? {
            if let Some(outline) = self.store().outline(&id).ok()? {
                restore(&mut queue, &outline, outline.standing.as_ref().is_none_or(|it| it.admitted));
            }
        }
        Some(queue)
    }
}
