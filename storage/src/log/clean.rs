//! Log clean-up: what no version needs that can still be asked for is deleted.
//!
//! ```text
//! commits   0 ... c-1 | c ... b | b+1 ... newest      b: the newest version at the cutoff
//!           deleted   | kept                          c: the newest checkpoint up to b, which is read first
//! ```
//! Every version from `c` on is told by the checkpoint and the commits behind it, so whoever asks for a time after the
//! cutoff gets an answer. The oldest goes first: at any line the log ends where it did and begins somewhere.

use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, Duration, Utc};
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture};
use object_store::{ObjectMeta, ObjectStore, path::Path};

use super::{
    LogError, Times, checkpoint,
    list::{Checkpoint, list, log_folder, sidecar_folder, version_of},
};
use crate::store::is_not_found;

/// A sidecar that nothing names may belong to a checkpoint that is being written.
const SIDECAR_DAYS: i64 = 1;

/// Deletes commits and checkpoints that no version at or after `cutoff` needs; commits from version `told_from` on say
/// their times. Returns how many files went.
pub(crate) fn clean_up(
    store: &Arc<dyn ObjectStore>,
    cutoff: DateTime<Utc>,
    told_from: Option<u64>,
) -> BoxFuture<'_, Result<usize, LogError>> {
    clean(store, cutoff, told_from).boxed()
}

async fn clean(store: &Arc<dyn ObjectStore>, cutoff: DateTime<Utc>, told_from: Option<u64>) -> Result<usize, LogError> {
    let Some(kept) = kept_from(store, cutoff, told_from).await? else { return Ok(0) };
    let mut old: Vec<(u64, bool, Path)> = Vec::new();
    let folder = log_folder();
    let mut listed = store.list(Some(&folder));
    while let Some(file) = listed.try_next().await.map_err(failed)? {
        if let Some((version, is_commit)) = version_of(&file.location).filter(|(version, _)| *version < kept.version) {
            old.push((version, !is_commit, file.location));
        }
    }
    old.sort();
    let mut gone = delete(store, old.into_iter().map(|(.., path)| path).collect()).await?;
    gone += clean_sidecars(store, cutoff, kept.version).await?;
    Ok(gone)
}

/// The checkpoint from which on everything is kept; `None` when nothing can go.
async fn kept_from(
    store: &Arc<dyn ObjectStore>,
    cutoff: DateTime<Utc>,
    told_from: Option<u64>,
) -> Result<Option<Checkpoint>, LogError> {
    let times = Times::read(store.as_ref(), told_from).await?;
    let Some(newest_then) = times.newest_at(store.as_ref(), cutoff.timestamp_millis()).await? else { return Ok(None) };
    let listing = list(store.as_ref(), times.first).await?;
    for checkpoint in listing.checkpoints.iter().rev().filter(|checkpoint| checkpoint.version <= newest_then) {
        match checkpoint::head(store, checkpoint).await {
            Ok(head) if head.protocol.is_some() && head.metadata.is_some() => return Ok(Some(checkpoint.clone())),
            Ok(_) => {}
            Err(LogError::Checkpoint { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Sidecars that no checkpoint names any more.
async fn clean_sidecars(store: &Arc<dyn ObjectStore>, cutoff: DateTime<Utc>, from: u64) -> Result<usize, LogError> {
    let cutoff = cutoff.min(Utc::now() - Duration::days(SIDECAR_DAYS));
    let folder = sidecar_folder();
    let found: Vec<ObjectMeta> = store.list(Some(&folder)).try_collect().await.map_err(failed)?;
    let mut old: Vec<Path> =
        found.into_iter().filter(|file| file.last_modified < cutoff).map(|file| file.location).collect();
    if old.is_empty() {
        return Ok(0);
    }
    let mut named = HashSet::new();
    for checkpoint in list(store.as_ref(), from).await?.checkpoints {
        let head = checkpoint::head(store, &checkpoint).await?;
        named.extend(head.files.iter().map(|file| file.path().clone()));
    }
    old.retain(|path| !named.contains(path));
    delete(store, old).await
}

async fn delete(store: &Arc<dyn ObjectStore>, paths: Vec<Path>) -> Result<usize, LogError> {
    let mut gone = 0;
    let mut deleted = store.delete_stream(futures::stream::iter(paths.into_iter().map(Ok)).boxed());
    while let Some(result) = deleted.next().await {
        match result {
            Ok(_) => gone += 1,
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(gone)
}

fn failed(source: object_store::Error) -> LogError {
    LogError::Store { path: log_folder(), source }
}
