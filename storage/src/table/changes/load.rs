//! What the commits of a range say, read once, and the ranges that cannot be read.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray},
    datatypes::Schema,
};
use deltalake::kernel::{Metadata, Protocol, StructType, engine::arrow_conversion::TryIntoArrow};
use object_store::ObjectStore;

use super::{
    kind::{CHANGE_FEED, CHANGE_TYPE, COMMIT_TIMESTAMP, COMMIT_VERSION, ChangeType, keeps_feed},
    readable::unreadable,
};
use crate::{
    Snapshot, StorageError,
    lake::{time_text, times_told_from},
    log::{self, AtTime, ChangedFile, CommitChanges, LogError, Says, Times, physical_name},
    table::{FileIndex, log_error},
};

/// Where a range of versions begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    Version(u64),
    /// The first version that was committed at this time or later, in milliseconds since 1970, UTC: perhaps the next one.
    Time(i64),
}

/// The files of a range. Positions in an index are those in the list beside it.
#[derive(Debug)]
pub(super) struct Loaded {
    /// Files whose rows say themselves what happened to them.
    pub(super) told: FileIndex,
    /// Data files all of whose rows came or went.
    pub(super) whole: FileIndex,
    /// Of each of these the one that is the same file with its other deletion vector, if there is one.
    pub(super) counterparts: Vec<Option<usize>>,
    /// Some of them went.
    pub(super) takes: bool,
}

/// Reads the commits from `since` to the version of `to`.
pub(super) async fn load(
    store: &Arc<dyn ObjectStore>,
    to: &Snapshot,
    since: Since,
    given_end: bool,
    by_files: bool,
) -> Result<Loaded, StorageError> {
    let failed = |error| log_error(to.name(), to.location(), error);
    let times = Times::read(store.as_ref(), times_told_from(to)).await.map_err(failed)?;
    let (last, first) = (to.version(), first_version(store, to, since, &times).await?);
    let (table, backwards) = (to.name().to_owned(), matches!(since, Since::Version(_)) && first > last);
    if backwards && (given_end || first <= times.last) {
        return Err(StorageError::ChangesBackwards { table, from: first, to: last });
    }
    let kept = times.first_commit().unwrap_or(times.last);
    if backwards || matches!(since, Since::Version(_)) && first > times.last {
        return Err(StorageError::VersionOutside { table, version: first, first: kept, last: times.last });
    }
    if first < kept {
        return Err(StorageError::VersionCleanedUp { table, version: first, first: kept, last: times.last });
    }
    // Between two times there may be no commit.
    let commits = if first > last { Vec::new() } else { log::changes(store, first, last).await.map_err(failed)? };
    if !to.is_current_file(store.as_ref()).await.unwrap_or(true) {
        return Err(failed(LogError::Replaced));
    }
    check(store, to, &commits, by_files).await?;
    let time_ms = |commit: &CommitChanges| {
        let told = commit.told_ms.filter(|_| times.is_told(commit.version));
        told.or_else(|| times.of_file(commit.version)).unwrap_or_default()
    };
    indexed(to, &commits, &time_ms).map_err(|reason| {
        let (table, location) = (to.name().to_owned(), to.location().to_string());
        StorageError::ReadTable { table, location, source: reason.into() }
    })
}

async fn first_version(
    store: &Arc<dyn ObjectStore>,
    to: &Snapshot,
    since: Since,
    times: &Times,
) -> Result<u64, StorageError> {
    let time_ms = match since {
        Since::Version(version) => return Ok(version),
        Since::Time(time_ms) => time_ms,
    };
    let found = times.since(store.as_ref(), time_ms).await;
    let found = found.map_err(|error| log_error(to.name(), to.location(), error))?;
    if let Some(newest) = found.after_last(time_ms) {
        return Ok(newest + 1);
    }
    match found {
        AtTime::Version(version) => Ok(version),
        AtTime::Outside { first, last } => Err(StorageError::TimeOutside {
            table: to.name().to_owned(),
            time: time_text(time_ms),
            first: time_text(first.1),
            last: time_text(last.1),
        }),
    }
}

/// What a table was when a commit was made.
struct Definition {
    metadata: Metadata,
    protocol: Protocol,
}

impl Definition {
    fn of(log: log::LogState) -> Self {
        Self { metadata: log.metadata, protocol: log.protocol }
    }

    fn is_fed(&self) -> bool {
        keeps_feed(self.metadata.configuration().get(CHANGE_FEED).map(String::as_str), &self.protocol)
    }
}

/// Whether the feed was kept all the time, unless files alone tell enough, and whether the rows can be read under the columns
/// of `to`.
async fn check(
    store: &Arc<dyn ObjectStore>,
    to: &Snapshot,
    commits: &[CommitChanges],
    by_files: bool,
) -> Result<(), StorageError> {
    let Some(first) = commits.first() else { return Ok(()) };
    let failed = |error| log_error(to.name(), to.location(), error);
    let redefines = |commit: &CommitChanges| commit.metadata.is_some() || commit.protocol.is_some();
    let at = async |version| log::load(store, Some(version)).await.map(Definition::of).map_err(failed);
    let mut definition = match commits.iter().skip(1).any(redefines) {
        true => at(first.version).await?,
        false => Definition { metadata: to.log().metadata.clone(), protocol: to.protocol().clone() },
    };
    // What the first commit takes away it took from a table as it was before.
    let takes = first.files.iter().any(|file| file.says == Says::AllDeleted);
    if first.metadata.is_some()
        && takes
        && let Some(before) = first.version.checked_sub(1)
    {
        check_columns(to, &at(before).await?.metadata, first.version)?;
    }
    let mut off = None;
    for commit in commits {
        let before = definition.metadata.clone();
        definition.metadata = commit.metadata.clone().unwrap_or(definition.metadata);
        definition.protocol = commit.protocol.clone().unwrap_or(definition.protocol);
        match (by_files || definition.is_fed(), off) {
            (false, None) => off = Some(commit.version),
            (true, Some(version)) => {
                return Err(StorageError::NoChanges {
                    table: to.name().to_owned(),
                    version,
                    since: Some(commit.version),
                });
            }
            _ => {}
        }
        if off.is_none() && !commit.files.is_empty() {
            check_columns(to, &definition.metadata, commit.version)?;
            if commit.metadata.is_some() && commit.version > first.version {
                check_columns(to, &before, commit.version)?;
            }
        }
    }
    match off {
        Some(version) => Err(StorageError::NoChanges { table: to.name().to_owned(), version, since: None }),
        None => Ok(()),
    }
}

fn check_columns(to: &Snapshot, old: &Metadata, version: u64) -> Result<(), StorageError> {
    let now = &to.log().metadata;
    if old.schema_string() == now.schema_string() && old.partition_columns() == now.partition_columns() {
        return Ok(());
    }
    let refused = |reason: String| StorageError::ChangesUnreadable {
        table: to.name().to_owned(),
        version,
        to: to.version(),
        reason,
    };
    let columns: StructType = old.parse_schema().map_err(|error| refused(error.to_string()))?;
    let schema: Schema = (&columns).try_into_arrow().map_err(|error| refused(error.to_string()))?;
    if let Some((column, why)) = unreadable(&schema, &to.arrow_schema()) {
        return Err(refused(format!("column \"{column}\" {why}")));
    }
    // Values of partition columns are in the log, all others in the files.
    let stored = |schema: &Schema, names: &[String]| -> Vec<String> {
        let stored =
            |name: &String| schema.field_with_name(name).map_or(name.as_str(), |field| physical_name(field)).to_owned();
        names.iter().map(stored).collect()
    };
    match stored(&schema, old.partition_columns()) == stored(&to.arrow_schema(), now.partition_columns()) {
        true => Ok(()),
        false => Err(refused("the table has other partition columns".to_owned())),
    }
}

/// The files of all commits with the version and the time of each.
fn indexed(
    to: &Snapshot,
    commits: &[CommitChanges],
    time_ms: &dyn Fn(&CommitChanges) -> i64,
) -> Result<Loaded, String> {
    let (mut told, mut whole, mut counterparts): (Vec<Changed>, Vec<Changed>, Vec<_>) = Default::default();
    for commit in commits {
        // A commit has files of one kind or of the other.
        let first = whole.len();
        for file in &commit.files {
            if file.says == Says::ByRow {
                told.push((commit, file));
            } else {
                whole.push((commit, file));
                counterparts.push(file.counterpart.map(|at| first + at));
            }
        }
    }
    let kinds = whole.iter().map(|(_, file)| match file.says {
        Says::AllDeleted => ChangeType::Delete.name(),
        Says::AllInserted | Says::ByRow => ChangeType::Insert.name(),
    });
    let takes = whole.iter().any(|(_, file)| file.says == Says::AllDeleted);
    let kinds: ArrayRef = Arc::new(StringArray::from_iter_values(kinds));
    Ok(Loaded {
        told: index(to, &told, time_ms)?,
        whole: index(to, &whole, time_ms)?.with_constants(vec![(CHANGE_TYPE.to_owned(), kinds)]),
        counterparts,
        takes,
    })
}

type Changed<'a> = (&'a CommitChanges, &'a ChangedFile);

fn index(to: &Snapshot, files: &[Changed<'_>], time_ms: &dyn Fn(&CommitChanges) -> i64) -> Result<FileIndex, String> {
    let typed = log::typed(files.iter().map(|(_, file)| *file), &to.log().files)?;
    let index = FileIndex::of(typed, true).map_err(|error| error.to_string())?;
    let versions = files.iter().map(|(commit, _)| i64::try_from(commit.version).unwrap_or(i64::MAX));
    let times = files.iter().map(|(commit, _)| time_ms(commit).saturating_mul(1_000));
    let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
    Ok(index.with_constants(vec![
        (COMMIT_VERSION.to_owned(), Arc::new(Int64Array::from_iter_values(versions))),
        (COMMIT_TIMESTAMP.to_owned(), Arc::new(times)),
    ]))
}
