//! Reads the database as it was at one moment, while the writer goes on.
//!
//! sled has no snapshots that last. So from the moment on which a snapshot is about, the writer hands in what
//! each key held before it changes it ([`Snapshots::before`]), and the reader, who goes through the keys
//! in order, takes what was handed in over what it finds. What the reader has passed is not kept any longer.
//!
//! **Invariant:** the old value is handed in before the new one is written; a reader who sees the new one
//! also finds the old one here.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ::sled::IVec;

use super::database::Database;
use crate::StoreError;

/// How many keys are read in one go; the database can be opened anew between two.
const CHUNK: usize = 512;

/// Where the writer and the reader of a snapshot meet.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    current: Mutex<Option<Captured>>,
}

#[derive(Debug, Default)]
struct Captured {
    /// Up to which key, itself included, the reader is done.
    passed: Option<IVec>,
    /// What keys behind it held when the snapshot began; `None` for those that were not there.
    before: BTreeMap<IVec, Option<IVec>>,
}

impl Captured {
    fn is_passed(&self, key: &[u8]) -> bool {
        self.passed.as_deref().is_some_and(|passed| key <= passed)
    }
}

impl Snapshots {
    /// Begins a snapshot: what is in the database now is in it. Only for the writer, between two groups.
    pub(super) fn begin(&self) {
        *self.held() = Some(Captured::default());
    }

    /// Tells which of the keys that are about to be changed it has to know the value of.
    pub(super) fn wanted<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Vec<&'a [u8]> {
        match &*self.held() {
            None => Vec::new(),
            Some(captured) => keys.filter(|it| !captured.is_passed(it) && !captured.before.contains_key(*it)).collect(),
        }
    }

    /// Takes what keys hold before they are changed.
    pub(super) fn before(&self, values: Vec<(IVec, Option<IVec>)>) {
        if let Some(captured) = &mut *self.held() {
            for (key, value) in values {
                // The reader may have passed it since it was asked for.
                if !captured.is_passed(&key) {
                    captured.before.entry(key).or_insert(value);
                }
            }
        }
    }

    /// Goes through all entries of the snapshot, in the order of their keys.
    pub(super) fn read(
        &self,
        database: &Database,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut from: Bound<IVec> = Bound::Unbounded;
        loop {
            let found: Vec<(IVec, IVec)> = database.read(|database| {
                database
                    .range::<IVec, _>((from.clone(), Bound::Unbounded))
                    .take(CHUNK)
                    .collect::<Result<_, _>>()
                    .map_err(|it| StoreError::database("read the store", it))
            })?;
            let last = found.last().map(|(key, _)| key.clone());
            for (key, value) in self.pass(found, last.as_ref()) {
                each(&key, &value)?;
            }
            match last {
                Some(last) => from = Bound::Excluded(last),
                None => return Ok(()),
            }
        }
    }

    /// Ends the snapshot; what was handed in for it is let go.
    pub(super) fn end(&self) {
        *self.held() = None;
    }

    /// Corrects what was found up to a key, or to the end, and marks that as passed.
    fn pass(&self, found: Vec<(IVec, IVec)>, last: Option<&IVec>) -> BTreeMap<IVec, IVec> {
        let mut entries: BTreeMap<IVec, IVec> = found.into_iter().collect();
        if let Some(captured) = &mut *self.held() {
            let behind = match last {
                Some(last) => captured.before.split_off(last),
                None => BTreeMap::new(),
            };
            let mut passed = std::mem::replace(&mut captured.before, behind);
            if let Some(last) = last
                && let Some(value) = captured.before.remove(last)
            {
                passed.insert(last.clone(), value);
            }
            for (key, value) in passed {
                match value {
                    Some(value) => drop(entries.insert(key, value)),
                    None => drop(entries.remove(&key)),
                }
            }
            captured.passed = last.cloned().or(captured.passed.take());
        }
        entries
    }

    fn held(&self) -> MutexGuard<'_, Option<Captured>> {
        // Every change above is whole when the lock is let go.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
