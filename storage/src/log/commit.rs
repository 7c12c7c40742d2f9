//! Commits read from the store, many at once.

use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, path::Path};

use super::{
    LogError, Stamp,
    action::{self, Actions},
    list::commit_path,
};
use crate::store::is_not_found;

/// How many commits are asked for at once.
const READS_AT_ONCE: usize = 64;
/// Larger files are parsed where they hold up nobody.
const PARSED_INLINE_BYTES_MAX: usize = 64 * 1024;
/// Such a file is cut into pieces of this size, of which some are parsed at once.
const PIECE_BYTES: usize = 4 * 1024 * 1024;
const PIECES_AT_ONCE: usize = 4;

/// A commit and the identity of its file.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) version: u64,
    pub(super) actions: Actions,
    pub(super) stamp: Stamp,
}

/// Reads commits that were listed, in their order.
pub(super) async fn read_all(
    store: &Arc<dyn ObjectStore>,
    listed: Vec<(u64, ObjectMeta)>,
) -> Result<Vec<Commit>, LogError> {
    let reads: Vec<BoxFuture<'static, Result<Commit, LogError>>> =
        listed.into_iter().map(|(version, meta)| read_listed(store.clone(), version, meta).boxed()).collect();
    futures::stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await
}

async fn read_listed(store: Arc<dyn ObjectStore>, version: u64, listed: ObjectMeta) -> Result<Commit, LogError> {
    let commit = read(store.as_ref(), version).await?.ok_or(LogError::Replaced)?;
    if commit.stamp.was_listed_as(&listed) { Ok(commit) } else { Err(LogError::Replaced) }
}

/// Reads one commit; `None` when there is none of this version.
pub(super) async fn read(store: &dyn ObjectStore, version: u64) -> Result<Option<Commit>, LogError> {
    let path = commit_path(version);
    let found = match store.get(&path).await {
        Ok(found) => found,
        Err(error) if is_not_found(&error) => return Ok(None),
        Err(source) => return Err(LogError::Store { path, source }),
    };
    let stamp = Stamp::of(&found.meta);
    let bytes = found.bytes().await.map_err(|source| LogError::Store { path: path.clone(), source })?;
    let actions = parse(bytes).await.map_err(|reason| LogError::Damaged { version, path, reason })?;
    Ok(Some(Commit { version, actions, stamp }))
}

/// Reads a file of JSON actions that is no commit.
pub(super) async fn read_json(store: &dyn ObjectStore, path: &Path) -> Result<Result<Actions, String>, LogError> {
    let bytes = match store.get(path).await {
        Ok(found) => found.bytes().await,
        Err(error) => Err(error),
    };
    match bytes {
        Ok(bytes) => Ok(parse(bytes).await),
        Err(error) if is_not_found(&error) => Ok(Err("it is not there".to_owned())),
        Err(source) => Err(LogError::Store { path: path.clone(), source }),
    }
}

/// Parses a file, a large one in pieces on several threads.
async fn parse(bytes: Bytes) -> Result<Actions, String> {
    if bytes.len() <= PARSED_INLINE_BYTES_MAX {
        return action::parse(&bytes);
    }
    let pieces: Vec<BoxFuture<'static, Result<Actions, String>>> =
        pieces(&bytes).into_iter().map(|piece| in_background(move || action::parse(&piece)).boxed()).collect();
    let parsed: Result<Vec<Actions>, String> =
        futures::stream::iter(pieces).buffered(PIECES_AT_ONCE).try_collect().await;
    match parsed {
        Ok(parsed) => Ok(parsed.into_iter().fold(Actions::default(), Actions::followed_by)),
        // As a whole it may be right, or else the error tells the line.
        Err(_) => in_background(move || action::parse(&bytes)).await,
    }
}

/// Runs `work` where it holds up nobody.
pub(super) async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
}

/// Cuts a file behind ends of lines. No piece is empty.
fn pieces(bytes: &Bytes) -> Vec<Bytes> {
    let mut rest = bytes.slice(..bytes.trim_ascii_end().len());
    let mut pieces = Vec::new();
    while rest.len() > PIECE_BYTES
        && let Some(end) = rest[PIECE_BYTES..].iter().position(|byte| *byte == b'\n')
    {
        pieces.push(rest.split_to(PIECE_BYTES + end + 1));
    }
    pieces.push(rest);
    pieces
}
