//! The keys in sled. The first byte says what a key is; no such byte is ever used for something else.
//!
//! | first byte | then | value |
//! |---|---|---|
//! | `j` | workflow, 0, number, sequence | a record |
//! | `o` | workflow, 0, number | an outline |
//! | `n` | workflow | the highest number ever used |
//! | `d` | the kind's byte, name | a document |
//! | `q` | workflow, 0, number, `r` | why a release is quarantined: a text |
//! | `q` | workflow, 0, number, `o` | its outline |
//! | `q` | workflow, 0, number, `j`, sequence | one of its records |
//! | `q` | workflow, 0, number, `s` | where it is archived |
//! | `s` | workflow, 0, number | where its first records are archived: the SHA-256 of a segment, and how many |
//! | `w` | workflow, 0, number | nothing: there is work left to do for the release. Derived |
//! | `c` | time of creation, workflow, 0, number | nothing: the release is in the list. Derived |
//! | `e` | time of its last record, workflow, 0, number | nothing: the release has ended and is to be archived. Derived |
//! | `i` | `lists` | the version of `w`, `c` and `e`, as a number. Derived |
//! | `g` | | which generation of the log of commits follows on what the database holds, as a number |
//!
//! Numbers and times are eight bytes, big-endian, so that keys sort like what they name; a workflow's name never
//! holds a 0.

use windlass_model::name::{ReleaseId, WorkflowName};
use windlass_model::time::Timestamp;

use crate::DocumentKind;

pub(super) const JOURNAL: u8 = b'j';
pub(super) const OUTLINE: u8 = b'o';
pub(super) const NUMBER: u8 = b'n';
pub(super) const DOCUMENT: u8 = b'd';
pub(super) const QUARANTINE: u8 = b'q';
pub(super) const ARCHIVED: u8 = b's';
pub(super) const OPEN: u8 = b'w';
pub(super) const CREATED: u8 = b'c';
pub(super) const ENDED: u8 = b'e';
pub(super) const INDEX: u8 = b'i';
/// The whole key.
pub(super) const GENERATION: u8 = b'g';

/// The first bytes of all keys of what a store holds.
pub(super) const ALL: [u8; 10] =
    [JOURNAL, OUTLINE, NUMBER, DOCUMENT, QUARANTINE, ARCHIVED, OPEN, CREATED, ENDED, INDEX];

/// Whether what a key holds follows from the rest.
pub(super) fn is_derived(key: &[u8]) -> bool {
    matches!(key.first(), Some(&(OPEN | CREATED | ENDED | INDEX)))
}

/// What every key of a release's journal starts with.
pub(super) fn journal(release: &ReleaseId) -> Vec<u8> {
    of_release(JOURNAL, release)
}

/// The key of one record.
pub(super) fn record(release: &ReleaseId, sequence: u64) -> Vec<u8> {
    let mut key = journal(release);
    key.extend(sequence.to_be_bytes());
    key
}

pub(super) fn outline(release: &ReleaseId) -> Vec<u8> {
    of_release(OUTLINE, release)
}

pub(super) fn open(release: &ReleaseId) -> Vec<u8> {
    of_release(OPEN, release)
}

pub(super) fn created(at: Timestamp, release: &ReleaseId) -> Vec<u8> {
    timed(CREATED, at, release)
}

pub(super) fn ended(at: Timestamp, release: &ReleaseId) -> Vec<u8> {
    timed(ENDED, at, release)
}

/// Where the entries end of releases that ended before a time.
pub(super) fn ended_before(at: Timestamp) -> Vec<u8> {
    before(ENDED, at)
}

/// Where the entries end of releases that were created before a time.
pub(super) fn created_before(at: Timestamp) -> Vec<u8> {
    before(CREATED, at)
}

fn before(first: u8, at: Timestamp) -> Vec<u8> {
    if at == Timestamp(u64::MAX) { vec![first + 1] } else { [&[first][..], &at.0.to_be_bytes()].concat() }
}

fn timed(first: u8, at: Timestamp, release: &ReleaseId) -> Vec<u8> {
    let mut key = vec![first];
    key.extend(at.0.to_be_bytes());
    key.extend(&of_release(first, release)[1..]);
    key
}

pub(super) fn lists() -> Vec<u8> {
    [&[INDEX], &b"lists"[..]].concat()
}

/// The key of where a release is archived.
pub(super) fn archived(release: &ReleaseId) -> Vec<u8> {
    of_release(ARCHIVED, release)
}

/// What every key of a quarantined release starts with.
pub(super) fn quarantine(release: &ReleaseId) -> Vec<u8> {
    of_release(QUARANTINE, release)
}

/// The key of the reason for which a release is quarantined.
pub(super) fn reason(release: &ReleaseId) -> Vec<u8> {
    [quarantine(release), vec![b'r']].concat()
}

/// Where the key of a record or an outline goes when its release is quarantined.
pub(super) fn quarantined(release: &ReleaseId, key: &[u8]) -> Vec<u8> {
    let rest = &key[journal(release).len().min(key.len())..];
    [&quarantine(release), &key[..1], rest].concat()
}

pub(super) fn number(workflow: &WorkflowName) -> Vec<u8> {
    let mut key = vec![NUMBER];
    key.extend(workflow.as_str().bytes());
    key
}

pub(super) fn document(kind: DocumentKind, name: &str) -> Vec<u8> {
    let mut key = vec![DOCUMENT, kind_byte(kind)];
    key.extend(name.bytes());
    key
}

fn of_release(first: u8, release: &ReleaseId) -> Vec<u8> {
    let workflow = release.workflow().as_str();
    let mut key = Vec::with_capacity(workflow.len() + 18);
    key.push(first);
    key.extend(workflow.bytes());
    key.push(0);
    key.extend(release.number().to_be_bytes());
    key
}

fn kind_byte(kind: DocumentKind) -> u8 {
    match kind {
        DocumentKind::Plugin => b'p',
        DocumentKind::Connection => b'c',
        DocumentKind::Tool => b't',
        DocumentKind::Group => b'g',
        DocumentKind::Schedule => b's',
        DocumentKind::Breaker => b'b',
        DocumentKind::Rehearsals => b'r',
        DocumentKind::Service => b'v',
        DocumentKind::Limit => b'l',
        DocumentKind::AlertSource => b'a',
        DocumentKind::AlertWatch => b'w',
    }
}

/// The release that the key of a record or an outline is about.
pub(super) fn release(key: &[u8]) -> Option<ReleaseId> {
    let (first, rest) = key.split_first()?;
    let end = rest.iter().position(|it| *it == 0)?;
    let workflow = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    let numbers = &rest[end + 1..];
    let number = match *first {
        JOURNAL if numbers.len() == 16 => &numbers[..8],
        OUTLINE | OPEN | ARCHIVED if numbers.len() == 8 => numbers,
        _ => return None,
    };
    Some(ReleaseId::new(workflow, u64::from_be_bytes(number.try_into().ok()?)))
}

/// The sequence in the key of a record.
pub(super) fn sequence(key: &[u8]) -> Option<u64> {
    release(key)?;
    Some(u64::from_be_bytes(*key.last_chunk()?))
}

/// The time and the release that an entry of the list is about.
pub(super) fn created_of(key: &[u8]) -> Option<(Timestamp, ReleaseId)> {
    timed_of(CREATED, key)
}

/// When a release that is to be archived ended, and which it is.
pub(super) fn ended_of(key: &[u8]) -> Option<(Timestamp, ReleaseId)> {
    timed_of(ENDED, key)
}

fn timed_of(first: u8, key: &[u8]) -> Option<(Timestamp, ReleaseId)> {
    let (at, rest) = key.strip_prefix(&[first])?.split_first_chunk()?;
    let release = release(&[&[OUTLINE], rest].concat())?;
    Some((Timestamp(u64::from_be_bytes(*at)), release))
}

/// The release that a key in quarantine is about, and what of it: `r`, `o`, `s` or `j`.
pub(super) fn quarantined_of(key: &[u8]) -> Option<(ReleaseId, u8)> {
    let rest = key.strip_prefix(&[QUARANTINE])?;
    let end = rest.iter().position(|it| *it == 0)? + 9;
    let (name, what) = rest.split_at_checked(end)?;
    let release = release(&[&[OUTLINE], name].concat())?;
    match what {
        [b'r'] | [b'o'] | [b's'] => Some((release, what[0])),
        [b'j', sequence @ ..] if sequence.len() == 8 => Some((release, b'j')),
        _ => None,
    }
}

/// The workflow that the key of a number is about.
pub(super) fn workflow(key: &[u8]) -> Option<WorkflowName> {
    match key {
        [NUMBER, name @ ..] => std::str::from_utf8(name).ok()?.parse().ok(),
        _ => None,
    }
}

/// The document that a key is about.
pub(super) fn document_of(key: &[u8]) -> Option<(DocumentKind, &str)> {
    match key {
        [DOCUMENT, byte, name @ ..] => {
            let kind = DocumentKind::ALL.into_iter().find_map(|(it, _)| (kind_byte(it) == *byte).then_some(it))?;
            Some((kind, std::str::from_utf8(name).ok()?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_and_sort_like_what_they_name() {
        let ids = ["a-1", "a-2", "a-10", "a-300", "a-b-1", "a1-1", "b-1"];
        let releases: Vec<ReleaseId> = ids.iter().map(|it| it.parse().expect("an id")).collect();
        let mut last = Vec::new();
        for id in &releases {
            assert_eq!(release(&outline(id)).as_ref(), Some(id));
            assert_eq!(release(&open(id)).as_ref(), Some(id));
            for at in [Timestamp(0), Timestamp(u64::MAX)] {
                assert_eq!(created_of(&created(at, id)), Some((at, id.clone())));
                assert_eq!(ended_of(&ended(at, id)), Some((at, id.clone())));
                assert_eq!((ended_of(&created(at, id)), created_of(&ended(at, id))), (None, None));
            }
            for (key, what) in [(reason(id), b'r'), (quarantined(id, &outline(id)), b'o')] {
                assert_eq!(quarantined_of(&key), Some((id.clone(), what)));
            }
            assert_eq!(quarantined_of(&quarantined(id, &record(id, 256))), Some((id.clone(), b'j')));
            for at in [0, 1, 255, 256, u64::MAX] {
                let key = record(id, at);
                assert_eq!((release(&key).as_ref(), sequence(&key)), (Some(id), Some(at)));
                assert!(key > last, "{id} {at}");
                assert!(key.starts_with(&journal(id)));
                last = key;
            }
        }
        assert_eq!(document_of(&document(DocumentKind::Tool, "x\0y")), Some((DocumentKind::Tool, "x\0y")));
    }

    #[test]
    fn a_journal_is_no_prefix_of_another() {
        let short: ReleaseId = "a-1".parse().expect("an id");
        let long: ReleaseId = "a-1-1".parse().expect("an id");
        assert!(!record(&long, 0).starts_with(&journal(&short)));
    }

    #[test]
    fn garbage_is_no_key() {
        for bad in [
            &b""[..],
            b"j",
            b"ja",
            b"ja\0short",
            b"o\x00\x00\x00\x00\x00\x00\x00\x00\x01",
            b"x",
            b"dz",
            b"c1234",
            b"c12345678a\x0012345678z",
            b"qa\x0012345678",
            b"qa\x0012345678j1",
            b"qa\x0012345678x",
            b"jA\x0012345678abcdefgh",
        ] {
            assert_eq!((release(bad), sequence(bad)), (None, None), "{bad:?}");
            assert_eq!(document_of(bad), None);
            assert_eq!((created_of(bad), quarantined_of(bad)), (None, None), "{bad:?}");
        }
    }
}
