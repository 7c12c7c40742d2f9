//! Older versions of a table: by number, by time, and what each of them did.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, SecondsFormat};
use futures::{StreamExt, TryStreamExt};
use serde_json::Value;
use url::Url;

use super::Lake;
use crate::{
    Snapshot, StorageError,
    log::{AtTime, LogError, RawCommit, Times, commit_info, read_commit},
    table::{log_error, table_store},
    write::{TIMES_TOLD, TIMES_TOLD_FROM},
};

/// How many commits are read at once.
const READS_AT_ONCE: usize = 16;

/// Commits without rows behind one that is looked for, at most.
const COMMITS_MAX: usize = 1000;

/// What one commit says of itself. Other writers may leave out anything but version and time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VersionInfo {
    pub version: u64,
    /// Milliseconds since 1970, UTC.
    pub timestamp_ms: i64,
    pub user_id: Option<String>,
    pub user_name: Option<String>,
    pub operation: Option<String>,
    pub parameters: BTreeMap<String, String>,
    /// Counts of rows, files and bytes.
    pub metrics: BTreeMap<String, String>,
    /// The text of the statement, shortened.
    pub statement: Option<String>,
    /// The program that wrote it.
    pub client: Option<String>,
    /// The version that the statement read.
    pub read_version: Option<i64>,
    pub isolation_level: Option<String>,
    /// It read nothing of the table and only added rows.
    pub is_blind_append: Option<bool>,
    pub user_metadata: Option<String>,
}

impl Lake {
    /// The version of `table` that was the newest at a time, in milliseconds since 1970, UTC. `TimeOutside` before the
    /// first commit that is kept, and for a time after the last one that is still to come.
    pub async fn version_at(&self, table: &Snapshot, time_ms: i64) -> Result<u64, StorageError> {
        let store = table_store(&self.stores, table.location())?;
        let failed = |error| log_error(table.name(), table.location(), error);
        let times = Times::read(&*store, times_told_from(table)).await.map_err(failed)?;
        let found = times.at(&*store, time_ms).await.map_err(failed)?;
        if let Some(newest) = found.after_last(time_ms) {
            return Ok(newest);
        }
        match found {
            AtTime::Version(version) => Ok(version),
            AtTime::Outside { first, last } => Err(StorageError::TimeOutside {
                table: table.name().to_owned(),
                time: time_text(time_ms),
                first: time_text(first.1),
                last: time_text(last.1),
            }),
        }
    }

    /// What the newest `limit` versions of a table did, newest first, as far as its log keeps it.
    pub async fn history(&self, table: &Snapshot, limit: usize) -> Result<Vec<VersionInfo>, StorageError> {
        let store = table_store(&self.stores, table.location())?;
        let failed = |error| log_error(table.name(), table.location(), error);
        let times = Times::read(&*store, times_told_from(table)).await.map_err(failed)?;
        let commits: Vec<_> = times.newest(limit).collect();
        let reads = commits.into_iter().map(|(version, time_ms)| {
            let (store, told) = (store.clone(), times.is_told(version));
            async move {
                let info = commit_info(version, &read_commit(&*store, version).await?)?;
                Ok::<_, LogError>(VersionInfo::of(version, time_ms, told, info.unwrap_or_default()))
            }
        });
        futures::stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await.map_err(failed)
    }

    /// Whether rows of a table were changed behind the newest commit that carried out a transaction of a program. Files that
    /// were compacted are no change. Also true when that cannot be told, because the commits are many or not there any more.
    pub async fn is_changed_behind(&self, table: &Snapshot, program: &str) -> Result<bool, StorageError> {
        Ok(self.published(table, program).await?.is_none())
    }

    /// What the newest commit that carried out a transaction of a program said of itself for the history
    /// ([`Publication`](crate::write::Publication)), `Null` when it said nothing; `None` when rows were changed behind it, or
    /// when that cannot be told, because the commits are many or not there any more.
    pub async fn published(&self, table: &Snapshot, program: &str) -> Result<Option<Value>, StorageError> {
        let store = table_store(&self.stores, table.location())?;
        let failed = |error| log_error(table.name(), table.location(), error);
        for version in (0..=table.version()).rev().take(COMMITS_MAX) {
            let Some(raw) = RawCommit::read(&*store, version).await.map_err(failed)? else { break };
            let bytes = raw.bytes.clone();
            let commit = raw.parse().await.map_err(failed)?;
            if commit.has_transaction(program) {
                let info = commit_info(version, &bytes).map_err(failed)?.unwrap_or_default();
                return Ok(Some(info.get("publication").cloned().unwrap_or_default()));
            }
            if commit.adds_rows() || commit.removed().any(|(_, data_change)| data_change) {
                break;
            }
        }
        Ok(None)
    }

    /// One version of the table at a location. What is wrong with a version that cannot be had is said with those that can.
    pub(super) async fn at_version(&self, location: &Url, version: u64) -> Result<Arc<Snapshot>, StorageError> {
        let error = match self.snapshots.version(location, version).await {
            Ok(snapshot) => return Ok(snapshot),
            Err(error) => error,
        };
        let table = match &error {
            StorageError::VersionNotFound { table, .. } => table.clone(),
            StorageError::ReadTable { table, source, .. }
                if matches!(source.downcast_ref(), Some(LogError::Gap { .. })) =>
            {
                table.clone()
            }
            _ => return Err(error),
        };
        let store = table_store(&self.stores, location)?;
        let Ok(Times { first, last, .. }) = Times::read(&*store, None).await else { return Err(error) };
        if version > last {
            return Err(StorageError::VersionOutside { table, version, first, last });
        }
        if version < first {
            return Err(StorageError::VersionCleanedUp { table, version, first, last });
        }
        Err(error)
    }
}

/// The version from which on commits say their times.
pub(crate) fn times_told_from(table: &Snapshot) -> Option<u64> {
    let properties = table.properties();
    let told = properties.get(TIMES_TOLD).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    told.then(|| properties.get(TIMES_TOLD_FROM).and_then(|version| version.parse().ok()).unwrap_or(0))
}

/// `2026-01-31 12:00:00.000 UTC`
pub(crate) fn time_text(time_ms: i64) -> String {
    match DateTime::from_timestamp_millis(time_ms) {
        Some(time) => time.to_rfc3339_opts(SecondsFormat::Millis, true).replace('T', " ").replace('Z', " UTC"),
        None => format!("{time_ms} ms since 1970"),
    }
}

impl VersionInfo {
    /// `by_file_ms` is the time of the commit's file, which counts unless commits say their times.
    fn of(version: u64, by_file_ms: i64, told: bool, info: Value) -> Self {
        let text = |key: &str| info.get(key).filter(|value| !value.is_null()).map(plain);
        let texts = |key: &str| match info.get(key) {
            Some(Value::Object(values)) => values.iter().map(|(key, value)| (key.clone(), plain(value))).collect(),
            _ => BTreeMap::new(),
        };
        let told = info.get("inCommitTimestamp").and_then(Value::as_i64).filter(|_| told);
        Self {
            version,
            timestamp_ms: told.unwrap_or(by_file_ms),
            user_id: text("userId"),
            user_name: text("userName"),
            operation: text("operation"),
            parameters: texts("operationParameters"),
            metrics: texts("operationMetrics"),
            statement: text("statement"),
            client: text("engineInfo").or_else(|| text("clientVersion")),
            read_version: info.get("readVersion").and_then(Value::as_i64),
            isolation_level: text("isolationLevel"),
            is_blind_append: info.get("isBlindAppend").and_then(Value::as_bool),
            user_metadata: text("userMetadata"),
        }
    }
}

/// A text without its quotes, anything else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
