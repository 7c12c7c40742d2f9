//! Checkpoints and log clean-up: what a version is, told in one place, and how much of the past is kept.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::Int64Type,
};
use boathouse_storage::{
    Lake, StorageError,
    maintain::{self, Optimize},
    write::{self, Altered, Change, NewTable},
};
use boathouse_tests::store::{Fate, RequestKind};
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use deltalake::DeltaTable;

use crate::{
    on_every_place,
    place::{Place, create_as, info, insert, people, query, rows, session},
};

on_every_place!(the_checkpoint_is_there_when_the_lake_is_idle, a_checkpoint_that_fails_fails_no_statement);

fn table(properties: &[(&str, &str)]) -> NewTable {
    let properties = properties.iter().map(|(key, value)| (key.to_string(), value.to_string()));
    NewTable { properties: properties.collect(), ..people("t") }
}

async fn the_checkpoint_is_there_when_the_lake_is_idle(place: Place) {
    let (lake, log) = place.watched().await;
    write::create(&lake, &table(&[("delta.checkpointInterval", "3")]), &info()).await.unwrap();
    for id in 1..=7 {
        insert(&lake, "t", &format!("SELECT {id} AS id, 'x' AS name")).await.unwrap();
        lake.idle().await;
    }
    let written = log.take().into_iter().filter(|request| request.kind != RequestKind::Head);
    let mut written: Vec<String> = written.filter(|r| r.path.contains(".checkpoint.")).map(|r| r.path).collect();
    written.dedup();
    // The second is made of the first and three commits.
    assert!(written[0].ends_with("3.checkpoint.parquet") && written.last().unwrap().ends_with("6.checkpoint.parquet"));
    // Another process reads it and the one commit behind it.
    let (other, log) = place.watched().await;
    assert_eq!(rows(&other, "t").await.len(), 7);
    let read = log.take().into_iter().filter(|request| request.kind == RequestKind::Get);
    let read: Vec<String> = read.map(|request| request.path).filter(|path| path.contains("_delta_log")).collect();
    assert!(read.iter().any(|path| path.ends_with("6.checkpoint.parquet")), "{read:?}");
    let commits = read.iter().filter(|path| path.ends_with(".json"));
    assert!(commits.clone().all(|path| path.ends_with("7.json")), "{read:?}");
    for version in 0..=7_u64 {
        let old = other.table_version("main", "t", version).await.unwrap();
        assert_eq!(query(&other, &old, "SELECT id FROM t").await.len() as u64, version);
    }
}

async fn a_checkpoint_that_fails_fails_no_statement(place: Place) {
    let (lake, log) = place.watched().await;
    write::create(&lake, &table(&[("delta.checkpointInterval", "2")]), &info()).await.unwrap();
    log.set_rule(|request| {
        let writes = matches!(request.kind, RequestKind::Put | RequestKind::Multipart | RequestKind::Create);
        if writes && request.path.contains(".checkpoint.") { Fate::Refused } else { Fate::Served }
    });
    for id in 1..=2 {
        insert(&lake, "t", &format!("SELECT {id} AS id")).await.unwrap();
        lake.idle().await;
    }
    log.clear_rule();
    assert_eq!(rows(&*place.open().await, "t").await.len(), 2);
    for id in 3..=4 {
        insert(&lake, "t", &format!("SELECT {id} AS id")).await.unwrap();
        lake.idle().await;
    }
    let written = log.take().into_iter().filter(|request| request.kind == RequestKind::Put);
    assert!(written.clone().any(|request| request.path.ends_with("4.checkpoint.parquet")));
    assert_eq!(rows(&*place.open().await, "t").await.len(), 4);
}

fn log_of(place: &Place) -> PathBuf {
    place.folder.as_ref().unwrap().path().join("main/t/_delta_log")
}

/// The names in a folder of the log that match, sorted.
fn names(folder: &Path, matches: impl Fn(&str) -> bool) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned());
    let mut names: Vec<String> = entries.filter(|name| matches(name)).collect();
    names.sort();
    names
}

fn actions(path: &Path) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    reader.build().unwrap().map(Result::unwrap).collect()
}

/// How many rows hold each action.
fn counts(batches: &[RecordBatch], names: &[&str]) -> Vec<usize> {
    let of = |name: &&str| {
        let column = |batch: &RecordBatch| batch.column_by_name(name).map_or(0, |c| c.len() - c.null_count());
        batches.iter().map(column).sum()
    };
    names.iter().map(of).collect()
}

async fn optimize(lake: &Lake) {
    let table = lake.table("main", "t").await.unwrap();
    let state = Arc::new(session(lake).state());
    maintain::optimize(lake, &table, &Optimize::default(), state, &info()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_says_what_the_commits_said() {
    let place = Place::folder();
    let lake = place.open().await;
    let properties = [("delta.checkpointInterval", "4"), ("delta.checkpoint.writeStatsAsStruct", "true")];
    let partitioned = NewTable { partition_columns: vec!["name".into()], ..table(&properties) };
    create_as(&lake, &partitioned, "SELECT 1 AS id, 'a' AS name").await.unwrap();
    let keyed = write::CommitInfo { idempotency_key: Some("key".into()), ..info() };
    let target = lake.table("main", "t").await.unwrap();
    let plan = session(&lake).state().create_logical_plan("SELECT 2 AS id, 'b' AS name").await.unwrap();
    let state = Arc::new(session(&lake).state());
    write::append(&lake, &target, plan, &write::Rules::default(), state, &keyed).await.unwrap();
    insert(&lake, "t", "SELECT 3 AS id, 'a' AS name").await.unwrap();
    optimize(&lake).await;
    insert(&lake, "t", "SELECT 4 AS id, NULL AS name").await.unwrap();
    lake.idle().await;
    let log = log_of(&place);
    let batches = actions(&log.join("00000000000000000004.checkpoint.parquet"));
    // Two files became one; they are remembered for those who have yet to delete them.
    let kinds = ["add", "remove", "txn", "protocol", "metaData", "checkpointMetadata"];
    // The transactions are that of the key, and the last one of this process.
    assert_eq!(counts(&batches, &kinds), [3, 2, 2, 1, 1, 0]);
    let hint: serde_json::Value = serde_json::from_slice(&fs::read(log.join("_last_checkpoint")).unwrap()).unwrap();
    assert_eq!((&hint["version"], &hint["size"], &hint["numOfAddFiles"]), (&4.into(), &9.into(), &3.into()));
    let parsed = batches.iter().find_map(|batch| {
        let adds = batch["add"].as_struct();
        let row = (0..adds.len()).find(|row| adds.is_valid(*row))?;
        Some(adds.slice(row, 1))
    });
    let parsed = parsed.unwrap();
    assert!(parsed["stats"].is_valid(0) && parsed["stats_parsed"].is_valid(0));
    assert!(parsed["partitionValues_parsed"].as_struct().column_by_name("name").is_some());
    // The library finds the same without the commits.
    let before = rows(&lake, "t").await;
    for version in 0..4 {
        fs::remove_file(log.join(format!("{version:020}.json"))).unwrap();
    }
    let other = place.open().await;
    assert_eq!(rows(&other, "t").await, before);
    let mut library = DeltaTable::try_from_url(lake.table_url("main", "t")).await.unwrap();
    library.load().await.unwrap();
    assert_eq!(library.version(), Some(4));
    assert_eq!(library.snapshot().unwrap().snapshot().log_data().num_files(), 3);
    // What was carried out for the key is known by the checkpoint alone; its commit is gone.
    let target = other.table("main", "t").await.unwrap();
    let plan = session(&other).state().create_logical_plan("SELECT 2 AS id, 'b' AS name").await.unwrap();
    let state = Arc::new(session(&other).state());
    let again = write::append(&other, &target, plan, &write::Rules::default(), state, &keyed).await;
    assert!(matches!(again, Err(StorageError::KeyForgotten { .. })), "{again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_forgets_processes_that_ended_a_week_ago_and_no_other_program() {
    const DAY_MS: u64 = 24 * 3600 * 1000;
    let place = Place::folder();
    let lake = place.open().await;
    write::create(&lake, &table(&[("delta.checkpointInterval", "3")]), &info()).await.unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64;
    let programs = [("boathouse-process:8", now - 8 * DAY_MS), ("boathouse-process:6", now - 6 * DAY_MS), ("etl", 1)];
    let said = programs.map(|(program, updated)| {
        format!("{{\"txn\":{{\"appId\":\"{program}\",\"version\":1,\"lastUpdated\":{updated}}}}}")
    });
    let log = log_of(&place);
    fs::write(log.join("00000000000000000001.json"), said.join("\n")).unwrap();
    for id in 2..=3 {
        insert(&lake, "t", &format!("SELECT {id} AS id, 'x' AS name")).await.unwrap();
    }
    lake.idle().await;
    let batches = actions(&log.join("00000000000000000003.checkpoint.parquet"));
    let mut known: Vec<(String, i64)> = batches
        .iter()
        .flat_map(|batch| {
            let said = batch["txn"].as_struct();
            let (ids, versions) = (said["appId"].as_string::<i32>(), said["version"].as_primitive::<Int64Type>());
            let told = (0..said.len()).filter(|row| said.is_valid(*row));
            told.map(|row| (ids.value(row).to_owned(), versions.value(row))).collect::<Vec<_>>()
        })
        .collect();
    known.sort();
    let own = known.iter().position(|(_, version)| *version == 3).expect("this process commits, too");
    assert!(known.remove(own).0.starts_with("boathouse-process:"));
    assert_eq!(known, [("boathouse-process:6".to_owned(), 1), ("etl".to_owned(), 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_asks_for_v2_gets_sidecars() {
    let place = Place::folder();
    let lake = place.open().await;
    let properties = [("delta.checkpointInterval", "2"), ("delta.checkpointPolicy", "v2")];
    write::create(&lake, &table(&properties), &info()).await.unwrap();
    let log = log_of(&place);
    // Without the feature other readers would not look for sidecars.
    for id in 1..=2 {
        insert(&lake, "t", &format!("SELECT {id} AS id")).await.unwrap();
    }
    lake.idle().await;
    assert!(log.join("00000000000000000002.checkpoint.parquet").exists());
    let protocol = r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["v2Checkpoint"],"writerFeatures":["v2Checkpoint"]}}"#;
    fs::write(log.join("00000000000000000003.json"), protocol).unwrap();
    for id in 4..=6 {
        insert(&lake, "t", &format!("SELECT {id} AS id")).await.unwrap();
        lake.idle().await;
    }
    let made = names(&log, |name| name.contains(".checkpoint."));
    assert_eq!(made.len(), 3, "{made:?}");
    assert!(made[1..].iter().all(|name| name.len() > "00000000000000000002.checkpoint.parquet".len()), "{made:?}");
    assert_eq!(names(&log.join("_sidecars"), |_| true).len(), 2);
    let batches = actions(&log.join(&made[2]));
    assert_eq!(counts(&batches, &["add", "sidecar", "checkpointMetadata", "metaData"]), [0, 1, 1, 1]);
    for version in 0..6 {
        fs::remove_file(log.join(format!("{version:020}.json"))).unwrap();
    }
    assert_eq!(rows(&*place.open().await, "t").await.len(), 5);
    let mut library = DeltaTable::try_from_url(lake.table_url("main", "t")).await.unwrap();
    library.load().await.unwrap();
    assert_eq!(library.snapshot().unwrap().snapshot().log_data().num_files(), 5);
}

/// Makes a file of the log so many days old.
fn age(path: &Path, days: u64) {
    let then = SystemTime::now() - Duration::from_secs(days * 24 * 3600);
    File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
}

/// A table of 10 versions with checkpoints of 3, 6 and 9; its first `old` versions are 40 days old.
async fn aged(place: &Place, old: u64, properties: &[(&str, &str)]) -> Vec<String> {
    let lake = place.open().await;
    let interval = [("delta.checkpointInterval", "3")];
    let properties: Vec<_> = interval.iter().chain(properties).copied().collect();
    write::create(&lake, &table(&properties), &info()).await.unwrap();
    let log = log_of(place);
    for id in 1..=9_u64 {
        if id == 9 {
            (0..old).for_each(|version| age(&log.join(format!("{version:020}.json")), 40));
        }
        // The lake of before would take an old commit for another table's.
        let lake = place.open().await;
        insert(&lake, "t", &format!("SELECT {id} AS id")).await.unwrap();
        lake.idle().await;
    }
    names(&log, |name| name.ends_with(".json") || name.contains("checkpoint."))
        .iter()
        .filter_map(|name| name.trim_start_matches('0').strip_suffix(".json").map(str::to_owned))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_commits_go_below_a_checkpoint_that_is_kept() {
    let place = Place::folder();
    // The newest version 30 days ago is 7: the checkpoint of 6 tells it.
    assert_eq!(aged(&place, 8, &[]).await, ["6", "7", "8", "9"]);
    let log = log_of(&place);
    let checkpoints = names(&log, |name| name.ends_with("checkpoint.parquet"));
    assert_eq!(checkpoints, ["00000000000000000006.checkpoint.parquet", "00000000000000000009.checkpoint.parquet"]);
    let lake = place.open().await;
    for version in 6..=9_u64 {
        let old = lake.table_version("main", "t", version).await.unwrap();
        assert_eq!(query(&lake, &old, "SELECT id FROM t").await.len() as u64, version);
    }
    let gone = lake.table_version("main", "t", 5).await;
    assert!(matches!(gone, Err(StorageError::VersionCleanedUp { first: 6, .. })), "{gone:?}");
    // Whoever asks for a time within the retention gets the version of that time.
    let newest = lake.table("main", "t").await.unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
    assert_eq!(lake.version_at(&newest, now - 29 * 24 * 3600 * 1000).await.unwrap(), 7);
    let vacuumed = maintain::vacuum(&lake, "main", "t", &maintain::Vacuum::default()).await.unwrap();
    assert_eq!(vacuumed.files, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_stays_where_a_table_says_so() {
    let all: Vec<String> =
        (0..=9).map(|version| if version == 0 { String::new() } else { version.to_string() }).collect();
    for (old, property) in [
        (0, ("delta.logRetentionDuration", "interval 30 days")),
        // No checkpoint is old enough.
        (3, ("delta.logRetentionDuration", "interval 30 days")),
        (8, ("delta.enableExpiredLogCleanup", "false")),
        (8, ("delta.logRetentionDuration", "interval 50 days")),
        // VACUUM looks back so far.
        (8, ("delta.deletedFileRetentionDuration", "interval 50 days")),
    ] {
        assert_eq!(aged(&Place::folder(), old, &[property]).await, all, "{property:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_up_that_ends_early_leaves_a_log_that_can_be_read() {
    for deletes in 0..8_usize {
        let place = Place::folder();
        let kept = aged(&place, 8, &[("delta.enableExpiredLogCleanup", "false")]).await;
        assert_eq!(kept.len(), 10);
        let (lake, log) = place.watched().await;
        let mut allowed = deletes;
        log.set_rule(move |request| {
            let refused = request.kind == RequestKind::Delete && allowed == 0;
            allowed -= usize::from(request.kind == RequestKind::Delete && allowed > 0);
            if refused { Fate::Refused } else { Fate::Served }
        });
        let set = Change::SetProperty { key: "delta.enableExpiredLogCleanup".into(), value: "true".into() };
        let target = lake.table("main", "t").await.unwrap();
        let altered = Altered::try_new(&target, &[set]).unwrap();
        write::alter(&lake, altered, "SET TBLPROPERTIES", &info()).await.unwrap();
        for id in 11..=12 {
            insert(&lake, "t", &format!("SELECT {id} AS id")).await.unwrap();
            lake.idle().await;
        }
        let other = place.open().await;
        assert_eq!(rows(&other, "t").await.len(), 11, "{deletes}");
        let old = other.table_version("main", "t", 6).await.unwrap();
        assert_eq!(query(&other, &old, "SELECT id FROM t").await.len(), 6, "{deletes}");
    }
}
