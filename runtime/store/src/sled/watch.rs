//! Keeps a failed write from being waited for without end.
//!
//! When one of sled's threads cannot write a buffer of the log, it notes the error, but on one of its
//! two ways there (`exit_reservation` in `pagecache/logger.rs`) wakes nobody: a `flush` that already
//! waits would wait for ever. Any other `flush` sees the noted error and wakes them all. So a thread
//! looks after commits that take longer than a second; it sleeps when there are none.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use super::database::Opened;
use crate::StoreError;

const PATIENCE: Duration = Duration::from_secs(1);

/// The thread that looks after commits.
#[derive(Debug)]
pub(super) struct Watch {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    /// Goes up when a commit begins and when it ends: odd while there is one.
    commits: AtomicU64,
    asleep: AtomicBool,
    ended: AtomicBool,
}

impl Watch {
    pub(super) fn start(database: Arc<RwLock<Option<Opened>>>) -> Result<Self, StoreError> {
        let state = Arc::new(State::default());
        let thread = std::thread::Builder::new()
            .name("store-watch".to_owned())
            .spawn({
                let state = Arc::clone(&state);
                move || run(&state, &database)
            })
            .map_err(|source| StoreError::io("start the store's watch", source))?;
        Ok(Self { state, thread: Some(thread) })
    }

    /// Says that a commit begins; it ends when the answer is dropped.
    pub(super) fn begin(&self) -> Watched<'_> {
        self.state.commits.fetch_add(1, SeqCst);
        if self.state.asleep.swap(false, SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        Watched(&self.state)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.state.ended.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the store's watch had panicked");
            }
        }
    }
}

/// A commit that is going on.
pub(super) struct Watched<'a>(&'a State);

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.0.commits.fetch_add(1, SeqCst);
    }
}

fn run(state: &State, database: &RwLock<Option<Opened>>) {
    while !state.ended.load(SeqCst) {
        let seen = state.commits.load(SeqCst);
        if seen.is_multiple_of(2) {
            state.asleep.store(true, SeqCst);
            // A commit that began before this line is seen here, one that begins after it unparks.
            if state.commits.load(SeqCst) == seen && !state.ended.load(SeqCst) {
                std::thread::park();
            }
            state.asleep.store(false, SeqCst);
            continue;
        }
        std::thread::park_timeout(PATIENCE);
        if state.commits.load(SeqCst) == seen {
            let current = database.read().unwrap_or_else(PoisonError::into_inner);
            // `context` is public and undocumented; there is no other way to the noted error.
            if let Some(Opened { sled, .. }) = &*current
                && sled.context.global_error().is_err()
            {
                let _ = sled.flush();
            }
        }
    }
}
