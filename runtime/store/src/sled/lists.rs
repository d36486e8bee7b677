//! Which releases are open, in which order releases were created, and which ended ones are to be archived: indexes over
//! the outlines.
//!
//! The writer changes them in the batch that changes the outline. They follow from the outlines, so a store that was
//! written before there were any gets them when it is opened, and a repair makes them anew.
//!
//! **Invariant:** every outline that can be read is listed under its `created_at`, and if it is open, as
//! open. One that has ended is listed as to be archived as long as the database holds records of it. The reverse may fail
//! after damage: who reads an entry looks at the outline, and passes over what does not fit.

use std::ops::{Bound, ControlFlow};

use ::sled::IVec;
use windlass_model::name::ReleaseId;
use windlass_model::time::Timestamp;

use super::database::Database;
use super::{GROUP_BYTES_MAX, Shared, keys};
use crate::format;
use crate::{ListPosition, Outline, StoreError};

/// The version of the lists; a store with a lower one gets them made anew.
const LISTS: u64 = 2;

/// An outline as the writer takes it: as written, and what the lists need of it.
pub(super) struct Listed {
    pub(super) value: Vec<u8>,
    pub(super) place: Place,
}

/// Where an outline is in the lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) created_at: Timestamp,
    pub(super) open: bool,
    pub(super) updated_at: Timestamp,
}

impl Place {
    pub(super) fn of(outline: &Outline) -> Self {
        Self { created_at: outline.created_at, open: outline.open, updated_at: outline.updated_at }
    }

    /// When its release ended, if it did.
    pub(super) fn ended(self) -> Option<Timestamp> {
        (!self.open).then_some(self.updated_at)
    }
}

/// A change to one key: its new value, or that it goes away.
pub(super) type Change = (Vec<u8>, Option<Vec<u8>>);

/// What changes when an outline moves from one place to another; from or to nowhere if there is none.
pub(super) fn moved(release: &ReleaseId, from: Option<Place>, to: Option<Place>) -> Vec<Change> {
    let mut changes = Vec::new();
    let (created, was_created) = (to.map(|it| it.created_at), from.map(|it| it.created_at));
    if created != was_created {
        changes.extend(was_created.map(|it| (keys::created(it, release), None)));
        changes.extend(created.map(|it| (keys::created(it, release), Some(format::encode_document(&[])))));
    }
    let (open, was_open) = (to.is_some_and(|it| it.open), from.is_some_and(|it| it.open));
    if open != was_open {
        changes.push((keys::open(release), open.then(|| format::encode_document(&[]))));
    }
    let (ended, was_ended) = (to.and_then(Place::ended), from.and_then(Place::ended));
    if ended != was_ended {
        changes.extend(was_ended.map(|it| (keys::ended(it, release), None)));
    }
    // Also if it was before: it may have been archived since.
    changes.extend(ended.map(|it| (keys::ended(it, release), Some(format::encode_document(&[])))));
    changes
}

/// Makes the lists if this store has none yet. Before anybody else uses the store.
pub(super) fn ensure(shared: &Shared) -> Result<(), StoreError> {
    let has = shared.database.get(&keys::lists())?;
    if has.is_some_and(|it| format::decode_number(&it).is_ok_and(|it| it >= LISTS)) {
        return Ok(());
    }
    let commit = |changes: Vec<Change>| shared.database.commit(changes);
    let (mut changes, mut bytes) = (Vec::new(), 0);
    each(&shared.database, keys::OUTLINE, |key, value| {
        // What cannot be read is found by a check, and listed when it is written or repaired.
        if let Some(release) = keys::release(key)
            && let Ok(outline) = shared.outline_of(&release, value)
        {
            let new = moved(&release, None, Some(Place::of(&outline)));
            bytes += new.iter().map(|(key, _)| key.len() + 2).sum::<usize>();
            changes.extend(new);
        }
        if bytes >= GROUP_BYTES_MAX {
            bytes = 0;
            return commit(std::mem::take(&mut changes));
        }
        Ok(())
    })?;
    changes.push((keys::lists(), Some(format::encode_number(LISTS))));
    commit(changes)
}

/// Calls `each` with every entry of a kind. The database is not held meanwhile.
pub(super) fn each(
    database: &Database,
    kind: u8,
    mut each: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    each_below(database, kind, &[kind + 1], |key, value| {
        each(key, value)?;
        Ok(ControlFlow::Continue(()))
    })
}

/// Calls `each` with the entries of a kind whose keys are below `end`, until it breaks. The database is not held
/// meanwhile.
pub(super) fn each_below(
    database: &Database,
    kind: u8,
    end: &[u8],
    mut each: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    const CHUNK: usize = 512;
    let mut from: Bound<IVec> = Bound::Included(IVec::from(&[kind]));
    let end = Bound::Excluded(IVec::from(end));
    loop {
        let found: Vec<(IVec, IVec)> = database.read(|database| {
            let range = database.range::<IVec, _>((from.clone(), end.clone())).take(CHUNK);
            range.collect::<Result<_, _>>().map_err(|it| StoreError::database("read the store", it))
        })?;
        for (key, value) in &found {
            if each(key, value)?.is_break() {
                return Ok(());
            }
        }
        match found.into_iter().next_back() {
            Some((last, _)) => from = Bound::Excluded(last),
            None => return Ok(()),
        }
    }
}

/// Reads the list of open releases.
pub(super) fn open_releases(shared: &Shared) -> Result<Vec<ReleaseId>, StoreError> {
    let mut releases = Vec::new();
    each(&shared.database, keys::OPEN, |key, _| {
        releases.extend(keys::release(key));
        Ok(())
    })?;
    Ok(releases)
}

/// Reads outlines in the order of creation, the newest first, from before a position on.
pub(super) fn page(shared: &Shared, before: Option<&ListPosition>, limit: usize) -> Result<Vec<Outline>, StoreError> {
    let end = match before {
        Some(before) => keys::created(before.created_at, &before.release),
        None => vec![keys::CREATED + 1],
    };
    shared.database.read(|database| {
        let mut outlines = Vec::new();
        for key in database.range(vec![keys::CREATED]..end).keys().rev() {
            if outlines.len() >= limit {
                break;
            }
            let key = key.map_err(|it| StoreError::database("read the list of releases", it))?;
            let Some((created_at, release)) = keys::created_of(&key) else { continue };
            let value = database.get(keys::outline(&release)).map_err(|it| StoreError::database("read", it))?;
            match value.map(|it| shared.outline_of(&release, &it)) {
                Some(Ok(outline)) if outline.created_at == created_at => outlines.push(outline),
                // One that cannot be read must not keep people from seeing the others; a check names it.
                Some(Err(error)) if error.is_damage() => tracing::error!(%release, %error, "not listed"),
                Some(Err(error)) => return Err(error),
                Some(Ok(_)) | None => {}
            }
        }
        Ok(outlines)
    })
}
