//! The lease of a run, in the document of its mart.

use std::sync::Arc;

use boathouse_storage::{
    Lake, StorageError,
    catalog::{Claim, MartCause, MartDefinition, MartDocument, MartLease, MartRun, MartRunState},
};

use super::{Field, Lease};
use crate::EngineError;

/// Who runs a mart, and which run that is.
#[derive(Debug, Clone)]
pub(in crate::mart) struct OfRun {
    pub lake: Arc<Lake>,
    pub mart: String,
    /// As it begins.
    pub run: MartRun,
}

impl Field for OfRun {
    type Document = MartDocument;
    type Left = MartRun;

    fn title(&self) -> String {
        format!("the run of mart \"{}\"", self.mart)
    }

    fn claim<'a>(&self, document: &'a MartDocument) -> Option<&'a Claim> {
        document.lease.as_ref().map(|lease| &lease.claim)
    }

    fn put(&self, document: &mut MartDocument, claim: Option<Claim>) -> Option<MartRun> {
        let lease = claim.map(|claim| MartLease { claim, run: self.run.clone() });
        std::mem::replace(&mut document.lease, lease).map(|lease| lease.run)
    }

    async fn change(
        &self,
        change: impl Fn(&mut MartDocument) + Send + Sync,
    ) -> Result<Arc<MartDocument>, StorageError> {
        self.lake.change_mart(&self.mart, change).await
    }
}

impl Lease<OfRun> {
    /// Whether another process carried the run out, for the same reason, before the lease was taken. It may have failed.
    pub fn is_late(&self, run: &MartRun) -> bool {
        let same = |known: &MartRun| known.cause == run.cause && known.attempt >= run.attempt;
        let carried_out = |known: &&MartRun| known.state != MartRunState::Blocked && same(known);
        matches!(run.cause, MartCause::Tick(_)) && self.document().runs.iter().any(|known| carried_out(&known))
    }

    /// Gives the lease back, and writes down how the run went: one step. Does nothing when another process took it over.
    pub async fn end(&self, run: Option<&MartRun>, definition: &MartDefinition) -> Result<(), EngineError> {
        self.release(|document| {
            if let Some(run) = run {
                document.push(run.clone());
                document.definition = definition.clone();
            }
        })
        .await
    }
}
