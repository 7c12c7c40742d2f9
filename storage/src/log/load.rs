//! A table's log at one version: loaded from nothing, or brought on from an older version.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use deltalake::kernel::{Metadata, Protocol, StructType, engine::arrow_conversion::TryIntoArrow};
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture};
use object_store::ObjectStore;

use super::{
    FileSet, LogError, Stamp,
    action::{Add, AppTransaction, is_of_process},
    checkpoint::{self, Head},
    chunk::Chunk,
    commit::{self, Commit, RawCommit, in_background},
    layout::Layout,
    list::{Checkpoint, Listing, commit_path, hint, list},
    replay::{self, Replay},
};

/// Files of commits are typed in pieces of this size.
const CHUNK_FILES: usize = 8192;
const CHUNKS_AT_ONCE: usize = 4;

/// What the log says at one version. Immutable.
#[derive(Debug, Clone)]
pub(crate) struct LogState {
    pub(crate) version: u64,
    pub(crate) protocol: Protocol,
    pub(crate) metadata: Metadata,
    /// As the protocol has it, with the metadata of every field.
    pub(crate) columns: Arc<StructType>,
    /// The same in Arrow's types.
    pub(crate) schema: SchemaRef,
    pub(crate) files: FileSet,
    /// The last version of each program's transactions, by the program's id.
    pub(crate) transactions: Arc<HashMap<String, i64>>,
    /// The identity of the version's commit file while there is one.
    pub(crate) stamp: Option<Stamp>,
}

/// Loads the newest version, or the one asked for. A checkpoint that cannot be used is passed over with a warning as long
/// as older ones and commits tell the same.
pub(crate) fn load(store: &Arc<dyn ObjectStore>, version: Option<u64>) -> BoxFuture<'_, Result<LogState, LogError>> {
    // Boxed: callers are deep enough without its type.
    load_hinted(store, version).boxed()
}

async fn load_hinted(store: &Arc<dyn ObjectStore>, version: Option<u64>) -> Result<LogState, LogError> {
    let hinted = hint(store.as_ref()).await?.filter(|hinted| version.is_none_or(|version| *hinted <= version));
    let mut listing = list(store.as_ref(), hinted.unwrap_or(0)).await?;
    if listing.from > 0 && !listing.checkpoints.iter().any(|c| version.is_none_or(|version| c.version <= version)) {
        tracing::debug!(hinted, "the hint at the last checkpoint is wrong");
        listing = list(store.as_ref(), 0).await?;
    }
    match load_listed(store, &listing, version).await {
        Err(LogError::Checkpoint { .. } | LogError::Gap { .. }) if listing.from > 0 => {
            // What lies before the hint may still tell it.
            let listing = list(store.as_ref(), 0).await?;
            load_listed(store, &listing, version).await
        }
        loaded => loaded,
    }
}

async fn load_listed(
    store: &Arc<dyn ObjectStore>,
    listing: &Listing,
    version: Option<u64>,
) -> Result<LogState, LogError> {
    let newest = listing.newest().ok_or(LogError::NoTable)?;
    let target = version.unwrap_or(newest);
    if target > newest {
        return Err(LogError::NoVersion { version: target });
    }
    let mut failed = None;
    for checkpoint in listing.checkpoints.iter().rev().filter(|checkpoint| checkpoint.version <= target) {
        match load_from(store, listing, Some(checkpoint), target).await {
            Err(error @ LogError::Checkpoint { .. }) => {
                tracing::warn!(%error, "a checkpoint is passed over");
                failed = failed.or(Some(error));
            }
            loaded => return loaded,
        }
    }
    match (load_from(store, listing, None, target).await, failed) {
        (Err(LogError::Gap { .. }), Some(failed)) => Err(failed),
        (loaded, _) => loaded,
    }
}

/// Loads a version from a checkpoint, or from the first commit.
async fn load_from(
    store: &Arc<dyn ObjectStore>,
    listing: &Listing,
    checkpoint: Option<&Checkpoint>,
    target: u64,
) -> Result<LogState, LogError> {
    let first = checkpoint.map_or(0, |checkpoint| checkpoint.version + 1);
    let mut listed = Vec::new();
    for version in first..=target {
        let meta = listing.commits.get(&version);
        let meta = meta.ok_or_else(|| LogError::Gap { version, path: commit_path(version) })?;
        listed.push((version, meta.clone()));
    }
    let head = async {
        match checkpoint {
            Some(checkpoint) => checkpoint::head(store, checkpoint).await.map(Some),
            None => Ok(None),
        }
    };
    // The commit of the checkpoint's own version tells this table from another; it may have been cleaned up.
    let own = async {
        match checkpoint.filter(|checkpoint| checkpoint.version == target) {
            Some(_) => stamp(store, target).await,
            None => Ok(None),
        }
    };
    let (head, commits, own) = futures::try_join!(head, commit::read_all(store, listed), own)?;
    let stamp = commits.last().map(|commit| commit.stamp.clone()).or(own);
    let replay = Replay::new(commits.into_iter().rev().map(|commit| commit.actions));
    build(target, head, replay, stamp).await
}

async fn build(
    version: u64,
    head: Option<Head>,
    mut replay: Replay,
    stamp: Option<Stamp>,
) -> Result<LogState, LogError> {
    let invalid = |reason: &str| LogError::Invalid { version, reason: reason.to_owned() };
    let protocol = replay.protocol.take().or_else(|| head.as_ref()?.protocol.clone());
    let metadata = replay.metadata.take().or_else(|| head.as_ref()?.metadata.clone());
    let protocol = protocol.ok_or_else(|| invalid("it has no protocol action"))?;
    let metadata = metadata.ok_or_else(|| invalid("it has no metaData action"))?;
    let columns = metadata.parse_schema().map_err(|error| invalid(&format!("its schema: {error}")))?;
    let schema: Schema = (&columns).try_into_arrow().map_err(|error| invalid(&format!("its schema: {error}")))?;
    let layout = Layout::try_new(&schema, metadata.partition_columns()).map_err(|reason| invalid(&reason))?;
    let layout = Arc::new(layout);
    let mut files = FileSet::new(layout.clone());
    if let Some(head) = &head {
        for chunk in head.chunks(&layout).await? {
            let alive = FileSet::alive(&chunk, &replay.seen);
            files.add(Arc::new(chunk), alive);
        }
    }
    for chunk in chunks(version, &layout, replay.adds).await? {
        files.add(Arc::new(chunk), None);
    }
    let (columns, schema) = (Arc::new(columns), Arc::new(schema));
    let mut transactions = replay.transactions;
    for AppTransaction { app_id, version } in head.into_iter().flat_map(|head| head.transactions) {
        if !is_of_process(&app_id) {
            transactions.entry(app_id).or_insert(version);
        }
    }
    let transactions = Arc::new(transactions);
    Ok(LogState { version, protocol, metadata, columns, schema, files, transactions, stamp })
}

/// The chunks of files that commits add, in their order.
async fn chunks(version: u64, layout: &Arc<Layout>, adds: Vec<Add>) -> Result<Vec<Chunk>, LogError> {
    let mut adds = adds.into_iter();
    let mut work: Vec<BoxFuture<'static, Result<Chunk, String>>> = Vec::new();
    while adds.len() > 0 {
        let (piece, layout): (Vec<Add>, _) = (adds.by_ref().take(CHUNK_FILES).collect(), layout.clone());
        work.push(in_background(move || replay::chunk(&layout, &piece)).boxed());
    }
    let typed = futures::stream::iter(work).buffered(CHUNKS_AT_ONCE).try_collect().await;
    typed.map_err(|reason| LogError::Invalid { version, reason })
}

/// Brings a state to the newest version by reading the commits after it. The version after `state` must be there; when the
/// store shows no other behind it, nothing is listed.
pub(crate) fn advance<'a>(
    store: &'a Arc<dyn ObjectStore>,
    state: &'a LogState,
) -> BoxFuture<'a, Result<LogState, LogError>> {
    read_next(store, state).boxed()
}

async fn read_next(store: &Arc<dyn ObjectStore>, state: &LogState) -> Result<LogState, LogError> {
    let next = state.version + 1;
    let mut commits = vec![commit::read(store.as_ref(), next).await?.ok_or(LogError::Replaced)?];
    let (this, after) = futures::try_join!(stamp(store, state.version), stamp(store, next + 1))?;
    if this != state.stamp {
        return Err(LogError::Replaced);
    }
    if after.is_some() {
        commits.extend(commits_from(store, next + 1).await?);
    }
    match follow(state, commits).await? {
        Some(state) => Ok(state),
        // What is known of the files was typed by the old columns.
        None => load(store, None).await,
    }
}

/// A state with the commits after it, whose first is the version that follows. `None` when they change the columns.
pub(crate) async fn follow(state: &LogState, commits: Vec<Commit>) -> Result<Option<LogState>, LogError> {
    let version = commits.last().map_or(state.version, |commit| commit.version);
    let stamp = commits.last().map_or_else(|| state.stamp.clone(), |commit| Some(commit.stamp.clone()));
    let mut replay = Replay::new(commits.into_iter().rev().map(|commit| commit.actions));
    let metadata = replay.metadata.take().unwrap_or_else(|| state.metadata.clone());
    let same_columns = metadata.schema_string() == state.metadata.schema_string()
        && metadata.partition_columns() == state.metadata.partition_columns();
    if !same_columns {
        return Ok(None);
    }
    let invalid = |reason: String| LogError::Invalid { version, reason };
    let mut files = state.files.without(&replay.seen).map_err(|error| invalid(error.to_string()))?;
    for chunk in chunks(version, state.files.layout(), replay.adds).await? {
        files.push(chunk).map_err(|error| invalid(error.to_string()))?;
    }
    let protocol = replay.protocol.unwrap_or_else(|| state.protocol.clone());
    let mut transactions = state.transactions.clone();
    if !replay.transactions.is_empty() {
        Arc::make_mut(&mut transactions).extend(replay.transactions);
    }
    let (columns, schema) = (state.columns.clone(), state.schema.clone());
    Ok(Some(LogState { version, protocol, metadata, files, transactions, stamp, columns, schema }))
}

/// The state that a log entry would make behind `base`, or as the first of a table, while it is in no log. One that changes
/// the columns must take away all files that were there.
pub(crate) async fn staged(base: Option<&LogState>, bytes: Bytes) -> Result<LogState, LogError> {
    let version = base.map_or(0, |base| base.version + 1);
    let commit = RawCommit::written(version, bytes, Stamp::of_none()).parse().await?;
    let has_columns_of = |base: &LogState| {
        commit.actions.metadata.as_ref().is_none_or(|new| {
            new.schema_string() == base.metadata.schema_string()
                && new.partition_columns() == base.metadata.partition_columns()
        })
    };
    if let Some(base) = base.filter(|base| has_columns_of(base)) {
        let state = follow(base, vec![commit]).await?;
        let state = state.ok_or_else(|| LogError::Invalid { version, reason: "its columns changed".to_owned() })?;
        return Ok(LogState { stamp: None, ..state });
    }
    let mut replay = Replay::new(std::iter::once(commit.actions));
    if let Some(base) = base {
        let invalid = |reason: String| LogError::Invalid { version, reason };
        if base.files.without(&replay.seen).map_err(|error| invalid(error.to_string()))?.len() > 0 {
            return Err(invalid("rows that stay have other columns than those that come".to_owned()));
        }
        replay.protocol = replay.protocol.or_else(|| Some(base.protocol.clone()));
    }
    build(version, None, replay, None).await
}

async fn stamp(store: &Arc<dyn ObjectStore>, version: u64) -> Result<Option<Stamp>, LogError> {
    let read = Stamp::read(store.as_ref(), version).await;
    read.map_err(|source| LogError::Store { path: commit_path(version), source })
}

/// All commits from `version` on, which is there.
pub(crate) async fn commits_from(store: &Arc<dyn ObjectStore>, version: u64) -> Result<Vec<Commit>, LogError> {
    let listing = list(store.as_ref(), version).await?;
    let newest = listing.newest().unwrap_or(version);
    let listed = (version..=newest).map(|version| {
        let meta = listing.commits.get(&version).cloned();
        meta.map(|meta| (version, meta)).ok_or_else(|| LogError::Gap { version, path: commit_path(version) })
    });
    commit::read_all(store, listed.collect::<Result<_, _>>()?).await
}
