//! Circuit breakers at work: asked before a step's call is made, told how it ended, kept in the store.
//!
//! A release that is held registers here and is parked. When its breaker lets something through again, it is brought
//! back and asks anew: all of them when it closes; when it is half open one after the other, until one is the probe.
//!
//! **Invariant:** where nothing was set and nobody opened anything, nothing is counted and nothing asked.
//! **Invariant:** what a person does is durable before it is acknowledged, and what a breaker does because something
//! ended before that end is recorded; only what time alone does is written soon after. Samples are not written: after
//! a restart a breaker that is closed counts anew.

mod alarm;
mod concerned;
mod gate;
mod people;
mod reach;
mod record;
mod view;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use windlass_engine::{Admission, Breaker, BreakerPhase, Release};
use windlass_model::alert::AlertMatch;
use windlass_model::breaker::BreakerKey;
use windlass_model::event::{HeldBy, Hold};
use windlass_model::name::ReleaseId;
use windlass_model::time::Timestamp;
use windlass_store::{DocumentKind, Store, StoreError};

use self::concerned::{Held, Holders, Verdict, verdicts};
pub(crate) use self::gate::Gate;
pub use self::people::BreakerError;
pub use self::reach::{Reach, TripView};
use self::record::{Record, SetBy};
pub use self::view::{BreakerChange, BreakerSample, BreakerView, FiringAlert};
use crate::clock::now;
use crate::runtime::{Inner, Runtime, lock};
use crate::view::ReleaseView;

/// How long it takes until something is written again after the store has failed.
const STORE_RETRY: Duration = Duration::from_secs(5);

/// How long the timer sleeps before it looks at the clock again.
const CLOCK_LOOK: Duration = Duration::from_secs(60);

/// A call is not let through.
#[derive(Debug)]
pub(crate) struct Refusal {
    hold: Hold,
    /// Whether the breaker is open; else it only waits for its probe.
    is_open: bool,
}

/// The breakers of an installation.
pub(crate) struct Breakers {
    store: Arc<dyn Store>,
    entries: Mutex<BTreeMap<BreakerKey, Entry>>,
    /// Whether there are none.
    quiet: AtomicBool,
    /// Told when one has changed, or would take a probe.
    told: Arc<Notify>,
    /// What is written, is written one after the other.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone)]
struct Entry {
    breaker: Breaker,
    set: Option<SetBy>,
    /// The alerts that keep it open while they fire.
    alert: Option<AlertMatch>,
    /// Releases that it holds, and until when.
    waiting: BTreeMap<ReleaseId, Held>,
    /// How often it had changed when it was last written.
    written: u64,
}

impl Entry {
    fn new() -> Self {
        Self { breaker: Breaker::new(None, now()), set: None, alert: None, waiting: BTreeMap::new(), written: 0 }
    }

    /// What is to be written of it, and how often it had changed then.
    fn record(&mut self, key: &BreakerKey) -> (Record, u64) {
        (Record::of(key, self, now()), self.breaker.changed())
    }

    /// Whether somebody has to be told, or something written.
    fn is_stirred(&self) -> bool {
        let passes = self.breaker.wants_a_probe() || self.breaker.phase() == BreakerPhase::Closed;
        let lets_some_pass =
            self.breaker.phase() != BreakerPhase::Open && self.waiting.values().any(|it| *it == Held::WhileOpen);
        self.breaker.changed() != self.written || (passes && !self.waiting.is_empty()) || lets_some_pass
    }
}

impl Breakers {
    /// Reads all breakers. One that cannot be read is left out, and said: it must not keep the others from working.
    pub(crate) fn load(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let mut entries = BTreeMap::new();
        for (name, bytes) in store.documents(DocumentKind::Breaker)? {
            match serde_json::from_slice::<Record>(&bytes) {
                Ok(record) => {
                    entries.insert(record.key.clone(), record.entry(now()));
                }
                Err(error) => tracing::error!(breaker = %name, %error, "this breaker cannot be read; set it again"),
            }
        }
        Ok(Self {
            store,
            quiet: AtomicBool::new(entries.is_empty()),
            entries: Mutex::new(entries),
            told: Arc::default(),
            writing: tokio::sync::Mutex::default(),
        })
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::Acquire)
    }

    /// Whether there is a breaker of a service or of an environment.
    fn has_places(&self) -> bool {
        self.entries().keys().any(|it| matches!(it, BreakerKey::Service { .. } | BreakerKey::Environment(_)))
    }

    /// Whether somebody is the probe of one of these.
    fn is_one_probed(&self, keys: &BTreeMap<BreakerKey, Held>) -> bool {
        let entries = self.entries();
        let is_probed = |it: &Entry| it.breaker.phase() == BreakerPhase::HalfOpen && !it.breaker.wants_a_probe();
        keys.keys().filter_map(|it| entries.get(it)).any(is_probed)
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<BreakerKey, Entry>> {
        lock(&self.entries)
    }

    /// Asks whether a call may be made: by all breakers that it has to do with. `of_release` are those that hold the
    /// release as a whole. A release that is held is told when to ask again.
    fn admit(&self, release: &ReleaseId, of_release: &Holders, keys: &[BreakerKey], who: &str) -> Result<(), Refusal> {
        let now = now();
        let mut entries = self.entries();
        let id = release.to_string();
        let Holders { keys: of_release, within } = of_release;
        let of_release = of_release.iter().map(|(key, held)| (key, id.as_str(), *held));
        let of_call = |it| (it, who, Held::UntilProbed);
        let asked: Vec<(&BreakerKey, &str, Held)> =
            [of_call(&BreakerKey::Global)].into_iter().chain(of_release).chain(keys.iter().map(of_call)).collect();
        for (key, as_whom, held) in &asked {
            let Some(entry) = entries.get_mut(key) else { continue };
            let is_part_of_the_probe = within.iter().any(|it| entry.breaker.is_probed_by(it));
            let lets_through = |it: &mut Breaker| match held {
                Held::UntilProbed => it.admit(as_whom, now) != Admission::Held,
                Held::WhileOpen => it.passes(now),
            };
            if is_part_of_the_probe || lets_through(&mut entry.breaker) {
                continue;
            }
            entry.waiting.insert(release.clone(), *held);
            let hold = hold(key, &entry.breaker);
            let is_open = entry.breaker.phase() == BreakerPhase::Open;
            // Of none of them it is the probe now, of those that come after this one neither: it may have been before.
            for (key, as_whom, _) in &asked {
                if let Some(entry) = entries.get_mut(key) {
                    entry.breaker.abandon(as_whom);
                }
            }
            self.stir(&entries);
            return Err(Refusal { hold, is_open });
        }
        self.stir(&entries);
        Ok(())
    }

    fn observe(&self, keys: &[BreakerKey], who: &str, failure: Option<String>) {
        let mut entries = self.entries();
        for key in keys {
            if let Some(entry) = entries.get_mut(key) {
                entry.breaker.observe(who, failure.clone(), now());
            }
        }
        self.stir(&entries);
    }

    /// A release is about to end: the breakers that it has to do with are told, and it waits for nothing any more. What
    /// they did then is durable when this returns.
    pub(crate) async fn release_ended(&self, release: &Release) -> Result<(), StoreError> {
        if self.is_quiet() {
            return Ok(());
        }
        self.forget(release.id());
        let verdicts = verdicts(release);
        {
            let mut entries = self.entries();
            let who = release.id().to_string();
            for (key, verdict) in verdicts.iter().filter(|(_, it)| **it != Verdict::None) {
                if let Some(entry) = entries.get_mut(key) {
                    let end = release.outcome().map(|it| it.name().to_owned());
                    entry.breaker.observe(&who, end.filter(|_| *verdict == Verdict::Bad), now());
                }
            }
            self.stir(&entries);
        }
        // Where its end says nothing it may have been the probe all the same.
        self.abandon_release(release.id());
        self.settle(verdicts.keys()).await
    }

    /// A release waits for something else, or is over: it is the probe of nothing.
    pub(super) fn abandon_release(&self, release: &ReleaseId) {
        if !self.is_quiet() {
            let mut entries = self.entries();
            let who = release.to_string();
            entries.values_mut().for_each(|it| it.breaker.abandon(&who));
            self.stir(&entries);
        }
    }

    /// A release that is over waits for nothing.
    fn forget(&self, release: &ReleaseId) {
        if !self.is_quiet() {
            self.entries().values_mut().for_each(|it| {
                it.waiting.remove(release);
            });
        }
    }

    fn abandon(&self, keys: &[BreakerKey], who: &str) {
        if self.is_quiet() {
            return;
        }
        let mut entries = self.entries();
        for key in keys {
            if let Some(entry) = entries.get_mut(key) {
                entry.breaker.abandon(who);
            }
        }
        self.stir(&entries);
    }

    fn stir(&self, entries: &BTreeMap<BreakerKey, Entry>) {
        if entries.values().any(Entry::is_stirred) {
            self.told.notify_one();
        }
    }

    /// Brings what a release's waits say up to date: they were recorded when they began.
    pub(crate) fn tell_waits(&self, release: &Release, view: &mut ReleaseView) {
        let mut entries = self.entries();
        for (call, hold) in release.held_calls() {
            let HeldBy::Breaker(key) = &hold.by else { continue };
            let step = release.name_of(call.step);
            let wait = view.waits.iter_mut().find(|it| it.cause == "breaker" && it.step == step.as_str());
            let entry = key.parse::<BreakerKey>().ok().and_then(|it| entries.get_mut(&it));
            if let (Some(wait), Some(entry)) = (wait, entry) {
                let seen = entry.breaker.snapshot(now());
                wait.until = seen.until;
                if let Some(probe) = seen.probe {
                    wait.text = format!("{key} is half-open: {} is tried first", probe.who);
                }
            }
        }
    }

    /// Writes those of them that have changed by themselves; durable when this returns.
    async fn settle(&self, keys: impl IntoIterator<Item = &BreakerKey>) -> Result<(), StoreError> {
        for key in keys {
            // Somebody else may have written it meanwhile.
            if self.entries().get(key).is_some_and(|it| it.breaker.changed() != it.written) {
                self.write(key).await?;
            }
        }
        Ok(())
    }

    /// Writes a breaker as it stands; durable when this returns.
    async fn write(&self, key: &BreakerKey) -> Result<(), StoreError> {
        let _alone = self.writing.lock().await;
        let (record, changed) = self.entries().get_mut(key).map(|it| it.record(key)).unzip();
        self.put(key, record).await?;
        if let (Some(entry), Some(changed)) = (self.entries().get_mut(key), changed) {
            entry.written = changed;
        }
        Ok(())
    }

    async fn put(&self, key: &BreakerKey, record: Option<Record>) -> Result<(), StoreError> {
        let name = key.to_string();
        match record {
            Some(record) => {
                let bytes = serde_json::to_vec(&record).expect("breakers hold only what JSON can hold");
                self.store.put_document(DocumentKind::Breaker, &name, bytes).await
            }
            None => self.store.remove_document(DocumentKind::Breaker, &name).await.map(drop),
        }
    }

    /// Lets time pass, and tells who is to be asked again and who is to be written.
    fn look(&self) -> Look {
        let now = now();
        let mut look = Look::default();
        for (key, entry) in self.entries().iter_mut() {
            entry.breaker.pass(now);
            if entry.breaker.changed() != entry.written {
                look.unwritten.push(key.clone());
            }
            if entry.breaker.phase() == BreakerPhase::HalfOpen {
                look.free
                    .extend(entry.waiting.extract_if(.., |_, it| *it == Held::WhileOpen).map(|(release, _)| release));
            }
            if entry.breaker.phase() == BreakerPhase::Closed {
                look.free.extend(std::mem::take(&mut entry.waiting).into_keys());
            } else if entry.breaker.wants_a_probe()
                && look.next.is_none()
                && let Some((release, _)) = entry.waiting.pop_first()
            {
                look.next = Some(release);
            }
            look.due = [look.due, entry.breaker.due()].into_iter().flatten().min();
        }
        look
    }
}

/// What is to be done now.
#[derive(Debug, Default)]
struct Look {
    unwritten: Vec<BreakerKey>,
    /// Nothing holds them any more.
    free: BTreeSet<ReleaseId>,
    /// It could be the probe.
    next: Option<ReleaseId>,
    /// When the next cooldown ends.
    due: Option<Timestamp>,
}

fn hold(key: &BreakerKey, breaker: &Breaker) -> Hold {
    let opening = breaker.opening();
    let person = opening.and_then(|it| it.by.as_ref());
    let owner = match (person, key) {
        (Some(person), _) => person.name.clone(),
        (None, BreakerKey::Connection { connection, .. }) => format!("the service behind `{connection}`"),
        (None, BreakerKey::Workflow(workflow)) => format!("whoever looks after `{workflow}`"),
        (None, BreakerKey::Service { service, .. }) => format!("whoever delivers `{service}`"),
        (None, BreakerKey::Environment(environment)) => format!("whoever looks after `{environment}`"),
        (None, BreakerKey::Tenant(tenant)) => format!("tenant `{tenant}`"),
        (None, BreakerKey::Global) => "an operator".to_owned(),
    };
    let text = opening.map_or_else(String::new, |it| it.why.clone());
    Hold { by: HeldBy::Breaker(key.to_string()), text, owner, until: breaker.due() }
}

/// Does what breakers do by themselves: they are written, their cooldowns end, and who waits is asked.
pub(crate) async fn keep(inner: Weak<Inner>) {
    loop {
        let Some(strong) = inner.upgrade() else { return };
        let told = strong.breakers.told.clone();
        let runtime = Runtime { inner: strong };
        let look = runtime.inner.breakers.look();
        let mut failed = false;
        for key in &look.unwritten {
            if let Err(error) = runtime.inner.breakers.write(key).await {
                tracing::error!(breaker = %key, %error, "this breaker could not be written; it is tried again");
                failed = true;
            }
        }
        for release in &look.free {
            drop(runtime.ask_again(release));
        }
        if let Some(release) = &look.next {
            // Whether it was the probe, the breaker knows then; if it was not, the next one is asked.
            let _ = runtime.ask_again(release).await;
            continue;
        }
        drop(runtime);
        let wait = look.due.map_or(CLOCK_LOOK * 60, |it| it.since(now()).into()).min(match look.due {
            Some(_) => CLOCK_LOOK,
            None => CLOCK_LOOK * 60,
        });
        let wait = if failed { wait.min(STORE_RETRY) } else { wait };
        let _ = tokio::time::timeout(wait, told.notified()).await;
    }
}
