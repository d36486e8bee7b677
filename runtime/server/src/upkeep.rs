//! What keeps the store small: finished releases are archived, old ones removed where somebody asked for that, and blobs
//! go that nothing names any more.
//!
//! All of it happens in small portions, and rests after each for as long as it took.
//!
//! **Invariant:** nothing of a release that is open, or that ended after the given time, is touched; an archived release is
//! read, rolled back and run again like any other.
//! **Invariant:** a blob that something in this process still knows of (a plan at hand, an installed plugin) stays.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use windlass_model::digest::Digest;
use windlass_model::name::ReleaseId;
use windlass_model::time::{Span, Timestamp};
use windlass_store::{Archived, Expired, SledStore, StoreError};

use crate::clock::now;
use crate::runtime::{Inner, Runtime, RuntimeError, lock};
use crate::supervise;

/// When finished releases are archived and removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upkeep {
    /// How long after its end a release is archived.
    pub archive_after: Span,
    /// How long after its end a release is removed; never if there is none.
    pub retention: Option<Span>,
}

impl Default for Upkeep {
    fn default() -> Self {
        Self { archive_after: Span::seconds(60 * 60), retention: None }
    }
}

/// What [`Runtime::expire`] removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Removal {
    /// Releases.
    pub releases: u64,
    /// Blobs.
    pub blobs: u64,
}

/// Segments that are written before a rest, some hundred releases each.
const SEGMENTS: u64 = 2;

/// Releases that are removed before a rest.
const RELEASES: usize = 200;

/// How often somebody looks whether there is something to archive: a part of the time after which it is done, but
/// neither without end nor all the time.
const LOOK_MIN: Duration = Duration::from_secs(1);
const LOOK_MAX: Duration = Duration::from_secs(60);

/// How often old releases are removed.
const REMOVAL_EVERY: Duration = Duration::from_secs(10 * 60);

/// How often blobs are removed that nothing names, for the first time after an hour.
const SWEEP_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
const SWEEP_FIRST: Duration = Duration::from_secs(60 * 60);

/// How old a blob has to be before it is asked who names it.
const BLOB_AGE: Duration = Duration::from_secs(24 * 60 * 60);

impl Runtime {
    /// Keeps the store small from now on, for as long as the runtime is there.
    pub fn keep_up(&self, upkeep: Upkeep) {
        if self.inner.disk.is_some() {
            supervise::keep("upkeep of the store", &self.inner, move |inner| keep_up(inner, upkeep));
        }
    }

    /// Archives everything that ended so long ago.
    pub async fn archive(&self, older_than: Span) -> Result<Archived, RuntimeError> {
        let before = ago(older_than);
        let store = self.disk()?;
        blocking(move || store.archive(before)).await
    }

    /// Lists what ended so long ago, and what only that needs. Changes nothing.
    pub async fn expired(&self, older_than: Span) -> Result<Expired, RuntimeError> {
        let (before, needed) = (ago(older_than), self.inner.needed());
        let store = self.disk()?;
        blocking(move || store.expired(before, &needed)).await
    }

    /// Removes what ended so long ago, and then the blobs that nothing names.
    pub async fn expire(&self, older_than: Span) -> Result<Removal, RuntimeError> {
        let before = ago(older_than);
        let mut removal = Removal::default();
        loop {
            let removed = self.inner.remove_some(before).await?;
            if removed == 0 {
                break;
            }
            removal.releases += removed;
        }
        removal.blobs = self.inner.sweep().await?;
        Ok(removal)
    }

    pub(crate) fn disk(&self) -> Result<Arc<SledStore>, RuntimeError> {
        self.inner.disk.clone().ok_or(RuntimeError::NotOnDisk)
    }
}

impl Inner {
    async fn archive_some(&self, before: Timestamp) -> Result<Archived, RuntimeError> {
        let store = self.disk.clone().ok_or(RuntimeError::NotOnDisk)?;
        blocking(move || store.archive_some(before, SEGMENTS)).await
    }

    /// Removes some old releases with what their steps logged; tells how many.
    async fn remove_some(&self, before: Timestamp) -> Result<u64, RuntimeError> {
        let store = self.disk.clone().ok_or(RuntimeError::NotOnDisk)?;
        let logs = self.state.logs();
        let removed: Vec<ReleaseId> = blocking(move || {
            let removed = store.remove_some(before, RELEASES)?;
            for release in &removed {
                // Most have none.
                let _ = std::fs::remove_file(logs.join(format!("{release}.jsonl")));
                let _ = std::fs::remove_file(crate::recordings::file(&logs, release));
            }
            Ok(removed)
        })
        .await?;
        Ok(removed.len() as u64)
    }

    /// Removes old blobs that nothing names; tells how many.
    async fn sweep(&self) -> Result<u64, RuntimeError> {
        let (store, needed) = (self.disk.clone().ok_or(RuntimeError::NotOnDisk)?, self.needed());
        blocking(move || store.remove_unnamed(BLOB_AGE, &needed)).await
    }

    /// Blobs that this process knows of: a release may be about to name them.
    fn needed(&self) -> BTreeSet<Digest> {
        let catalog = self.catalog.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let installed = catalog.plugins.values().flat_map(|it| it.values()).map(|it| it.component);
        let mut needed: BTreeSet<Digest> = installed.collect();
        for (digest, plan) in &*lock(&self.plans) {
            needed.insert(*digest);
            needed.extend(plan.graph().steps().map(|it| plan.pin(it).runs.digest()));
        }
        needed
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, RuntimeError> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| RuntimeError::Sandbox(error.to_string()))??)
}

fn ago(span: Span) -> Timestamp {
    Timestamp(now().as_millis().saturating_sub(span.as_millis()))
}

/// When something is to be done again.
struct Due {
    at: Instant,
    every: Duration,
}

impl Due {
    fn is_now(&mut self) -> bool {
        let is_now = Instant::now() >= self.at;
        if is_now {
            self.at = Instant::now() + self.every;
        }
        is_now
    }
}

/// What there is to do again and again.
#[derive(Debug, Clone, Copy)]
enum Chore {
    Archive(Span),
    Remove(Span),
    Sweep,
}

impl Inner {
    /// Does a portion of it; tells whether there may be more.
    async fn portion(&self, chore: Chore) -> Result<bool, RuntimeError> {
        match chore {
            Chore::Archive(after) => {
                let some = self.archive_some(ago(after)).await?;
                if some.releases > 0 {
                    tracing::debug!(releases = some.releases, segments = some.segments, "archived");
                }
                Ok(some.segments == SEGMENTS)
            }
            Chore::Remove(retention) => {
                let releases = self.remove_some(ago(retention)).await?;
                if releases > 0 {
                    tracing::info!(releases, "removed what is older than the retention");
                }
                Ok(releases > 0)
            }
            Chore::Sweep => {
                let blobs = self.sweep().await?;
                if blobs > 0 {
                    tracing::info!(blobs, "removed blobs that nothing names");
                }
                Ok(false)
            }
        }
    }
}

async fn keep_up(inner: Weak<Inner>, upkeep: Upkeep) {
    let look = (Duration::from(upkeep.archive_after) / 10).clamp(LOOK_MIN, LOOK_MAX);
    let begun = Instant::now();
    let mut removal = Due { at: begun + LOOK_MAX, every: REMOVAL_EVERY };
    let mut sweep = Due { at: begun + SWEEP_FIRST, every: SWEEP_EVERY };
    while inner.strong_count() > 0 {
        tokio::time::sleep(look).await;
        let mut chores = vec![Chore::Archive(upkeep.archive_after)];
        if let Some(retention) = upkeep.retention
            && removal.is_now()
        {
            chores.push(Chore::Remove(retention));
        }
        if sweep.is_now() {
            chores.push(Chore::Sweep);
        }
        for chore in chores {
            // A store that fails now may work later; the next time comes.
            if let Err(error) = to_its_end(&inner, chore).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "the store's upkeep ({chore:?}) failed");
            }
        }
    }
}

/// Does something until there is nothing left to do, and rests after each portion for as long as it took.
async fn to_its_end(inner: &Weak<Inner>, chore: Chore) -> Result<(), RuntimeError> {
    loop {
        let begun = Instant::now();
        let Some(inner) = inner.upgrade() else { return Ok(()) };
        let more = inner.portion(chore).await?;
        drop(inner);
        if !more {
            return Ok(());
        }
        tokio::time::sleep(begun.elapsed()).await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use windlass_model::event::{Event, Record};
    use windlass_store::{Append, Outline};

    use super::*;
    use crate::runtime::RuntimeOptions;
    use crate::state_directory::StateDirectory;

    /// Releases that ended long ago, of 3 kB each, which do not compress away.
    async fn fill(runtime: &Runtime, count: u64) {
        for number in 1..=count {
            let release = ReleaseId::new("old".parse().expect("a name"), number);
            let output = json!({ "text": format!("{number:03}").repeat(1000) });
            let event = Event::AttemptSucceeded { step: "build".parse().expect("a name"), output };
            let outline = Outline {
                release: release.clone(),
                state: "succeeded".to_owned(),
                since: Timestamp(number),
                created_at: Timestamp(number),
                updated_at: Timestamp(number),
                requested_by: "ana".to_owned(),
                headline: String::new(),
                open: false,
                rest: None,
                promises: false,
                review: false,
                standing: None,
                rehearsal: false,
                dry_run: false,
            };
            let record = Record { at: Timestamp(number), events: vec![event] };
            let append = Append { release, expected: 0, record, outline: Some(outline) };
            runtime.store().append(append).await.expect("appended");
        }
    }

    async fn until(what: &str, is: impl AsyncFn() -> bool) {
        let so = async {
            while !is().await {
                tokio::task::yield_now().await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(60), so).await.is_ok(), "{what}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_runtime_archives_and_removes_by_itself() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = StateDirectory::open(folder.path()).expect("a state directory");
        let runtime = Runtime::open(state, RuntimeOptions::default()).await.expect("a runtime");
        fill(&runtime, 400).await;
        runtime.keep_up(Upkeep { archive_after: Span(0), retention: None });
        until("full segments are archived", async || {
            // Four of the four and a half that there are, by 85 releases each.
            runtime.store().check().expect("checked").archived >= 4 * 85
        })
        .await;
        let report = runtime.store().check().expect("checked");
        assert!(report.is_sound() && report.releases == 400 && report.archived < 400, "{report:?}");

        std::fs::write(runtime.state().logs().join("old-7.jsonl"), "{}\n").expect("written");
        assert_eq!(runtime.inner.remove_some(Timestamp(100)).await.expect("removed"), 99);
        assert!(!runtime.state().logs().join("old-7.jsonl").exists());
        let report = runtime.store().check().expect("checked");
        assert!(report.is_sound() && report.releases == 301, "{report:?}");
        // A portion after the other, until nothing is left.
        to_its_end(&Arc::downgrade(&runtime.inner), Chore::Remove(Span(1))).await.expect("removed");
        let report = runtime.store().check().expect("checked");
        assert!(report.is_sound() && report.releases == 0, "{report:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_store_in_memory_has_no_upkeep_and_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = StateDirectory::open(folder.path()).expect("a state directory");
        let store = Arc::new(windlass_store::MemoryStore::default());
        let runtime = Runtime::with_store(state, store, RuntimeOptions::default()).await.expect("a runtime");
        runtime.keep_up(Upkeep::default());
        assert!(matches!(runtime.archive(Span(0)).await, Err(RuntimeError::NotOnDisk)));
        assert!(matches!(runtime.expire(Span(1)).await, Err(RuntimeError::NotOnDisk)));
    }
}
