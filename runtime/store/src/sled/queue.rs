//! The way to the writer: a queue before a thread of its own, or, for one who writes alone, no way at all.
//!
//! Groups make many who write fast, and the thread keeps their syncs away from those of the async runtime. Who writes
//! alone has nothing of either and waits for two threads to wake up, one after the other, which takes a third as long as
//! a sync does. So where the last writes came one by one, and were quick, the next one is made where it is asked for. That
//! blocks a thread of the runtime for one small sync; where there is no other one, it is not done.
//!
//! **Invariant:** who writes has the writer locked. Who came first need not write first: nobody may depend on the order of
//! two writes of which neither was answered before the other was asked for.

use std::iter;
use std::sync::{Arc, Mutex};
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

/// A write that took longer is not to be made on a thread of the runtime; next to it the wake-ups are nothing.
const QUICK_MAX: Duration = Duration::from_millis(1);

/// Dropping it waits for what is in it.
#[derive(Debug)]
pub(super) struct Queue {
    seat: Arc<Mutex<Seat>>,
    sender: Option<mpsc::Sender<Work>>,
    thread: Option<JoinHandle<()>>,
}

/// Where whoever writes sits.
#[derive(Debug)]
struct Seat {
    writer: Writer,
    /// How many writes came one by one, and were quick, since the last one of which that is not true.
    alone: u32,
}

impl Queue {
    /// Begins to write.
    pub(super) fn start(shared: Arc<Shared>) -> Result<Self, StoreError> {
        let (mut queue, waiting) = Self::without_thread(shared);
        let seat = Arc::clone(&queue.seat);
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || run(&seat, waiting));
        queue.thread = Some(thread.map_err(|source| StoreError::io("start the store's writer", source))?);
        Ok(queue)
    }

    fn without_thread(shared: Arc<Shared>) -> (Self, mpsc::Receiver<Work>) {
        let (sender, waiting) = mpsc::channel(WAITING_MAX);
        let seat = Arc::new(Mutex::new(Seat { writer: Writer::new(shared), alone: 0 }));
        (Self { seat, sender: Some(sender), thread: None }, waiting)
    }

    /// Has something written, which adds about so many bytes to a group, and waits for the answer.
    pub(super) async fn write<T>(
        &self,
        write: impl FnOnce(oneshot::Sender<T>) -> Write,
        bytes: usize,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let work = Work { bytes, write: write(reply) };
        if let Some(work) = self.write_here(work) {
            self.sender()?.send(work).await.map_err(|_| StoreError::Closed)?;
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
            sender.blocking_send(Work { bytes: 0, write: write(reply) }).map_err(|_| StoreError::Closed)?;
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

    /// Writes on this thread, where that is quicker and does no harm; else gives the work back.
    fn write_here(&self, work: Work) -> Option<Work> {
        let Ok(mut seat) = self.seat.try_lock() else { return Some(work) };
        if seat.alone < ALONE_MIN || !self.is_empty() || !others_go_on() || !seat.writer.is_quick() {
            return Some(work);
        }
        seat.write(iter::once(work.write), || self.is_empty());
        None
    }

    /// Whether nothing waits.
    fn is_empty(&self) -> bool {
        self.sender.as_ref().is_some_and(|it| it.capacity() == it.max_capacity())
    }

    fn sender(&self) -> Result<&mpsc::Sender<Work>, StoreError> {
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
    /// Writes a group. `is_last` tells, when it is written, whether nothing waits by then.
    fn write(&mut self, group: impl ExactSizeIterator<Item = Write>, is_last: impl FnOnce() -> bool) {
        let (count, begun) = (group.len(), Instant::now());
        self.writer.write(group);
        let was_alone = count == 1 && begun.elapsed() < QUICK_MAX && is_last();
        self.alone = if was_alone { self.alone.saturating_add(1) } else { 0 };
    }
}

/// Writes what waits, in groups, until nobody can send any more.
fn run(seat: &Mutex<Seat>, mut waiting: mpsc::Receiver<Work>) {
    let mut group = Vec::new();
    while let Some(first) = waiting.blocking_recv() {
        // After a panic nobody knows what the writer has in mind: this one ends too, and the store is closed.
        let mut seat = seat.lock().expect("who wrote before has not panicked");
        let mut bytes = first.bytes;
        group.push(first.write);
        // What a group mends is not in the database before the group is, where the writer looks for it.
        let mends = |group: &[Write]| matches!(group.last(), Some(Write::Mend { .. } | Write::Use { .. }));
        while bytes < GROUP_BYTES_MAX && group.len() < GROUP_APPENDS_MAX && !mends(&group) {
            let Ok(next) = waiting.try_recv() else { break };
            bytes += next.bytes;
            group.push(next.write);
        }
        seat.write(group.drain(..), || waiting.is_empty());
    }
}

/// Whether the async runtime goes on while the thread that asks is blocked.
fn others_go_on() -> bool {
    Handle::try_current().is_ok_and(|it| it.metrics().num_workers() > 1)
}

#[cfg(test)]
mod tests;
