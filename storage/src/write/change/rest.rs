//! What is left of the files that a statement touched, in new files.

use std::{collections::BTreeMap, sync::Arc};

use datafusion::{catalog::Session, common::runtime::SpawnedTask};
use deltalake::kernel::Add;
use futures::{FutureExt, StreamExt, future::BoxFuture};
use object_store::ObjectStore;
use roaring::RoaringBitmap;
use tokio::task::JoinError;

use super::exec::is_counted;
use crate::{
    Lake, Snapshot, StorageError,
    write::{
        CommitInfo,
        discard::Discard,
        near_store::near_store,
        recorder::Recorder,
        rewrite::{FileChange, Patches, Rewritten, rewrite, write_decoded},
    },
};

/// More small files than this become few: a file of its own costs more than to decode and encode so little.
const SMALL_FILES_MAX: usize = 16;
/// The same for who publishes, and writes the same table again and again: what each time adds would make the next ones slow.
const SMALL_FILES_PUBLISHED_MAX: usize = 2;
const SMALL_BYTES: u64 = 1 << 20;
/// Files that are decoded together, by their size: it bounds what is held of their changed values.
const DECODED_BYTES_MAX: u64 = 128 << 20;

/// One touched file, and what took its place if that could be done.
type Done = (FileChange, Option<Rewritten>);

/// The new files.
#[derive(Debug, Default)]
pub(super) struct Rest {
    pub(super) rewritten: Vec<Rewritten>,
    pub(super) written: Vec<Add>,
}

/// The touched files of which rows are left, as far as the log knows. `changed` has all rows that are changed in any way.
/// With `hides` rows that go stay where they are, so that only files remain of which the log does not say how many rows
/// they have.
pub(super) fn left(
    target: &Snapshot,
    changed: &BTreeMap<usize, RoaringBitmap>,
    patches: Option<&Arc<Patches>>,
    hides: bool,
) -> Result<Vec<FileChange>, StorageError> {
    let index = target.files()?;
    let mut left = Vec::new();
    for (file, rows) in changed {
        let stays = patches.map(|patches| patches.rows(*file)).unwrap_or_default();
        let gone = rows - &stays;
        if index.visible_rows(*file) == Some(gone.len()) || hides && is_counted(index, *file) {
            continue;
        }
        let patches = patches.filter(|_| !stays.is_empty()).cloned();
        left.push(FileChange { file: *file, gone, patches });
    }
    Ok(left)
}

/// Writes them, several at once. When it fails or is dropped, the files written so far are deleted.
pub(super) async fn write_rest(
    lake: &Lake,
    target: &Arc<Snapshot>,
    changes: Vec<FileChange>,
    session: &Arc<dyn Session>,
    info: &CommitInfo,
) -> Result<Rest, StorageError> {
    if changes.is_empty() {
        return Ok(Rest::default());
    }
    let store = near_store(lake.store_registry(), target)?;
    let discard = Discard::new(store.clone());
    let recorder: Arc<dyn ObjectStore> = Arc::new(Recorder { inner: store, begun: discard.list() });
    let index = target.files()?;
    let is_small = |change: &FileChange| index.size(change.file) < SMALL_BYTES;
    let most = if info.publication.is_some() { SMALL_FILES_PUBLISHED_MAX } else { SMALL_FILES_MAX };
    let few = changes.iter().filter(|change| is_small(change)).count() <= most;
    let (changes, mut others): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| few || !is_small(change));
    let threads = session.config().target_partitions().max(1);
    let at_once = threads.min(changes.len()).max(1);
    // Boxed and owned: the types of the futures stay simple for the callers.
    let work = changes.into_iter().map(|change| {
        let (target, session, recorder) = (target.clone(), session.clone(), recorder.clone());
        let work = async move {
            let rewritten = rewrite(&target, change.clone(), recorder, session.as_ref(), threads / at_once).await?;
            Ok((change, rewritten))
        };
        // Begun when it is its turn.
        async { SpawnedTask::spawn(work.boxed()).join_unwind().await }.boxed()
    });
    let work: Vec<BoxFuture<'static, Result<Result<Done, StorageError>, JoinError>>> = work.collect();
    let mut work = futures::stream::iter(work).buffer_unordered(at_once);
    let (mut rest, mut failed) = (Rest::default(), None);
    while let Some(done) = work.next().await {
        match done {
            Ok(Ok((_, Some(rewritten)))) => rest.rewritten.push(rewritten),
            Ok(Ok((change, None))) => others.push(change),
            Ok(Err(error)) => failed = Some(error),
            Err(error) => failed = Some(StorageError::Internal { message: format!("a file was not written: {error}") }),
        }
        if failed.is_some() {
            break;
        }
    }
    drop(work);
    let sizes = |change: &FileChange| index.size(change.file);
    for others in bounded(others, sizes) {
        if failed.is_none() {
            match write_decoded(target, others, &recorder, session.as_ref()).await {
                Ok(written) => rest.written.extend(written),
                Err(error) => failed = Some(error),
            }
        }
    }
    let Some(error) = failed else {
        discard.keep();
        return Ok(rest);
    };
    discard.delete().await;
    Err(error)
}

/// Files in groups of [`DECODED_BYTES_MAX`] at most, or of one file.
fn bounded(changes: Vec<FileChange>, size: impl Fn(&FileChange) -> u64) -> Vec<Vec<FileChange>> {
    let mut groups: Vec<(u64, Vec<FileChange>)> = Vec::new();
    for change in changes {
        let bytes = size(&change);
        match groups.last_mut().filter(|(filled, _)| *filled + bytes <= DECODED_BYTES_MAX) {
            Some((filled, group)) => {
                *filled += bytes;
                group.push(change);
            }
            None => groups.push((bytes, vec![change])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}
