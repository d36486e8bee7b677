//! Removes finished releases, first on paper.
//!
//! A release is removed as it was when it was listed, or not at all: one that somebody took up again since stays.
//! Its number stays used.
//!
//! **Invariant:** a journal goes away as one, or from its front and marked as quarantined meanwhile; what a power
//! cut leaves of it is never taken for a release that has to go on.
//! **Invariant:** a release inside of another one stays as long as that one does: it may have to be rolled back.
//! **Invariant:** a blob goes away only if a removed release named it, nothing that is left names it, the caller
//! does not need it, and nobody has put it in the last hour.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use windlass_model::digest::Digest;
use windlass_model::event::Event;
use windlass_model::name::ReleaseId;
use windlass_model::time::Timestamp;

use super::archive;
use super::lists::{self, Change, Place};
use super::repair::groups;
use super::writer::Mend;
use super::{GROUP_BYTES_MAX, Shared, SledStore, compact, keys};
use crate::format;
use crate::{Outline, StoreError, check};

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

/// So many bytes of keys are removed as one: who appends meanwhile waits for a millisecond or two, not for ten.
const REMOVAL_BYTES_MAX: usize = GROUP_BYTES_MAX / 4;

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
        let mut kept = Vec::new();
        for release in expired.releases.keys() {
            if self.is_part_of(release, &|outer| outer.open || outer.updated_at >= before)? {
                kept.push(release.clone());
            }
        }
        for release in kept {
            expired.releases.remove(&release);
            let key = keys::outline(&release);
            let size = self.shared.database.get(&key)?.map_or(0, |value| key.len() + value.len());
            expired.bytes -= size as u64;
        }
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
                    theirs.extend(named.all);
                }
                None => others.extend(named.all),
            }
        })?;
        expired.blobs = theirs.difference(&others).copied().collect();
        Ok(expired)
    }

    /// Removes what was listed, as far as it is still as it was. `needed` is as for [`SledStore::expired`], of now.
    /// Blocks; may be called while the store is in use.
    pub fn remove_expired(&self, expired: &Expired, needed: &BTreeSet<Digest>) -> Result<Removed, StoreError> {
        let _alone = self.shared.maintain();
        let listed = expired.releases.iter().map(|(release, records)| (release.clone(), Some(*records)));
        let gone = self.remove_all(listed)?;
        let releases = gone.len() as u64;
        let mut removed = Removed { releases, changed: expired.releases.len() as u64 - releases, blobs: 0 };
        let mut others = needed.clone();
        self.shared.each_named(|_, _, _, named| others.extend(named.all))?;
        for digest in expired.blobs.difference(&others) {
            removed.blobs += u64::from(self.shared.blobs.remove_if_idle(digest)?);
        }
        compact::consider(&self.shared)?;
        Ok(removed)
    }

    /// Removes finished releases in which nothing happened from this time on, those that were created first first, and at
    /// most so many; tells which. Their blobs stay: see [`SledStore::remove_unnamed`]. What is called again and again beside the
    /// work: it reads nothing of releases that were created later. Blocks.
    pub fn remove_some(&self, before: Timestamp, releases_max: usize) -> Result<Vec<ReleaseId>, StoreError> {
        let _alone = self.shared.maintain();
        let mut found = Vec::new();
        let end = keys::created_before(before);
        lists::each_below(&self.shared.database, keys::CREATED, &end, |key, _| {
            if let Some((_, release)) = keys::created_of(key)
                && let Some(value) = self.shared.database.get(&keys::outline(&release))?
                // One that cannot be read is for a repair.
                && let Ok(outline) = self.shared.outline_of(&release, &value)
                && !outline.open
                && outline.updated_at < before
                && !self.is_part_of(&release, &|outer| outer.open || outer.updated_at >= before)?
            {
                found.push((release, None));
            }
            Ok(if found.len() < releases_max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        let removed = self.remove_all(found.into_iter())?;
        compact::consider(&self.shared)?;
        Ok(removed)
    }

    /// Removes releases that are finished and have so many records, if it is said how many; tells which were removed.
    fn remove_all(
        &self,
        releases: impl Iterator<Item = (ReleaseId, Option<u64>)>,
    ) -> Result<Vec<ReleaseId>, StoreError> {
        let (mut removed, mut mends, mut bytes) = (Vec::new(), Vec::new(), 0);
        for (release, records) in releases {
            match self.removal(&release, records)? {
                None => {}
                Some(Removal::AsOne(mend, size)) => {
                    mends.push(mend);
                    bytes += size;
                }
                Some(Removal::InParts { records, changes, journal }) => {
                    let is_removed = self.remove_in_parts(&release, records, changes, journal)?;
                    removed.extend(is_removed.then_some(release));
                }
            }
            if bytes >= REMOVAL_BYTES_MAX {
                bytes = 0;
                self.mend_removals(&mut removed, std::mem::take(&mut mends))?;
            }
        }
        self.mend_removals(&mut removed, mends)?;
        Ok(removed)
    }

    /// Whether a release is inside of one that stays, as its outline tells; at any depth. A journal that cannot be read
    /// tells of nothing outside.
    fn is_part_of(&self, release: &ReleaseId, stays: &dyn Fn(&Outline) -> bool) -> Result<bool, StoreError> {
        let (mut next, mut seen) = (release.clone(), BTreeSet::new());
        while seen.insert(next.clone()) {
            let records = self.shared.journal(&next).unwrap_or_default();
            let Some(Event::ReleaseCreated(created)) = records.first().and_then(|it| it.events.first()) else { break };
            let Some(parent) = &created.parent else { break };
            let Some(value) = self.shared.database.get(&keys::outline(&parent.release))? else { break };
            if self.shared.outline_of(&parent.release, &value).is_ok_and(|it| stays(&it)) {
                return Ok(true);
            }
            next = parent.release.clone();
        }
        Ok(false)
    }

    fn mend_removals(&self, removed: &mut Vec<ReleaseId>, mends: Vec<Mend>) -> Result<(), StoreError> {
        let releases: Vec<ReleaseId> = mends.iter().map(|it| it.release.clone()).collect();
        let mended = self.mend_all(mends)?;
        removed.extend(releases.into_iter().zip(mended).filter(|(_, mended)| *mended).map(|(release, _)| release));
        Ok(())
    }

    /// What removes a release, if it is finished and has so many records.
    fn removal(&self, release: &ReleaseId, records: Option<u64>) -> Result<Option<Removal>, StoreError> {
        let outline_key = keys::outline(release);
        let length = self.shared.length(release)?;
        let Some(value) = self.shared.database.get(&outline_key)? else { return Ok(None) };
        let outline = self.shared.outline_of(release, &value)?;
        let records = records.unwrap_or(length);
        if outline.open || records != length || self.is_part_of(release, &|outer| outer.open)? {
            return Ok(None);
        }
        let journal: Vec<Vec<u8>> = self.shared.database.read(|database| {
            let keys = database.scan_prefix(keys::journal(release)).keys();
            keys.map(|it| it.map(|key| key.to_vec()))
                .collect::<Result<_, _>>()
                .map_err(|it| StoreError::database("read a journal", it))
        })?;
        let mut changes: Vec<Change> = lists::moved(release, Some(Place::of(&outline)), None);
        changes.extend([(outline_key, None), (keys::archived(release), None)]);
        // What goes away takes room in sled's log as well, by its keys.
        let size = changes.iter().map(|(key, _)| key).chain(&journal).map(Vec::len).sum();
        if size <= GROUP_BYTES_MAX {
            changes.extend(journal.into_iter().map(|key| (key, None)));
            let mend = Mend { release: release.clone(), expected: records, changes };
            return Ok(Some(Removal::AsOne(mend, size)));
        }
        Ok(Some(Removal::InParts { records, changes, journal }))
    }

    fn remove_in_parts(
        &self,
        release: &ReleaseId,
        records: u64,
        mut changes: Vec<Change>,
        journal: Vec<Vec<u8>>,
    ) -> Result<bool, StoreError> {
        let reason = format::encode_document(b"its removal was interrupted");
        changes.push((keys::reason(release), Some(reason)));
        if !self.mend(release, records, changes)? {
            return Ok(false);
        }
        for group in groups(journal, Vec::len) {
            let length = self.shared.length(release)?;
            self.mend(release, length, group.into_iter().map(|key| (key, None)).collect())?;
        }
        self.mend(release, 0, vec![(keys::reason(release), None)])
    }
}

/// What removes a release.
enum Removal {
    /// All at once, and how many bytes its keys have.
    AsOne(Mend, usize),
    /// A journal too long for that.
    InParts { records: u64, changes: Vec<Change>, journal: Vec<Vec<u8>> },
}

/// The blobs that an entry names.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// All of them.
    pub(super) all: Vec<Digest>,
    /// Those that its events name: plans and components.
    pub(super) by_events: Vec<Digest>,
    /// Whether it is a record that cannot be read, so that nobody knows.
    pub(super) unknown: bool,
}

impl Names {
    fn directly(value: &[u8]) -> Self {
        match format::open(value) {
            Ok(format::Place::InBlob(digest)) => Self { all: vec![digest], ..Self::default() },
            Ok(format::Place::Here(_)) | Err(_) => Self::default(),
        }
    }

    fn add(&mut self, other: Self) {
        self.all.extend(other.all);
        self.by_events.extend(other.by_events);
        self.unknown |= other.unknown;
    }
}

impl Shared {
    /// Calls `each` for every entry with its release, the first byte of its key, its size, and the blobs it names.
    /// The size of an archived journal is how many records it has; these follow as entries of no kind and size.
    pub(super) fn each_named(
        &self,
        mut each: impl FnMut(Option<&ReleaseId>, u8, u64, Names),
    ) -> Result<(), StoreError> {
        let mut archived = BTreeMap::<Digest, u64>::new();
        lists::each(&self.database, keys::ARCHIVED, |key, value| {
            let Some(release) = keys::release(key) else { return Ok(()) };
            let (digest, count) = archive::place(&release, value)?;
            *archived.entry(digest).or_default() += 1;
            each(Some(&release), keys::ARCHIVED, count, Names { all: vec![digest], ..Names::default() });
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
                let quarantined = keys::quarantined_of(key);
                let release = keys::release(key).or_else(|| quarantined.as_ref().map(|(release, _)| release.clone()));
                let mut names = match (&release, &quarantined) {
                    (Some(release), Some((_, b'j'))) => self.named_by(release, value),
                    (Some(release), None) if kind == keys::JOURNAL => self.named_by(release, value),
                    _ => Names::directly(value),
                };
                if let Some((release, b's')) = quarantined {
                    let (digest, _) = archive::place(&release, value)?;
                    names.all.push(digest);
                    for (_, value) in self.segment(&digest)?.of(&release) {
                        names.add(self.named_by(&release, value));
                    }
                }
                each(release.as_ref(), kind, (key.len() + value.len()) as u64, names);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// The blobs that a record names, one that it is in included.
    fn named_by(&self, release: &ReleaseId, value: &[u8]) -> Names {
        let mut names = Names::directly(value);
        match self.record(release, 0, value) {
            Ok(record) => {
                names.by_events = check::named_blobs(&[record]).into_iter().map(|(_, digest)| digest).collect();
                names.all.extend(&names.by_events);
            }
            Err(_) => names.unknown = true,
        }
        names
    }
}
