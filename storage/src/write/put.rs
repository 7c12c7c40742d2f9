//! One log entry into the log, where no other is.

use std::sync::Arc;

use bytes::Bytes;
use object_store::{ObjectStore, PutMode, PutPayload};

use crate::{
    CommitCounts,
    catalog::backoff,
    log::{Commit, LogError, RawCommit, Stamp, commit_path, commits_from},
};

/// How often one request is sent again when the store fails.
const STORE_ATTEMPTS_MAX: usize = 4;

/// What became of a put-if-absent.
pub(super) enum Put {
    /// Ours is in the log. Without a stamp when the store did not tell it.
    Written(Option<Stamp>),
    Taken(RawCommit),
}

/// Writes a version. The store's answer can be lost, and a repeated request then meets the first one: what is in the log
/// decides. The error is that of the last request, after which nothing is known.
pub(super) async fn put(
    store: &dyn ObjectStore,
    version: u64,
    bytes: &Bytes,
    counts: &CommitCounts,
) -> Result<Put, object_store::Error> {
    let put = try_put(store, version, bytes).await?;
    counts.tried(matches!(put, Put::Written(_)));
    Ok(put)
}

async fn try_put(store: &dyn ObjectStore, version: u64, bytes: &Bytes) -> Result<Put, object_store::Error> {
    let path = commit_path(version);
    let mut attempt = 0;
    loop {
        let payload = PutPayload::from_bytes(bytes.clone());
        let Err(error) = store.put_opts(&path, payload, PutMode::Create.into()).await else {
            return Ok(Put::Written(Stamp::read(store, version).await.ok().flatten()));
        };
        match RawCommit::read(store, version).await {
            Ok(Some(found)) if found.bytes == *bytes => {
                tracing::info!(version, "the store's answer to a commit was lost; the commit is there");
                return Ok(Put::Written(Stamp::read(store, version).await.ok().flatten()));
            }
            Ok(Some(rival)) => return Ok(Put::Taken(rival)),
            // The request may still be under way: the same bytes again do no harm.
            Ok(None) | Err(_) if attempt + 1 < STORE_ATTEMPTS_MAX => {}
            Ok(None) | Err(_) => return Err(error),
        }
        tokio::time::sleep(backoff(attempt)).await;
        attempt += 1;
    }
}

/// `first` and the commits behind it, if there are any.
pub(super) async fn follow_up(store: &Arc<dyn ObjectStore>, first: Commit) -> Result<Vec<Commit>, LogError> {
    let next = first.version + 1;
    let there = Stamp::read(store.as_ref(), next).await;
    let there = there.map_err(|source| LogError::Store { path: commit_path(next), source })?;
    let mut commits = vec![first];
    if there.is_some() {
        commits.extend(commits_from(store, next).await?);
    }
    Ok(commits)
}
