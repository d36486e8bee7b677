//! What a backup is: its files, byte for byte, how they are written and how they are checked.
//!
//! ```text
//! FOLDER/manifest        text, described below
//! FOLDER/part-000001     entries and blobs, one after the other; a new part is begun after 16 MiB
//! FOLDER/part-000002     …
//! ```
//!
//! A part is a sequence of frames:
//!
//! | bytes | |
//! |--:|---|
//! | 1 | 1: an entry, 2: a blob |
//! | 4 | length of the key, big-endian |
//! | 4 | length of the value, big-endian |
//! | … | the key: of an entry as the table in `sled/keys.rs` has it, of a blob its SHA-256 |
//! | … | the value: of an entry as [`format`](mod@crate::format) has it, of a blob its bytes |
//!
//! The manifest has a line for each of these, in this order; `part` and `left-out` any number of times:
//!
//! ```text
//! windlass-backup 1
//! releases 20
//! records 170
//! documents 3
//! blobs 12
//! part 000001 BYTES sha256:…
//! left-out what could not be read when the backup was made, and so is not in it
//! digest sha256:…                 of all lines above
//! ```
//!
//! The last digest covers the digests of all parts and so everything; whoever writes it down elsewhere can tell later
//! that this is the very same backup. What can be computed (indexes) is not in a backup.
//!
//! **Invariant:** a backup that was changed in any byte, or lacks one, is refused.
//! **Invariant:** nothing here depends on the database that keeps a store; a backup outlives it.
//! **Invariant:** reading never panics, whatever the bytes.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use windlass_model::digest::Digest;

use crate::{StoreError, VALUE_BYTES_MAX};

/// The newest version of backups that this crate writes and reads.
pub const BACKUP_VERSION: u32 = 1;

/// The name of the file that makes a folder a backup.
const MANIFEST: &str = "manifest";
const FIRST_WORD: &str = "windlass-backup";

/// From how many bytes on another part is begun.
const PART_BYTES: usize = 16 << 20;

/// The most bytes a manifest has: enough for a million parts.
const MANIFEST_BYTES_MAX: u64 = 128 << 20;

const ENTRY: u8 = 1;
const BLOB: u8 = 2;
const FRAME_HEAD: usize = 9;

/// What is in a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupReport {
    /// Releases, open and finished.
    pub releases: u64,
    /// Records in all journals, those that were quarantined included.
    pub records: u64,
    /// Documents of all kinds.
    pub documents: u64,
    /// Blobs.
    pub blobs: u64,
    /// The size of all of it.
    pub bytes: u64,
    /// What could not be read when the backup was made, and so is not in it; empty for a sound store.
    pub left_out: Vec<String>,
    /// Stands for the whole content.
    pub digest: Digest,
}

/// Reads a whole backup and tells what is in it, or what is wrong with it. Changes nothing. Blocks.
pub fn verify_backup(folder: impl AsRef<Path>) -> Result<BackupReport, StoreError> {
    read(folder.as_ref(), |_| Ok(()))
}

/// One thing in a backup.
pub(crate) enum Frame<'a> {
    /// A key with its value.
    Entry(&'a [u8], &'a [u8]),
    /// A blob; its bytes are those of the digest.
    Blob(Digest, &'a [u8]),
}

/// What is counted on the way.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) releases: u64,
    pub(crate) records: u64,
    pub(crate) documents: u64,
    pub(crate) blobs: u64,
}

impl Counts {
    fn lines(self) -> [(&'static str, u64); 4] {
        [("releases", self.releases), ("records", self.records), ("documents", self.documents), ("blobs", self.blobs)]
    }
}

/// A file of a backup, as the manifest has it.
#[derive(Debug)]
struct Part {
    bytes: u64,
    digest: Digest,
}

fn part_path(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("part-{number:06}"))
}

/// Writes a backup into a folder that nobody takes for one before [`Writer::finish`].
#[derive(Debug)]
pub(crate) struct Writer {
    folder: PathBuf,
    buffer: Vec<u8>,
    parts: Vec<Part>,
}

impl Writer {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), buffer: Vec::new(), parts: Vec::new() }
    }

    pub(crate) fn entry(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.frame(ENTRY, key, value)
    }

    pub(crate) fn blob(&mut self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        self.frame(BLOB, digest.as_bytes(), bytes)
    }

    fn frame(&mut self, kind: u8, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let length = |bytes: &[u8]| {
            u32::try_from(bytes.len())
                .map(u32::to_be_bytes)
                .map_err(|_| StoreError::Refused { what: format!("{} bytes in one piece of a backup", bytes.len()) })
        };
        self.buffer.push(kind);
        self.buffer.extend(length(key)?);
        self.buffer.extend(length(value)?);
        self.buffer.extend(key);
        self.buffer.extend(value);
        if self.buffer.len() >= PART_BYTES { self.end_part() } else { Ok(()) }
    }

    fn end_part(&mut self) -> Result<(), StoreError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let path = part_path(&self.folder, self.parts.len() + 1);
        write_synced(&path, &self.buffer)?;
        self.parts.push(Part { bytes: self.buffer.len() as u64, digest: Digest::of(&self.buffer) });
        self.buffer.clear();
        Ok(())
    }

    /// Writes what is left and the manifest; the caller syncs the folder and gives it its name.
    pub(crate) fn finish(mut self, counts: Counts, left_out: Vec<String>) -> Result<BackupReport, StoreError> {
        self.end_part()?;
        let mut text = format!("{FIRST_WORD} {BACKUP_VERSION}\n");
        for (name, count) in counts.lines() {
            text += &format!("{name} {count}\n");
        }
        for (number, part) in (1..).zip(&self.parts) {
            text += &format!("part {number:06} {} {}\n", part.bytes, part.digest);
        }
        let left_out: Vec<String> = left_out.into_iter().map(|it| it.replace(['\n', '\r'], " ")).collect();
        for what in &left_out {
            text += &format!("left-out {what}\n");
        }
        let digest = Digest::of(text.as_bytes());
        text += &format!("digest {digest}\n");
        write_synced(&self.folder.join(MANIFEST), text.as_bytes())?;
        Ok(report(counts, &self.parts, text.len(), left_out, digest))
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    File::create_new(path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(|it| StoreError::io(format!("write {}", path.display()), it))
}

fn report(
    counts: Counts,
    parts: &[Part],
    manifest_bytes: usize,
    left_out: Vec<String>,
    digest: Digest,
) -> BackupReport {
    let Counts { releases, records, documents, blobs } = counts;
    let bytes = parts.iter().map(|it| it.bytes).sum::<u64>() + manifest_bytes as u64;
    BackupReport { releases, records, documents, blobs, bytes, left_out, digest }
}

/// Reads a backup and hands out what is in it; each part is checked before anything of it is handed out. What was
/// handed out counts only if this returns `Ok`: a later part may be damaged.
pub(crate) fn read(
    folder: &Path,
    mut each: impl FnMut(Frame<'_>) -> Result<(), StoreError>,
) -> Result<BackupReport, StoreError> {
    let bad = |what: String| StoreError::BadBackup { path: folder.to_owned(), what };
    let manifest = Manifest::read(folder)?;
    let mut counts = crate::sled::EntryCounts::default();
    let mut blobs = 0;
    for (number, part) in (1..).zip(&manifest.parts) {
        let name = format!("part-{number:06}");
        let bytes = read_part(&part_path(folder, number), part, &bad)?;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (found, after) = raw_frame(rest).ok_or_else(|| bad(format!("{name} holds half a frame")))?;
            let RawFrame { kind, key, value } = found;
            match kind {
                ENTRY => {
                    counts.count(key, value);
                    each(Frame::Entry(key, value))?;
                }
                BLOB => {
                    let digest = <[u8; 32]>::try_from(key).map(Digest::from_bytes);
                    let digest = digest
                        .ok()
                        .filter(|it| *it == Digest::of(value))
                        .ok_or_else(|| bad(format!("{name} holds a blob that is not what its name says")))?;
                    blobs += 1;
                    each(Frame::Blob(digest, value))?;
                }
                kind => return Err(bad(format!("{name} holds a frame of the unknown kind {kind}"))),
            }
            rest = after;
        }
    }
    let found = Counts { blobs, ..counts.counts() };
    for ((name, said), (_, there)) in manifest.counts.lines().into_iter().zip(found.lines()) {
        if said != there {
            return Err(bad(format!("it should hold {said} {name} and holds {there}")));
        }
    }
    Ok(report(manifest.counts, &manifest.parts, manifest.bytes, manifest.left_out, manifest.digest))
}

fn read_part(path: &Path, part: &Part, bad: &impl Fn(String) -> StoreError) -> Result<Vec<u8>, StoreError> {
    let name = path.file_name().unwrap_or_default().display();
    let length = match path.metadata() {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(bad(format!("{name} is missing"))),
        Err(error) => return Err(StoreError::io(format!("read {}", path.display()), error)),
    };
    if length != part.bytes {
        return Err(bad(format!("{name} has {length} bytes, not {}", part.bytes)));
    }
    let bytes = fs::read(path).map_err(|it| StoreError::io(format!("read {}", path.display()), it))?;
    if Digest::of(&bytes) != part.digest {
        return Err(bad(format!("{name} is damaged: its contents are not those that were written")));
    }
    Ok(bytes)
}

/// A frame as it is written.
struct RawFrame<'a> {
    kind: u8,
    key: &'a [u8],
    value: &'a [u8],
}

/// Takes a frame off the front; the rest is what follows.
fn raw_frame(bytes: &[u8]) -> Option<(RawFrame<'_>, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<FRAME_HEAD>()?;
    let length = |at: usize| Some(u32::from_be_bytes(*head.get(at..)?.first_chunk()?) as usize);
    let (key, rest) = rest.split_at_checked(length(1)?)?;
    let (value, rest) = rest.split_at_checked(length(5)?)?;
    Some((RawFrame { kind: head[0], key, value }, rest))
}

/// What the manifest says.
#[derive(Debug)]
struct Manifest {
    counts: Counts,
    parts: Vec<Part>,
    left_out: Vec<String>,
    digest: Digest,
    bytes: usize,
}

impl Manifest {
    fn read(folder: &Path) -> Result<Self, StoreError> {
        let bad = |what: &str| StoreError::BadBackup { path: folder.to_owned(), what: what.to_owned() };
        let path = folder.join(MANIFEST);
        let failed = |it| StoreError::io(format!("read {}", path.display()), it);
        match path.metadata() {
            Ok(metadata) if metadata.len() > MANIFEST_BYTES_MAX => return Err(bad("its manifest is none")),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Err(bad("it is no backup, or half of one: it has no manifest"));
            }
            Err(error) => return Err(failed(error)),
        }
        let bytes = fs::read(&path).map_err(failed)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| bad("its manifest is damaged"))?;
        let first = text.split_once('\n').and_then(|(line, _)| line.strip_prefix(FIRST_WORD)?.strip_prefix(' '));
        let version: u32 = first.and_then(|it| it.parse().ok()).ok_or_else(|| bad("its manifest is damaged"))?;
        if version > BACKUP_VERSION {
            return Err(StoreError::BadBackup {
                path: folder.to_owned(),
                what: format!("it has format {version}, and this Windlass knows formats up to {BACKUP_VERSION}"),
            });
        }
        Self::parse(text).ok_or_else(|| bad("its manifest is damaged"))
    }

    /// Reads the text if its own digest is right.
    fn parse(text: &str) -> Option<Self> {
        let end = text.rfind("\ndigest ")? + 1;
        let (covered, last) = text.split_at(end);
        let digest: Digest = last.strip_prefix("digest ")?.strip_suffix('\n')?.parse().ok()?;
        // The digest written in another way (capital digits) is a change, too.
        if Digest::of(covered.as_bytes()) != digest || last != format!("digest {digest}\n") {
            return None;
        }
        let mut lines = covered.lines().skip(1).peekable();
        let mut count =
            |name: &str| lines.next().and_then(|it| it.strip_prefix(name)?.strip_prefix(' ')?.parse::<u64>().ok());
        let counts = Counts {
            releases: count("releases")?,
            records: count("records")?,
            documents: count("documents")?,
            blobs: count("blobs")?,
        };
        let (mut parts, mut left_out) = (Vec::new(), Vec::new());
        for line in lines {
            if let Some(part) = line.strip_prefix("part ") {
                parts.push(Self::part(part, parts.len() + 1)?);
            } else {
                left_out.push(line.strip_prefix("left-out ")?.to_owned());
            }
        }
        Some(Self { counts, parts, left_out, digest, bytes: text.len() })
    }

    fn part(line: &str, number: usize) -> Option<Part> {
        let mut words = line.split(' ');
        let (name, bytes, digest) = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        // A part is ended as soon as it is full, so it exceeds that by one frame at most.
        let sane = bytes <= (PART_BYTES + VALUE_BYTES_MAX + (1 << 20)) as u64;
        (name == format!("{number:06}") && words.next().is_none() && sane).then_some(Part { bytes, digest })
    }
}
