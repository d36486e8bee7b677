//! All schedules, in memory as in the store, and which is due next.
//!
//! **Invariant:** what is in memory is what was last written; where a write may or may not have happened, the book
//! is stale and is read again before it is used.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use windlass_model::name::{ReleaseId, ScheduleName};
use windlass_model::time::Timestamp;
use windlass_store::{DocumentKind, Store, StoreError};

use super::record::Record;

/// All schedules.
#[derive(Debug, Default)]
pub(crate) struct Book {
    records: BTreeMap<ScheduleName, Record>,
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

    /// Removes a schedule.
    pub(crate) async fn remove(&mut self, store: &dyn Store, name: &ScheduleName) -> Result<(), StoreError> {
        self.is_stale = true;
        store.remove_document(DocumentKind::Schedule, name.as_str()).await?;
        self.is_stale = false;
        self.records.remove(name);
        self.next.retain(|(_, it)| it != name);
        Ok(())
    }

    fn take(&mut self, record: Record) {
        let name = record.schedule.name.clone();
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
