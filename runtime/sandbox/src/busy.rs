//! A kernel that has something of a new instance in its hands for a moment.
//!
//! When a component is instantiated for the first time, wasmtime makes a picture of its memory and seals it. Sealing waits
//! for nobody who has a page of it pinned – what moves, reclaims or copies pages does – for longer than a moment, and then is
//! refused with EBUSY (`memfd_wait_for_pins` of Linux). Nothing is kept of such a try, so another one is a new one.

use std::io;
use std::time::Duration;

/// Tries after the first.
const TRIES_MORE: u32 = 5;

/// Between them.
const PAUSE: Duration = Duration::from_millis(50);

/// Whether the kernel was busy.
pub(crate) fn is_busy(error: &wasmtime::Error) -> bool {
    let error = error.root_cause().downcast_ref::<io::Error>();
    error.is_some_and(|it| it.kind() == io::ErrorKind::ResourceBusy)
}

/// Makes something; again, a few times, where the kernel was busy.
pub(crate) async fn made<T, F>(mut make: impl FnMut() -> F) -> wasmtime::Result<T>
where
    F: Future<Output = wasmtime::Result<T>>,
{
    for _ in 0..TRIES_MORE {
        match make().await {
            Err(error) if is_busy(&error) => tokio::time::sleep(PAUSE).await,
            made => return made,
        }
    }
    make().await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn busy() -> wasmtime::Error {
        wasmtime::Error::from(io::Error::from_raw_os_error(16)).context("a picture of the memory")
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_kernel_is_asked_again_and_nothing_else_is() {
        let asked = Cell::new(0);
        let after = async |busy_times: u32, then: fn() -> wasmtime::Result<()>| {
            asked.set(0);
            let made = made(async || {
                asked.set(asked.get() + 1);
                if asked.get() <= busy_times { Err(busy()) } else { then() }
            });
            (made.await.map_err(|error| is_busy(&error)), asked.get())
        };
        assert_eq!(after(0, || Ok(())).await, (Ok(()), 1));
        assert_eq!(after(3, || Ok(())).await, (Ok(()), 4));
        assert_eq!(after(100, || Ok(())).await, (Err(true), 1 + TRIES_MORE));
        let denied = || Err(wasmtime::Error::from(io::Error::from_raw_os_error(13)));
        assert_eq!(after(1, denied).await, (Err(false), 2));
    }
}
