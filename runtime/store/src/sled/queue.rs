//! The way to the writer: a queue before a thread of its own, or, for one who writes alone, no way at all.
//!
//! Groups make many who write fast, and the thread keeps their syncs away from those of the async runtime. Who writes
//! alone has nothing of either and waits for two threads to wake up, one after the other, which takes a third as long as
//! a sync does. So where the last writes came one by one, and were quick, the next one is made where it is asked for, and
//! after a few of them others have their turn there. For small syncs that blocks a thread of the runtime, and with it
//! perhaps what the runtime waits for outside, as other reading and writing here does; where there is no other thread,
//! it is not done. If the write fails, the database is opened again there too.
//!
//! **Invariant:** who writes has the writer locked. Who came first need not write first: nobody may depend on the order of
//! two writes of which neither was answered before the other was asked for.

use std::iter;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::writer::{Work, Write, Writer};
use super::{GROUP_APPENDS_MAX, GROUP_BYTES_MAX, Shared};
use crate::StoreError;

/// How many writes may wait; whoever comes next waits before joining them.
const WAITING_MAX: usize = 2048;

/// So many writes in a row have come one by one before the next one is made where it is asked for.
const ALONE_MIN: u32 = 16;

/// So many writes are made on a thread of the runtime before others have their turn there.
const IN_A_ROW_MAX: u32 = 4;

/// A write that took longer is not to be made on a thread of the runtime; next to it the wake-ups are nothing.
const QUICK_MAX: Duration = Duration::from_millis(1);

/// Dropping it waits for what is in it.
#[derive(Debug)]
pub(super) struct Queue {
    seat: Arc<Mutex<Seat>>,
    sender: Option<mpsc::Sender<Waiting>>,
    /// How many wait for the thread to write, or are being written by it.
    waiting: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

/// Something for the thread to write. It waits until this is dropped.
struct Waiting {
    work: Work,
    counted: Counted,
}

struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(waiting: &Arc<AtomicUsize>) -> Self {
        waiting.fetch_add(1, SeqCst);
        Self(Arc::clone(waiting))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// Where whoever writes sits.
#[derive(Debug)]
struct Seat {
    writer: Writer,
    /// How many writes came one by one, and were quick, since the last one of which that is not true.
    alone: u32,
    /// What is quick.
    quick_max: Duration,
}

impl Queue {
    /// Begins to write.
    pub(super) fn start(shared: Arc<Shared>) -> Result<Self, StoreError> {
        let (mut queue, receiver) = Self::without_thread(shared);
        let (seat, waiting) = (Arc::clone(&queue.seat), Arc::clone(&queue.waiting));
        let write = move || run(&seat, receiver, &waiting);
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(write);
        queue.thread = Some(thread.map_err(|source| StoreError::io("start the store's writer", source))?);
        Ok(queue)
    }

    fn without_thread(shared: Arc<Shared>) -> (Self, mpsc::Receiver<Waiting>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let seat = Seat { writer: Writer::new(shared), alone: 0, quick_max: QUICK_MAX };
        let (seat, waiting) = (Arc::new(Mutex::new(seat)), Arc::default());
        (Self { seat, sender: Some(sender), waiting, thread: None }, receiver)
    }

    /// Takes writes for quick that take less than this.
    pub(super) fn set_quick_max(&self, quick_max: Duration) {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner).quick_max = quick_max;
    }

    /// Has something written, which adds about so many bytes to a group, and waits for the answer.
    pub(super) async fn write<T>(
        &self,
        write: impl FnOnce(oneshot::Sender<T>) -> Write,
        bytes: usize,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let work = Work { bytes, write: write(reply) };
        match self.write_here(work) {
            Ok(alone) if alone.is_multiple_of(IN_A_ROW_MAX) => tokio::task::yield_now().await,
            Ok(_) => {}
            Err(work) => self.sender()?.send(self.waiting(work)).await.map_err(|_| StoreError::Closed)?,
        }
        answer.await.map_err(|_| StoreError::Closed)
    }

    /// Like `write`, for callers that block. They may be on a thread of an async runtime, which must not wait for a
    /// channel; a thread of one's own may.
    pub(super) fn write_blocking<T: Send>(
        &self,
        write: impl FnOnce(oneshot::Sender<T>) -> Write + Send,
    ) -> Result<T, StoreError> {
        let sender = self.sender()?;
        let ask = move || {
            let (reply, answer) = oneshot::channel();
            sender
                .blocking_send(self.waiting(Work { bytes: 0, write: write(reply) }))
                .map_err(|_| StoreError::Closed)?;
            answer.blocking_recv().map_err(|_| StoreError::Closed)
        };
        std::thread::scope(|scope| {
            let asking = std::thread::Builder::new()
                .name("store-asks".to_owned())
                .spawn_scoped(scope, ask)
                .map_err(|it| StoreError::io("start a thread", it))?;
            asking.join().map_err(|_| StoreError::Closed)?
        })
    }

    /// Writes on this thread, where that is quicker and does no harm, and tells how many writes were alone by then; else
    /// gives the work back.
    fn write_here(&self, work: Work) -> Result<u32, Work> {
        let Ok(mut seat) = self.seat.try_lock() else { return Err(work) };
        if seat.alone < ALONE_MIN || !self.nothing_waits() || !others_go_on() || !seat.writer.is_quick() {
            return Err(work);
        }
        let write = move || {
            seat.write(iter::once(work.write), || self.nothing_waits());
            seat.alone
        };
        // Who asked must not go down with the writer; nobody locks it any more after that, and there is no answer.
        Ok(catch_unwind(AssertUnwindSafe(write)).unwrap_or_default())
    }

    fn nothing_waits(&self) -> bool {
        self.waiting.load(SeqCst) == 0
    }

    fn waiting(&self, work: Work) -> Waiting {
        Waiting { work, counted: Counted::new(&self.waiting) }
    }

    fn sender(&self) -> Result<&mpsc::Sender<Waiting>, StoreError> {
        self.sender.as_ref().ok_or(StoreError::Closed)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer had panicked");
        }
    }
}

impl Seat {
    /// Writes a group. `is_last` tells, when it is written, whether nothing else waits by then.
    fn write(&mut self, group: impl ExactSizeIterator<Item = Write>, is_last: impl FnOnce() -> bool) {
        let (count, begun) = (group.len(), Instant::now());
        self.writer.write(group);
        let was_alone = count == 1 && begun.elapsed() < self.quick_max && is_last();
        self.alone = if was_alone { self.alone.saturating_add(1) } else { 0 };
    }
}

/// Writes what waits, in groups, until nobody can send any more.
fn run(seat: &Mutex<Seat>, mut receiver: mpsc::Receiver<Waiting>, waiting: &AtomicUsize) {
    let (mut group, mut counted) = (Vec::new(), Vec::new());
    while let Some(first) = receiver.blocking_recv() {
        // After a panic nobody knows what the writer has in mind: this one ends too, and the store is closed.
        let mut seat = seat.lock().expect("who wrote before has not panicked");
        let mut bytes = first.work.bytes;
        let mut take = |it: Waiting, group: &mut Vec<Write>| {
            group.push(it.work.write);
            counted.push(it.counted);
        };
        take(first, &mut group);
        // What a group mends is not in the database before the group is, where the writer looks for it.
        let mends = |group: &[Write]| matches!(group.last(), Some(Write::Mend { .. } | Write::Use { .. }));
        while bytes < GROUP_BYTES_MAX && group.len() < GROUP_APPENDS_MAX && !mends(&group) {
            let Ok(next) = receiver.try_recv() else { break };
            bytes += next.work.bytes;
            take(next, &mut group);
        }
        seat.write(group.drain(..), || {
            counted.clear();
            waiting.load(SeqCst) == 0
        });
        counted.clear();
    }
}

/// Whether the async runtime goes on while the thread that asks is blocked.
fn others_go_on() -> bool {
    Handle::try_current().is_ok_and(|it| it.metrics().num_workers() > 1)
}

#[cfg(test)]
mod tests;
