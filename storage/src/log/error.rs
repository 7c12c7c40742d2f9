//! Why a log could not be read. The table's name is added above.

use object_store::path::Path;
use thiserror::Error;

/// A log that could not be read.
#[derive(Debug, Error)]
pub(crate) enum LogError {
    /// There is no log at all.
    #[error("there is no log")]
    NoTable,
    #[error("there is no version {version}")]
    NoVersion { version: u64 },
    /// A file of the log is another one than a moment ago: the table was dropped and made anew.
    #[error("the log changed while it was read")]
    Replaced,
    #[error("could not read \"{path}\"")]
    Store {
        path: Path,
        #[source]
        source: object_store::Error,
    },
    #[error("version {version} of the log is missing: there is no \"{path}\" and no checkpoint after it")]
    Gap { version: u64, path: Path },
    #[error("version {version} cannot be read: \"{path}\" is damaged: {reason}")]
    Damaged { version: u64, path: Path, reason: String },
    /// A checkpoint that cannot be used. Without one that can, it is why the table cannot be read.
    #[error("the checkpoint \"{path}\" of version {version} cannot be read: {reason}")]
    Checkpoint { version: u64, path: Path, reason: String },
    #[error("the checkpoint of version {version} cannot be written: {reason}")]
    Unwritten { version: u64, reason: String },
    /// The files of the log are whole, but what they say makes no table.
    #[error("version {version} is no table: {reason}")]
    Invalid { version: u64, reason: String },
}

impl LogError {
    /// Whether the store failed rather than the log.
    pub(crate) fn is_store_failure(&self) -> bool {
        matches!(self, Self::Store { .. })
    }
}
