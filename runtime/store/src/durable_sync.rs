//! Makes sled's syncs real.
//!
//! sled 0.34 ends each write of its log with `sync_file_range(2)`, which commits neither the file's
//! length nor the cache of the device: after a power cut acknowledged records are gone, often all of
//! them. This module defines the C symbol of that name, so that it takes the place of libc's in
//! every program this crate is part of, and does `fdatasync(2)` there. Then each write of the log is on
//! disk before sled goes on, which is what sled's recovery relies on. One `fdatasync` after sled's flush
//! would not do: with a commit over several segments, a cut in between loses what was durable before.
//!
//! Considered instead: a patched copy of sled (the same one line, but a fork to keep), and another
//! database (the trait [`Store`](crate::Store) leaves that open).
//!
//! **Invariant:** a failed sync is counted and reported, never retried: Linux marks the pages clean
//! after an error, and a second sync would succeed without having written them.
#![expect(unsafe_code, reason = "defining a C symbol and calling two C functions cannot be said otherwise")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use libc::{c_int, c_uint, off64_t};

static SYNCS: AtomicU64 = AtomicU64::new(0);
static FAILURES: AtomicU64 = AtomicU64::new(0);

/// Takes the place of libc's function in this program; see the module's text.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn sync_file_range(fd: c_int, _offset: off64_t, _length: off64_t, _flags: c_uint) -> c_int {
    #[cfg(test)]
    if broken::is(fd) {
        FAILURES.fetch_add(1, Relaxed);
        // SAFETY: as below.
        unsafe { *libc::__errno_location() = libc::EIO };
        return -1;
    }
    loop {
        // SAFETY: `fdatasync` takes any number for a descriptor and touches no memory of ours.
        let answer = unsafe { libc::fdatasync(fd) };
        if answer == 0 {
            SYNCS.fetch_add(1, Relaxed);
            return 0;
        }
        // SAFETY: the location of `errno` is valid for the thread that asks; nothing between the
        // failed call and the caller's look at it may change it.
        if unsafe { *libc::__errno_location() } != libc::EINTR {
            FAILURES.fetch_add(1, Relaxed);
            return -1;
        }
    }
}

/// Tells how many syncs went well in this process.
pub(crate) fn syncs() -> u64 {
    SYNCS.load(Relaxed)
}

/// Tells how many syncs failed in this process.
pub(crate) fn failures() -> u64 {
    FAILURES.load(Relaxed)
}

/// Syncs a file the way sled does, and tells whether this module's function was the one called.
pub(crate) fn sync_like_sled(file: &File) -> io::Result<bool> {
    let before = syncs();
    // SAFETY: a system call on an open descriptor that touches no memory of ours. It goes through the
    // declaration in the crate libc, as sled's does, and so shows which definition the linker took.
    let answer = unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, 0) };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(syncs() > before)
}

/// A disk that fails to take what one file of it holds, for tests.
#[cfg(test)]
pub(crate) mod broken {
    use std::os::fd::BorrowedFd;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    /// The inode of the file; 0 for none.
    pub(crate) static INODE: AtomicU64 = AtomicU64::new(0);

    pub(super) fn is(fd: libc::c_int) -> bool {
        // SAFETY: sled keeps its file open while it syncs it.
        let file = unsafe { BorrowedFd::borrow_raw(fd) };
        INODE.load(SeqCst) != 0 && rustix::fs::fstat(file).is_ok_and(|it| it.st_ino == INODE.load(SeqCst))
    }
}
