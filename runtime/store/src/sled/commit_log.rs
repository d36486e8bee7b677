//! The log that makes commits durable, before the database has them on the disk.
//!
//! A commit is one write and one sync of a file whose room is there already, by the thread that commits; sled hears
//! of it after that and writes when it likes. When the log is full, sled's log is made durable and this one begins
//! anew. Whoever opens the store applies what the log holds to the database again: the commits since the last such
//! moment, in order. That changes nothing where the database has them.
//!
//! Why not sled alone: each of its flushes hands the write to a pool and wakes all of its threads, which
//! costs a release that runs alone more than the disk does. Considered instead: fjall in its place, and a patched
//! copy of sled.
//!
//! ```text
//! 0     windlass-commits 1⏎, zeros to 32; generation (8 bytes), salt (8), CRC-32 of all that (4)
//! 4096  commits, each at a multiple of 8:
//!       CRC-32 (4) of the salt and what follows, length of the changes (4), generation (8), number in the generation (8),
//!       changes: length of the key (4), length of the value or ffffffff for none (4), key, value
//! ```
//!
//! Numbers are big-endian.
//!
//! **Invariant:** the database is durable up to the end of a generation before the next one begins, and that
//! the next one has begun is durable before its first commit is written. So what a generation holds is applied to a
//! database that has all of it, or some of it, never to one that has more.
//! **Invariant:** the database knows which generation follows on what it holds, and knew it before that one began. One
//! that knows only of an earlier one has lost what it held: sled takes damage in the middle of its own log for that log's
//! end.
//! **Invariant:** a commit is written when the one before it is durable. So only the last one can be torn, and
//! it was not acknowledged; a whole one behind a torn one is damage.
//! **Invariant:** nobody can write a value that looks like a commit: the salt is not known outside.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::layout::failed;
use super::lists::Change;
use crate::StoreError;

/// How large the log gets, unless somebody says otherwise: the database is made durable each time this is full.
pub(super) const BYTES_MAX: u64 = 4 << 20;

/// The file grows by so much, filled with zeros, so that most commits find their room allocated: a sync that need not
/// make an allocation durable takes two thirds of the time.
const GROWTH: u64 = 1 << 20;

const MAGIC: &[u8; 32] = b"windlass-commits 1\n\0\0\0\0\0\0\0\0\0\0\0\0\0";
const HEADER_BYTES: usize = 52;
/// Where the commits begin: what is written there never shares a sector with the header.
const FIRST: u64 = 4096;
const COMMIT_HEADER_BYTES: usize = 24;
const ALIGNMENT: u64 = 8;
const NO_VALUE: u32 = u32::MAX;

/// The log of a database.
#[derive(Debug)]
pub(super) struct CommitLog {
    path: PathBuf,
    bytes_max: u64,
    file: File,
    generation: Generation,
    /// The number of the next commit, and where it goes.
    next: u64,
    end: u64,
    /// How much of the file is there.
    size: u64,
    buffer: Vec<u8>,
}

/// What the commits of one filling of the log have in common.
#[derive(Debug, Clone, Copy)]
struct Generation {
    number: u64,
    salt: u64,
}

/// Why a commit is not in the log.
#[derive(Debug)]
pub(super) enum NotLogged {
    /// It could not be written; what is there is as it was.
    Unwritten(StoreError),
    /// It was written and not synced: nobody knows what is on the disk, and asking again would lie.
    Unsynced(StoreError),
}

/// Makes an empty log; the caller syncs the folder that it is in.
pub(super) fn create(path: &Path) -> Result<(), StoreError> {
    let file = File::options().write(true).create_new(true).mode(0o600).open(path);
    let file = file.map_err(|it| failed("create", path, it))?;
    let mut first = vec![0; GROWTH as usize];
    let generation = Generation { number: 1, salt: random() };
    first[..HEADER_BYTES].copy_from_slice(&generation.header());
    file.write_all_at(&first, 0).and_then(|()| file.sync_all()).map_err(|it| failed("write", path, it))
}

/// Which generation a log is in.
pub(super) fn generation(path: &Path) -> Result<u64, StoreError> {
    let mut header = [0; HEADER_BYTES];
    let read = File::open(path).and_then(|it| it.read_exact_at(&mut header, 0));
    read.map_err(|it| failed("read", path, it))?;
    Generation::read(&header).map(|it| it.number).ok_or_else(|| no_header(path))
}

fn damaged(path: &Path, what: &str) -> StoreError {
    StoreError::damaged(format!("the log of commits {}", path.display()), what)
}

fn no_header(path: &Path) -> StoreError {
    damaged(path, "its first sector is not what was written")
}

impl CommitLog {
    /// Opens a log, which is to get so large, and gives all that it holds, in order, to `apply`; before that, its
    /// generation to `follows`, which refuses one that does not follow on what the database holds.
    pub(super) fn open(
        path: PathBuf,
        bytes_max: u64,
        follows: impl FnOnce(u64) -> Result<(), StoreError>,
        mut apply: impl FnMut(Vec<Change>) -> Result<(), StoreError>,
    ) -> Result<Self, StoreError> {
        let mut bytes = Vec::new();
        let mut file = File::options().read(true).write(true).open(&path).map_err(|it| failed("open", &path, it))?;
        file.read_to_end(&mut bytes).map_err(|it| failed("read", &path, it))?;
        let damaged = |what: &str| damaged(&path, what);
        let generation = Generation::read(&bytes).ok_or_else(|| no_header(&path))?;
        follows(generation.number)?;
        let (mut next, mut end) = (0, FIRST);
        while let Some((changes, length)) = generation.commit(&bytes, end, next) {
            apply(decode(changes).ok_or_else(|| damaged(&format!("commit {next} cannot be read")))?)?;
            next += 1;
            end += length;
        }
        if let Some(later) = generation.commit_after(&bytes, end, next) {
            return Err(damaged(&format!(
                "commit {next} is damaged, and commit {later} follows. Restore a backup, or, to go on without what was \
                 committed from there on, move the file away"
            )));
        }
        let size = bytes.len() as u64;
        Ok(Self { path, bytes_max, file, generation, next, end, size, buffer: Vec::new() })
    }

    /// The number of the next generation.
    pub(super) fn next_generation(&self) -> u64 {
        self.generation.number + 1
    }

    /// Whether nothing was committed since the last beginning.
    pub(super) fn is_empty(&self) -> bool {
        self.next == 0
    }

    /// How many commits there were since the last beginning.
    #[cfg(test)]
    pub(super) fn commits(&self) -> u64 {
        self.next
    }

    /// How much room a commit takes.
    pub(super) fn room_for(changes: &[Change]) -> u64 {
        let bytes = changes.iter().map(|(key, value)| 8 + key.len() + value.as_ref().map_or(0, Vec::len));
        (COMMIT_HEADER_BYTES as u64 + bytes.sum::<usize>() as u64).next_multiple_of(ALIGNMENT)
    }

    /// Whether a commit of this size is one for the log: a few of them fill it.
    pub(super) fn takes(&self, bytes: u64) -> bool {
        bytes <= self.bytes_max / 4
    }

    /// Whether a commit of this size fits in before a new beginning.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        self.end + bytes <= self.bytes_max
    }

    /// Makes changes durable, as one.
    pub(super) fn append(&mut self, changes: &[Change]) -> Result<(), NotLogged> {
        let mut buffer = std::mem::take(&mut self.buffer);
        self.generation.encode(self.next, changes, &mut buffer);
        let written = self.write(&buffer);
        let length = buffer.len() as u64;
        self.buffer = buffer;
        written.map_err(|it| NotLogged::Unwritten(failed("write", &self.path, it)))?;
        self.sync().map_err(NotLogged::Unsynced)?;
        self.next += 1;
        self.end += length;
        Ok(())
    }

    /// Begins a new generation, in which nothing is committed. The database has to be durable.
    pub(super) fn begin_anew(&mut self) -> Result<(), NotLogged> {
        let generation = Generation { number: self.generation.number + 1, salt: random() };
        let written = self.file.write_all_at(&generation.header(), 0);
        written.map_err(|it| NotLogged::Unwritten(failed("write", &self.path, it)))?;
        self.sync().map_err(NotLogged::Unsynced)?;
        (self.generation, self.next, self.end) = (generation, 0, FIRST);
        Ok(())
    }

    fn write(&mut self, commit: &[u8]) -> io::Result<()> {
        let end = self.end + commit.len() as u64;
        if end > self.size {
            self.grow(end.next_multiple_of(GROWTH))?;
        }
        self.file.write_all_at(commit, self.end)
    }

    fn grow(&mut self, size: u64) -> io::Result<()> {
        let zeros = vec![0; (size - self.size) as usize];
        self.file.write_all_at(&zeros, self.size)?;
        self.size = size;
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        super::database::sync_data(&self.file).map_err(|it| failed("sync", &self.path, it))
    }
}

impl Generation {
    fn header(self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..32].copy_from_slice(MAGIC);
        header[32..40].copy_from_slice(&self.number.to_be_bytes());
        header[40..48].copy_from_slice(&self.salt.to_be_bytes());
        let checksum = crc32fast::hash(&header[..48]);
        header[48..].copy_from_slice(&checksum.to_be_bytes());
        header
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
        let generation = Self { number: number(32)?, salt: number(40)? };
        bytes.starts_with(&generation.header()).then_some(generation)
    }

    /// Puts a commit in the place of what the buffer holds.
    fn encode(self, number: u64, changes: &[Change], into: &mut Vec<u8>) {
        into.clear();
        into.extend([0; COMMIT_HEADER_BYTES]);
        for (key, value) in changes {
            into.extend((key.len() as u32).to_be_bytes());
            into.extend(value.as_ref().map_or(NO_VALUE, |it| it.len() as u32).to_be_bytes());
            into.extend(key);
            into.extend(value.iter().flatten());
        }
        let length = (into.len() - COMMIT_HEADER_BYTES) as u32;
        into[4..8].copy_from_slice(&length.to_be_bytes());
        into[8..16].copy_from_slice(&self.number.to_be_bytes());
        into[16..24].copy_from_slice(&number.to_be_bytes());
        let checksum = self.checksum(&into[4..]);
        into[..4].copy_from_slice(&checksum.to_be_bytes());
        into.resize(into.len().next_multiple_of(ALIGNMENT as usize), 0);
    }

    fn checksum(self, bytes: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.salt.to_be_bytes());
        hasher.update(bytes);
        hasher.finalize()
    }

    /// The changes of a commit, and how long it is in the file, if there is this one at this place.
    fn commit(self, bytes: &[u8], at: u64, number: u64) -> Option<(&[u8], u64)> {
        let (found, changes, length) = self.any_commit(bytes, at)?;
        (found == number).then_some((changes, length))
    }

    fn any_commit(self, bytes: &[u8], at: u64) -> Option<(u64, &[u8], u64)> {
        let commit = bytes.get(at as usize..)?;
        let (checksum, rest) = commit.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (generation, rest) = rest.split_first_chunk()?;
        if u64::from_be_bytes(*generation) != self.number {
            return None;
        }
        let (number, rest) = rest.split_first_chunk()?;
        let length = u32::from_be_bytes(*length) as usize;
        let changes = rest.get(..length)?;
        let whole = &commit[4..COMMIT_HEADER_BYTES + length];
        if self.checksum(whole) != u32::from_be_bytes(*checksum) {
            return None;
        }
        let length = ((COMMIT_HEADER_BYTES + length) as u64).next_multiple_of(ALIGNMENT);
        Some((u64::from_be_bytes(*number), changes, length))
    }

    /// The number of a later commit of this generation, if there is one behind the end.
    fn commit_after(self, bytes: &[u8], end: u64, next: u64) -> Option<u64> {
        let places = (end..bytes.len() as u64).step_by(ALIGNMENT as usize);
        places.filter_map(|at| self.any_commit(bytes, at)).map(|(number, _, _)| number).find(|it| *it > next)
    }
}

fn decode(mut bytes: &[u8]) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    while !bytes.is_empty() {
        let (key_bytes, rest) = bytes.split_first_chunk()?;
        let (value_bytes, rest) = rest.split_first_chunk()?;
        let (key, rest) = rest.split_at_checked(u32::from_be_bytes(*key_bytes) as usize)?;
        let (value, rest) = match u32::from_be_bytes(*value_bytes) {
            NO_VALUE => (None, rest),
            length => {
                let (value, rest) = rest.split_at_checked(length as usize)?;
                (Some(value.to_owned()), rest)
            }
        };
        changes.push((key.to_owned(), value));
        bytes = rest;
    }
    Some(changes)
}

/// A number that nobody knows beforehand; the standard library has one for each hash map.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests;
