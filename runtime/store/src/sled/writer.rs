//! The one thread that writes: takes what waits, writes it as one, answers all.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use ::sled::{Batch, IVec};
use tokio::sync::{mpsc, oneshot};
use windlass_model::name::{ReleaseId, WorkflowName};

use super::{GROUP_APPENDS_MAX, GROUP_BYTES_MAX, Shared, keys};
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
        outline: Option<Vec<u8>>,
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
    /// Begin a snapshot; all that was answered before is in it.
    Snapshot {
        reply: oneshot::Sender<()>,
    },
}

/// Writes until nobody can send any more.
pub(super) fn run(shared: &Shared, mut waiting: mpsc::Receiver<Work>) {
    let mut writer = Writer { shared, lengths: HashMap::new(), highest: HashMap::new() };
    let mut group = Vec::new();
    while let Some(first) = waiting.blocking_recv() {
        let mut bytes = first.bytes;
        group.push(first.write);
        while bytes < GROUP_BYTES_MAX && group.len() < GROUP_APPENDS_MAX {
            let Ok(next) = waiting.try_recv() else { break };
            bytes += next.bytes;
            group.push(next.write);
        }
        writer.write(group.drain(..));
    }
}

struct Writer<'a> {
    shared: &'a Shared,
    /// How many records the journals of open releases hold, as far as somebody asked.
    lengths: HashMap<ReleaseId, u64>,
    highest: HashMap<WorkflowName, u64>,
}

/// An answer that waits for the group to be durable.
enum Answer {
    Append(oneshot::Sender<Result<(), AppendError>>, Result<(), AppendError>),
    Put(oneshot::Sender<Result<(), StoreError>>),
    Remove(oneshot::Sender<Result<bool, StoreError>>, bool),
}

impl Answer {
    /// Gives it, or the reason why there is none. Nobody waiting any more is fine.
    fn give(self, committed: &Result<(), StoreError>) {
        match (self, committed) {
            (Self::Append(reply, answer), Ok(())) => drop(reply.send(answer)),
            (Self::Put(reply), Ok(())) => drop(reply.send(Ok(()))),
            (Self::Remove(reply, was_there), Ok(())) => drop(reply.send(Ok(was_there))),
            // Conflicts too: they were found in view of what the group would have written.
            (Self::Append(reply, _), Err(error)) => drop(reply.send(Err(AppendError::Store(error.clone())))),
            (Self::Put(reply), Err(error)) => drop(reply.send(Err(error.clone()))),
            (Self::Remove(reply, _), Err(error)) => drop(reply.send(Err(error.clone()))),
        }
    }
}

impl Writer<'_> {
    fn write(&mut self, group: impl ExactSizeIterator<Item = Write>) {
        let mut answers = Vec::with_capacity(group.len());
        let mut group_batch = Group::default();
        let mut snapshots = Vec::new();
        for write in group {
            match write {
                Write::Append { release, expected, value, outline, reply } => {
                    let answer = self.append(&mut group_batch, &release, expected, value, outline);
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
                        answers.push(Answer::Remove(reply, was_there));
                    }
                    Err(error) => drop(reply.send(Err(error))),
                },
                Write::Snapshot { reply } => snapshots.push(reply),
            }
        }
        let committed = self.commit(group_batch);
        if committed.is_err() {
            self.lengths.clear();
            self.highest.clear();
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
        if self.lengths.len() > LENGTHS_MAX {
            self.lengths.clear();
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
        let mut batch = Batch::default();
        for (key, value) in group.writes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        self.shared.database.commit(batch)
    }

    fn append(
        &mut self,
        group: &mut Group,
        release: &ReleaseId,
        expected: u64,
        value: Vec<u8>,
        outline: Option<Vec<u8>>,
    ) -> Result<(), AppendError> {
        let actual = self.length(release)?;
        if actual != expected {
            return Err(AppendError::Conflict { expected, actual });
        }
        if expected == 0 {
            self.use_number(group, release)?;
        }
        group.insert(keys::record(release, expected), value);
        if let Some(outline) = outline {
            group.insert(keys::outline(release), outline);
        }
        self.lengths.insert(release.clone(), expected + 1);
        Ok(())
    }

    fn length(&mut self, release: &ReleaseId) -> Result<u64, StoreError> {
        if let Some(length) = self.lengths.get(release) {
            return Ok(*length);
        }
        let prefix = keys::journal(release);
        let last = self.shared.database.read(|database| {
            let last = database.scan_prefix(prefix).keys().next_back();
            last.transpose().map_err(|it| StoreError::database("read a journal", it))
        })?;
        let length = match last {
            None => 0,
            Some(key) => match keys::sequence(&key) {
                Some(sequence) => sequence + 1,
                None => return Err(StoreError::damaged(format!("the journal of {release}"), "a key that is none")),
            },
        };
        self.lengths.insert(release.clone(), length);
        Ok(length)
    }

    /// Sees to it that the release's number is never given again.
    fn use_number(&mut self, group: &mut Group, release: &ReleaseId) -> Result<(), StoreError> {
        let workflow = release.workflow();
        let highest = match self.highest.entry(workflow.clone()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let written = self.shared.database.get(&keys::number(workflow))?;
                let damaged = |it| StoreError::damaged(format!("the highest number of {workflow}"), it);
                entry.insert(written.map_or(Ok(0), |it| format::decode_number(&it)).map_err(damaged)?)
            }
        };
        if release.number() > *highest {
            *highest = release.number();
            group.insert(keys::number(workflow), format::encode_number(*highest));
        }
        Ok(())
    }

    fn is_there(&self, group: &Group, key: &[u8]) -> Result<bool, StoreError> {
        match group.documents.get(key) {
            Some(is_there) => Ok(*is_there),
            None => Ok(self.shared.database.get(key)?.is_some()),
        }
    }
}

/// How many journals' lengths are kept at hand.
const LENGTHS_MAX: usize = 200_000;

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
}
