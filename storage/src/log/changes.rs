//! What commits say to readers of a change feed.
//!
//! Delta protocol, "Reader Requirements for AddCDCFile": where a commit has change files, they alone tell what it changed;
//! where it has none, the rows of the files that it adds and removes do. A file that is removed and added again with
//! another deletion vector lost, or got back, the rows in which the two vectors differ.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use deltalake::kernel::{Metadata, Protocol};
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture};
use object_store::ObjectStore;
use serde::Deserialize;
use serde_json::Value;

use super::{
    FileSet, LogError,
    action::{self, Add, DeletionVector},
    commit::{RawCommit, in_background},
    file_set::key,
    list::commit_path,
    raw::raw_adds,
    replay,
};

/// How many commits are read at once.
const READS_AT_ONCE: usize = 32;

/// How the rows of a file say what happened to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    /// Each by a column of its own.
    ByRow,
    AllInserted,
    AllDeleted,
}

/// A file with rows that a commit changed.
#[derive(Debug)]
pub(crate) struct ChangedFile {
    pub(crate) says: Says,
    file: Add,
    /// Where among the files of the commit the same file is with its other deletion vector: only rows that are not seen
    /// there were changed.
    pub(crate) counterpart: Option<usize>,
}

/// What one commit says.
#[derive(Debug)]
pub(crate) struct CommitChanges {
    pub(crate) version: u64,
    /// In milliseconds since 1970, if the commit says it.
    pub(crate) told_ms: Option<i64>,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) files: Vec<ChangedFile>,
}

/// The commits of some versions, in their order. `Gap` names the first that is not there.
pub(crate) async fn changes(
    store: &Arc<dyn ObjectStore>,
    first: u64,
    last: u64,
) -> Result<Vec<CommitChanges>, LogError> {
    let reads: Vec<BoxFuture<'static, Result<CommitChanges, LogError>>> =
        (first..=last).map(|version| of_commit(store.clone(), version).boxed()).collect();
    futures::stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await
}

/// The files of several commits, typed as those of `like` are. The text of an error tells what is wrong.
pub(crate) fn typed<'a>(files: impl Iterator<Item = &'a ChangedFile>, like: &FileSet) -> Result<FileSet, String> {
    let adds: Vec<Add> = files.map(|changed| changed.file.clone()).collect();
    let chunk = replay::chunk(like.layout(), &adds)?;
    let mut typed = FileSet::new(like.layout().clone());
    typed.add(Arc::new(chunk), None);
    Ok(typed)
}

async fn of_commit(store: Arc<dyn ObjectStore>, version: u64) -> Result<CommitChanges, LogError> {
    let path = commit_path(version);
    let raw = RawCommit::read(store.as_ref(), version).await?;
    let Some(RawCommit { bytes, .. }) = raw else { return Err(LogError::Gap { version, path }) };
    let damaged = |reason| LogError::Damaged { version, path: path.clone(), reason };
    let mut said = in_background(move || parse(&bytes)).await.map_err(damaged)?;
    said.complete(&store, version).await?;
    let Said { adds, removes, told, metadata, protocol, told_ms } = said;
    let files = if told.is_empty() { by_files(adds, removes) } else { told.into_iter().map(by_row).collect() };
    Ok(CommitChanges { version, told_ms, metadata, protocol, files })
}

fn by_row(file: Add) -> ChangedFile {
    ChangedFile { says: Says::ByRow, file, counterpart: None }
}

/// What files that come and go say. A file that only gets another deletion vector counts for the difference.
fn by_files(adds: Vec<Add>, removes: Vec<Add>) -> Vec<ChangedFile> {
    let mut files: Vec<ChangedFile> = Vec::with_capacity(adds.len() + removes.len());
    files.extend(removes.into_iter().map(|file| ChangedFile { says: Says::AllDeleted, file, counterpart: None }));
    let gone: HashMap<String, usize> =
        files.iter().enumerate().map(|(at, changed)| (changed.file.path.clone(), at)).collect();
    for file in adds {
        let (at, counterpart) = (files.len(), gone.get(&file.path).copied());
        if let Some(removed) = counterpart.and_then(|removed| files.get_mut(removed)) {
            removed.counterpart = Some(at);
        }
        files.push(ChangedFile { says: Says::AllInserted, file, counterpart });
    }
    files
}

/// The actions of one commit that tell of changed rows.
#[derive(Debug, Default)]
struct Said {
    adds: Vec<Add>,
    removes: Vec<Add>,
    told: Vec<Add>,
    metadata: Option<Metadata>,
    protocol: Option<Protocol>,
    told_ms: Option<i64>,
}

impl Said {
    /// Of files that are removed a writer may say no more than their paths: then the log before says the rest.
    async fn complete(&mut self, store: &Arc<dyn ObjectStore>, version: u64) -> Result<(), LogError> {
        let identity = |file: &Add| key(&file.path, file.deletion_vector.as_ref().map(DeletionVector::id));
        let bare = |file: &&mut Add| file.size < 0;
        if !self.told.is_empty() || self.removes.iter().all(|file| file.size >= 0) {
            return Ok(());
        }
        let wanted: HashSet<String> = self.removes.iter_mut().filter(bare).map(|file| identity(file)).collect();
        let before = version.checked_sub(1).ok_or_else(|| LogError::Damaged {
            version,
            path: commit_path(version),
            reason: "the first commit removes files".to_owned(),
        })?;
        let mut found = raw_adds(store, before, &wanted).await?;
        for file in self.removes.iter_mut().filter(bare) {
            if let Some(said) = found.remove(&identity(file)) {
                let damaged = |error: serde_json::Error| LogError::Damaged {
                    version,
                    path: commit_path(version),
                    reason: format!("the file \"{}\" that it removes: {error}", file.path),
                };
                *file = serde_json::from_value(said).map_err(damaged)?;
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Line {
    add: Option<Add>,
    remove: Option<Gone>,
    cdc: Option<Add>,
    protocol: Option<Value>,
    #[serde(rename = "metaData")]
    metadata: Option<Value>,
    #[serde(rename = "commitInfo")]
    info: Option<Info>,
}

/// A file that is removed, with what a reader of its rows needs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Gone {
    path: String,
    #[serde(default = "yes")]
    data_change: bool,
    partition_values: Option<Value>,
    size: Option<i64>,
    deletion_vector: Option<Value>,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    #[serde(default)]
    in_commit_timestamp: Value,
}

fn parse(bytes: &Bytes) -> Result<Said, String> {
    let mut said = Said::default();
    for line in serde_json::Deserializer::from_slice(bytes).into_iter::<Line>() {
        let line = line.map_err(|error| error.to_string())?;
        said.adds.extend(line.add.filter(|add| add.data_change));
        if let Some(gone) = line.remove.filter(|gone| gone.data_change) {
            said.removes.push(removed(gone)?);
        }
        said.told.extend(line.cdc);
        if let Some(value) = line.protocol {
            said.protocol = Some(action::protocol(value)?);
        }
        if let Some(value) = line.metadata {
            said.metadata = Some(action::metadata(value)?);
        }
        if let Some(Info { in_commit_timestamp }) = line.info {
            said.told_ms = in_commit_timestamp.as_i64();
        }
    }
    Ok(said)
}

/// In the words of an add; of a size below zero when the log before must be asked.
fn removed(gone: Gone) -> Result<Add, String> {
    let Gone { path, partition_values, size, deletion_vector, .. } = gone;
    let known = partition_values.as_ref().is_some_and(Value::is_object);
    let add = serde_json::json!({
        "path": path,
        "partitionValues": partition_values.filter(|_| known).unwrap_or_else(|| serde_json::json!({})),
        "size": size.filter(|_| known).unwrap_or(-1),
        "deletionVector": deletion_vector,
    });
    serde_json::from_value(add).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use object_store::{ObjectStoreExt, memory::InMemory};

    use super::*;

    async fn read(commits: &[&str]) -> Vec<CommitChanges> {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        for (version, text) in commits.iter().enumerate() {
            store.put(&commit_path(version as u64), text.to_string().into()).await.unwrap();
        }
        changes(&store, 0, commits.len() as u64 - 1).await.unwrap()
    }

    fn said(commit: &CommitChanges) -> Vec<(Says, &str, i64, Option<usize>)> {
        let files = commit.files.iter();
        files.map(|f| (f.says, f.file.path.as_str(), f.file.size, f.counterpart)).collect()
    }

    const ADD: &str = r#"{"add":{"path":"a","partitionValues":{"p":"1"},"size":7,"dataChange":true}}"#;

    #[tokio::test]
    async fn change_files_tell_all_where_there_are_some() {
        let told = r#"{"cdc":{"path":"_change_data/c","partitionValues":{},"size":3,"dataChange":false}}"#;
        let read = read(&[ADD, &format!("{ADD}\n{told}\n{{\"commitInfo\":{{\"inCommitTimestamp\":5}}}}")]).await;
        assert_eq!(said(&read[0]), [(Says::AllInserted, "a", 7, None)]);
        assert_eq!(said(&read[1]), [(Says::ByRow, "_change_data/c", 3, None)]);
        assert_eq!((read[0].told_ms, read[1].told_ms), (None, Some(5)));
    }

    #[tokio::test]
    async fn a_file_with_another_vector_counts_for_the_difference_and_moved_rows_for_nothing() {
        let vector = r#""deletionVector":{"storageType":"i","pathOrInlineDv":"x","sizeInBytes":1,"cardinality":1}"#;
        let hides = format!(
            r#"{{"remove":{{"path":"a","partitionValues":{{"p":"1"}},"size":7}}}}
               {{"add":{{"path":"a","partitionValues":{{"p":"1"}},"size":7,{vector}}}}}"#
        );
        let moves = r#"{"remove":{"path":"a","dataChange":false}}{"add":{"path":"b","size":1,"dataChange":false}}"#;
        let read = read(&[ADD, &hides, moves]).await;
        assert_eq!(said(&read[1]), [(Says::AllDeleted, "a", 7, Some(1)), (Says::AllInserted, "a", 7, Some(0))]);
        assert_eq!(said(&read[2]), []);
    }

    #[tokio::test]
    async fn what_a_removed_file_was_is_found_in_the_log_before() {
        let read = read(&[ADD, r#"{"remove":{"path":"a","deletionTimestamp":1,"dataChange":true}}"#]).await;
        assert_eq!(said(&read[1]), [(Says::AllDeleted, "a", 7, None)]);
        assert_eq!(read[1].files[0].file.partition_values["p"].as_deref(), Some("1"));
    }
}
