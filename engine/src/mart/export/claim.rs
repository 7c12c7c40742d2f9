//! The lease of a delivery (`mart/lease.rs`), in the document of the mart's exports.
//!
//! It saves work, and keeps batches from a receiver that does not know them again. Destinations with a ledger are right
//! without it.

use std::sync::Arc;

use boathouse_storage::{
    Lake, StorageError,
    catalog::{Claim, ExportsDocument, MartExport},
};

use crate::{
    EngineError,
    mart::lease::{Field, Lease},
};

/// Who delivers an export.
#[derive(Debug, Clone)]
pub(super) struct OfExport {
    pub lake: Arc<Lake>,
    pub mart: String,
    pub export: String,
    /// What people are told of it: destination, kind, target and mode.
    pub told: MartExport,
}

impl Field for OfExport {
    type Document = ExportsDocument;
    type Left = ();

    fn title(&self) -> String {
        format!("the export to \"{}\"", self.export)
    }

    fn claim<'a>(&self, document: &'a ExportsDocument) -> Option<&'a Claim> {
        document.exports.get(&self.export)?.claim.as_ref()
    }

    fn put(&self, document: &mut ExportsDocument, claim: Option<Claim>) -> Option<()> {
        let state = document.exports.entry(self.export.clone()).or_default();
        let MartExport { destination, kind, target, mode, .. } = self.told.clone();
        *state = MartExport { destination, kind, target, mode, claim, ..std::mem::take(state) };
        None
    }

    async fn change(
        &self,
        change: impl Fn(&mut ExportsDocument) + Send + Sync,
    ) -> Result<Arc<ExportsDocument>, StorageError> {
        self.lake.change_mart_exports(&self.mart, change).await
    }
}

impl Lease<OfExport> {
    /// The state when the lease was taken.
    pub fn state(&self) -> MartExport {
        self.document().exports.get(&self.of().export).cloned().unwrap_or_default()
    }

    /// Changes the state, which only who delivers may do.
    pub async fn change_state(&self, change: impl Fn(&mut MartExport) + Send + Sync) -> Result<(), EngineError> {
        let export = &self.of().export;
        self.change(|document| change(document.exports.entry(export.clone()).or_default())).await
    }

    /// Gives the lease back, and writes down how the delivery went: one step. Does nothing when another process took it over.
    pub async fn end(&self, change: impl Fn(&mut MartExport) + Send + Sync) -> Result<(), EngineError> {
        let export = &self.of().export;
        self.release(|document| change(document.exports.entry(export.clone()).or_default())).await
    }
}
