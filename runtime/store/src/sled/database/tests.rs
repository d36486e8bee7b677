use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use futures::executor::block_on;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::durable_sync::broken;
use crate::sled::commit_log::{self, BYTES_MAX};
use crate::{AppendError, DocumentKind, SledStore, Store};

/// Makes the database that a store would have in a folder.
fn created(folder: &Path) -> Paths {
    let paths = Paths { sled: folder.join("sled"), log: folder.join("commits"), log_bytes_max: BYTES_MAX };
    create(&paths.sled).expect("created");
    commit_log::create(&paths.log).expect("created");
    paths
}

fn set(key: &str, value: impl Into<Vec<u8>>) -> Change {
    (key.as_bytes().to_vec(), Some(value.into()))
}

/// What a process would find that comes after this one was killed: a copy of the files as they are now.
fn after_a_crash(folder: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let copy = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(copy.path().join("sled")).expect("created");
    for name in ["commits", "sled/conf", "sled/db"] {
        std::fs::copy(folder.join(name), copy.path().join(name)).expect("copied");
    }
    let paths = Paths { sled: copy.path().join("sled"), log: copy.path().join("commits"), log_bytes_max: BYTES_MAX };
    let database = Database::open(paths).expect("opened");
    let pairs = database.read(|it| Ok(it.iter().map(|it| it.expect("read")).collect::<Vec<_>>())).expect("read");
    let contents = pairs.into_iter().filter(|(key, _)| key != &[keys::GENERATION]);
    contents.map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
}

#[test]
fn a_flush_of_sled_arrives_at_our_sync() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = open(&folder.path().join("sled")).expect("opened");
    let before = crate::durable_sync::syncs();
    database.insert("key", "value").expect("inserted");
    database.flush().expect("flushed");
    assert!(crate::durable_sync::syncs() > before, "sled calls another sync_file_range");
}

/// Three times the log is full, and once a commit is too large for it. Whenever the process is killed, the next one finds
/// what was committed last.
#[test]
fn whatever_was_committed_is_there_after_a_crash() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = Database::open(created(folder.path())).expect("opened");
    let mut random = StdRng::seed_from_u64(11);
    let mut expected = BTreeMap::new();
    let mut beginnings = 0;
    for round in 0..420_u32 {
        let mut changes: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
        let count = if round == 200 { 700 } else { random.random_range(1..40) };
        for _ in 0..count {
            let key = format!("key-{}", random.random_range(0..800_u32)).into_bytes();
            let value = random.random_bool(0.9).then(|| vec![round as u8; random.random_range(3000..4096)]);
            changes.insert(key, value);
        }
        for (key, value) in changes.clone() {
            match value {
                Some(value) => drop(expected.insert(key, value)),
                None => drop(expected.remove(&key)),
            }
        }
        database.commit(changes.into_iter().collect()).expect("committed");
        let is_empty = database.lend(|it| Ok(it.log().is_empty())).expect("open");
        let is_first = database.lend(|it| Ok(it.log().commits() == 1)).expect("open");
        beginnings += u32::from(is_first);
        // Every so often, and where something special has just happened.
        if round % 60 == 0 || is_first || is_empty {
            assert!(after_a_crash(folder.path()) == expected, "after commit {round}");
        }
    }
    assert!(beginnings >= 4, "{beginnings}");
}

/// Archiving reads while releases end: it takes an entry for stale whose outline does not say yet that the release ended.
#[test]
fn who_reads_between_two_changes_finds_nothing_that_is_not_so() {
    let release: windlass_model::name::ReleaseId = "payments-1".parse().expect("an id");
    let at = windlass_model::time::Timestamp(7);
    let add = |key: Vec<u8>| (key, Some(vec![1]));
    let remove = |key: Vec<u8>| (key, None);
    let (record, outline) = (|it| keys::record(&release, it), keys::outline(&release));
    let (open, ended, created) = (keys::open(&release), keys::ended(at, &release), keys::created(at, &release));
    let archived = keys::archived(&release);
    let ends = vec![add(ended.clone()), remove(open.clone()), add(outline.clone()), add(record(2))];
    assert_eq!(in_order(ends), [add(record(2)), add(outline.clone()), add(ended.clone()), remove(open)]);
    let archives = vec![remove(record(0)), remove(record(1)), remove(ended.clone()), add(archived.clone())];
    let expected = [add(archived.clone()), remove(ended), remove(record(1)), remove(record(0))];
    assert_eq!(in_order(archives), expected);
    let goes = [outline.clone(), record(3), created.clone(), record(4), archived.clone()].map(remove);
    let expected = [created, record(4), record(3), archived, outline].map(remove);
    assert_eq!(in_order(goes.to_vec()), expected);
}

#[test]
fn a_commit_that_is_too_large_for_the_log_is_not_undone_by_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = Database::open(created(folder.path())).expect("opened");
    database.commit(vec![set("key", "old")]).expect("committed");
    let mut large: Vec<Change> = (0..1000).map(|it| set(&format!("large-{it}"), vec![1; 4000])).collect();
    large.push(set("key", "new"));
    database.commit(large).expect("committed");
    let found = after_a_crash(folder.path());
    assert_eq!((found[&b"key"[..]].as_slice(), found.len()), (&b"new"[..], 1001));
}

#[test]
fn a_store_that_was_closed_has_nothing_in_its_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let paths = created(folder.path());
    let database = Database::open(paths.clone()).expect("opened");
    database.commit(vec![set("key", "value")]).expect("committed");
    assert!(!database.lend(|it| Ok(it.log().is_empty())).expect("open"));
    drop(database);
    let mut commits = 0;
    CommitLog::open(
        paths.log,
        BYTES_MAX,
        |_| Ok(()),
        |_| {
            commits += 1;
            Ok(())
        },
    )
    .expect("opened");
    assert_eq!(commits, 0);
}

/// sled takes damage in the middle of its log for the end of it, and says nothing.
#[test]
fn a_database_that_lost_what_it_held_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let paths = Paths { log_bytes_max: 1 << 10, ..created(folder.path()) };
    let fill = |keys: std::ops::Range<u32>| {
        let database = Database::open(paths.clone()).expect("opened");
        for key in keys {
            database.commit(vec![set(&format!("key {key}"), vec![7; 100])]).expect("committed");
        }
    };
    fill(0..50);
    let (db, before) = (paths.sled.join("db"), std::fs::read(paths.sled.join("db")).expect("read"));
    fill(50..100);
    let log = std::fs::read(&paths.log).expect("read");
    // As it was: all that came after is missing, which sled cannot know without its own snapshots.
    std::fs::write(&db, before).expect("written");
    for entry in std::fs::read_dir(&paths.sled).expect("read").map(|it| it.expect("read").path()) {
        if entry.file_name().is_some_and(|it| it.to_string_lossy().starts_with("snap.")) {
            std::fs::remove_file(entry).expect("removed");
        }
    }
    let said = Database::open(paths.clone()).expect_err("refused").to_string();
    assert!(said.starts_with("the database is damaged: it holds what was durable when its log of commits"), "{said}");
    assert_eq!(std::fs::read(&paths.log).expect("read"), log, "nothing was applied or begun anew");
    // Whoever wants what is left of it takes the log away.
    std::fs::remove_file(&paths.log).expect("removed");
    commit_log::create(&paths.log).expect("created");
    let database = Database::open(paths.clone()).expect("opened");
    assert!(database.get(b"key 49").expect("read").is_some() && database.get(b"key 99").expect("read").is_none());
}

/// Two files whose syncs fail: where a commit goes first, and where it goes in the end.
#[test]
fn after_a_failed_sync_nothing_is_acknowledged_until_the_store_is_opened_anew() {
    for name in ["data/commits", "data/sled/db"] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SledStore::open(folder.path()).expect("opened");
        let put = |store: &SledStore, text: &str| {
            block_on(store.put_document(DocumentKind::Tool, "helm", text.as_bytes().to_vec()))
        };
        put(&store, "one").expect("put");
        let file = folder.path().join(name).metadata().expect("there");
        broken::INODE.store(file.ino(), SeqCst);
        let failed = (0..10_000).find_map(|_| put(&store, &"two".repeat(1000)).err()).expect("it fails");
        assert!(matches!(failed, StoreError::Io { .. }), "{name}: {failed:?}");
        broken::INODE.store(0, SeqCst);
        // The disk would take it now. What it did not take before is lost, though, and nobody would be told.
        assert!(matches!(put(&store, "three"), Err(StoreError::Unsynced)));
        assert!(matches!(store.document(DocumentKind::Tool, "helm"), Err(StoreError::Unsynced)));
        let release: windlass_model::name::ReleaseId = "payments-1".parse().expect("an id");
        let event = windlass_model::event::Event::CancelingStarted { rollback: true };
        let record = windlass_model::event::Record { at: windlass_model::time::Timestamp(1), events: vec![event] };
        let append = crate::Append { release, expected: 0, record, outline: None };
        let refused = block_on(store.append(append));
        assert!(matches!(refused, Err(AppendError::Store(StoreError::Unsynced))), "{refused:?}");
        drop(store);

        let store = SledStore::open(folder.path()).expect("opened anew");
        let found = store.document(DocumentKind::Tool, "helm").expect("read").expect("there");
        assert!(found == b"one" || found == "two".repeat(1000).as_bytes(), "{found:?}");
        put(&store, "four").expect("put");
    }
}

#[test]
fn a_damaged_database_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sled");
    create(&path).expect("created");
    let conf = path.join("conf");
    let length = conf.metadata().expect("there").len();
    // What a power cut makes of sled's `conf` when nobody syncs it.
    std::fs::write(&conf, vec![0; length as usize]).expect("written");
    assert!(matches!(open(&path), Err(StoreError::Database { .. } | StoreError::CorruptItem { .. })));
}
