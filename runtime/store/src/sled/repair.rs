//! Mends what follows from journals, and takes releases out of use whose journals are damaged.
//!
//! A release in quarantine is as if it were not there, but for its number, which stays used, and for the answer to
//! whoever asks for its journal. Its records and its outline are moved, byte for byte, under keys of their own.
//!
//! **Invariant:** nothing is deleted; a record is moved in one atomic step.
//! **Invariant:** the reason is written before the first record is moved, so a move that was interrupted is
//! known for one, and the next repair ends it.
//! **Invariant:** a journal that grows meanwhile is left alone: whoever appends writes its outline, too.

use std::collections::{BTreeMap, BTreeSet};

use ::sled::IVec;
use windlass_model::event::Record;
use windlass_model::name::{ReleaseId, WorkflowName};
use windlass_model::time::Timestamp;

use super::archive;
use super::lists::{self, Change, Place};
use super::writer::{Mend, Write};
use super::{GROUP_BYTES_MAX, Shared, SledStore, VALUE_IN_PLACE_BYTES_MAX, audit, keys};
use crate::check::{Derived, Quarantined, RepairReport};
use crate::{Outline, StoreError, format};

impl SledStore {
    /// Makes outlines, highest numbers and lists agree with the journals, and puts releases in quarantine whose
    /// journals cannot be read. What follows from a journal is for `derive` to say. Blocks, and may be called
    /// while the store is in use.
    pub fn repair(&self, mut derive: impl FnMut(&ReleaseId, &[Record]) -> Derived) -> Result<RepairReport, StoreError> {
        let _alone = self.shared.maintain();
        self.shared.left.clear();
        let mut report = RepairReport::default();
        let mut highest = BTreeMap::new();
        // Before the journals: one that begins in between has both.
        let outlined = self.outlined()?;
        let journals = self.lengths()?;
        let moving: BTreeSet<ReleaseId> = self.listed()?.into_iter().map(|it| it.release).collect();
        for (release, length) in &journals {
            use_number(&mut highest, release);
            if moving.contains(release) {
                self.move_records(release, *length)?;
                continue;
            }
            match self.shared.journal(release) {
                Ok(records) => match derive(release, &records) {
                    Derived::Outline(outline) => {
                        self.mend_outline(&mut report, release, records.len() as u64, Some(outline))?;
                    }
                    Derived::Unknown => self.mend_outline(&mut report, release, records.len() as u64, None)?,
                    Derived::Impossible(what) => self.quarantine(&mut report, release, &what)?,
                },
                Err(error) if error.is_damage() => {
                    self.quarantine(&mut report, release, &audit::describe(&error))?;
                }
                Err(error) => return Err(error),
            }
        }
        for release in outlined.difference(&journals.keys().cloned().collect()) {
            self.quarantine(&mut report, release, "it has an outline and no journal")?;
        }
        for it in &self.listed()? {
            use_number(&mut highest, &it.release);
        }
        for release in highest.into_iter().map(|(workflow, number)| ReleaseId::new(workflow, number)) {
            report.numbers += u64::from(self.queue.write_blocking(|reply| Write::Use { release, reply })??);
        }
        self.remove_stale(&mut report)?;
        report.quarantined.sort_by(|a, b| a.release.cmp(&b.release));
        report.after = audit::check(&self.shared)?;
        Ok(report)
    }

    /// Puts a release in quarantine if its journal is damaged; tells why, if it did. What a newer Windlass may have
    /// written is no damage. Blocks, and may be called while the store is in use.
    pub fn quarantine_if_damaged(&self, release: &ReleaseId) -> Result<Option<String>, StoreError> {
        let _alone = self.shared.maintain();
        match self.shared.journal(release) {
            Ok(_) => Ok(None),
            Err(error) if error.is_damage() && !error.may_be_of_newer() => {
                let (mut report, what) = (RepairReport::default(), audit::describe(&error));
                self.quarantine(&mut report, release, &what)?;
                Ok((!report.quarantined.is_empty()).then_some(what))
            }
            Err(error) => Err(error),
        }
    }

    /// Lists the releases that are in quarantine, with the reasons. Blocks.
    pub fn quarantined(&self) -> Result<Vec<Quarantined>, StoreError> {
        self.listed()
    }

    /// Puts a release back into use that was in quarantine, after somebody mended what was wrong with it; what is still
    /// wrong, a repair finds again. Tells whether it was in quarantine. Blocks.
    pub fn readmit(&self, release: &ReleaseId) -> Result<bool, StoreError> {
        let _alone = self.shared.maintain();
        if self.shared.database.get(&keys::reason(release))?.is_none() {
            return Ok(false);
        }
        let (mut outline, mut records) = (None, Vec::new());
        self.each_quarantined(release, |key, value, what| {
            let original = [&key[keys::quarantine(release).len()..][..1], &keys::quarantine(release)[1..]].concat();
            match what {
                b's' => records.push((key.to_vec(), original, value.to_vec())),
                b'o' => outline = Some((key.to_vec(), original, value.to_vec())),
                b'j' => {
                    let sequence = &key[key.len() - 8..];
                    records.push((key.to_vec(), [&original, sequence].concat(), value.to_vec()));
                }
                _ => {}
            }
        })?;
        for group in groups(records, |(key, _, value)| 2 * key.len() + value.len()) {
            let changes = group.into_iter().flat_map(|(from, to, value)| [(from, None), (to, Some(value))]).collect();
            self.mend(release, self.shared.length(release)?, changes)?;
        }
        let mut changes: Vec<Change> = vec![(keys::reason(release), None)];
        if let Some((from, to, value)) = outline {
            let place = self.shared.outline_of(release, &value).ok().map(|it| Place::of(&it));
            changes.extend(lists::moved(release, None, place));
            changes.extend([(from, None), (to, Some(value))]);
        }
        self.mend(release, self.shared.length(release)?, changes)?;
        Ok(true)
    }

    /// All releases with a journal, and how long the journals are.
    fn lengths(&self) -> Result<BTreeMap<ReleaseId, u64>, StoreError> {
        let mut lengths = BTreeMap::new();
        lists::each(&self.shared.database, keys::JOURNAL, |key, _| {
            if let (Some(release), Some(sequence)) = (keys::release(key), keys::sequence(key)) {
                lengths.insert(release, sequence.saturating_add(1));
            }
            Ok(())
        })?;
        lists::each(&self.shared.database, keys::ARCHIVED, |key, value| {
            if let Some(release) = keys::release(key) {
                // A place that cannot be read is damage, which reading the journal finds.
                let count = archive::place(&release, value).map_or(0, |(_, count)| count);
                let length = lengths.entry(release).or_default();
                *length = count.max(*length);
            }
            Ok(())
        })?;
        Ok(lengths)
    }

    fn outlined(&self) -> Result<BTreeSet<ReleaseId>, StoreError> {
        let mut releases = BTreeSet::new();
        lists::each(&self.shared.database, keys::OUTLINE, |key, _| {
            releases.extend(keys::release(key));
            Ok(())
        })?;
        Ok(releases)
    }

    fn listed(&self) -> Result<Vec<Quarantined>, StoreError> {
        let mut found: BTreeMap<ReleaseId, Quarantined> = BTreeMap::new();
        lists::each(&self.shared.database, keys::QUARANTINE, |key, value| {
            if let Some((release, what)) = keys::quarantined_of(key) {
                let entry = found.entry(release.clone()).or_insert_with(|| Quarantined {
                    release: release.clone(),
                    what: "the reason is missing".to_owned(),
                    records: 0,
                });
                match what {
                    b'r' => entry.what = self.shared.reason(&release, value).unwrap_or_else(|it| it.to_string()),
                    b'j' => entry.records += 1,
                    b's' => entry.records += archive::place(&release, value).map_or(0, |(_, count)| count),
                    _ => {}
                }
            }
            Ok(())
        })?;
        Ok(found.into_values().collect())
    }

    fn each_quarantined(&self, release: &ReleaseId, mut each: impl FnMut(&[u8], &[u8], u8)) -> Result<(), StoreError> {
        self.shared.database.read(|database| {
            for pair in database.scan_prefix(keys::quarantine(release)) {
                let (key, value) = pair.map_err(|it| StoreError::database("read the quarantine", it))?;
                if let Some((_, what)) = keys::quarantined_of(&key) {
                    each(&key, &value, what);
                }
            }
            Ok(())
        })
    }

    /// Writes the outline if it is another one, and lists the release the way its outline says.
    fn mend_outline(
        &self,
        report: &mut RepairReport,
        release: &ReleaseId,
        length: u64,
        derived: Option<Outline>,
    ) -> Result<(), StoreError> {
        if derived.as_ref().is_some_and(|it| it.release != *release) {
            return Err(StoreError::Refused { what: format!("an outline of another release (release {release})") });
        }
        let written = self.shared.database.get(&keys::outline(release))?;
        let written = written.and_then(|it| self.shared.outline_of(release, &it).ok());
        let mut changes = Vec::new();
        let differs = derived.is_some() && derived != written;
        if differs && let Some(outline) = &derived {
            let mut value = format::encode_outline(outline);
            if value.len() > VALUE_IN_PLACE_BYTES_MAX {
                value = format::reference(&self.shared.blobs.put(&value)?);
            }
            changes.push((keys::outline(release), Some(value)));
        }
        let Some(outline) = derived.as_ref().or(written.as_ref()) else { return Ok(()) };
        let mut misplaced = false;
        let from = written.as_ref().map(Place::of);
        for (key, value) in lists::moved(release, from.filter(|it| *it != Place::of(outline)), Some(Place::of(outline)))
        {
            // One whose records are all archived is not to be archived, and may be listed as if it were.
            let need_not_be = keys::ended_of(&key).is_some() && self.shared.last_record(release)?.is_none();
            if self.shared.database.get(&key)?.is_some() != value.is_some() && !need_not_be {
                misplaced = true;
                changes.push((key, value));
            }
        }
        if !outline.open && self.shared.database.get(&keys::open(release))?.is_some() {
            misplaced = true;
            changes.push((keys::open(release), None));
        }
        if !changes.is_empty() && self.mend(release, length, changes)? {
            report.outlines += u64::from(differs);
            report.listed += u64::from(misplaced);
        }
        Ok(())
    }

    fn quarantine(&self, report: &mut RepairReport, release: &ReleaseId, what: &str) -> Result<(), StoreError> {
        let length = self.shared.length(release)?;
        let mut changes = vec![(keys::reason(release), Some(format::encode_document(reason_text(what).as_bytes())))];
        let key = keys::outline(release);
        if let Some(value) = self.shared.database.get(&key)? {
            let place = self.shared.outline_of(release, &value).ok().map(|it| Place::of(&it));
            changes.extend(lists::moved(release, place, None));
            changes.extend([(keys::quarantined(release, &key), Some(value.to_vec())), (key, None)]);
        }
        // If it grew in this moment, it is in use; the next repair finds it as it is then.
        if self.mend(release, length, changes)? {
            let records = self.move_records(release, length)?;
            report.quarantined.push(Quarantined { release: release.clone(), what: what.to_owned(), records });
        }
        Ok(())
    }

    /// Moves what is left of a journal into quarantine; tells how many records.
    fn move_records(&self, release: &ReleaseId, length: u64) -> Result<u64, StoreError> {
        let mut records = self.shared.pairs(release)?;
        let mut count = records.len() as u64;
        let archived = keys::archived(release);
        if let Some(value) = self.shared.database.get(&archived)? {
            count += archive::place(release, &value).map_or(0, |(_, count)| count);
            // Last, as it is what keeps the length if there are no records beside it.
            records.push((archived, value.to_vec()));
        }
        // From the front, so that the journal keeps its length up to the last group.
        for group in groups(records, |(key, value)| 2 * key.len() + value.len()) {
            let moved = |(key, value): (Vec<u8>, _)| [(keys::quarantined(release, &key), Some(value)), (key, None)];
            self.mend(release, length, group.into_iter().flat_map(moved).collect())?;
        }
        Ok(count)
    }

    /// Removes entries of the lists that fit no outline.
    fn remove_stale(&self, report: &mut RepairReport) -> Result<(), StoreError> {
        for kind in [keys::CREATED, keys::OPEN, keys::ENDED] {
            let mut stale = Vec::new();
            lists::each(&self.shared.database, kind, |key, _| {
                let Some(entry) = Entry::of(key) else { return Ok(()) };
                let release = entry.release();
                let length = self.shared.length(release)?;
                let outline = self.shared.database.get(&keys::outline(release))?;
                let fits = match outline.map(|it| self.shared.outline_of(release, &it)) {
                    Some(Ok(outline)) => entry.fits(&outline),
                    // It may be the right one.
                    Some(Err(_)) => true,
                    None => false,
                };
                if !fits {
                    stale.push((release.clone(), length, key.to_vec()));
                }
                Ok(())
            })?;
            for (release, length, key) in stale {
                report.listed += u64::from(self.mend(&release, length, vec![(key, None)])?);
            }
        }
        Ok(())
    }

    pub(super) fn mend(&self, release: &ReleaseId, expected: u64, changes: Vec<Change>) -> Result<bool, StoreError> {
        let release = release.clone();
        Ok(self.mend_all(vec![Mend { release, expected, changes }])? == [true])
    }
}

/// An entry of a list.
enum Entry {
    Created(Timestamp, ReleaseId),
    Ended(Timestamp, ReleaseId),
    Open(ReleaseId),
}

impl Entry {
    fn of(key: &[u8]) -> Option<Self> {
        let created = keys::created_of(key).map(|(at, release)| Self::Created(at, release));
        let ended = || keys::ended_of(key).map(|(at, release)| Self::Ended(at, release));
        created.or_else(ended).or_else(|| keys::release(key).map(Self::Open))
    }

    fn release(&self) -> &ReleaseId {
        match self {
            Self::Created(_, release) | Self::Ended(_, release) | Self::Open(release) => release,
        }
    }

    fn fits(&self, outline: &Outline) -> bool {
        match self {
            Self::Created(at, _) => *at == outline.created_at,
            Self::Ended(at, _) => Place::of(outline).ended() == Some(*at),
            Self::Open(_) => outline.open,
        }
    }
}

impl Shared {
    /// The key of the last record that the database holds of a journal.
    pub(super) fn last_record(&self, release: &ReleaseId) -> Result<Option<IVec>, StoreError> {
        self.database.read(|database| {
            let last = database.scan_prefix(keys::journal(release)).keys().next_back();
            last.transpose().map_err(|it| StoreError::database("read a journal", it))
        })
    }

    /// How many records a journal holds, by its last one.
    pub(super) fn length(&self, release: &ReleaseId) -> Result<u64, StoreError> {
        match self.last_record(release)? {
            None => Ok(self.archived(release)?.map_or(0, |(_, count)| count)),
            Some(key) => match keys::sequence(&key) {
                // Those that are archived may not be removed yet.
                Some(sequence) => {
                    let archived = self.archived(release)?.map_or(0, |(_, count)| count);
                    Ok(sequence.saturating_add(1).max(archived))
                }
                None => Err(StoreError::damaged(format!("the journal of {release}"), "a key that is none")),
            },
        }
    }
}

fn use_number(highest: &mut BTreeMap<WorkflowName, u64>, release: &ReleaseId) {
    let number = highest.entry(release.workflow().clone()).or_default();
    *number = release.number().max(*number);
}

/// So much of a reason as fits into one entry.
fn reason_text(what: &str) -> &str {
    &what[..what.floor_char_boundary(VALUE_IN_PLACE_BYTES_MAX - 2)]
}

/// Splits things into groups that are committed as one.
pub(super) fn groups<T>(things: Vec<T>, size: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let (mut groups, mut bytes) = (Vec::new(), GROUP_BYTES_MAX);
    for thing in things {
        if bytes >= GROUP_BYTES_MAX {
            groups.push(Vec::new());
            bytes = 0;
        }
        bytes += size(&thing);
        groups.last_mut().expect("the first thing made one").push(thing);
    }
    groups
}
