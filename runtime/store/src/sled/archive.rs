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

use std::io::{Read, Write as _};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use windlass_model::digest::Digest;
use windlass_model::name::ReleaseId;
use windlass_model::time::Timestamp;

use super::lists::{self, Change};
use super::writer::Mend;
use super::{GROUP_BYTES_MAX, Shared, SledStore, compact, keys};
use crate::format::{self, Garbled};
use crate::{StoreError, VALUE_BYTES_MAX};

/// From how many bytes on, before compression, a segment is full: a millisecond to read.
const SEGMENT_BYTES: usize = 256 << 10;

/// The longest journal that is archived, in bytes.
const JOURNAL_BYTES_MAX: usize = 64 << 20;

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

impl SledStore {
    /// Moves the journals of finished releases, in which nothing happened from this time on, out of the database. All
    /// of the store finds them as before. Blocks; may be called while the store is in use.
    pub fn archive(&self, before: Timestamp) -> Result<Archived, StoreError> {
        let _alone = self.shared.maintain();
        let mut finished = Vec::new();
        lists::each(&self.shared.database, keys::OUTLINE, |key, value| {
            if let Some(release) = keys::release(key)
                // One that cannot be read is for a repair.
                && let Ok(outline) = self.shared.outline_of(&release, value)
                && !outline.open
                && outline.updated_at < before
            {
                finished.push((outline.created_at, release));
            }
            Ok(())
        })?;
        // Who asks for one is likely to ask for those of the same days.
        finished.sort();
        let mut archived = Archived::default();
        let mut segment = Vec::new();
        let mut bytes = 0;
        for (_, release) in finished {
            let in_database = self.shared.pairs(&release)?;
            if in_database.is_empty() {
                continue;
            }
            // What is damaged stays where it is, for a repair.
            let Ok(pairs) = self.shared.whole_journal(&release, in_database) else { continue };
            let size: usize = pairs.iter().map(|(key, value)| key.len() + value.len()).sum();
            let has_gap = (0..).zip(&pairs).any(|(at, (key, _))| keys::sequence(key) != Some(at));
            if has_gap || size > JOURNAL_BYTES_MAX {
                continue;
            }
            bytes += size;
            segment.push((release, pairs));
            if bytes >= SEGMENT_BYTES {
                self.write_segment(&mut archived, std::mem::take(&mut segment))?;
                bytes = 0;
            }
        }
        self.write_segment(&mut archived, segment)?;
        compact::consider(&self.shared)?;
        Ok(archived)
    }

    fn write_segment(&self, archived: &mut Archived, journals: Vec<(ReleaseId, Vec<Pair>)>) -> Result<(), StoreError> {
        if journals.is_empty() {
            return Ok(());
        }
        let mut pairs: Vec<&Pair> = journals.iter().flat_map(|(_, pairs)| pairs).collect();
        pairs.sort();
        let value = encode(&pairs).map_err(|it| StoreError::io("compress journals", it))?;
        let digest = self.shared.blobs.put(&value)?;
        archived.segments += 1;
        archived.segment_bytes += value.len() as u64;
        let (mut mends, mut group_bytes) = (Vec::new(), 0);
        for (release, pairs) in journals {
            let size = pairs.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum::<u64>();
            let count = pairs.len() as u64;
            let removed: usize = pairs.iter().map(|(key, _)| key.len()).sum();
            let mut changes: Vec<Change> = vec![(keys::archived(&release), Some(encode_place(&digest, count)))];
            if removed <= GROUP_BYTES_MAX {
                changes.extend(pairs.into_iter().map(|(key, _)| (key, None)));
                mends.push(Mend { release, expected: count, changes });
                group_bytes += removed + 64;
            } else if self.mend(&release, count, changes)? {
                for group in super::repair::groups(pairs, |(key, _)| key.len()) {
                    self.mend(&release, count, group.into_iter().map(|(key, _)| (key, None)).collect())?;
                }
                archived.releases += 1;
            }
            archived.bytes += size;
            if group_bytes >= GROUP_BYTES_MAX {
                group_bytes = 0;
                archived.releases += self.mend_all(std::mem::take(&mut mends))?;
            }
        }
        archived.releases += self.mend_all(mends)?;
        Ok(())
    }

    /// Mends many releases as one; tells how many were as long as expected.
    pub(super) fn mend_all(&self, mends: Vec<Mend>) -> Result<u64, StoreError> {
        let mended = self.write_blocking(|reply| super::writer::Write::Mend { mends, reply })??;
        Ok(mended.into_iter().map(u64::from).sum())
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
