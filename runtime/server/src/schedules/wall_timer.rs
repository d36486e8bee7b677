//! Sleeps until a time of the wall clock.
//!
//! The timers of tokio count the time that passes and stand still while the machine sleeps. On Linux the kernel
//! wakes us at the time itself, also after a sleep, and at once when somebody sets the clock; nobody looks at the
//! clock meanwhile. Elsewhere we look once a minute.

use std::io;

use windlass_model::time::Timestamp;

#[cfg(target_os = "linux")]
mod of_the_system {
    use std::io::ErrorKind;

    use rustix::io::Errno;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
    };
    use tokio::net::unix::pipe::Receiver;

    use super::*;

    /// See the module. A timer is read like a pipe; what tokio has for any file descriptor would be unsafe.
    pub(crate) struct WallTimer(Receiver);

    impl WallTimer {
        pub(crate) fn new() -> io::Result<Self> {
            let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
            Receiver::from_owned_fd_unchecked(timer).map(Self)
        }

        /// Returns at this time, or before it when the clock is set.
        pub(crate) async fn until(&self, at: Timestamp) -> io::Result<()> {
            if crate::clock::is_simulated() {
                // No kernel knows of that clock.
                tokio::time::sleep(at.since(crate::clock::now()).into()).await;
                return Ok(());
            }
            let seconds = i64::try_from(at.as_millis() / 1000).unwrap_or(i64::MAX);
            // A time of zero would be no time at all.
            let nanoseconds = (at.as_millis() % 1000) * 1_000_000 + 1;
            let time = Itimerspec {
                it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
                it_value: Timespec { tv_sec: seconds, tv_nsec: i64::try_from(nanoseconds).unwrap_or(1) },
            };
            let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
            let is_canceled = |error: &io::Error| error.raw_os_error() == Some(Errno::CANCELED.raw_os_error());
            match timerfd_settime(&self.0, flags, &time).map_err(io::Error::from) {
                Ok(_) => {}
                Err(error) if is_canceled(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
            loop {
                self.0.readable().await?;
                match self.0.try_read(&mut [0; 8]) {
                    Ok(_) => return Ok(()),
                    Err(error) if is_canceled(&error) => return Ok(()),
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod of_the_system {
    use std::time::Duration;

    use super::*;

    /// See the module.
    pub(crate) struct WallTimer;

    impl WallTimer {
        pub(crate) fn new() -> io::Result<Self> {
            Ok(Self)
        }

        /// Returns at this time, or before it, a minute from now at the latest.
        pub(crate) async fn until(&self, at: Timestamp) -> io::Result<()> {
            let wait = at.since(crate::clock::now());
            tokio::time::sleep(Duration::from(wait).min(Duration::from_secs(60))).await;
            Ok(())
        }
    }
}

pub(crate) use of_the_system::WallTimer;

#[cfg(test)]
mod tests {
    use windlass_model::time::Span;

    use super::*;
    use crate::clock::now;

    #[tokio::test]
    async fn it_wakes_at_the_time_and_at_once_when_that_has_passed() {
        let timer = WallTimer::new().expect("a timer");
        for wait in [Span(0), Span(30), Span(0), Span(5)] {
            let at = now() + wait;
            timer.until(at).await.expect("a time");
            assert!(now() >= at, "{wait:?}");
        }
        timer.until(Timestamp(0)).await.expect("a time");
        // What was ordered before does not wake whoever orders anew.
        let far = timer.until(now() + Span::seconds(3600));
        assert!(tokio::time::timeout(std::time::Duration::from_millis(20), far).await.is_err());
    }
}
