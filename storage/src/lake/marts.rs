//! Marts of the lake: what is written down about each.

use std::sync::Arc;

use super::Lake;
use crate::{
    StorageError,
    catalog::{Document, Documents, MartDocument, backoff},
};

/// How often a change is tried when the store fails: what is written down at the end of a run should not be lost.
const ATTEMPTS_MAX: usize = 4;

impl Lake {
    /// Names of the marts that ever ran, `schema.table`, sorted.
    pub async fn marts(&self) -> Result<Vec<String>, StorageError> {
        let mut names = self.marts.names().await?;
        names.sort();
        Ok(names)
    }

    /// What is written down about a mart; nothing when it never ran. Sees every change that ended before the call.
    pub async fn mart(&self, name: &str) -> Result<Arc<MartDocument>, StorageError> {
        Ok(self.marts.read(name).await?.map(|found| found.document).unwrap_or_default())
    }

    /// Changes it: `change` runs on the newest document, again after a lost race, a bounded number of times, and must do no
    /// harm when it does so behind its own earlier success whose answer was lost.
    pub async fn change_mart(
        &self,
        name: &str,
        change: impl Fn(&mut MartDocument) + Send + Sync,
    ) -> Result<Arc<MartDocument>, StorageError> {
        changed(&self.marts, name, change).await
    }
}

/// Changes a document of one kind, which begins as an empty one.
pub(super) async fn changed<D: Document + Default>(
    documents: &Documents<D>,
    name: &str,
    change: impl Fn(&mut D) + Send + Sync,
) -> Result<Arc<D>, StorageError> {
    for attempt in 0.. {
        let changed = documents.change(name, |before| {
            let mut document = before.as_deref().cloned().unwrap_or_default();
            change(&mut document);
            async move { Ok(document) }
        });
        match changed.await {
            Err(StorageError::Store { .. }) if attempt + 1 < ATTEMPTS_MAX => {
                tokio::time::sleep(backoff(attempt)).await;
            }
            changed => return changed,
        }
    }
    Err(StorageError::Internal { message: "attempts to change a document ended without an outcome".into() })
}
