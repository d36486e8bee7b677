//! Tasks that are there for as long as the runtime is, and what outlives a panic of the host's own code.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::FutureExt as _;

/// How long what panicked waits before it is begun again: what made it panic is likely to be there still.
pub(crate) const PANIC_RETRY: Duration = Duration::from_secs(60);

/// What did not end by itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Panicked;

/// What comes of `work`. Nothing that it leaves behind may be relied on when it has panicked.
///
/// # Errors
/// It panicked; the panic's own report is on standard error.
pub(crate) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|_| Panicked)
}

/// What comes of `work` that does not wait; otherwise as [`caught`].
pub(crate) fn caught_now<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Panicked)
}

/// Keeps a task going for as long as the runtime is there. One that panics is begun anew: without the one that keeps time,
/// every release that waits would wait for ever, and nobody would know.
pub(crate) fn keep<T, F>(what: &'static str, of: &Arc<T>, task: impl Fn(Weak<T>) -> F + Send + Sync + 'static)
where
    T: Send + Sync + 'static,
    F: Future<Output = ()> + Send,
{
    let of = Arc::downgrade(of);
    tokio::spawn(async move {
        while caught(task(of.clone())).await == Err(Panicked) {
            tracing::error!(what, again_in = ?PANIC_RETRY, "the host itself failed at this; please report it");
            tokio::time::sleep(PANIC_RETRY).await;
        }
    });
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    /// Panics at the first two times.
    async fn unlucky(of: Weak<(AtomicU32, Notify)>) {
        let of = of.upgrade().expect("it is there");
        assert!(of.0.fetch_add(1, Ordering::SeqCst) >= 2, "this is a test");
        of.1.notify_one();
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_begun_again() {
        let of = Arc::new((AtomicU32::new(0), Notify::new()));
        keep("a test", &of, unlucky);
        let begun = tokio::time::Instant::now();
        tokio::time::timeout(PANIC_RETRY * 3, of.1.notified()).await.expect("it is begun again");
        assert_eq!(begun.elapsed().as_secs(), PANIC_RETRY.as_secs() * 2);
    }
}
