//! How a delivery went, for whoever asked for it.

use std::time::Duration;

use crate::EngineError;

/// What became of an export.
#[derive(Debug)]
pub enum ExportOutcome {
    /// The destination has this version now.
    Delivered { rows: u64, version: u64 },
    /// It has the rows of the last run already.
    UpToDate { version: u64 },
    /// The mart has no rows yet.
    NotPublished,
    /// Another process delivers.
    Busy { holder: String },
    /// What is there is what was there, or for a receiver of batches a part more, which is not sent again.
    Failed(EngineError),
}

impl ExportOutcome {
    /// As people are told of it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Delivered { .. } => "delivered",
            Self::UpToDate { .. } => "up to date",
            Self::NotPublished => "not published",
            Self::Busy { .. } => "busy",
            Self::Failed(_) => "failed",
        }
    }

    /// Whether the destination has the rows of the last run.
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Delivered { .. } | Self::UpToDate { .. })
    }
}

/// One export of one mart.
#[derive(Debug)]
pub struct ExportReport {
    pub mart: String,
    pub to: String,
    pub target: String,
    pub outcome: ExportOutcome,
    pub took: Duration,
}
