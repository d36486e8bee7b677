//! Journals of finished releases, out of the database, so that it stays small and opens fast.
//!
//! The records of some hundred releases are compressed into one segment, which is kept like any other blob; the
//! database keeps where (`s`) and the outline. A release that goes on after that gets its next records in the
//! database as ever.
//!
//! A segment is two bytes as every value has, and then, compressed (deflate), for each record the length of its key
//! and of its value (four bytes each, big-endian), its key and its value, in the order of the keys.
//!
//! **Invariant:** a segment is on the disk before the entry that names it, and that entry is written before
//! or with the removal of the first record. Records of the database that are in the segment as well are passed over.
//! **Invariant:** a release is in a segment once. One that goes on and ends again while a segment is gathered is met again.

use std::collections::{BTreeMap, HashSet};
use std::io::{Read, Write as _};
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use windlass_model::digest::Digest;
use windlass_model::name::ReleaseId;
use windlass_model::time::Timestamp;

use super::lists;
use super::writer::Mend;
use super::{GROUP_BYTES_MAX, Shared, SledStore, compact, keys};
use crate::format::{self, Garbled};
use crate::{StoreError, VALUE_BYTES_MAX};

/// From how many bytes on, before compression, a segment is full: a millisecond to read.
const SEGMENT_BYTES: usize = 256 << 10;

/// The longest journal that is archived, in bytes.
const JOURNAL_BYTES_MAX: usize = 64 << 20;

/// So many bytes of keys are removed as one: who appends meanwhile waits for a millisecond or two, not for ten.
const MEND_BYTES_MAX: usize = GROUP_BYTES_MAX / 4;

/// So many entries that fit nothing are removed as one.
const STALE_MAX: usize = 256;

/// How many releases that stay in the database are remembered.
const LEFT_MAX: usize = 10_000;

/// What was archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Archived {
    /// Releases.
    pub releases: u64,
    /// What their journals took in the database, in bytes.
    pub bytes: u64,
    /// Segments that were written.
    pub segments: u64,
    /// What these take.
    pub segment_bytes: u64,
}

/// A record as it is in the database: its key and its value.
pub(super) type Pair = (Vec<u8>, Vec<u8>);

/// How much of what is to be archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Portion {
    /// All.
    All,
    /// Segments that are full, and at most so many.
    Full(u64),
}

/// A journal that is to be archived.
struct Finished {
    /// Where it is in the list of what is to be archived.
    ended: Timestamp,
    pairs: Vec<Pair>,
}

impl SledStore {
    /// Moves the journals of finished releases, in which nothing happened from this time on, out of the database. All
    /// of the store finds them as before. Blocks; may be called while the store is in use.
    pub fn archive(&self, before: Timestamp) -> Result<Archived, StoreError> {
        self.archive_portion(before, Portion::All)
    }

    /// Like [`SledStore::archive`], but writes only segments that are full, and at most so many: what is called again
    /// and again beside the work. It reads nothing of releases that are archived already.
    pub fn archive_some(&self, before: Timestamp, segments_max: u64) -> Result<Archived, StoreError> {
        self.archive_portion(before, Portion::Full(segments_max))
    }

    fn archive_portion(&self, before: Timestamp, portion: Portion) -> Result<Archived, StoreError> {
        let _alone = self.shared.maintain();
        let mut archived = Archived::default();
        let (mut segment, mut bytes, mut stale) = (BTreeMap::new(), 0, Vec::new());
        let end = keys::ended_before(before);
        lists::each_below(&self.shared.database, keys::ENDED, &end, |key, _| {
            let Some((ended, release)) = keys::ended_of(key) else { return Ok(ControlFlow::Continue(())) };
            match self.shared.finished(&release, ended)? {
                Found::Stale(length) => {
                    stale.push(Mend { release, expected: length, changes: vec![(key.to_vec(), None)] });
                    if stale.len() >= STALE_MAX {
                        self.mend_all(std::mem::take(&mut stale))?;
                    }
                }
                Found::Left => {}
                Found::Journal(pairs) => {
                    bytes += pairs.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
                    segment.insert(release, Finished { ended, pairs });
                }
            }
            if bytes >= SEGMENT_BYTES {
                bytes = 0;
                self.write_segment(&mut archived, std::mem::take(&mut segment))?;
            }
            Ok(match portion {
                Portion::Full(max) if archived.segments >= max => ControlFlow::Break(()),
                Portion::Full(_) | Portion::All => ControlFlow::Continue(()),
            })
        })?;
        if portion == Portion::All {
            self.write_segment(&mut archived, segment)?;
        }
        self.mend_all(stale)?;
        compact::consider(&self.shared)?;
        Ok(archived)
    }

    fn write_segment(
        &self,
        archived: &mut Archived,
        journals: BTreeMap<ReleaseId, Finished>,
    ) -> Result<(), StoreError> {
        if journals.is_empty() {
            return Ok(());
        }
        let mut pairs: Vec<&Pair> = journals.values().flat_map(|it| &it.pairs).collect();
        pairs.sort();
        let value = encode(&pairs).map_err(|it| StoreError::io("compress journals", it))?;
        let digest = self.shared.blobs.put(&value)?;
        archived.segments += 1;
        archived.segment_bytes += value.len() as u64;
        let (mut mends, mut group_bytes) = (Vec::new(), 0);
        for (release, Finished { ended, pairs }) in journals {
            let size = pairs.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum::<u64>();
            let count = pairs.len() as u64;
            let removed: usize = pairs.iter().map(|(key, _)| key.len()).sum();
            let place = (keys::archived(&release), Some(encode_place(&digest, count)));
            let listed = (keys::ended(ended, &release), None);
            if removed <= MEND_BYTES_MAX {
                let changes = [place, listed].into_iter().chain(pairs.into_iter().map(|(key, _)| (key, None)));
                mends.push(Mend { release, expected: count, changes: changes.collect() });
                group_bytes += removed + 64;
            } else if self.mend(&release, count, vec![place])? {
                for group in super::repair::groups(pairs, |(key, _)| key.len()) {
                    self.mend(&release, count, group.into_iter().map(|(key, _)| (key, None)).collect())?;
                }
                // Last: what is left of an interrupted removal is found by it.
                self.mend(&release, count, vec![listed])?;
                archived.releases += 1;
            }
            archived.bytes += size;
            if group_bytes >= MEND_BYTES_MAX {
                group_bytes = 0;
                archived.releases += count_true(&self.mend_all(std::mem::take(&mut mends))?);
            }
        }
        archived.releases += count_true(&self.mend_all(mends)?);
        Ok(())
    }

    /// Mends many releases as one; tells for each whether it was as long as expected.
    pub(super) fn mend_all(&self, mends: Vec<Mend>) -> Result<Vec<bool>, StoreError> {
        if mends.is_empty() {
            return Ok(Vec::new());
        }
        self.queue.write_blocking(|reply| super::writer::Write::Mend { mends, reply })?
    }
}

fn count_true(of: &[bool]) -> u64 {
    of.iter().map(|it| u64::from(*it)).sum()
}

/// What is found under an entry of what is to be archived.
enum Found {
    /// It fits nothing, or there is nothing left to archive; the journal has so many records.
    Stale(u64),
    /// It stays in the database: it is damaged, which is for a repair, or too long.
    Left,
    /// A journal.
    Journal(Vec<Pair>),
}

impl Shared {
    /// The journal of a release that ended then.
    fn finished(&self, release: &ReleaseId, ended: Timestamp) -> Result<Found, StoreError> {
        let outline = self.database.get(&keys::outline(release))?.map(|it| self.outline_of(release, &it));
        let fits = match outline {
            // One that cannot be read is for a repair.
            Some(Err(_)) => return Ok(Found::Left),
            Some(Ok(outline)) => !outline.open && outline.updated_at == ended,
            None => false,
        };
        if !fits || self.last_record(release)?.is_none() {
            return Ok(Found::Stale(self.length(release)?));
        }
        if self.left.has(release) {
            return Ok(Found::Left);
        }
        // What is damaged stays where it is, for a repair.
        let Ok(pairs) = self.whole_journal(release, self.pairs(release)?) else {
            self.left.put(release);
            return Ok(Found::Left);
        };
        let size: usize = pairs.iter().map(|(key, value)| key.len() + value.len()).sum();
        let has_gap = (0..).zip(&pairs).any(|(at, (key, _))| keys::sequence(key) != Some(at));
        if has_gap || size > JOURNAL_BYTES_MAX {
            self.left.put(release);
            return Ok(Found::Left);
        }
        Ok(Found::Journal(pairs))
    }
}

/// Finished releases whose journals are not archived; kept so that they are not read again and again. Forgotten when
/// the store is closed.
#[derive(Debug, Default)]
pub(super) struct Left(Mutex<HashSet<ReleaseId>>);

impl Left {
    fn has(&self, release: &ReleaseId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(release)
    }

    fn put(&self, release: &ReleaseId) {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if left.len() >= LEFT_MAX {
            left.clear();
        }
        left.insert(release.clone());
    }

    /// Has them looked at again.
    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Shared {
    /// What the database holds of a journal.
    pub(super) fn pairs(&self, release: &ReleaseId) -> Result<Vec<Pair>, StoreError> {
        self.database.read(|database| {
            let pairs = database.scan_prefix(keys::journal(release));
            let pairs = pairs.map(|it| it.map(|(key, value)| (key.to_vec(), value.to_vec())));
            pairs.collect::<Result<_, _>>().map_err(|it| StoreError::database("read a journal", it))
        })
    }

    /// Puts what is archived of a journal before what the database holds of it.
    pub(super) fn whole_journal(&self, release: &ReleaseId, in_database: Vec<Pair>) -> Result<Vec<Pair>, StoreError> {
        let Some((digest, count)) = self.archived(release)? else { return Ok(in_database) };
        let damaged = |what: String| StoreError::Corrupt { release: release.clone(), sequence: 0, what };
        let segment = self.segment(&digest).map_err(|error| match error {
            StoreError::CorruptItem { item, what } => damaged(format!("{item} is damaged: {what}")),
            error => error,
        })?;
        let mut pairs = segment.of(release).to_vec();
        if pairs.len() as u64 != count {
            return Err(damaged(format!("{} of {count} archived records are there", pairs.len())));
        }
        pairs.extend(in_database.into_iter().filter(|(key, _)| keys::sequence(key).is_none_or(|it| it >= count)));
        Ok(pairs)
    }

    /// In which segment a release's first records are, and how many.
    pub(super) fn archived(&self, release: &ReleaseId) -> Result<Option<(Digest, u64)>, StoreError> {
        let value = self.database.get(&keys::archived(release))?;
        value.map(|it| place(release, &it)).transpose()
    }

    pub(super) fn segment(&self, digest: &Digest) -> Result<Arc<Segment>, StoreError> {
        let mut last = self.last_segment.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, segment)) = &*last
            && of == digest
        {
            return Ok(Arc::clone(segment));
        }
        let damaged = |what: String| StoreError::damaged(format!("segment {digest}"), what);
        let bytes = self.blobs.get(digest)?.ok_or_else(|| damaged("it is missing".to_owned()))?;
        let segment = Arc::new(Segment::decode(&bytes).map_err(|it| damaged(it.to_string()))?);
        *last = Some((*digest, Arc::clone(&segment)));
        Ok(segment)
    }
}

/// The segment that was read last: who reads one journal of it reads the next.
#[derive(Debug, Default)]
pub(super) struct LastSegment(Mutex<Option<(Digest, Arc<Segment>)>>);

/// The records of some releases, in the order of their keys.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) pairs: Vec<Pair>,
}

impl Segment {
    fn decode(value: &[u8]) -> Result<Self, Garbled> {
        let mut bytes = Vec::new();
        let compressed = DeflateDecoder::new(format::open_here(value)?);
        compressed.take(VALUE_BYTES_MAX as u64).read_to_end(&mut bytes).map_err(Garbled::new)?;
        let mut pairs = Vec::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (pair, after) = pair(rest).ok_or_else(|| Garbled::new("half a record at its end"))?;
            pairs.push(pair);
            rest = after;
        }
        if !pairs.is_sorted() {
            return Err(Garbled::new("its records are in no order"));
        }
        Ok(Self { pairs })
    }

    pub(super) fn of(&self, release: &ReleaseId) -> &[Pair] {
        let prefix = keys::journal(release);
        let begin = self.pairs.partition_point(|(key, _)| *key < prefix);
        let length = self.pairs[begin..].iter().take_while(|(key, _)| key.starts_with(&prefix)).count();
        let range: Range<usize> = begin..begin + length;
        &self.pairs[range]
    }
}

fn pair(bytes: &[u8]) -> Option<(Pair, &[u8])> {
    let (key, rest) = bytes.split_first_chunk()?;
    let (value, rest) = rest.split_first_chunk()?;
    let (key, rest) = rest.split_at_checked(u32::from_be_bytes(*key) as usize)?;
    let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*value) as usize)?;
    Some(((key.to_vec(), value.to_vec()), rest))
}

fn encode(pairs: &[&Pair]) -> std::io::Result<Vec<u8>> {
    let mut compressed = DeflateEncoder::new(format::encode_document(&[]), Compression::default());
    for (key, value) in pairs {
        // Both are at most a few kilobytes: they come from the database.
        compressed.write_all(&(key.len() as u32).to_be_bytes())?;
        compressed.write_all(&(value.len() as u32).to_be_bytes())?;
        compressed.write_all(key)?;
        compressed.write_all(value)?;
    }
    compressed.finish()
}

fn encode_place(digest: &Digest, count: u64) -> Vec<u8> {
    format::encode_document(&[&digest.as_bytes()[..], &count.to_be_bytes()].concat())
}

/// Reads where a release is archived.
pub(super) fn place(release: &ReleaseId, value: &[u8]) -> Result<(Digest, u64), StoreError> {
    let damaged = |what: String| StoreError::damaged(format!("the place of {release} in the archive"), what);
    let bytes = format::open_here(value).map_err(|it| damaged(it.to_string()))?;
    match bytes.split_first_chunk::<32>() {
        Some((digest, count)) if count.len() == 8 => {
            let count = count.first_chunk().map_or(0, |it| u64::from_be_bytes(*it));
            Ok((Digest::from_bytes(*digest), count))
        }
        Some(_) | None => Err(damaged(format!("it has 40 bytes, not {}", bytes.len()))),
    }
}
