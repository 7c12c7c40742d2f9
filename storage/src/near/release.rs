//! Lets a table go from the near tiers.

use super::{Released, Tier, bring::meta};
use crate::{Lake, Snapshot, StorageError, hot::Original, table::originals_of};

impl Lake {
    /// Gives up what the near tiers have of a table, a tier after the other: its pin and the copies of all its files; the
    /// blocks of the files of this version (those of files that it no longer has go when it is their turn). Queries that
    /// read them go on. What is read from now on may come near again.
    pub async fn release_files(&self, snapshot: &Snapshot) -> Result<Vec<Released>, StorageError> {
        let query = |source| StorageError::Query { table: snapshot.name().to_owned(), source: Box::new(source) };
        let mut released = Vec::new();
        if let Some(hot) = self.hot() {
            let (files, bytes) = hot.release(snapshot.id()).await;
            released.push(Released { tier: Tier::Hot, files, bytes });
        }
        if let Some(blocks) = self.warm() {
            let all = 0..snapshot.file_count();
            let files = originals_of(snapshot, self.store_registry().as_ref(), all).map_err(query)?;
            let of = |file: &Original| blocks.release(&file.key.store, &meta(file));
            let gone: Vec<u64> = files.iter().map(of).filter(|bytes| *bytes > 0).collect();
            released.push(Released { tier: Tier::Warm, files: gone.len() as u64, bytes: gone.iter().sum() });
        }
        Ok(released)
    }
}
