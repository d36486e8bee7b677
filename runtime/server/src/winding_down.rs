//! Ending a process without cutting anything off: no call begins any more, those that are made end first.
//!
//! Nothing depends on it: a process may be killed at any moment. But of a `write` that is cut off, and for which its
//! plugin cannot look, a person has to say what became of it; so nobody should be asked because a process was ended in
//! all calm.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::attendance::Handle;
use crate::driver::Message;
use crate::runtime::{Inner, Runtime, lock};

impl Inner {
    /// Whether no call is to begin any more.
    pub(crate) fn is_winding_down(&self) -> bool {
        self.winding_down.load(Ordering::Acquire)
    }
}

/// Releases that make calls which end before the process does.
#[must_use = "they have to be waited for"]
pub struct WindingDown {
    busy: Vec<oneshot::Receiver<()>>,
}

impl Runtime {
    /// From now on no call begins. What should be going on is recorded as not begun, so that the next process does it
    /// without asking what became of it. Everything else goes on: votes, callbacks and the ends of calls are recorded.
    pub fn wind_down(&self) -> WindingDown {
        // Under the lock: whoever begins to drive a release after it sees this.
        let attendance = lock(&self.inner.attendance);
        self.inner.winding_down.store(true, Ordering::Release);
        let busy = attendance.handles().filter_map(|it: &Handle| {
            let (answer, answered) = oneshot::channel();
            it.send(Message::WindDown(answer)).then_some(answered)
        });
        WindingDown { busy: busy.collect() }
    }
}

impl WindingDown {
    /// Waits until all calls have ended and that is recorded, or for so long; gives how many releases have calls that
    /// have not.
    pub async fn wait(&mut self, at_most: Duration) -> usize {
        let all_have_ended = async {
            while let Some(last) = self.busy.last_mut() {
                // One whose driver has gone makes no calls.
                let _ = last.await;
                self.busy.pop();
            }
        };
        let _ = tokio::time::timeout(at_most, all_have_ended).await;
        self.busy.retain_mut(|it| it.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        self.busy.len()
    }
}
