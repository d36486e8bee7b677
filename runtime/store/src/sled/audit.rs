//! Reads everything in a store and says what is wrong with it.

use std::collections::{BTreeMap, BTreeSet};

use windlass_model::digest::Digest;
use windlass_model::event::Record;
use windlass_model::name::{ReleaseId, WorkflowName};
use windlass_model::time::Timestamp;

use super::{Shared, archive, keys, lists};
use crate::format::{self, Place};
use crate::{CheckReport, StoreError};

/// What is gathered on the way.
#[derive(Default)]
struct Audit {
    report: CheckReport,
    /// Blobs that are what their names say.
    sound: BTreeSet<Digest>,
    named: BTreeSet<Digest>,
    journals: BTreeSet<ReleaseId>,
    /// Releases that are archived, and how many records each.
    archived: BTreeMap<ReleaseId, u64>,
    /// What the list of releases says, as far as no outline was found for it.
    listed: BTreeSet<(Timestamp, ReleaseId)>,
    /// Releases whose outlines say that they are open, as far as the list of those does not.
    open: BTreeSet<ReleaseId>,
    /// What the list of what is to be archived says, as far as no outline was found for it.
    ended: BTreeSet<(Timestamp, ReleaseId)>,
    /// Releases with records in the database.
    in_database: BTreeSet<ReleaseId>,
    /// Releases whose outlines cannot be read.
    unreadable: BTreeSet<ReleaseId>,
    /// The highest number of a release with a journal, by workflow.
    highest: BTreeMap<WorkflowName, u64>,
}

/// Checks all of it. Fails only where it cannot go on.
pub(super) fn check(shared: &Shared) -> Result<CheckReport, StoreError> {
    let mut audit = Audit::default();
    audit.blobs(shared)?;
    audit.archive(shared)?;
    audit.journals(shared)?;
    audit.rest(shared)?;
    let Audit { mut report, sound, named, .. } = audit;
    report.unnamed_blobs = sound.difference(&named).count() as u64;
    report.findings.sort_by(|a, b| a.release.cmp(&b.release));
    Ok(report)
}

impl Audit {
    fn blobs(&mut self, shared: &Shared) -> Result<(), StoreError> {
        let mut strays = Vec::new();
        shared.blobs.each(
            |digest| {
                self.report.blobs += 1;
                match shared.blobs.get(&digest) {
                    Ok(_) => drop(self.sound.insert(digest)),
                    Err(error) => self.report.find(None, describe(&error)),
                }
                Ok(())
            },
            |path| strays.push(format!("{} is no blob", path.display())),
        )?;
        for stray in strays {
            self.report.find(None, stray);
        }
        Ok(())
    }

    fn archive(&mut self, shared: &Shared) -> Result<(), StoreError> {
        let mut places: BTreeMap<Digest, Vec<ReleaseId>> = BTreeMap::new();
        lists::each(&shared.database, keys::ARCHIVED, |key, value| {
            let Some(release) = keys::release(key) else {
                self.no_key(key);
                return Ok(());
            };
            match archive::place(&release, value) {
                Ok((digest, count)) => {
                    self.report.archived += 1;
                    self.archived.insert(release.clone(), count);
                    places.entry(digest).or_default().push(release);
                }
                Err(error) => self.report.find(Some(&release), describe(&error)),
            }
            Ok(())
        })?;
        for (digest, releases) in places {
            self.named.insert(digest);
            for release in releases {
                self.begin(&release);
                match shared.whole_journal(&release, Vec::new()) {
                    Ok(pairs) => {
                        for (sequence, (_, value)) in (0..).zip(&pairs) {
                            self.record(shared, &release, sequence, value);
                        }
                    }
                    Err(error) => self.report.find(Some(&release), describe(&error)),
                }
            }
        }
        Ok(())
    }

    fn journals(&mut self, shared: &Shared) -> Result<(), StoreError> {
        let mut release = None;
        let mut next = 0;
        shared.database.read(|database| {
            for pair in database.scan_prefix([keys::JOURNAL]) {
                let (key, value) = pair.map_err(|it| StoreError::database("check the journals", it))?;
                let (Some(of), Some(sequence)) = (keys::release(&key), keys::sequence(&key)) else {
                    self.report.find(None, format!("a key that is none: {}", hex::encode(&key)));
                    continue;
                };
                if release.as_ref() != Some(&of) {
                    release = Some(of.clone());
                    self.in_database.insert(of.clone());
                    next = self.archived.get(&of).copied().unwrap_or(0);
                    if next == 0 {
                        self.begin(&of);
                    }
                }
                if self.archived.get(&of).is_some_and(|archived| sequence < *archived) {
                    // It is in the archive as well: the power went before it was removed here.
                    continue;
                }
                if sequence != next {
                    self.report.find(Some(&of), format!("records {next} to {} are missing", sequence - 1));
                }
                next = sequence + 1;
                self.record(shared, &of, sequence, &value);
            }
            Ok(())
        })
    }

    fn begin(&mut self, release: &ReleaseId) {
        self.report.releases += 1;
        self.journals.insert(release.clone());
        let highest = self.highest.entry(release.workflow().clone()).or_default();
        *highest = release.number().max(*highest);
    }

    fn record(&mut self, shared: &Shared, release: &ReleaseId, sequence: u64, value: &[u8]) {
        self.report.records += 1;
        self.names(value);
        let record: Record = match shared.record(release, sequence, value) {
            Ok(record) => record,
            Err(error) => return self.report.find(Some(release), describe(&error)),
        };
        for (what, digest) in crate::check::named_blobs(&[record]) {
            self.named.insert(digest);
            if !self.sound.contains(&digest) {
                self.report.find(Some(release), format!("{what} is missing or damaged: {digest}"));
            }
        }
    }

    fn names(&mut self, value: &[u8]) {
        if let Ok(Place::InBlob(digest)) = format::open(value) {
            self.named.insert(digest);
        }
    }

    fn rest(&mut self, shared: &Shared) -> Result<(), StoreError> {
        shared.database.read(|database| {
            for pair in database.iter() {
                let (key, value) = pair.map_err(|it| StoreError::database("check the store", it))?;
                match key.first() {
                    Some(&(keys::JOURNAL | keys::ARCHIVED)) => continue,
                    Some(&keys::OUTLINE) => self.outline(shared, &key, &value),
                    Some(&keys::NUMBER) => self.number(&key, &value),
                    Some(&keys::DOCUMENT) => self.document(shared, &key, &value),
                    Some(&keys::CREATED) => match keys::created_of(&key) {
                        Some(entry) => drop(self.listed.insert(entry)),
                        None => self.no_key(&key),
                    },
                    Some(&keys::ENDED) => match keys::ended_of(&key) {
                        Some(entry) => drop(self.ended.insert(entry)),
                        None => self.no_key(&key),
                    },
                    Some(&keys::OPEN) => self.open(&key),
                    Some(&keys::QUARANTINE) => self.quarantined(shared, &key, &value),
                    Some(&keys::INDEX) if key == keys::lists() => {}
                    Some(&keys::GENERATION) if key.len() == 1 => {}
                    Some(_) | None => self.report.find(None, format!("a key of no kind: {}", hex::encode(&key))),
                }
            }
            Ok(())
        })?;
        for (_, release) in std::mem::take(&mut self.listed) {
            if !self.unreadable.contains(&release) {
                self.report.find(Some(&release), "an entry of the list of releases does not fit it");
            }
        }
        for (_, release) in std::mem::take(&mut self.ended) {
            if !self.unreadable.contains(&release) {
                self.report.find(Some(&release), "an entry of the list of what is to be archived does not fit it");
            }
        }
        for release in std::mem::take(&mut self.open) {
            self.report.find(Some(&release), "it is open and not in the list of open releases");
        }
        for workflow in std::mem::take(&mut self.highest).into_keys() {
            self.report.find(None, format!("the highest number of {workflow} is missing"));
        }
        Ok(())
    }

    fn outline(&mut self, shared: &Shared, key: &[u8], value: &[u8]) {
        self.names(value);
        let Some(release) = keys::release(key) else {
            return self.no_key(key);
        };
        if !self.journals.contains(&release) {
            self.report.find(Some(&release), "it has an outline and no journal");
        }
        match shared.outline_of(&release, value) {
            Ok(outline) => {
                if !self.listed.remove(&(outline.created_at, release.clone())) {
                    self.report.find(Some(&release), "it is not in the list of releases");
                }
                let is_listed = self.ended.remove(&(outline.updated_at, release.clone()));
                if outline.open {
                    if is_listed {
                        self.report.find(Some(&release), "it is open and in the list of what is to be archived");
                    }
                    self.open.insert(release);
                } else if !is_listed && self.in_database.contains(&release) {
                    self.report.find(Some(&release), "it has ended and is not in the list of what is to be archived");
                }
            }
            Err(error) => {
                self.report.find(Some(&release), describe(&error));
                self.unreadable.insert(release);
            }
        }
    }

    fn open(&mut self, key: &[u8]) {
        let Some(release) = keys::release(key) else { return self.no_key(key) };
        if !self.open.remove(&release) && !self.unreadable.contains(&release) {
            self.report.find(Some(&release), "an entry of the list of open releases does not fit it");
        }
    }

    fn quarantined(&mut self, shared: &Shared, key: &[u8], value: &[u8]) {
        self.names(value);
        match keys::quarantined_of(key) {
            Some((_, b'r')) => self.report.quarantined += 1,
            Some((release, b's')) => match archive::place(&release, value) {
                Ok((digest, _)) => drop(self.named.insert(digest)),
                Err(error) => self.report.find(Some(&release), describe(&error)),
            },
            Some((release, b'j')) => {
                // Its blobs are still its own, and that some are missing may be why it is here.
                if let Ok(record) = shared.record(&release, 0, value) {
                    self.named.extend(crate::check::named_blobs(&[record]).into_iter().map(|(_, digest)| digest));
                }
            }
            Some(_) => {}
            None => self.no_key(key),
        }
    }

    fn no_key(&mut self, key: &[u8]) {
        self.report.find(None, format!("a key that is none: {}", hex::encode(key)));
    }

    fn number(&mut self, key: &[u8], value: &[u8]) {
        let Some(workflow) = keys::workflow(key) else {
            return self.no_key(key);
        };
        let used = self.highest.remove(&workflow).unwrap_or(0);
        match format::decode_number(value) {
            Ok(highest) if highest >= used => {}
            Ok(highest) => {
                self.report.find(None, format!("the highest number of {workflow} is {used}, not {highest}"));
            }
            Err(what) => self.report.find(None, format!("the highest number of {workflow} is damaged: {what}")),
        }
    }

    fn document(&mut self, shared: &Shared, key: &[u8], value: &[u8]) {
        self.report.documents += 1;
        self.names(value);
        let Some((kind, name)) = keys::document_of(key) else {
            return self.no_key(key);
        };
        if let Err(error) = shared.document(kind, name, value) {
            self.report.find(None, describe(&error));
        }
    }
}

/// An error with its cause, in one line.
pub(super) fn describe(error: &StoreError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
