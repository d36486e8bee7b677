//! Removes finished releases, first on paper.
//!
//! A release is removed as it was when it was listed, or not at all: one that somebody took up again since stays.
//! Its number stays used.
//!
//! **Invariant:** a journal goes away as one, or from its front and marked as quarantined meanwhile; what a power
//! cut leaves of it is never taken for a release that has to go on.
//! **Invariant:** a blob goes away only if a removed release named it, nothing that is left names it, the caller
//! does not need it, and nobody has put it in the last hour.

use std::collections::{BTreeMap, BTreeSet};

use windlass_model::digest::Digest;
use windlass_model::name::ReleaseId;
use windlass_model::time::Timestamp;

use super::archive;
use super::lists::{self, Change, Place};
use super::repair::groups;
use super::{GROUP_BYTES_MAX, Shared, SledStore, compact, keys};
use crate::format;
use crate::{StoreError, check};

/// What [`SledStore::remove_expired`] would remove.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expired {
    /// The releases, and how many records each has.
    pub releases: BTreeMap<ReleaseId, u64>,
    /// What their journals and outlines take in the database, in bytes.
    pub bytes: u64,
    /// Blobs that only they name.
    pub blobs: BTreeSet<Digest>,
}

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Releases.
    pub releases: u64,
    /// Releases that were not removed, because they have changed since they were listed.
    pub changed: u64,
    /// Blobs.
    pub blobs: u64,
}

impl SledStore {
    /// Lists the finished releases in which nothing happened from this time on, and the blobs that only they need.
    /// `needed` are blobs that others know of, like the components of installed plugins. Changes nothing. Blocks.
    pub fn expired(&self, before: Timestamp, needed: &BTreeSet<Digest>) -> Result<Expired, StoreError> {
        let _alone = self.shared.maintain();
        let mut expired = Expired::default();
        lists::each(&self.shared.database, keys::OUTLINE, |key, value| {
            if let Some(release) = keys::release(key)
                // One that cannot be read is for a repair.
                && let Ok(outline) = self.shared.outline_of(&release, value)
                && !outline.open
                && outline.updated_at < before
            {
                expired.bytes += (key.len() + value.len()) as u64;
                expired.releases.insert(release, 0);
            }
            Ok(())
        })?;
        let (mut theirs, mut others) = (BTreeSet::new(), needed.clone());
        self.shared.each_named(|release, key, size, named| {
            match release.and_then(|it| expired.releases.get_mut(it)) {
                Some(records) => {
                    match key {
                        keys::JOURNAL => {
                            *records += 1;
                            expired.bytes += size;
                        }
                        keys::ARCHIVED => *records += size,
                        _ => {}
                    }
                    theirs.extend(named);
                }
                None => others.extend(named),
            }
        })?;
        expired.blobs = theirs.difference(&others).copied().collect();
        Ok(expired)
    }

    /// Removes what was listed, as far as it is still as it was. `needed` is as for [`SledStore::expired`], of now.
    /// Blocks; may be called while the store is in use.
    pub fn remove_expired(&self, expired: &Expired, needed: &BTreeSet<Digest>) -> Result<Removed, StoreError> {
        let _alone = self.shared.maintain();
        let mut removed = Removed::default();
        for (release, records) in &expired.releases {
            match self.remove(release, *records)? {
                true => removed.releases += 1,
                false => removed.changed += 1,
            }
        }
        let mut others = needed.clone();
        self.shared.each_named(|_, _, _, named| others.extend(named))?;
        for digest in expired.blobs.difference(&others) {
            removed.blobs += u64::from(self.shared.blobs.remove_if_idle(digest)?);
        }
        compact::consider(&self.shared)?;
        Ok(removed)
    }

    /// Removes a release if it is finished and has so many records.
    fn remove(&self, release: &ReleaseId, records: u64) -> Result<bool, StoreError> {
        let outline_key = keys::outline(release);
        let Some(value) = self.shared.database.get(&outline_key)? else { return Ok(false) };
        let outline = self.shared.outline_of(release, &value)?;
        if outline.open {
            return Ok(false);
        }
        let journal: Vec<Vec<u8>> = self.shared.database.read(|database| {
            let keys = database.scan_prefix(keys::journal(release)).keys();
            keys.map(|it| it.map(|key| key.to_vec()))
                .collect::<Result<_, _>>()
                .map_err(|it| StoreError::database("read a journal", it))
        })?;
        let mut first: Vec<Change> = lists::moved(release, Some(Place::of(&outline)), None);
        first.extend([(outline_key, None), (keys::archived(release), None)]);
        let remove = |keys: Vec<Vec<u8>>| keys.into_iter().map(|key| (key, None)).collect::<Vec<Change>>();
        // What goes away takes room in sled's log as well, by its keys.
        if journal.iter().map(Vec::len).sum::<usize>() <= GROUP_BYTES_MAX {
            first.extend(remove(journal));
            return self.mend(release, records, first);
        }
        let reason = format::encode_document(b"its removal was interrupted");
        first.push((keys::reason(release), Some(reason)));
        if !self.mend(release, records, first)? {
            return Ok(false);
        }
        for group in groups(journal, Vec::len) {
            let length = self.shared.length(release)?;
            self.mend(release, length, remove(group))?;
        }
        self.mend(release, 0, vec![(keys::reason(release), None)])
    }
}

impl Shared {
    /// Calls `each` for every entry with its release, the first byte of its key, its size, and the blobs it names.
    /// The size of an archived journal is how many records it has; these follow as entries of no kind and size.
    fn each_named(&self, mut each: impl FnMut(Option<&ReleaseId>, u8, u64, Vec<Digest>)) -> Result<(), StoreError> {
        let mut archived = BTreeMap::<Digest, u64>::new();
        lists::each(&self.database, keys::ARCHIVED, |key, value| {
            let Some(release) = keys::release(key) else { return Ok(()) };
            let (digest, count) = archive::place(&release, value)?;
            *archived.entry(digest).or_default() += 1;
            each(Some(&release), keys::ARCHIVED, count, vec![digest]);
            Ok(())
        })?;
        for digest in archived.into_keys() {
            for (key, value) in &self.segment(&digest)?.pairs {
                let Some(release) = keys::release(key) else { continue };
                each(Some(&release), keys::INDEX, 0, self.named_by(&release, value));
            }
        }
        for kind in [keys::JOURNAL, keys::OUTLINE, keys::DOCUMENT, keys::QUARANTINE] {
            lists::each(&self.database, kind, |key, value| {
                let release = keys::release(key).or_else(|| keys::quarantined_of(key).map(|(release, _)| release));
                let mut named = match &release {
                    Some(release) if kind != keys::OUTLINE => self.named_by(release, value),
                    Some(_) | None => named_directly(value),
                };
                if let Some((release, b's')) = keys::quarantined_of(key) {
                    let (digest, _) = archive::place(&release, value)?;
                    named.push(digest);
                    for (_, value) in self.segment(&digest)?.of(&release) {
                        named.extend(self.named_by(&release, value));
                    }
                }
                each(release.as_ref(), kind, (key.len() + value.len()) as u64, named);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// The blobs that a record names, one that it is in included. Not each value is one.
    fn named_by(&self, release: &ReleaseId, value: &[u8]) -> Vec<Digest> {
        let mut named = named_directly(value);
        if let Ok(record) = self.record(release, 0, value) {
            named.extend(check::named_blobs(&[record]).into_iter().map(|(_, digest)| digest));
        }
        named
    }
}

fn named_directly(value: &[u8]) -> Vec<Digest> {
    match format::open(value) {
        Ok(format::Place::InBlob(digest)) => vec![digest],
        Ok(format::Place::Here(_)) | Err(_) => Vec::new(),
    }
}
