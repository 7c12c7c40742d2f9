//! In-commit timestamps: commits that say when they were made.
//!
//! Delta protocol, "In-Commit Timestamps". With `delta.enableInCommitTimestamps` every commit has a time of its own, later
//! than that of the commit before, whatever the clocks of writers say. A table that had commits before it was switched on
//! says from which version on they do.

use deltalake::kernel::Metadata;
use object_store::ObjectStore;
use serde_json::{Map, Value, json};

use crate::{
    Snapshot,
    log::{LogError, Stamp, commit_info, read_commit},
};

pub(crate) const ENABLED: &str = "delta.enableInCommitTimestamps";
pub(crate) const FROM_VERSION: &str = "delta.inCommitTimestampEnablementVersion";
const FROM_TIME: &str = "delta.inCommitTimestampEnablementTimestamp";
/// The field of `commitInfo`.
pub(super) const FIELD: &str = "inCommitTimestamp";

/// Whether the commits of a table with this property say their time.
pub(super) fn is_enabled(property: Option<&String>) -> bool {
    property.is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// The time of a commit that is made at `now_ms` behind one of `before_ms`.
pub(super) fn next(now_ms: i64, before_ms: Option<i64>) -> i64 {
    before_ms.map_or(now_ms, |before| now_ms.max(before.saturating_add(1)))
}

/// The time of a version: what its commit says, or else the time of its file.
pub(super) async fn of_version(store: &dyn ObjectStore, version: u64) -> Result<Option<i64>, LogError> {
    let Some(stamp) = Stamp::read(store, version).await.map_err(|source| store_error(version, source))? else {
        // Cleaned up: then a checkpoint is the newest, which happens to no log that is written.
        return Ok(None);
    };
    let info = commit_info(version, &read_commit(store, version).await?)?;
    let told = info.as_ref().and_then(|info| info.get(FIELD)).and_then(Value::as_i64);
    Ok(Some(told.unwrap_or_else(|| stamp.modified_ms())))
}

fn store_error(version: u64, source: object_store::Error) -> LogError {
    LogError::Store { path: crate::log::commit_path(version), source }
}

/// A definition that is committed as `version` at `time_ms`, with the properties that say since when commits tell their
/// times: those of the version before, or of this one when it switches them on.
pub(super) fn with_beginning(
    metadata: &Metadata,
    before: &Snapshot,
    version: u64,
    time_ms: i64,
) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(metadata)?;
    let Some(properties) = value.get_mut("configuration").and_then(Value::as_object_mut) else { return Ok(value) };
    let text = |properties: &Map<String, Value>| properties.get(ENABLED).and_then(Value::as_str).map(str::to_owned);
    if !is_enabled(text(properties).as_ref()) {
        [FROM_VERSION, FROM_TIME].into_iter().for_each(|key| drop(properties.remove(key)));
        return Ok(value);
    }
    let beginning = match is_enabled(before.properties().get(ENABLED)) {
        true => [FROM_VERSION, FROM_TIME].map(|key| (key, before.properties().get(key).cloned())),
        false => [(FROM_VERSION, Some(version.to_string())), (FROM_TIME, Some(time_ms.to_string()))],
    };
    for (key, text) in beginning {
        match text {
            Some(text) => drop(properties.insert(key.to_owned(), json!(text))),
            None => drop(properties.remove(key)),
        }
    }
    Ok(value)
}

/// Of a table that begins anew: all its commits tell their times.
pub(super) fn without_beginning(metadata: &mut Value) {
    if let Some(properties) = metadata.get_mut("configuration").and_then(Value::as_object_mut) {
        [FROM_VERSION, FROM_TIME].into_iter().for_each(|key| drop(properties.remove(key)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_rise_whatever_the_clock_says() {
        for (now, before, time) in
            [(100, None, 100), (100, Some(50), 100), (100, Some(100), 101), (100, Some(900), 901)]
        {
            assert_eq!(next(now, before), time);
        }
    }
}
