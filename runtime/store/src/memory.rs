//! A store in memory: for tests and for trying things out. It forgets with the process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use windlass_model::digest::Digest;
use windlass_model::event::Record;
use windlass_model::name::{ReleaseId, WorkflowName};

use crate::{Append, AppendError, CheckReport, DocumentKind, Outline, Store, StoreError};

/// Remembers for as long as it lives.
#[derive(Debug, Default)]
pub struct MemoryStore {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    journals: BTreeMap<ReleaseId, Vec<Record>>,
    outlines: BTreeMap<ReleaseId, Outline>,
    highest: BTreeMap<WorkflowName, u64>,
    documents: BTreeMap<(DocumentKind, String), Vec<u8>>,
    blobs: BTreeMap<Digest, Vec<u8>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Each change below is one that cannot stop half-way, so what a panic elsewhere left is whole.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append_now(&self, append: Append) -> Result<(), AppendError> {
        crate::accept_append(&append)?;
        let mut kept = self.kept();
        let actual = kept.journals.get(&append.release).map_or(0, |it| it.len() as u64);
        if actual != append.expected {
            return Err(AppendError::Conflict { expected: append.expected, actual });
        }
        let highest = kept.highest.entry(append.release.workflow().clone()).or_default();
        *highest = append.release.number().max(*highest);
        if let Some(outline) = append.outline {
            kept.outlines.insert(append.release.clone(), outline);
        }
        kept.journals.entry(append.release).or_default().push(append.record);
        Ok(())
    }
}

impl Store for MemoryStore {
    fn append(&self, append: Append) -> BoxFuture<'_, Result<(), AppendError>> {
        async move { self.append_now(append) }.boxed()
    }

    fn journal(&self, release: &ReleaseId) -> Result<Vec<Record>, StoreError> {
        Ok(self.kept().journals.get(release).cloned().unwrap_or_default())
    }

    fn outlines(&self) -> Result<Vec<Outline>, StoreError> {
        let mut outlines: Vec<Outline> = self.kept().outlines.values().cloned().collect();
        crate::sort_outlines(&mut outlines);
        Ok(outlines)
    }

    fn outline(&self, release: &ReleaseId) -> Result<Option<Outline>, StoreError> {
        Ok(self.kept().outlines.get(release).cloned())
    }

    fn next_number(&self, workflow: &WorkflowName) -> Result<u64, StoreError> {
        Ok(self.kept().highest.get(workflow).map_or(1, |it| it.saturating_add(1)))
    }

    fn put_document(&self, kind: DocumentKind, name: &str, bytes: Vec<u8>) -> BoxFuture<'_, Result<(), StoreError>> {
        let name = name.to_owned();
        async move {
            crate::accept_document(&name, bytes.len())?;
            self.kept().documents.insert((kind, name), bytes);
            Ok(())
        }
        .boxed()
    }

    fn document(&self, kind: DocumentKind, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.kept().documents.get(&(kind, name.to_owned())).cloned())
    }

    fn documents(&self, kind: DocumentKind) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let kept = self.kept();
        let of_kind = kept.documents.iter().filter(|((it, _), _)| *it == kind);
        Ok(of_kind.map(|((_, name), bytes)| (name.clone(), bytes.clone())).collect())
    }

    fn remove_document(&self, kind: DocumentKind, name: &str) -> BoxFuture<'_, Result<bool, StoreError>> {
        let name = name.to_owned();
        async move { Ok(self.kept().documents.remove(&(kind, name)).is_some()) }.boxed()
    }

    fn put_blob(&self, bytes: Vec<u8>) -> BoxFuture<'_, Result<Digest, StoreError>> {
        async move {
            crate::accept_size(bytes.len())?;
            let digest = Digest::of(&bytes);
            self.kept().blobs.insert(digest, bytes);
            Ok(digest)
        }
        .boxed()
    }

    fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.kept().blobs.get(digest).cloned())
    }

    fn check(&self) -> Result<CheckReport, StoreError> {
        let kept = self.kept();
        let mut named = std::collections::BTreeSet::new();
        let mut report = CheckReport {
            releases: kept.journals.len() as u64,
            records: kept.journals.values().map(|it| it.len() as u64).sum(),
            documents: kept.documents.len() as u64,
            blobs: kept.blobs.len() as u64,
            ..CheckReport::default()
        };
        for (release, records) in &kept.journals {
            for (what, digest) in crate::check::named_blobs(records) {
                named.insert(digest);
                if !kept.blobs.contains_key(&digest) {
                    report.find(Some(release), format!("{what} is missing: {digest}"));
                }
            }
        }
        report.unnamed_blobs = kept.blobs.keys().filter(|it| !named.contains(it)).count() as u64;
        Ok(report)
    }
}
