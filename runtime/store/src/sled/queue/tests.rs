use futures::FutureExt as _;

use super::super::SledStore;
use super::*;
use crate::DocumentKind;
use crate::sled::keys;

/// A queue that nobody takes anything from, over a store of its own; the last write so far was one of so many that came one
/// by one.
fn unattended(alone: u32) -> (tempfile::TempDir, SledStore, Queue, mpsc::Receiver<Waiting>) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SledStore::open_with_log_of(folder.path(), 256 << 10).expect("opened");
    let (queue, waiting) = Queue::without_thread(Arc::clone(&store.shared));
    queue.seat.lock().expect("the seat").alone = alone;
    // However slow this machine is at the moment.
    queue.set_quick_max(Duration::MAX);
    (folder, store, queue, waiting)
}

fn put(name: &str, value: Vec<u8>, reply: oneshot::Sender<Result<(), StoreError>>) -> Write {
    Write::Put { key: keys::document(DocumentKind::Tool, name), value, reply }
}

fn is_written(store: &SledStore, name: &str) -> bool {
    store.shared.database.get(&keys::document(DocumentKind::Tool, name)).expect("read").is_some()
}

/// Has something written, and tells whether that was done at once, or now waits.
fn at_once(store: &SledStore, queue: &Queue, waiting: &mut mpsc::Receiver<Waiting>) -> bool {
    let _ = queue.write(|reply| put("a", b"1".to_vec(), reply), 1).now_or_never();
    let (is_written, is_waiting) = (is_written(store, "a"), waiting.try_recv().is_ok());
    assert_ne!(is_written, is_waiting);
    is_written
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_writes_alone_does_it_where_it_is_asked_for() {
    let (_folder, store, queue, mut waiting) = unattended(ALONE_MIN);
    assert!(at_once(&store, &queue, &mut waiting));
    assert_eq!(queue.seat.lock().expect("the seat").alone, ALONE_MIN + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_have_their_turn_after_a_few_writes() {
    let (_folder, _store, queue, _waiting) = unattended(ALONE_MIN);
    let answers = (0..12).map(|_| queue.write(|reply| put("a", b"1".to_vec(), reply), 1).now_or_never());
    let answered: Vec<bool> = answers.map(|it| it.is_some_and(|it| matches!(it, Ok(Ok(()))))).collect();
    assert_eq!(answered, [true, true, true, false].repeat(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_thread_writes_where_others_wrote_a_moment_ago() {
    let (_folder, store, queue, mut waiting) = unattended(ALONE_MIN - 1);
    assert!(!at_once(&store, &queue, &mut waiting));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_thread_writes_while_somebody_writes() {
    let (_folder, store, queue, mut waiting) = unattended(ALONE_MIN);
    let _seat = queue.seat.lock().expect("the seat");
    assert!(!at_once(&store, &queue, &mut waiting));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_thread_writes_what_comes_behind_something() {
    let (_folder, store, queue, mut waiting) = unattended(ALONE_MIN);
    let (reply, _answer) = oneshot::channel();
    let first = Work { bytes: 1, write: put("first", b"1".to_vec(), reply) };
    queue.sender().expect("open").try_send(queue.waiting(first)).map_err(|_| "full").expect("room");
    // The thread has taken it, and is about to write it.
    let first = waiting.try_recv().expect("the first");
    assert!(!at_once(&store, &queue, &mut waiting));
    drop(first);
    assert!(at_once(&store, &queue, &mut waiting));
}

/// Nothing else would go on.
#[tokio::test]
async fn the_only_thread_of_a_runtime_does_not_write() {
    let (_folder, store, queue, mut waiting) = unattended(ALONE_MIN);
    assert!(!at_once(&store, &queue, &mut waiting));
}

/// Making sled durable takes its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_thread_writes_when_the_log_is_nearly_full() {
    let (_folder, store, queue, mut waiting) = unattended(ALONE_MIN);
    // More than the log takes with a group after it, and less than what is written past it.
    for part in 0..4 {
        let name = format!("part-{part}");
        let (reply, _answer) = oneshot::channel();
        let work = iter::once(put(&name, vec![7; 50 << 10], reply));
        queue.seat.lock().expect("the seat").writer.write(work);
    }
    assert!(!at_once(&store, &queue, &mut waiting));
}

#[test]
fn only_what_comes_one_by_one_counts_as_alone() {
    let (_folder, _store, queue, _waiting) = unattended(5);
    let mut seat = queue.seat.lock().expect("the seat");
    let works = |count: usize| (0..count).map(|it| put(&format!("d{it}"), vec![1], oneshot::channel().0));
    seat.write(works(1), || true);
    assert_eq!(seat.alone, 6);
    seat.write(works(1), || false);
    assert_eq!(seat.alone, 0, "something came meanwhile");
    seat.alone = 5;
    seat.write(works(2), || true);
    assert_eq!(seat.alone, 0, "two came at once");
    (seat.alone, seat.quick_max) = (5, Duration::ZERO);
    seat.write(works(1), || true);
    assert_eq!(seat.alone, 0, "it took too long");
}

/// What it had in mind of the database may not be true any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_panic_of_who_wrote_the_store_is_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SledStore::open(folder.path()).expect("opened");
    let seat = Arc::clone(&store.queue.seat);
    let panicking = std::thread::spawn(move || {
        let _seat = seat.lock().expect("the seat");
        panic!("this is a test");
    });
    assert!(panicking.join().is_err());
    let answer = store.queue.write(|reply| put("a", b"1".to_vec(), reply), 1).await;
    assert!(matches!(answer, Err(StoreError::Closed)), "{answer:?}");
}
