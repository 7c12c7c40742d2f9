//! How far a delivery is that goes on where an earlier one ended.

use std::sync::atomic::{AtomicU64, Ordering};

use boathouse_storage::catalog::ExportPart;

use super::claim::OfExport;
use crate::{EngineError, mart::lease::Lease};

/// Rows of a delivery that its receiver has acknowledged, written down in the lake.
#[derive(Debug)]
pub struct Progress {
    pub(super) claim: Lease<OfExport>,
    /// With no rows; `None` when an interrupted delivery begins anew.
    pub(super) part: Option<ExportPart>,
    rows: AtomicU64,
}

impl Progress {
    pub(super) fn new(claim: Lease<OfExport>, part: Option<ExportPart>, rows: u64) -> Self {
        Self { claim, part, rows: AtomicU64::new(rows) }
    }

    /// The first rows, which need not be sent again.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// The receiver has so many rows more.
    pub async fn acknowledged(&self, rows: u64) -> Result<(), EngineError> {
        let rows = self.rows.fetch_add(rows, Ordering::Relaxed) + rows;
        let Some(part) = &self.part else { return Ok(()) };
        self.claim.change_state(|state| state.part = Some(ExportPart { rows, ..part.clone() })).await
    }
}
