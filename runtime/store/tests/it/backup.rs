//! A backup holds one moment of a store that is in use; it is whole, or it is refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use windlass_model::name::ReleaseId;
use windlass_store::{Append, DocumentKind, SledStore, Store, StoreError, restore, verify_backup};

use crate::sample::{append, large_record, outline, record, release};

/// An append whose outline says which record it belongs to.
fn step(id: &ReleaseId, at: u64) -> Append {
    let record = if at % 9 == 8 { large_record(at, 5000 + at as usize) } else { record(at) };
    Append { outline: Some(outline(id, at, true)), ..append(id, at, record) }
}

/// A small store with something of each kind, and a backup of it.
async fn small() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SledStore::open(folder.path().join("store")).expect("opened");
    for id in [release("payments-1"), release("web-7")] {
        for at in 0..10 {
            store.append(step(&id, at)).await.expect("appended");
        }
    }
    store.put_document(DocumentKind::Connection, "ci", b"https://ci".to_vec()).await.expect("put");
    store.put_blob(vec![7; 3000]).await.expect("put");
    let report = store.backup(folder.path().join("backup")).expect("backed up");
    let counts = (report.releases, report.records, report.documents, report.blobs);
    assert_eq!(counts, (2, 20, 1, 2));
    assert_eq!(report.left_out, Vec::<String>::new());
    assert_eq!(verify_backup(folder.path().join("backup")).expect("verified"), report);
    folder
}

fn assert_same(one: &SledStore, other: &SledStore) {
    assert_eq!(one.outlines().expect("read"), other.outlines().expect("read"));
    for outline in one.outlines().expect("read") {
        let id = &outline.release;
        assert_eq!(one.journal(id).expect("read"), other.journal(id).expect("read"), "{id}");
        assert_eq!(one.next_number(id.workflow()).ok(), other.next_number(id.workflow()).ok());
    }
    for (kind, _) in DocumentKind::ALL {
        assert_eq!(one.documents(kind).expect("read"), other.documents(kind).expect("read"));
    }
    let (of_one, of_other) = (one.check().expect("checked"), other.check().expect("checked"));
    assert_eq!(of_one, of_other);
    assert!(of_other.is_sound(), "{:?}", of_other.findings);
}

#[tokio::test]
async fn what_was_backed_up_comes_back() {
    let folder = small().await;
    let restored = folder.path().join("deep/restored");
    let report = restore(folder.path().join("backup"), &restored).expect("restored");
    assert_eq!(report, verify_backup(folder.path().join("backup")).expect("verified"));
    let open = |path: &Path| SledStore::open(path).expect("opened");
    let (store, restored) = (open(&folder.path().join("store")), open(&restored));
    assert_same(&store, &restored);
    restored.append(step(&release("web-7"), 10)).await.expect("it goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_one_moment_of_a_store_in_use() {
    const WRITERS: u64 = 6;
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(SledStore::open(folder.path().join("store")).expect("opened"));
    // Enough to be read in many pieces.
    for number in 100..140 {
        for at in 0..40 {
            store.append(step(&release(&format!("old-{number}")), at)).await.expect("appended");
        }
    }
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged: Arc<Vec<AtomicU64>> = Arc::new((0..WRITERS).map(|_| AtomicU64::new(0)).collect());
    let tasks: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (store, stop, acknowledged) = (Arc::clone(&store), Arc::clone(&stop), Arc::clone(&acknowledged));
            tokio::spawn(async move {
                // At both ends of the keys, and always the first before the second.
                let pair = [release(&format!("z-{}", writer + 1)), release(&format!("a-{}", writer + 1))];
                let mut at = 0;
                while !stop.load(SeqCst) {
                    for id in &pair {
                        store.append(step(id, at)).await.expect("appended");
                    }
                    at += 1;
                    acknowledged[writer as usize].store(at, SeqCst);
                    let name = format!("writer {writer}");
                    if at % 2 == 0 {
                        store.put_document(DocumentKind::Tool, &name, at.to_be_bytes().to_vec()).await.expect("put");
                    } else {
                        store.remove_document(DocumentKind::Tool, &name).await.expect("removed");
                    }
                }
            })
        })
        .collect();
    let mut promised = Vec::new();
    for round in 0..5 {
        let before: Vec<u64> = acknowledged.iter().map(|it| it.load(SeqCst)).collect();
        let (store, backup) = (Arc::clone(&store), folder.path().join(format!("backup-{round}")));
        let report = tokio::task::spawn_blocking(move || store.backup(backup)).await.expect("ended");
        assert_eq!(report.expect("backed up").left_out, Vec::<String>::new());
        promised.push(before);
    }
    stop.store(true, SeqCst);
    for task in tasks {
        task.await.expect("ended");
    }
    for (round, before) in promised.into_iter().enumerate() {
        let path = folder.path().join(format!("restored-{round}"));
        restore(folder.path().join(format!("backup-{round}")), &path).expect("restored");
        let restored = SledStore::open(path).expect("opened");
        let report = restored.check().expect("checked");
        assert!(report.is_sound(), "{:?}", report.findings);
        let mut lengths = BTreeMap::new();
        for found in store.outlines().expect("read") {
            let id = &found.release;
            let (whole, then) = (store.journal(id).expect("read"), restored.journal(id).expect("read"));
            assert!(whole.starts_with(&then), "{id}");
            let shown = restored.outline(id).expect("read");
            assert_eq!(shown, (then.len() as u64).checked_sub(1).map(|it| outline(id, it, true)), "{id}");
            assert!(then.is_empty() || restored.next_number(id.workflow()).expect("read") > id.number());
            lengths.insert(id.to_string(), then.len() as u64);
        }
        for (writer, acknowledged) in before.into_iter().enumerate() {
            let length = |name: &str| lengths.get(&format!("{name}-{}", writer + 1)).copied().unwrap_or(0);
            let (first, second) = (length("z"), length("a"));
            assert!(second >= acknowledged, "round {round}: {second} of {acknowledged}");
            assert!(first == second || first == second + 1, "round {round}: {first} and {second} were never true");
            let document = restored.document(DocumentKind::Tool, &format!("writer {writer}")).expect("read");
            // The document is written after the pair and removed after the next.
            match document.map(|it| u64::from_be_bytes(it.try_into().expect("a number"))) {
                Some(at) => assert!(at == second || at + 1 == second, "{at} {second}"),
                None => assert!(second < 3 || second % 2 == 1 || first == second, "{second}"),
            }
        }
    }
}

#[tokio::test]
async fn a_backup_that_was_changed_anywhere_is_refused() {
    let folder = small().await;
    let backup = folder.path().join("backup");
    for name in ["manifest", "part-000001"] {
        let path = backup.join(name);
        let whole = fs::read(&path).expect("read");
        let sampled = whole.len().div_ceil(150);
        for at in (0..whole.len()).step_by(sampled) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x20;
            fs::write(&path, &damaged).expect("written");
            assert!(matches!(verify_backup(&backup), Err(StoreError::BadBackup { .. })), "{name}, byte {at}");
        }
        for length in [0, 1, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..length]).expect("written");
            assert!(matches!(verify_backup(&backup), Err(StoreError::BadBackup { .. })), "{name} cut at {length}");
        }
        fs::write(&path, &whole).expect("written");
    }
    verify_backup(&backup).expect("it is what it was");
}

#[tokio::test]
async fn what_is_refused_leaves_nothing_behind_and_says_why() {
    let folder = small().await;
    let (backup, place) = (folder.path().join("backup"), folder.path().join("new/store"));
    let check = |says: &str| {
        let error = restore(&backup, &place).expect_err("refused").to_string();
        assert!(error.starts_with(&format!("the backup {} cannot be used: ", backup.display())), "{error}");
        assert!(error.ends_with(says), "{error}");
        assert!(!folder.path().join("new").exists());
    };
    let part = fs::read(backup.join("part-000001")).expect("read");
    let mut damaged = part.clone();
    damaged[part.len() / 2] ^= 1;
    fs::write(backup.join("part-000001"), damaged).expect("written");
    check("part-000001 is damaged: its contents are not those that were written");
    fs::write(backup.join("part-000001"), &part[1..]).expect("written");
    check(&format!("part-000001 has {} bytes, not {}", part.len() - 1, part.len()));
    fs::remove_file(backup.join("part-000001")).expect("removed");
    check("part-000001 is missing");
    fs::write(backup.join("part-000001"), part).expect("written");
    let manifest = fs::read_to_string(backup.join("manifest")).expect("read");
    fs::write(backup.join("manifest"), manifest.replacen(" 1\n", " 2\n", 1)).expect("written");
    check("it has format 2, and this Windlass knows formats up to 1");
    fs::write(backup.join("manifest"), manifest.replace("releases 2", "releases 3")).expect("written");
    check("its manifest is damaged");
    fs::remove_file(backup.join("manifest")).expect("removed");
    check("it is no backup, or half of one: it has no manifest");
    fs::write(backup.join("manifest"), manifest).expect("written");
    restore(&backup, &place).expect("restored");
}

#[tokio::test]
async fn nothing_is_overwritten() {
    let folder = small().await;
    let (store, backup) = (folder.path().join("store"), folder.path().join("backup"));
    let before = SledStore::open(&store).expect("opened").check().expect("checked");
    assert!(matches!(restore(&backup, &store), Err(StoreError::InTheWay { .. })));
    let opened = SledStore::open(&store).expect("opened");
    assert_eq!(opened.check().expect("checked"), before);
    assert!(matches!(opened.backup(&backup), Err(StoreError::InTheWay { .. })));
    verify_backup(&backup).expect("it is what it was");
    let file = folder.path().join("file");
    fs::write(&file, "text").expect("written");
    assert!(matches!(opened.backup(&file), Err(StoreError::InTheWay { .. })));
    assert!(restore(&backup, &file).is_err());
    assert_eq!(fs::read_to_string(&file).expect("read"), "text");
}

#[tokio::test]
async fn half_a_backup_has_no_name_and_is_cleared_away() {
    let folder = small().await;
    let store = SledStore::open(folder.path().join("store")).expect("opened");
    let half = folder.path().join(".monday.windlass-backup.new");
    fs::create_dir(&half).expect("created");
    fs::write(half.join("part-000001"), "half").expect("written");
    store.backup(folder.path().join("monday")).expect("backed up");
    assert!(!half.exists());
    verify_backup(folder.path().join("monday")).expect("verified");
}

#[tokio::test]
async fn what_cannot_be_read_is_left_out_and_said() {
    let folder = small().await;
    let store = SledStore::open(folder.path().join("store")).expect("opened");
    let digest = store.put_blob(b"some content".to_vec()).await.expect("put");
    let hex = digest.hex();
    let path = folder.path().join("store/data/blobs").join(&hex[..2]).join(&hex[2..]);
    fs::write(path, "some c0ntent").expect("damaged");
    let report = store.backup(folder.path().join("second")).expect("backed up");
    assert_eq!(report.blobs, 2);
    assert!(report.left_out[0].starts_with(&format!("blob {digest} is damaged: ")), "{:?}", report.left_out);
    assert_eq!(verify_backup(folder.path().join("second")).expect("verified"), report);
}
