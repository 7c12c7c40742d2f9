//! Commits: read from the store, many at once, and what they say.

use std::{sync::Arc, thread};

use bytes::Bytes;
use deltalake::kernel::Metadata;
use futures::{FutureExt, StreamExt, TryStreamExt, executor::block_on, future::BoxFuture};
use object_store::{GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt, path::Path};
use tokio::sync::oneshot;

use super::{
    FileSet, LogError, Stamp,
    action::{self, Actions, FileAction, Provenance},
    list::commit_path,
    replay,
};
use crate::store::is_not_found;

/// How many commits are asked for at once.
const READS_AT_ONCE: usize = 64;
/// So many commits that lie in a folder are read by one thread, one after the other: to hand each from thread to thread costs
/// more than to read and parse it.
const NEAR_COMMITS: usize = 256;
const NEAR_THREADS: usize = 2;
/// Larger files are parsed where they hold up nobody.
const PARSED_INLINE_BYTES_MAX: usize = 64 * 1024;
/// Such a file is cut into pieces of this size, of which some are parsed at once.
const PIECE_BYTES: usize = 4 * 1024 * 1024;
const PIECES_AT_ONCE: usize = 4;

/// A commit and the identity of its file.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) version: u64,
    pub(super) actions: Actions,
    pub(crate) stamp: Stamp,
}

impl Commit {
    /// Does it change what the table is: its columns, properties or protocol?
    pub(crate) fn redefines(&self) -> bool {
        self.actions.metadata.is_some() || self.actions.protocol.is_some()
    }

    /// The new definition, of a commit that leaves the protocol as it is.
    pub(crate) fn definition(&self) -> Option<&Metadata> {
        self.actions.metadata.as_ref().filter(|_| self.actions.protocol.is_none())
    }

    /// The paths of the files that it removes, as the log has them, and whether their rows go with them. A file that gets
    /// another deletion vector is among them.
    pub(crate) fn removed(&self) -> impl Iterator<Item = (&str, bool)> {
        self.actions.files.iter().filter_map(|action| match action {
            FileAction::Remove(gone) => Some((gone.path.as_str(), gone.data_change)),
            FileAction::Add(_) => None,
        })
    }

    /// Does it add rows that were not in the table?
    pub(crate) fn adds_rows(&self) -> bool {
        self.actions.files.iter().any(|action| matches!(action, FileAction::Add(add) if add.data_change))
    }

    /// The files with rows that were not in the table, typed as those of `like` are. The text of an error tells the file.
    pub(crate) fn added(&self, like: &FileSet) -> Result<FileSet, String> {
        let adds = self.actions.files.iter().filter_map(|action| match action {
            FileAction::Add(add) if add.data_change => Some(add.clone()),
            _ => None,
        });
        let chunk = replay::chunk(like.layout(), &adds.collect::<Vec<_>>())?;
        let mut files = FileSet::new(like.layout().clone());
        files.add(Arc::new(chunk), None);
        Ok(files)
    }

    /// Is it the commit that carried out a program's transaction?
    pub(crate) fn has_transaction(&self, app_id: &str) -> bool {
        self.actions.transactions.iter().any(|transaction| transaction.app_id == app_id)
    }

    pub(crate) fn provenance(&self) -> Option<&Provenance> {
        self.actions.provenance.as_ref()
    }
}

/// The file of a commit.
pub(crate) struct RawCommit {
    pub(super) version: u64,
    pub(crate) bytes: Bytes,
    stamp: Stamp,
    /// It lies in a folder.
    near: bool,
}

impl RawCommit {
    /// A commit that was just written as `bytes`.
    pub(crate) fn written(version: u64, bytes: Bytes, stamp: Stamp) -> Self {
        Self { version, bytes, stamp, near: false }
    }

    pub(crate) async fn read(store: &dyn ObjectStore, version: u64) -> Result<Option<Self>, LogError> {
        let path = commit_path(version);
        let found = match store.get(&path).await {
            Ok(found) => found,
            Err(error) if is_not_found(&error) => return Ok(None),
            Err(source) => return Err(LogError::Store { path, source }),
        };
        let (stamp, near) = (Stamp::of(&found.meta), matches!(found.payload, GetResultPayload::File(..)));
        let bytes = found.bytes().await.map_err(|source| LogError::Store { path, source })?;
        Ok(Some(Self { version, bytes, stamp, near }))
    }

    /// One that was listed.
    async fn read_listed(store: &dyn ObjectStore, version: u64, listed: &ObjectMeta) -> Result<Self, LogError> {
        let commit = Self::read(store, version).await?.ok_or(LogError::Replaced)?;
        if commit.stamp.was_listed_as(listed) { Ok(commit) } else { Err(LogError::Replaced) }
    }

    pub(crate) async fn parse(self) -> Result<Commit, LogError> {
        let Self { version, bytes, stamp, .. } = self;
        let damaged = |reason| LogError::Damaged { version, path: commit_path(version), reason };
        let actions = parse(bytes).await.map_err(damaged)?;
        Ok(Commit { version, actions, stamp })
    }

    fn is_small(&self) -> bool {
        self.bytes.len() <= PARSED_INLINE_BYTES_MAX
    }
}

/// Reads commits that were listed, in their order.
pub(super) async fn read_all(
    store: &Arc<dyn ObjectStore>,
    listed: Vec<(u64, ObjectMeta)>,
) -> Result<Vec<Commit>, LogError> {
    if listed.len() <= NEAR_COMMITS {
        return read_each(store, listed).await;
    }
    let mut rest = listed.into_iter();
    let Some((version, meta)) = rest.next() else { return Ok(Vec::new()) };
    let rest: Vec<(u64, ObjectMeta)> = rest.collect();
    let first = RawCommit::read_listed(store.as_ref(), version, &meta).await?;
    let near = first.near;
    let mut commits = vec![first.parse().await?];
    if !near {
        commits.extend(read_each(store, rest).await?);
        return Ok(commits);
    }
    let pieces: Vec<BoxFuture<'static, Result<Vec<Read>, LogError>>> =
        rest.chunks(NEAR_COMMITS).map(|piece| read_near(store.clone(), piece.to_vec()).boxed()).collect();
    let mut pieces = futures::stream::iter(pieces).buffered(NEAR_THREADS);
    while let Some(piece) = pieces.try_next().await? {
        for read in piece {
            commits.push(match read {
                Read::Commit(commit) => *commit,
                Read::Large(raw) => raw.parse().await?,
            });
        }
    }
    Ok(commits)
}

async fn read_each(store: &Arc<dyn ObjectStore>, listed: Vec<(u64, ObjectMeta)>) -> Result<Vec<Commit>, LogError> {
    let reads: Vec<BoxFuture<'static, Result<Commit, LogError>>> =
        listed.into_iter().map(|(version, meta)| read_listed(store.clone(), version, meta).boxed()).collect();
    futures::stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await
}

async fn read_listed(store: Arc<dyn ObjectStore>, version: u64, listed: ObjectMeta) -> Result<Commit, LogError> {
    RawCommit::read_listed(store.as_ref(), version, &listed).await?.parse().await
}

/// A commit, parsed unless that is work for several threads.
enum Read {
    Commit(Box<Commit>),
    Large(RawCommit),
}

/// Reads commits that lie in a folder, in a thread of their own. Outside of the runtime the store does its work where it is
/// asked.
async fn read_near(store: Arc<dyn ObjectStore>, listed: Vec<(u64, ObjectMeta)>) -> Result<Vec<Read>, LogError> {
    let path = listed.first().map(|(_, meta)| meta.location.clone()).unwrap_or_default();
    let (tell, told) = oneshot::channel();
    let work = move || {
        let read = listed.into_iter().map(|(version, meta)| {
            let raw = block_on(RawCommit::read_listed(store.as_ref(), version, &meta))?;
            match raw.is_small() {
                true => block_on(raw.parse()).map(|commit| Read::Commit(Box::new(commit))),
                false => Ok(Read::Large(raw)),
            }
        });
        // Nobody listens when the load was given up.
        drop(tell.send(read.collect::<Result<Vec<_>, _>>()));
    };
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| LogError::Store {
        path: path.clone(),
        source: object_store::Error::Generic { store: "folder", source },
    };
    thread::Builder::new().name("boathouse-log".to_owned()).spawn(work).map_err(|error| failed(Box::new(error)))?;
    told.await.map_err(|error| failed(Box::new(error)))?
}

/// Reads one commit; `None` when there is none of this version.
pub(super) async fn read(store: &dyn ObjectStore, version: u64) -> Result<Option<Commit>, LogError> {
    match RawCommit::read(store, version).await? {
        Some(raw) => raw.parse().await.map(Some),
        None => Ok(None),
    }
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
