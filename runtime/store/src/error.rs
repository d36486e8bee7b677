//! What can go wrong, as types.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use windlass_model::name::ReleaseId;

/// Why an append did not happen, or may not have.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// The journal is not as long as the caller thinks; nothing was changed.
    #[error("the journal holds {actual} records, not {expected}: somebody else appended to it")]
    Conflict {
        /// What the caller said.
        expected: u64,
        /// What there is.
        actual: u64,
    },
    /// The store could not do it. Except for [`StoreError::Refused`], the record may or may not have
    /// become durable: read the journal before going on.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is wrong with the store, or with what it was given.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("the store {} is in use by {}", path.display(), owner.map_or("another process".to_owned(), |it| format!("process {it}")))]
    Locked {
        /// Which store.
        path: PathBuf,
        /// The other process, if it said so.
        owner: Option<u32>,
    },
    /// A newer Windlass wrote it.
    #[error("the store {} has format {found}, and this Windlass knows formats up to {known}: use the Windlass that wrote it, or a newer one", path.display())]
    NewerFormat {
        /// Which store.
        path: PathBuf,
        /// The format it says it has.
        found: u32,
        /// The newest known here.
        known: u32,
    },
    /// There is something else in its place.
    #[error("{} is no store of Windlass: {what}", path.display())]
    NotAStore {
        /// Where.
        path: PathBuf,
        /// What is there.
        what: String,
    },
    /// A backup is damaged, incomplete, from a newer Windlass, or none.
    #[error("the backup {} cannot be used: {what}", path.display())]
    BadBackup {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Something is where a new backup or a restored store should go.
    #[error("{} is in the way: {what}", path.display())]
    InTheWay {
        /// Where.
        path: PathBuf,
        /// What is there.
        what: String,
    },
    /// A record cannot be read.
    #[error("record {sequence} of release {release} is damaged: {what}")]
    Corrupt {
        /// Whose journal.
        release: ReleaseId,
        /// Which record, from 0.
        sequence: u64,
        /// In what way.
        what: String,
    },
    /// Something that is no record cannot be read.
    #[error("{item} is damaged: {what}")]
    CorruptItem {
        /// What.
        item: String,
        /// In what way.
        what: String,
    },
    /// The release was taken out of use because its journal is damaged; see [`SledStore::quarantined`](crate::SledStore::quarantined).
    #[error("release {release} is quarantined: {what}")]
    Quarantined {
        /// Which release.
        release: ReleaseId,
        /// Why.
        what: String,
    },
    /// The store was given something it does not keep.
    #[error("the store does not keep {what}")]
    Refused {
        /// What.
        what: String,
    },
    /// The operating system refused. On a full disk, later writes succeed once there is room.
    #[error("cannot {doing}: {cause}{}", remedy(cause))]
    Io {
        /// What the store was doing.
        doing: String,
        /// Why not.
        cause: Arc<io::Error>,
    },
    /// The database below the store failed.
    #[error("cannot {doing}: the embedded database failed: {cause}")]
    Database {
        /// What the store was doing.
        doing: String,
        /// Why not.
        cause: Arc<dyn Error + Send + Sync>,
    },
    /// The disk failed to take what the store had written. What of it is on the disk is unknown, the
    /// operating system does not try again, and so nothing more is written until the store is
    /// opened anew.
    #[error("a sync to disk failed earlier, so nothing more is written: check the disk, then start again")]
    Unsynced,
    /// This program's syncs do not reach the disk (see the module `durable_sync`); a mistake in how it was linked.
    #[error("this build of Windlass cannot make writes durable: its `sync_file_range` is not the one in use")]
    NotDurable,
    /// The store's writer has ended; the reason was given to whoever met it first.
    #[error("the store is closed")]
    Closed,
}

fn is_out_of_space(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

fn remedy(cause: &io::Error) -> &'static str {
    if is_out_of_space(cause) { "; what was acknowledged is kept, and work goes on when there is room" } else { "" }
}

impl StoreError {
    /// Whether it failed for want of room, so that trying again later makes sense.
    pub fn is_out_of_space(&self) -> bool {
        match self {
            Self::Io { cause, .. } => is_out_of_space(cause),
            Self::Locked { .. }
            | Self::NewerFormat { .. }
            | Self::NotAStore { .. }
            | Self::BadBackup { .. }
            | Self::InTheWay { .. }
            | Self::Corrupt { .. }
            | Self::Quarantined { .. }
            | Self::CorruptItem { .. }
            | Self::Refused { .. }
            | Self::Database { .. }
            | Self::Unsynced
            | Self::NotDurable
            | Self::Closed => false,
        }
    }

    /// Whether something that was written can no longer be read.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::CorruptItem { .. })
    }

    /// Whether what looks like damage may be what a newer Windlass wrote: of a later format, or an event that is not
    /// known here.
    pub(crate) fn may_be_of_newer(&self) -> bool {
        match self {
            Self::Corrupt { what, .. } | Self::CorruptItem { what, .. } => {
                what.contains("unknown enum variant") || what.contains("and formats up to")
            }
            _ => false,
        }
    }

    /// An error of the operating system.
    pub(crate) fn io(doing: impl Into<String>, source: io::Error) -> Self {
        Self::Io { doing: doing.into(), cause: Arc::new(source) }
    }

    /// An error of the database.
    pub(crate) fn database(doing: impl Into<String>, source: ::sled::Error) -> Self {
        let doing = doing.into();
        match source {
            ::sled::Error::Io(cause) => Self::Io { doing, cause: Arc::new(cause) },
            cause => Self::Database { doing, cause: Arc::new(cause) },
        }
    }

    /// An item that cannot be read.
    pub(crate) fn damaged(item: impl Into<String>, what: impl ToString) -> Self {
        Self::CorruptItem { item: item.into(), what: what.to_string() }
    }
}
