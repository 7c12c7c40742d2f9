//! Exports of the lake's marts: what is written down about each.

use std::sync::Arc;

use super::{Lake, marts::changed};
use crate::{StorageError, catalog::ExportsDocument};

impl Lake {
    /// Names of the marts that were ever exported, `schema.table`, sorted.
    pub async fn exported_marts(&self) -> Result<Vec<String>, StorageError> {
        let mut names = self.exports.names().await?;
        names.sort();
        Ok(names)
    }

    /// What is written down about the exports of a mart; nothing when there never was one. Sees every change that ended before
    /// the call.
    pub async fn mart_exports(&self, mart: &str) -> Result<Arc<ExportsDocument>, StorageError> {
        Ok(self.exports.read(mart).await?.map(|found| found.document).unwrap_or_default())
    }

    /// Changes it, as [`Lake::change_mart`] does.
    pub async fn change_mart_exports(
        &self,
        mart: &str,
        change: impl Fn(&mut ExportsDocument) + Send + Sync,
    ) -> Result<Arc<ExportsDocument>, StorageError> {
        changed(&self.exports, mart, change).await
    }
}
