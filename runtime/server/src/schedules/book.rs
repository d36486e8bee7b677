//! All schedules, in memory as in the store, and which is due next.
//!
//! **Invariant:** what is in memory is what was last written; where a write may or may not have happened, the book
//! is stale and is read again before it is used.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use windlass_model::name::{ReleaseId, ScheduleName};
use windlass_model::time::Timestamp;
use windlass_store::{DocumentKind, Store, StoreError};

use super::record::{Deleted, Record};

/// How many deleted schedules are remembered.
const DELETED_MAX: usize = 50;

/// All schedules.
#[derive(Debug, Default)]
pub(crate) struct Book {
    records: BTreeMap<ScheduleName, Record>,
    /// Those that were deleted; they are kept to tell that, the last [`DELETED_MAX`] of them.
    deleted: BTreeMap<ScheduleName, Record>,
    next: BTreeSet<(Timestamp, ScheduleName)>,
    /// Releases that were asked to end, so that a newer one can start.
    pub(crate) canceled: HashSet<ReleaseId>,
    pub(crate) is_stale: bool,
}

impl Book {
    /// Reads all schedules. One that cannot be read is left out, and said: it must not keep the others from firing.
    pub(crate) fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let mut book = Self::default();
        for (name, bytes) in store.documents(DocumentKind::Schedule)? {
            match serde_json::from_slice::<Record>(&bytes) {
                Ok(record) => book.take(record),
                Err(error) => tracing::error!(schedule = %name, %error, "this schedule cannot be read; set it again"),
            }
        }
        Ok(book)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Record> {
        self.records.get(name)
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// A schedule that was deleted, and has not been set anew.
    pub(crate) fn deleted(&self, name: &ScheduleName) -> Option<&Record> {
        self.deleted.get(name)
    }

    /// The schedules that were deleted, the last one last.
    pub(crate) fn all_deleted(&self) -> Vec<&Record> {
        let mut all: Vec<&Record> = self.deleted.values().collect();
        all.sort_by_key(|it| it.deleted.as_ref().map(|it| it.at));
        all
    }

    /// The schedule that comes first, and when.
    pub(crate) fn first(&self) -> Option<&(Timestamp, ScheduleName)> {
        self.next.first()
    }

    /// Writes a schedule; durable when this returns.
    pub(crate) async fn put(&mut self, store: &dyn Store, record: Record) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(&record).expect("schedules hold only what JSON can hold");
        self.is_stale = true;
        store.put_document(DocumentKind::Schedule, record.schedule.name.as_str(), bytes).await?;
        self.is_stale = false;
        self.take(record);
        Ok(())
    }

    /// Deletes a schedule: what is left of it says who did that, and when.
    pub(crate) async fn delete(
        &mut self,
        store: &dyn Store,
        mut record: Record,
        deleted: Deleted,
    ) -> Result<(), StoreError> {
        record.schedule.paused = true;
        (record.pending, record.queued) = (None, Vec::new());
        record.deleted = Some(deleted);
        self.put(store, record).await?;
        let all = self.all_deleted();
        let oldest = all.iter().take(all.len().saturating_sub(DELETED_MAX));
        let oldest: Vec<ScheduleName> = oldest.map(|it| it.schedule.name.clone()).collect();
        for name in oldest {
            self.is_stale = true;
            store.remove_document(DocumentKind::Schedule, name.as_str()).await?;
            self.is_stale = false;
            self.deleted.remove(&name);
        }
        Ok(())
    }

    fn take(&mut self, record: Record) {
        let name = record.schedule.name.clone();
        if record.deleted.is_some() {
            self.records.remove(&name);
            self.next.retain(|(_, it)| *it != name);
            self.deleted.insert(name, record);
            return;
        }
        self.deleted.remove(&name);
        if let Some(before) = self.records.get(&name).and_then(next_of) {
            self.next.remove(&(before, name.clone()));
        }
        if let Some(next) = next_of(&record) {
            self.next.insert((next, name.clone()));
        }
        self.records.insert(name, record);
    }
}

fn next_of(record: &Record) -> Option<Timestamp> {
    let schedule = &record.schedule;
    if schedule.paused { None } else { schedule.next_after(record.covered) }
}
