//! Brings files near.

use std::{cmp::Reverse, collections::HashSet, sync::Arc};

use chrono::DateTime;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;

use super::{Brought, Tier, WantedFiles};
use crate::{
    Lake, Snapshot, StorageError,
    hot::{CopyKey, HotCopies, Original},
    table::originals_of,
    warm::{Blocks, Fill, Keep, Meters, WarmFile},
};

/// Files of which blocks are fetched at once; each takes up to eight MiB of memory, twice for a moment.
const FILES_AT_ONCE: usize = 4;

impl Lake {
    /// The tiers that this lake has near by; none for a lake in a folder without hot copies.
    pub fn near_tiers(&self) -> Vec<Tier> {
        let hot = self.hot().map(|_| Tier::Hot);
        hot.into_iter().chain(self.warm().map(|_| Tier::Warm)).collect()
    }

    /// Brings files of a table near, whole: copies of those that the hot tier has room for, newest first, then blocks of the
    /// others. `pinned`: from now on the files of this table get copies, those that are written later as well, and keep them,
    /// however the others fare; it is let go again when this fails or is given up. Waits until all is there. Says what is
    /// where, a tier after the other. A file of which no copy can be made is named, and the others come.
    pub async fn bring_files(
        &self,
        wanted: &WantedFiles,
        table: &Arc<Snapshot>,
        pinned: bool,
    ) -> Result<Vec<Brought>, StorageError> {
        let pin = self.hot().filter(|_| pinned).map(|hot| Pin::new(hot, table.id()));
        let mut files = self.files_of(wanted)?;
        // The predicate may read others.
        files.retain(|file| file.key.table == table.id());
        let mut brought: Vec<Brought> = Vec::new();
        if let Some(hot) = self.hot() {
            let (there, rest) = hot.bring(self.counted(&files, wanted)).await;
            brought.push(there);
            let rest: HashSet<CopyKey> = rest.into_iter().map(|file| file.key).collect();
            files.retain(|file| rest.contains(&file.key));
        }
        if let (Some(blocks), Some(fill)) = (self.warm(), &wanted.fill) {
            // A folder is as near as its blocks would be.
            files.retain(|file| !file.key.store.starts_with("file:"));
            let fetches =
                stream::iter(files).map(|file| fetch(blocks.clone(), fill.clone(), wanted.meters.clone(), file));
            fetches.buffer_unordered(FILES_AT_ONCE).try_collect::<Vec<()>>().await?;
            brought.push(fill.settled(blocks).await);
        }
        if let Some(pin) = pin {
            pin.keep();
            // Other versions may have come, and been looked at before it was pinned.
            let newest = self.table_at(table.location(), None).await.ok().filter(|newest| newest.id() == table.id());
            self.follower().newest(newest.as_ref().unwrap_or(table));
        }
        Ok(brought)
    }

    /// Makes copies of the files, before the plan that they were noted for is run; `None` without hot copies.
    pub async fn bring_copies(&self, wanted: &WantedFiles) -> Result<Option<Brought>, StorageError> {
        let Some(hot) = self.hot() else { return Ok(None) };
        let files = self.files_of(wanted)?;
        Ok(Some(hot.bring(self.counted(&files, wanted)).await.0))
    }

    /// What of the blocks that a plan read is there, once it has run to its end; `None` without warm blocks.
    pub async fn brought_blocks(&self, wanted: &WantedFiles) -> Option<Brought> {
        let (blocks, fill) = self.warm().zip(wanted.fill.as_ref())?;
        Some(fill.settled(blocks).await)
    }

    /// The same files, read from blocks where they are there, and from the store on the statement's account.
    fn counted(&self, files: &[Original], wanted: &WantedFiles) -> Vec<Original> {
        files.iter().map(|file| through_blocks(self.warm(), file, &wanted.meters)).collect()
    }

    /// Each file once, newest first.
    fn files_of(&self, wanted: &WantedFiles) -> Result<Vec<Original>, StorageError> {
        let (mut files, mut known) = (Vec::new(), HashSet::new());
        for (snapshot, numbers) in wanted.scans() {
            let originals = originals_of(&snapshot, self.store_registry().as_ref(), numbers.into_iter())
                .map_err(|source| StorageError::Query { table: snapshot.name().into(), source: Box::new(source) })?;
            files.extend(originals.into_iter().filter(|file| known.insert(file.key.clone())));
        }
        files.sort_by_key(|file| Reverse(file.key.modified_ms));
        Ok(files)
    }
}

/// A file that is read from blocks where they are there, and from the store on the account of `meters`.
pub(super) fn through_blocks(warm: Option<&Arc<Blocks>>, file: &Original, meters: &Meters) -> Original {
    if file.key.store.starts_with("file:") {
        return file.clone();
    }
    let mark = warm.map(|blocks| blocks.mark(&file.key.table, &file.name)).unwrap_or_default();
    let (warm, url) = (warm.cloned(), &file.key.store);
    let store = WarmFile::new((warm, mark), file.store.clone(), url, meta(file), Keep::Nothing, meters.clone());
    Original { store: Arc::new(store), ..file.clone() }
}

/// All blocks of a file, where there is room for all of them.
async fn fetch(blocks: Arc<Blocks>, fill: Arc<Fill>, meters: Meters, file: Original) -> Result<(), StorageError> {
    if !fill.has_room(file.key.size) {
        fill.leave(file.key.size);
        return Ok(());
    }
    let (meta, table) = (meta(&file), blocks.mark(&file.key.table, &file.name));
    let reader =
        WarmFile::new((Some(blocks), table), file.store, &file.key.store, meta.clone(), Keep::Asked(fill), meters);
    let brought = reader.bring().await;
    brought.map_err(|source| StorageError::Store { action: "read", path: meta.location.to_string(), source })
}

pub(super) fn meta(original: &Original) -> ObjectMeta {
    ObjectMeta {
        location: original.path.clone(),
        last_modified: DateTime::from_timestamp_millis(original.key.modified_ms).unwrap_or_default(),
        size: original.key.size,
        e_tag: None,
        version: None,
    }
}

/// A pin that goes again unless it is kept, where it was not there before.
struct Pin<'a> {
    hot: &'a HotCopies,
    table: &'a str,
    is_new: bool,
}

impl<'a> Pin<'a> {
    fn new(hot: &'a HotCopies, table: &'a str) -> Self {
        let is_new = !hot.is_pinned(table);
        hot.pin(table);
        Self { hot, table, is_new }
    }

    fn keep(mut self) {
        self.is_new = false;
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        if self.is_new {
            self.hot.unpin(self.table);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HotOptions;

    #[test]
    fn a_pin_of_a_statement_that_is_given_up_goes_unless_it_was_there_before() {
        let folder = tempfile::tempdir().unwrap();
        let hot = HotCopies::open(&HotOptions { folder: folder.path().into(), bytes_max: 1 << 20 }).unwrap();
        drop(Pin::new(&hot, "t"));
        assert!(!hot.is_pinned("t"));
        Pin::new(&hot, "t").keep();
        assert!(hot.is_pinned("t"));
        drop(Pin::new(&hot, "t"));
        assert!(hot.is_pinned("t"));
    }
}
