//! Writes the database anew when most of its log is what nobody reads any more.
//!
//! sled uses the room again that removed entries leave in its log, but does not give it back, and reads past it when
//! it opens. Whoever removed many entries looks whether it is time; the next opening does it.
//!
//! **Invariant:** the compacted database takes the place of the old one in one step, when all of it is on the disk.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::layout::{Layout, failed};
use super::{Shared, database, keys, lists};
use crate::StoreError;

/// Smaller logs are opened fast enough.
const LOG_BYTES_MIN: u64 = 256 << 20;

/// How much larger than its entries a log may be. One that was only ever written to is some 5 times as large.
const LOG_PER_ENTRIES_MAX: u64 = 8;

/// How much the log has to grow between two looks: a look reads all that is in the database.
const LOOK_GROWTH_PERCENT: u64 = 25;

/// How large the log was when somebody looked last; nobody did yet since the store was opened if it is 0.
#[derive(Debug, Default)]
pub(super) struct Considered(AtomicU64);

/// Compacts the database.
pub(super) fn now(layout: &Layout) -> Result<(), StoreError> {
    layout.replace_database(database::copy)?;
    let wish = layout.wish_to_compact();
    match fs::remove_file(&wish) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", &wish, error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Compacts the database if that was found worth while. If it cannot be done (a full disk), the store opens as it is.
pub(super) fn if_wished(layout: &Layout) {
    if layout.wish_to_compact().exists()
        && let Err(error) = now(layout)
    {
        tracing::warn!(error = &error as &dyn std::error::Error, "the store could not be compacted");
    }
}

/// Looks whether compacting is worth while, and leaves a note for the next opening.
pub(super) fn consider(shared: &Shared) -> Result<(), StoreError> {
    let log = shared.layout.database().sled.join("db");
    let log_bytes = log.metadata().map_err(|it| failed("read", &log, it))?.len();
    let looked_at = shared.considered.0.load(Relaxed);
    if log_bytes < LOG_BYTES_MIN || log_bytes < looked_at + looked_at * LOOK_GROWTH_PERCENT / 100 {
        return Ok(());
    }
    shared.considered.0.store(log_bytes, Relaxed);
    let mut entries = 0;
    for kind in keys::ALL {
        lists::each(&shared.database, kind, |key, value| {
            entries += (key.len() + value.len()) as u64;
            Ok(())
        })?;
    }
    if is_worth_while(log_bytes, entries) {
        let wish = shared.layout.wish_to_compact();
        File::create(&wish).map_err(|it| failed("create", &wish, it))?;
    }
    Ok(())
}

fn is_worth_while(log_bytes: u64, entries: u64) -> bool {
    log_bytes >= LOG_BYTES_MIN && log_bytes / LOG_PER_ENTRIES_MAX > entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_worth_while_for_a_large_log_of_little() {
        assert!(!is_worth_while(100 << 20, 0));
        // A store that was only written to, and the same after its releases were archived.
        assert!(!is_worth_while(2237 << 20, 465 << 20));
        assert!(is_worth_while(2264 << 20, 30 << 20));
    }
}
