//! Lets a table go from the near tiers.

use super::{Followed, Released, Tier, bring::meta};
use crate::{Lake, Snapshot, StorageError, hot::Original, table::originals_of};

impl Lake {
    /// Gives up what the near tiers have of a table, a tier after the other: its pin and the copies of all its files; the
    /// blocks of the files of this version (those of files that it no longer has go when it is their turn). The room of
    /// blocks on disk is the disk's again once others are written there. Queries that read them go on. What is read from now
    /// on may come near again, and so does what its policy pins.
    pub async fn release_files(&self, snapshot: &Snapshot) -> Result<Vec<Released>, StorageError> {
        let query = |source| StorageError::Query { table: snapshot.name().to_owned(), source: Box::new(source) };
        let mut released = Vec::new();
        if let Some(hot) = self.hot() {
            released.push(hot.release(snapshot.id()).await);
        }
        if let Some(blocks) = self.warm() {
            let all = 0..snapshot.file_count();
            let files = originals_of(snapshot, self.store_registry().as_ref(), all).map_err(query)?;
            let of = |file: &Original| blocks.release(&file.key.store, &meta(file));
            let gone: Vec<u64> = files.iter().map(of).filter(|bytes| *bytes > 0).collect();
            let bytes = gone.iter().sum();
            let bytes_later = if blocks.has_disk() { bytes } else { 0 };
            released.push(Released { tier: Tier::Warm, files: gone.len() as u64, bytes, bytes_later });
        }
        Ok(released)
    }

    /// Looks at what is pinned of a table, by CACHE TABLE or by its policy, as it is at `now_ms` (milliseconds since 1970,
    /// UTC): what it does not have any more or is too old goes, what is missing comes, as far as there is room. `None` when
    /// nothing of it is pinned, or it cannot be read, or is gone.
    pub async fn look_after_pins(
        &self,
        schema: &str,
        name: &str,
        now_ms: i64,
    ) -> Result<Option<Followed>, StorageError> {
        let Ok(table) = self.table(schema, name).await else { return Ok(None) };
        if !self.follower().concerns(&table) {
            return Ok(None);
        }
        let Some(look) = self.follower().begin(&table) else { return Ok(None) };
        // Who drops a table lets it go thereafter. That ends a look that has begun; what was let go before is gone now.
        match self.table(schema, name).await {
            Ok(now) if now.id() == table.id() => self.follower().look(&table, &look, now_ms).await.map(Some),
            _ => Ok(None),
        }
    }
}
