//! When the versions of a table were committed, and which of them can still be read.
//!
//! Delta protocol, "In-Commit Timestamps": from the version that enabled them on, each commit says its time. Commits
//! before have the times of their files, which are made to rise: a version is at least a millisecond younger than the one
//! before.

use bytes::Bytes;
use chrono::Utc;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::Value;

use super::{
    LogError,
    list::{Listing, commit_path, list},
};

/// A version and its time, in milliseconds since 1970, UTC.
pub(crate) type Timed = (u64, i64);

/// What a table was at a time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AtTime {
    Version(u64),
    /// The time is before the first commit or after the last one.
    Outside {
        first: Timed,
        last: Timed,
    },
}

impl AtTime {
    /// The newest version, when the time lies after its commit and has come by the clock: nothing was committed since.
    pub(crate) fn after_last(&self, time_ms: i64) -> Option<u64> {
        match self {
            Self::Outside { last, .. } if last.1 < time_ms && time_ms <= Utc::now().timestamp_millis() => Some(last.0),
            _ => None,
        }
    }
}

/// The commits of a log whose versions can be read.
#[derive(Debug)]
pub(crate) struct Times {
    /// First and last version that can be read.
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// Ascending, without gaps, with the times of their files. The first version can be missing: only a checkpoint tells it.
    commits: Vec<Timed>,
    /// How many of the commits do not say their time.
    silent: usize,
}

impl Times {
    /// Lists a log. Commits from version `told_from` on say their time.
    pub(crate) async fn read(store: &dyn ObjectStore, told_from: Option<u64>) -> Result<Self, LogError> {
        let listing = list(store, 0).await?;
        let last = listing.newest().ok_or(LogError::NoTable)?;
        let first = first_readable(&listing, last);
        let mut commits: Vec<Timed> = Vec::new();
        for (version, meta) in listing.commits.range(first..) {
            let time = meta.last_modified.timestamp_millis();
            let after = commits.last().map_or(i64::MIN, |(_, before)| before.saturating_add(1));
            commits.push((*version, time.max(after)));
        }
        let silent = told_from.map_or(commits.len(), |from| commits.partition_point(|(version, _)| *version < from));
        Ok(Self { first, last, commits, silent })
    }

    /// The newest `limit` versions that have a commit, newest first, with their times and the commits themselves.
    pub(crate) fn newest(&self, limit: usize) -> impl Iterator<Item = Timed> {
        self.commits.iter().rev().take(limit).copied()
    }

    /// The first version whose commit is there.
    pub(crate) fn first_commit(&self) -> Option<u64> {
        self.commits.first().map(|(version, _)| *version)
    }

    /// The time of a commit's file, which counts unless the commit says its own.
    pub(crate) fn of_file(&self, version: u64) -> Option<i64> {
        let at = version.checked_sub(self.first_commit()?)?;
        self.commits.get(usize::try_from(at).ok()?).map(|(_, time)| *time)
    }

    /// Whether a commit says its own time.
    pub(crate) fn is_told(&self, version: u64) -> bool {
        self.commits.get(self.silent).is_some_and(|(first, _)| *first <= version)
    }

    /// The version that was the newest one at `time_ms`.
    pub(crate) async fn at(&self, store: &dyn ObjectStore, time_ms: i64) -> Result<AtTime, LogError> {
        let (Some(first), Some(last)) = (self.commits.first(), self.commits.last()) else {
            return Err(LogError::Gap { version: self.last, path: commit_path(self.last) });
        };
        let first = self.time(store, *first).await?;
        let last = self.time(store, *last).await?;
        if time_ms < first.1 || time_ms > last.1 {
            return Ok(AtTime::Outside { first, last });
        }
        let younger = self.first_where(store, |time| time > time_ms).await?;
        Ok(AtTime::Version(self.commits[younger.saturating_sub(1)].0))
    }

    /// The first version that was committed at `time_ms` or later. It is outside after the last commit, and before the first
    /// one where commits may have been cleaned up.
    pub(crate) async fn since(&self, store: &dyn ObjectStore, time_ms: i64) -> Result<AtTime, LogError> {
        let (Some(first), Some(last)) = (self.commits.first(), self.commits.last()) else {
            return Err(LogError::Gap { version: self.last, path: commit_path(self.last) });
        };
        let first = self.time(store, *first).await?;
        let last = self.time(store, *last).await?;
        if time_ms > last.1 || time_ms < first.1 && first.0 > 0 {
            return Ok(AtTime::Outside { first, last });
        }
        let at = self.first_where(store, |time| time >= time_ms).await?;
        Ok(AtTime::Version(self.commits[at].0))
    }

    /// The position of the first commit whose time is `wanted`; it must be so of all after it.
    async fn first_where(&self, store: &dyn ObjectStore, wanted: impl Fn(i64) -> bool) -> Result<usize, LogError> {
        let (mut low, mut high) = (0, self.commits.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let (_, time) = self.time(store, self.commits[middle]).await?;
            match wanted(time) {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        Ok(low)
    }

    /// The version that was the newest one at `time_ms`, however long ago the last commit was; `None` before the first.
    pub(crate) async fn newest_at(&self, store: &dyn ObjectStore, time_ms: i64) -> Result<Option<u64>, LogError> {
        match self.commits.is_empty() {
            true => Ok(None),
            false => Ok(match self.at(store, time_ms).await? {
                AtTime::Version(version) => Some(version),
                AtTime::Outside { last, .. } => (last.1 < time_ms).then_some(last.0),
            }),
        }
    }

    async fn time(&self, store: &dyn ObjectStore, commit: Timed) -> Result<Timed, LogError> {
        let (version, by_file) = commit;
        if !self.is_told(version) {
            return Ok((version, by_file));
        }
        let info = commit_info(version, &read(store, version).await?)?;
        let told = info.as_ref().and_then(|info| info.get("inCommitTimestamp")).and_then(Value::as_i64);
        let reason = || "its commitInfo has no inCommitTimestamp, which the table promises".to_owned();
        let told = told.ok_or_else(|| LogError::Damaged { version, path: commit_path(version), reason: reason() })?;
        Ok((version, told))
    }
}

/// The first version from which all are there: 0, or the first checkpoint when the commits before it are gone.
fn first_readable(listing: &Listing, last: u64) -> u64 {
    let mut first = last;
    while first > 0 && listing.commits.contains_key(&first) {
        first -= 1;
    }
    if first == 0 && listing.commits.contains_key(&0) {
        return 0;
    }
    // The commit of `first` is gone: only a checkpoint tells what was there.
    let checkpoints = listing.checkpoints.iter().map(|checkpoint| checkpoint.version);
    checkpoints.filter(|version| *version >= first).min().unwrap_or(last)
}

/// The file of a commit.
pub(crate) async fn read(store: &dyn ObjectStore, version: u64) -> Result<Bytes, LogError> {
    let path = commit_path(version);
    let found = match store.get(&path).await {
        Ok(found) => found.bytes().await,
        Err(error) => Err(error),
    };
    found.map_err(|source| LogError::Store { path, source })
}

/// What a commit says of itself; `None` when it says nothing.
pub(crate) fn commit_info(version: u64, commit: &Bytes) -> Result<Option<Value>, LogError> {
    const KEY: &str = "commitInfo";
    for line in commit.split(|byte| *byte == b'\n') {
        // A look at the text first: lines of files are many and long.
        if !line.windows(KEY.len()).take(8).any(|window| window == KEY.as_bytes()) {
            continue;
        }
        let mut line: Value = serde_json::from_slice(line).map_err(|error| {
            let reason = error.to_string();
            LogError::Damaged { version, path: commit_path(version), reason }
        })?;
        if let Some(info) = line.get_mut(KEY) {
            return Ok(Some(info.take()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;

    async fn log(versions: &[(u64, &str)]) -> Arc<dyn ObjectStore> {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        for (version, text) in versions {
            store.put(&commit_path(*version), text.to_string().into()).await.unwrap();
        }
        store
    }

    fn told(time: i64) -> String {
        format!("{{\"commitInfo\":{{\"inCommitTimestamp\":{time}}}}}\n{{\"add\":{{\"path\":\"commitInfo\"}}}}")
    }

    #[tokio::test]
    async fn commits_tell_their_times() {
        let texts: Vec<String> = [100, 200, 300, 400].map(told).into();
        let versions: Vec<(u64, &str)> =
            texts.iter().enumerate().map(|(at, text)| (at as u64, text.as_str())).collect();
        let store = log(&versions).await;
        let times = Times::read(&*store, Some(0)).await.unwrap();
        for (time, version) in [(100, 0), (199, 0), (200, 1), (399, 2), (400, 3)] {
            assert_eq!(times.at(&*store, time).await.unwrap(), AtTime::Version(version), "{time}");
        }
        for time in [99, 401] {
            let outside = AtTime::Outside { first: (0, 100), last: (3, 400) };
            assert_eq!(times.at(&*store, time).await.unwrap(), outside, "{time}");
        }
        for (time, version) in [(1, 0), (100, 0), (101, 1), (200, 1), (400, 3)] {
            assert_eq!(times.since(&*store, time).await.unwrap(), AtTime::Version(version), "{time}");
        }
        let outside = AtTime::Outside { first: (0, 100), last: (3, 400) };
        assert_eq!(times.since(&*store, 401).await.unwrap(), outside);
        for (time, version) in [(99, None), (400, None), (401, Some(3)), (i64::MAX, None)] {
            assert_eq!(outside.after_last(time), version, "{time}");
        }
    }

    #[tokio::test]
    async fn times_of_files_rise() {
        let store = log(&[(0, "{}"), (1, "{}"), (2, "{}")]).await;
        let times = Times::read(&*store, None).await.unwrap();
        let found: Vec<Timed> = times.newest(10).collect();
        assert_eq!(found.iter().map(|(version, _)| *version).collect::<Vec<_>>(), [2, 1, 0]);
        assert!(found.windows(2).all(|pair| pair[0].1 > pair[1].1), "{found:?}");
    }

    #[tokio::test]
    async fn a_log_that_lost_its_start_begins_at_a_checkpoint() {
        let store = log(&[(3, "{}"), (4, "{}")]).await;
        let times = Times::read(&*store, None).await.unwrap();
        assert_eq!((times.first, times.last), (4, 4), "nothing tells version 3");
        store.put(&"_delta_log/00000000000000000002.checkpoint.parquet".into(), "x".into()).await.unwrap();
        let times = Times::read(&*store, None).await.unwrap();
        assert_eq!((times.first, times.last), (2, 4));
    }
}
