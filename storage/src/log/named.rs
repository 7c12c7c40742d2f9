//! Which files the log names: what a version that was the newest within the last while may need, and what any version may
//! need that can still be read.

use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, Utc};
use object_store::ObjectStore;

use super::{
    Commit, LogError, Times,
    action::{DeletionVector, FileAction},
    commit,
    list::list,
    load,
};

/// Files that some commits add or remove, those of the change feed among them.
#[derive(Debug, Default)]
pub(crate) struct Named {
    paths: HashSet<String>,
    vectors: Vec<DeletionVector>,
}

impl Named {
    fn take(&mut self, commits: Vec<Commit>) {
        for commit in commits {
            self.paths.extend(commit.actions.changes);
            for action in commit.actions.files {
                let (path, vector) = match action {
                    FileAction::Add(add) => (add.path, add.deletion_vector),
                    FileAction::Remove(gone) => (gone.path, gone.deletion_vector),
                };
                self.paths.insert(path);
                self.vectors.extend(vector);
            }
        }
    }

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
    named.take(commit::read_all(store, recent).await?);
    Ok(Some(named))
}

/// What all versions name that can still be read.
pub(crate) async fn named_at_all(store: &Arc<dyn ObjectStore>) -> Result<Named, LogError> {
    let first = Times::read(store.as_ref(), None).await?.first;
    let oldest = load(store, Some(first)).await?.files;
    let mut named = Named::default();
    for file in 0..oldest.len() {
        named.paths.insert(oldest.path(file).to_owned());
        named.vectors.extend(oldest.deletion_vector(file));
    }
    // Each commit adds to what its version names.
    let listing = list(store.as_ref(), first).await?;
    named.take(commit::read_all(store, listing.commits.into_iter().collect()).await?);
    Ok(named)
}
