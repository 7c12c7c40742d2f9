//! Which files the commits of the last while name: what a version that was the newest within it may need.

use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, Utc};
use object_store::ObjectStore;

use super::{
    LogError,
    action::{DeletionVector, FileAction},
    commit,
    list::list,
};

/// Files that some commits add or remove.
#[derive(Debug, Default)]
pub(crate) struct Named {
    paths: HashSet<String>,
    vectors: Vec<DeletionVector>,
}

impl Named {
    pub(crate) fn len(&self) -> usize {
        self.paths.len()
    }

    /// As the log has them.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(String::as_str)
    }

    pub(crate) fn vectors(&self) -> impl Iterator<Item = DeletionVector> {
        self.vectors.iter().cloned()
    }
}

/// What the commits since `since` name, by the times of their files. `None` when the log does not reach back so far:
/// commits of that time may have been cleaned up.
pub(crate) async fn named_since(store: &Arc<dyn ObjectStore>, since: DateTime<Utc>) -> Result<Option<Named>, LogError> {
    let listing = list(store.as_ref(), 0).await?;
    let oldest = listing.commits.first_key_value();
    if oldest.is_none_or(|(version, meta)| *version > 0 && meta.last_modified >= since) {
        return Ok(None);
    }
    // Times of commits need not rise: all from the first that is young enough on.
    let recent = listing.commits.into_iter().skip_while(|(_, meta)| meta.last_modified < since).collect();
    let mut named = Named::default();
    for commit in commit::read_all(store, recent).await? {
        for action in commit.actions.files {
            let (path, vector) = match action {
                FileAction::Add(add) => (add.path, add.deletion_vector),
                FileAction::Remove(gone) => (gone.path, gone.deletion_vector),
            };
            named.paths.insert(path);
            named.vectors.extend(vector);
        }
    }
    Ok(Some(named))
}
