//! The identity of a commit file.

use chrono::{DateTime, Utc};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, path::Path};

use super::list::commit_path;
use crate::store::is_not_found;

/// A commit file's identity: two files of one name differ in one of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    e_tag: Option<String>,
    modified: DateTime<Utc>,
    size: u64,
}

impl Stamp {
    /// The stamp of a version's commit file, `None` when there is no such file.
    pub(crate) async fn read(table_store: &dyn ObjectStore, version: u64) -> object_store::Result<Option<Self>> {
        let path: Path = commit_path(version);
        match table_store.head(&path).await {
            Ok(meta) => Ok(Some(Self::of(&meta))),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Of a commit that is in no log.
    pub(super) fn of_none() -> Self {
        Self { e_tag: None, modified: DateTime::UNIX_EPOCH, size: 0 }
    }

    /// From the answer to a GET or a HEAD. Not from a listing, whose times can be finer.
    pub(super) fn of(meta: &ObjectMeta) -> Self {
        Self { e_tag: meta.e_tag.clone(), modified: meta.last_modified, size: meta.size }
    }

    /// Whether a listing showed this file, as far as it tells.
    pub(super) fn was_listed_as(&self, listed: &ObjectMeta) -> bool {
        let tags = (self.e_tag.as_ref(), listed.e_tag.as_ref());
        self.size == listed.size
            && self.modified.timestamp() == listed.last_modified.timestamp()
            && !matches!(tags, (Some(read), Some(listed)) if read != listed)
    }

    pub(crate) fn modified_ms(&self) -> i64 {
        self.modified.timestamp_millis()
    }
}
