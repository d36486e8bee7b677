//! Whoever writes: makes a group one commit, and answers all who wait for it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use ::sled::IVec;
use tokio::sync::oneshot;
use windlass_model::name::{ReleaseId, WorkflowName};

use super::lists::{self, Change, Listed, Place};
use super::{GROUP_BYTES_MAX, Shared, keys};
use crate::format;
use crate::{AppendError, StoreError};

/// Something to write, small enough for sled.
pub(super) struct Work {
    /// About how many bytes it adds to a group.
    pub(super) bytes: usize,
    pub(super) write: Write,
}

/// What to write, and who waits for it.
pub(super) enum Write {
    Append {
        release: ReleaseId,
        expected: u64,
        value: Vec<u8>,
        outline: Option<Listed>,
        reply: oneshot::Sender<Result<(), AppendError>>,
    },
    Put {
        key: Vec<u8>,
        value: Vec<u8>,
        reply: oneshot::Sender<Result<(), StoreError>>,
    },
    Remove {
        key: Vec<u8>,
        reply: oneshot::Sender<Result<bool, StoreError>>,
    },
    /// Change what belongs to releases, as far as their journals are still so long; tells for each whether it was.
    Mend {
        mends: Vec<Mend>,
        reply: oneshot::Sender<Result<Vec<bool>, StoreError>>,
    },
    /// See to it that a release's number is never given again; tells whether something had to be written for that.
    Use {
        release: ReleaseId,
        reply: oneshot::Sender<Result<bool, StoreError>>,
    },
    /// Begin a snapshot; all that was answered before is in it.
    Snapshot {
        reply: oneshot::Sender<()>,
    },
}

/// What to change about a release whose journal is so long.
pub(super) struct Mend {
    pub(super) release: ReleaseId,
    pub(super) expected: u64,
    pub(super) changes: Vec<Change>,
}

/// Writes, and knows what it wrote last.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    /// What is known of releases that somebody appended to.
    known: HashMap<ReleaseId, Known>,
    highest: HashMap<WorkflowName, u64>,
}

/// What the writer knows of a release.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// How many records its journal holds.
    length: u64,
    /// Where it is in the lists.
    place: Option<Place>,
}

/// An answer that waits for the group to be durable.
enum Answer {
    Append(oneshot::Sender<Result<(), AppendError>>, Result<(), AppendError>),
    Put(oneshot::Sender<Result<(), StoreError>>),
    Done(oneshot::Sender<Result<bool, StoreError>>, bool),
    Mended(oneshot::Sender<Result<Vec<bool>, StoreError>>, Vec<bool>),
}

impl Answer {
    /// Gives it, or the reason why there is none. Nobody waiting any more is fine.
    fn give(self, committed: &Result<(), StoreError>) {
        match (self, committed) {
            (Self::Append(reply, answer), Ok(())) => drop(reply.send(answer)),
            (Self::Put(reply), Ok(())) => drop(reply.send(Ok(()))),
            (Self::Done(reply, was_there), Ok(())) => drop(reply.send(Ok(was_there))),
            // Conflicts too: they were found in view of what the group would have written.
            (Self::Append(reply, _), Err(error)) => drop(reply.send(Err(AppendError::Store(error.clone())))),
            (Self::Put(reply), Err(error)) => drop(reply.send(Err(error.clone()))),
            (Self::Mended(reply, mended), Ok(())) => drop(reply.send(Ok(mended))),
            (Self::Mended(reply, _), Err(error)) => drop(reply.send(Err(error.clone()))),
            (Self::Done(reply, _), Err(error)) => drop(reply.send(Err(error.clone()))),
        }
    }
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, known: HashMap::new(), highest: HashMap::new() }
    }

    /// Whether a small group takes one write and one sync.
    pub(super) fn is_quick(&self) -> bool {
        self.shared.database.has_room(GROUP_BYTES_MAX as u64)
    }

    /// Writes a group as one.
    pub(super) fn write(&mut self, group: impl ExactSizeIterator<Item = Write>) {
        let mut answers = Vec::with_capacity(group.len());
        let mut group_batch = Group::default();
        let mut snapshots = Vec::new();
        let mut ended = Vec::new();
        for write in group {
            match write {
                Write::Append { release, expected, value, outline, reply } => {
                    let ends = outline.as_ref().is_some_and(|it| !it.place.open);
                    let answer = self.append(&mut group_batch, &release, expected, value, outline);
                    if ends {
                        ended.push(release);
                    }
                    answers.push(Answer::Append(reply, answer));
                }
                Write::Put { key, value, reply } => {
                    group_batch.documents.insert(key.clone(), true);
                    group_batch.insert(key, value);
                    answers.push(Answer::Put(reply));
                }
                Write::Remove { key, reply } => match self.is_there(&group_batch, &key) {
                    Ok(was_there) => {
                        group_batch.documents.insert(key.clone(), false);
                        group_batch.remove(key);
                        answers.push(Answer::Done(reply, was_there));
                    }
                    Err(error) => drop(reply.send(Err(error))),
                },
                Write::Mend { mends, reply } => {
                    let mended = mends.into_iter().map(|it| self.mend(&mut group_batch, it));
                    match mended.collect::<Result<Vec<bool>, StoreError>>() {
                        Ok(mended) => answers.push(Answer::Mended(reply, mended)),
                        Err(error) => drop(reply.send(Err(error))),
                    }
                }
                Write::Use { release, reply } => {
                    let used = match self.use_number(&mut group_batch, &release) {
                        // Nobody could create a release since it was damaged, so the number is the highest.
                        Err(StoreError::CorruptItem { .. }) => {
                            group_batch
                                .insert(keys::number(release.workflow()), format::encode_number(release.number()));
                            Ok(true)
                        }
                        used => used,
                    };
                    match used {
                        Ok(used) => answers.push(Answer::Done(reply, used)),
                        Err(error) => drop(reply.send(Err(error))),
                    }
                }
                Write::Snapshot { reply } => snapshots.push(reply),
            }
        }
        let committed = self.commit(group_batch);
        if committed.is_err() {
            self.known.clear();
            self.highest.clear();
        }
        // Only now: up to here the database did not have what the group wrote. They are seldom asked for again.
        for release in ended {
            self.known.remove(&release);
        }
        for answer in answers {
            answer.give(&committed);
        }
        for reply in snapshots {
            self.shared.snapshots.begin();
            // Whoever asked has gone; nobody else would end it.
            if reply.send(()).is_err() {
                self.shared.snapshots.end();
            }
        }
        // What is known of a journal is a convenience; this bounds it without a clock or a list.
        if self.known.len() > KNOWN_MAX {
            self.known.clear();
        }
    }

    /// Makes a group durable, and sees to it that a snapshot still finds what was there before.
    fn commit(&self, group: Group) -> Result<(), StoreError> {
        if group.writes.is_empty() {
            return Ok(());
        }
        let changed = self.shared.snapshots.wanted(group.writes.keys().map(Vec::as_slice));
        if !changed.is_empty() {
            let before = changed.into_iter().map(|key| Ok((IVec::from(key), self.shared.database.get(key)?)));
            self.shared.snapshots.before(before.collect::<Result<_, StoreError>>()?);
        }
        self.shared.database.commit(group.writes.into_iter().collect())
    }

    fn append(
        &mut self,
        group: &mut Group,
        release: &ReleaseId,
        expected: u64,
        value: Vec<u8>,
        outline: Option<Listed>,
    ) -> Result<(), AppendError> {
        let known = self.known(release)?;
        if known.length != expected {
            return Err(AppendError::Conflict { expected, actual: known.length });
        }
        if expected == 0 {
            self.use_number(group, release)?;
        }
        group.insert(keys::record(release, expected), value);
        let place = outline.as_ref().map(|it| it.place).or(known.place);
        if let Some(outline) = outline {
            group.insert(keys::outline(release), outline.value);
        }
        // Also where the outline stays: what has ended has something to archive again.
        group.change(lists::moved(release, known.place, place));
        self.known.insert(release.clone(), Known { length: expected + 1, place });
        Ok(())
    }

    fn mend(&mut self, group: &mut Group, mend: Mend) -> Result<bool, StoreError> {
        let Mend { release, expected, changes } = mend;
        let length = match self.known.get(&release) {
            Some(known) => known.length,
            None => self.shared.length(&release)?,
        };
        if length != expected {
            return Ok(false);
        }
        self.known.remove(&release);
        group.change(changes);
        Ok(true)
    }

    /// What is in the database about a release; not what the group will write.
    fn known(&mut self, release: &ReleaseId) -> Result<Known, StoreError> {
        if let Some(known) = self.known.get(release) {
            return Ok(*known);
        }
        self.shared.refuse_quarantined(release)?;
        let length = self.shared.length(release)?;
        let outline = if length == 0 { None } else { self.shared.database.get(&keys::outline(release))? };
        // Of one that cannot be read nobody knows the place; readers of the lists pass over what is left there.
        let place = outline.and_then(|it| self.shared.outline_of(release, &it).ok()).map(|it| Place::of(&it));
        let known = Known { length, place };
        self.known.insert(release.clone(), known);
        Ok(known)
    }

    /// Sees to it that the release's number is never given again; tells whether that takes a write.
    fn use_number(&mut self, group: &mut Group, release: &ReleaseId) -> Result<bool, StoreError> {
        let workflow = release.workflow();
        let highest = match self.highest.entry(workflow.clone()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let written = self.shared.database.get(&keys::number(workflow))?;
                let damaged = |it| StoreError::damaged(format!("the highest number of {workflow}"), it);
                entry.insert(written.map_or(Ok(0), |it| format::decode_number(&it)).map_err(damaged)?)
            }
        };
        let is_higher = release.number() > *highest;
        if is_higher {
            *highest = release.number();
            group.insert(keys::number(workflow), format::encode_number(*highest));
        }
        Ok(is_higher)
    }

    fn is_there(&self, group: &Group, key: &[u8]) -> Result<bool, StoreError> {
        match group.documents.get(key) {
            Some(is_there) => Ok(*is_there),
            None => Ok(self.shared.database.get(key)?.is_some()),
        }
    }
}

/// How many releases are kept at hand.
const KNOWN_MAX: usize = 200_000;

/// What is going to be written as one.
#[derive(Default)]
struct Group {
    /// Values, or nothing for keys that go away.
    writes: HashMap<Vec<u8>, Option<Vec<u8>>>,
    /// Documents this group writes (true) or removes.
    documents: HashMap<Vec<u8>, bool>,
}

impl Group {
    fn insert(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.writes.insert(key, Some(value));
    }

    fn remove(&mut self, key: Vec<u8>) {
        self.writes.insert(key, None);
    }

    fn change(&mut self, changes: Vec<Change>) {
        self.writes.extend(changes);
    }
}
