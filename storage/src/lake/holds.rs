//! Holds: who is about to use files of an old version again, and who is about to delete such files.
//!
//! RESTORE and SHALLOW CLONE name files that only old versions need; VACUUM deletes such files. Each writes down a hold in
//! the catalog document of the schema before it looks at the files, and takes it away when it is done. The document's
//! versions give all holds one order:
//! - who deletes sees the holds of those who came before and keeps the files of the versions that they name;
//! - who uses waits until those who came before have ended their deletions, and looks for the files afterwards.
//!
//! So no file goes between the look for it and the commit that names it. A process may end without taking its hold away:
//! who deletes shows by a beat that it lives, and is taken for dead when the beat stops (it ends when it finds its hold
//! gone); a use counts for [`USE_COUNTS_FOR`], and must commit within [`USE_COMMITS_WITHIN`].

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::Utc;
use object_store::path::Path;
use uuid::Uuid;

use super::{
    Lake,
    clones::{file_urls, path_in},
};
use crate::{
    Snapshot, StorageError,
    catalog::{CatalogDocument, Hold, Purpose, backoff},
    lake::is_unreadable,
};

/// How often who deletes shows that it lives.
const BEAT: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 5_000 });
/// Without a beat for so long it counts as dead.
const DEAD_AFTER: Duration = Duration::from_millis(if cfg!(test) { 1_000 } else { 60_000 });
/// How often who waits looks.
const LOOK: Duration = Duration::from_millis(if cfg!(test) { 10 } else { 250 });
/// How often a hold is tried to be taken away.
const RELEASES_MAX: usize = 4;
/// What is older is what a process left that ended.
const USE_COUNTS_FOR: Duration = Duration::from_secs(24 * 3600);
/// Much less than [`USE_COUNTS_FOR`]: clocks of two machines may differ.
const USE_COMMITS_WITHIN: Duration = Duration::from_secs(3600);

/// What files of an old version are used for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Use {
    Restore,
    Clone,
}

/// A hold that was written down. It stays until [`Lake::release`].
#[derive(Debug)]
pub(crate) struct Held {
    table: String,
    token: String,
    since_ms: i64,
    /// Schema -> folders of tables.
    places: BTreeMap<String, BTreeSet<String>>,
}

impl Held {
    /// `Conflict` when so much time has passed that the hold may not count any more.
    pub(crate) fn check_time(&self) -> Result<(), StorageError> {
        let age_ms = Utc::now().timestamp_millis() - self.since_ms;
        if u128::try_from(age_ms).is_ok_and(|age_ms| age_ms < USE_COMMITS_WITHIN.as_millis()) {
            return Ok(());
        }
        let reason = format!("more than {} minutes passed before the commit", USE_COMMITS_WITHIN.as_secs() / 60);
        Err(StorageError::Conflict { table: self.table.clone(), source: reason.into() })
    }
}

impl Lake {
    /// Announces that files of `source` are about to be named by a new commit, and waits until nobody deletes files of the
    /// tables that they lie in, who began before. `TableNotFound` when `source` was dropped before.
    pub(crate) async fn hold_for_use(&self, source: &Snapshot, what: Use) -> Result<Held, StorageError> {
        let mut places: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let Some((schema, folder)) = self.owner(source.location().as_str()) else { return Ok(held(source, places)) };
        for url in file_urls(source)? {
            if let Some((schema, folder)) = self.owner(&url) {
                places.entry(schema).or_default().insert(folder);
            }
        }
        let (held, version) = (held(source, places), source.version());
        let purpose = match what {
            Use::Restore => Purpose::Restore { schema, folder, version },
            Use::Clone => Purpose::Clone { schema, folder, version },
        };
        let hold = Hold { token: held.token.clone(), since_ms: held.since_ms, beat: 0, purpose };
        match self.enter(&held, &hold, source).await {
            Ok(()) => Ok(held),
            Err(error) => {
                self.release(held).await;
                Err(error)
            }
        }
    }

    async fn enter(&self, held: &Held, hold: &Hold, source: &Snapshot) -> Result<(), StorageError> {
        for schema in held.places.keys() {
            let document = self.write_down(held, schema, hold).await?;
            let own = used(hold).filter(|(own, ..)| own == schema);
            let dropped = own.and_then(|(_, folder, _)| document.dropped_tables.get(folder));
            // Its files may go at any time. Who drops it from now on sees the hold.
            if dropped.is_some_and(|ids| ids.iter().any(|id| id == source.id())) {
                return Err(StorageError::TableNotFound { table: source.name().to_owned() });
            }
        }
        for (schema, folders) in &held.places {
            for folder in folders {
                self.wait_for_deletions(schema, folder, &held.token).await?;
            }
        }
        Ok(())
    }

    /// Announces that files of `table` are about to be deleted.
    pub(crate) async fn hold_for_delete(&self, table: &Snapshot) -> Result<Held, StorageError> {
        let places = self.owner(table.location().as_str());
        let held = held(table, places.into_iter().map(|(schema, folder)| (schema, [folder].into())).collect());
        let hold = Hold { token: held.token.clone(), since_ms: held.since_ms, beat: 0, purpose: Purpose::Delete };
        for schema in held.places.keys() {
            self.write_down(&held, schema, &hold).await?;
        }
        Ok(held)
    }

    /// Takes a hold away. One that cannot be taken away now ends by its age, or for want of a beat.
    pub(crate) async fn release(&self, held: Held) {
        for (schema, folders) in &held.places {
            for attempt in 0.. {
                let Err(error) = self.take_away(schema, folders, &[&held.token]).await else { break };
                if attempt + 1 == RELEASES_MAX {
                    tracing::warn!(schema, %error, "a hold on old files could not be taken away");
                    break;
                }
                tokio::time::sleep(backoff(attempt)).await;
            }
        }
    }

    /// Shows again and again that who deletes lives. Returns only with an error, and then nothing more may be deleted.
    pub(crate) async fn beat(&self, held: &Held) -> Result<std::convert::Infallible, StorageError> {
        loop {
            tokio::time::sleep(BEAT).await;
            for (schema, folders) in &held.places {
                let lost = || StorageError::Conflict {
                    table: held.table.clone(),
                    source: "it stood still for so long that another statement took it for dead".into(),
                };
                let beat = self.change_document(schema, |document| {
                    for folder in folders {
                        let mut holds = document.holds.get_mut(folder).into_iter().flatten();
                        holds.find(|hold| hold.token == held.token).ok_or_else(lost)?.beat += 1;
                    }
                    Ok(())
                });
                let late = || StorageError::Conflict {
                    table: held.table.clone(),
                    source: "the lake's catalog did not answer in time".into(),
                };
                tokio::time::timeout(DEAD_AFTER / 2, beat).await.map_err(|_| late())??;
            }
        }
    }

    /// The files in a table's folder that others are about to use; `None` when they cannot be told, and all must stay.
    pub(crate) async fn files_about_to_be_used(&self, table: &Snapshot) -> Result<Option<HashSet<Path>>, StorageError> {
        let mut files = HashSet::new();
        let Some((schema, folder)) = self.owner(table.location().as_str()) else { return Ok(Some(files)) };
        let holds = self.document(&schema).await?.holds.remove(&folder).unwrap_or_default();
        let mut left: Vec<&str> = Vec::new();
        for hold in &holds {
            let Some((schema, folder, version)) = used(hold) else { continue };
            if !counts(hold) {
                left.push(&hold.token);
                continue;
            }
            match self.snapshots.version(&self.table_url(schema, folder), version).await {
                Ok(used) => {
                    for url in file_urls(&used)? {
                        files.extend(path_in(table.location(), &url));
                    }
                }
                Err(error) if is_unreadable(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        if !left.is_empty() {
            self.take_away(&schema, &[folder].into(), &left).await?;
        }
        Ok(Some(files))
    }

    async fn write_down(&self, held: &Held, schema: &str, hold: &Hold) -> Result<Arc<CatalogDocument>, StorageError> {
        let folders = held.places.get(schema).into_iter().flatten();
        let write = self.change_document(schema, |document| {
            for folder in folders.clone() {
                let holds = document.holds.entry(folder.clone()).or_default();
                if !holds.iter().any(|there| there.token == hold.token) {
                    holds.push(hold.clone());
                }
            }
            Ok(())
        });
        write.await
    }

    async fn take_away(&self, schema: &str, folders: &BTreeSet<String>, tokens: &[&str]) -> Result<(), StorageError> {
        let change = self.change_document(schema, |document| {
            for folder in folders {
                if let Some(holds) = document.holds.get_mut(folder) {
                    holds.retain(|hold| !tokens.contains(&hold.token.as_str()));
                }
            }
            document.holds.retain(|_, holds| !holds.is_empty());
            Ok(())
        });
        change.await.map(drop)
    }

    /// Until no deletion stands before the hold `token`. One whose beat has stopped is taken away.
    async fn wait_for_deletions(&self, schema: &str, folder: &str, token: &str) -> Result<(), StorageError> {
        let mut seen: BTreeMap<String, (u64, Instant)> = BTreeMap::new();
        loop {
            let holds = self.document(schema).await?.holds.remove(folder).unwrap_or_default();
            let before = holds.iter().take_while(|hold| hold.token != token);
            let deletions: Vec<_> = before.filter(|hold| hold.purpose == Purpose::Delete).collect();
            if deletions.is_empty() {
                return Ok(());
            }
            let now = Instant::now();
            let mut dead: Vec<&str> = Vec::new();
            for hold in deletions {
                let (beat, since) = seen.entry(hold.token.clone()).or_insert((hold.beat, now));
                if *beat != hold.beat {
                    (*beat, *since) = (hold.beat, now);
                } else if now - *since > DEAD_AFTER {
                    tracing::warn!(schema, folder, "a VACUUM ended in the midst of its deletions");
                    dead.push(&hold.token);
                }
            }
            if !dead.is_empty() {
                self.take_away(schema, &[folder.to_owned()].into(), &dead).await?;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Whether a clone of the table in `folder` is being made, as a document knows.
pub(crate) fn is_being_cloned(document: &CatalogDocument, folder: &str) -> bool {
    let mut holds = document.holds.get(folder).into_iter().flatten();
    holds.any(|hold| matches!(hold.purpose, Purpose::Clone { .. }) && counts(hold))
}

/// Schema, folder and version of the table that is about to be used.
fn used(hold: &Hold) -> Option<(&str, &str, u64)> {
    match &hold.purpose {
        Purpose::Delete => None,
        Purpose::Restore { schema, folder, version } | Purpose::Clone { schema, folder, version } => {
            Some((schema, folder, *version))
        }
    }
}

fn counts(hold: &Hold) -> bool {
    let age_ms = Utc::now().timestamp_millis() - hold.since_ms;
    !u128::try_from(age_ms).is_ok_and(|age_ms| age_ms > USE_COUNTS_FOR.as_millis())
}

fn held(table: &Snapshot, places: BTreeMap<String, BTreeSet<String>>) -> Held {
    let since_ms = Utc::now().timestamp_millis();
    Held { table: table.name().to_owned(), token: Uuid::new_v4().to_string(), since_ms, places }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema};
    use deltalake::kernel::Add;

    use super::*;
    use crate::{
        StorageOptions,
        write::{CommitInfo, NewTable, Operation, Transaction, create},
    };

    async fn lake() -> (Lake, Arc<Snapshot>) {
        let lake = Lake::open("memory://", &StorageOptions::default()).await.unwrap();
        let table = NewTable {
            schema_name: "main".into(),
            name: "t".into(),
            schema: Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)])),
            partition_columns: vec![],
            properties: BTreeMap::new(),
            comment: None,
            replace: false,
        };
        create(&lake, &table, &CommitInfo::default()).await.unwrap();
        let base = lake.table("main", "t").await.unwrap();
        let mut first = Transaction::new(&lake, &base, Operation { name: "WRITE", ..Operation::default() }).unwrap();
        first.add(Add { path: "a.parquet".into(), size: 1, data_change: true, ..Add::default() }).unwrap();
        first.commit(&lake, &CommitInfo::default()).await.unwrap();
        let table = lake.table("main", "t").await.unwrap();
        (lake, table)
    }

    async fn holds(lake: &Lake) -> Vec<Hold> {
        lake.document("main").await.unwrap().holds.into_values().flatten().collect()
    }

    #[tokio::test]
    async fn a_deletion_that_shows_no_life_is_not_waited_for_and_may_not_go_on() {
        let (lake, table) = lake().await;
        let dead = lake.hold_for_delete(&table).await.unwrap();
        let used = lake.hold_for_use(&table, Use::Clone).await.unwrap();
        assert_eq!(holds(&lake).await.len(), 1);
        let stopped = lake.beat(&dead).await;
        assert!(matches!(stopped, Err(StorageError::Conflict { .. })), "{stopped:?}");
        lake.release(used).await;
        lake.release(dead).await;
        assert!(holds(&lake).await.is_empty());
    }

    #[tokio::test]
    async fn a_deletion_that_lives_is_waited_for() {
        let (lake, table) = lake().await;
        let deletes = lake.hold_for_delete(&table).await.unwrap();
        let used = lake.hold_for_use(&table, Use::Clone);
        tokio::select! {
            _ = used => panic!("it did not wait"),
            stopped = lake.beat(&deletes) => panic!("{stopped:?}"),
            () = tokio::time::sleep(3 * DEAD_AFTER) => {}
        }
        assert!(holds(&lake).await.iter().any(|hold| hold.purpose == Purpose::Delete && hold.beat > 5));
    }

    #[tokio::test]
    async fn files_in_use_are_kept_until_the_hold_is_old() {
        let (lake, table) = lake().await;
        let mut used = lake.hold_for_use(&table, Use::Clone).await.unwrap();
        used.check_time().unwrap();
        assert_eq!(lake.files_about_to_be_used(&table).await.unwrap(), Some([Path::from("a.parquet")].into()));
        let old_ms = used.since_ms - 25 * 3_600_000;
        let age = |document: &mut CatalogDocument| {
            document.holds.values_mut().flatten().for_each(|hold| hold.since_ms = old_ms);
            Ok(())
        };
        lake.change_document("main", age).await.unwrap();
        assert_eq!(lake.files_about_to_be_used(&table).await.unwrap(), Some(HashSet::new()));
        assert!(holds(&lake).await.is_empty(), "what a process left is cleaned up");
        used.since_ms = old_ms;
        assert!(matches!(used.check_time(), Err(StorageError::Conflict { .. })));
    }

    #[tokio::test]
    async fn a_version_that_cannot_be_read_keeps_all() {
        let (lake, table) = lake().await;
        let used = lake.hold_for_use(&table, Use::Clone).await.unwrap();
        let beyond = |document: &mut CatalogDocument| {
            for hold in document.holds.values_mut().flatten() {
                let Purpose::Clone { version, .. } = &mut hold.purpose else { continue };
                *version = 77;
            }
            Ok(())
        };
        lake.change_document("main", beyond).await.unwrap();
        assert_eq!(lake.files_about_to_be_used(&table).await.unwrap(), None);
        lake.release(used).await;
    }
}
