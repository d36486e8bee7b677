//! Removes blobs that nothing names any more.
//!
//! A blob is written before what names it, and stays when the release that named it is removed. Some are named by text:
//! a document tells of a plugin's component, a plan of the components of its steps.
//!
//! **Invariant:** a blob goes away only if its file is older than the caller says, nothing in the store names it, the
//! caller does not need it, and nobody asked for it to be kept in the last hour.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use windlass_model::digest::Digest;

use super::lists;
use super::{SledStore, keys};
use crate::StoreError;

/// How a digest begins in a text, and how long the rest of it is.
const PREFIX: &[u8] = b"sha256:";
const HEX: usize = 64;

/// How long it works at a time, and how much longer it rests after that.
const REST_FACTOR: u32 = 3;
const WORK: Duration = Duration::from_millis(5);

impl SledStore {
    /// Removes blobs that are older than this and that nothing names; tells how many. `needed` are others that somebody
    /// knows of. Reads all of the store, slowly, so that who works meanwhile is not disturbed. Blocks.
    pub fn remove_unnamed(&self, older_than: Duration, needed: &BTreeSet<Digest>) -> Result<u64, StoreError> {
        let _alone = self.shared.maintain();
        let Some(before) = SystemTime::now().checked_sub(older_than) else { return Ok(0) };
        let mut candidates = Candidates(Vec::new());
        self.shared.blobs.each_older(before, |digest| candidates.0.push((digest, false)))?;
        candidates.0.sort_unstable();
        if candidates.0.is_empty() {
            return Ok(0);
        }
        needed.iter().for_each(|it| candidates.keep(it));
        let mut pace = Pace(Instant::now());
        let mut named_by_events = BTreeSet::new();
        let mut unknown = None;
        self.shared.each_named(|release, _, _, names| {
            names.all.iter().for_each(|it| candidates.keep(it));
            named_by_events.extend(names.by_events);
            if names.unknown && unknown.is_none() {
                unknown = release.cloned();
            }
            pace.rest();
        })?;
        for digest in &named_by_events {
            if let Some(bytes) = self.shared.blobs.get(digest)? {
                digests_in(&bytes).for_each(|it| candidates.keep(&it));
            }
            pace.rest();
        }
        if let Some(release) = unknown {
            // It may come back from a backup, or be mended; what it names has to be there then.
            tracing::warn!(%release, "a record of this release cannot be read: what nothing names is not removed");
            return Ok(0);
        }
        lists::each(&self.shared.database, keys::DOCUMENT, |key, value| {
            if let Some((kind, name)) = keys::document_of(key) {
                let document = self.shared.document(kind, name, value)?;
                digests_in(&document).for_each(|it| candidates.keep(&it));
            }
            Ok(())
        })?;
        let mut removed = 0;
        for (digest, _) in candidates.0.into_iter().filter(|(_, kept)| !kept) {
            removed += u64::from(self.shared.blobs.remove_if_idle(&digest)?);
            pace.rest();
        }
        Ok(removed)
    }
}

/// Blobs that may go, in order, and whether something was found that names them.
struct Candidates(Vec<(Digest, bool)>);

impl Candidates {
    fn keep(&mut self, digest: &Digest) {
        if let Ok(at) = self.0.binary_search_by(|(it, _)| it.cmp(digest)) {
            self.0[at].1 = true;
        }
    }
}

/// Rests after work, for longer than it took.
struct Pace(Instant);

impl Pace {
    fn rest(&mut self) {
        let worked = self.0.elapsed();
        if worked >= WORK {
            std::thread::sleep(worked * REST_FACTOR);
            self.0 = Instant::now();
        }
    }
}

/// The digests that a text has somewhere in it.
fn digests_in(text: &[u8]) -> impl Iterator<Item = Digest> {
    text.windows(PREFIX.len() + HEX)
        .filter(|it| it.starts_with(PREFIX))
        .filter_map(|it| std::str::from_utf8(it).ok()?.parse().ok())
}
