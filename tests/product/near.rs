//! Files that are near because somebody asked for it: CACHE TABLE, CACHE SELECT and UNCACHE TABLE.

use std::{path::Path, sync::Arc};

use boathouse_engine::{Engine, EngineConfig, HotOptions, Outcome, WarmOptions, parser};
use boathouse_tests::{TestLake, TestS3, config};
use datafusion::arrow::{
    array::{ArrayRef, AsArray, RecordBatch},
    datatypes::Int64Type,
    util::pretty::pretty_format_batches,
};

const MIB: u64 = 1 << 20;

/// What is kept near by, and where.
struct Near<'a> {
    folder: &'a Path,
    hot_bytes: u64,
    warm_bytes: u64,
}

impl Near<'_> {
    fn config(&self, mut config: EngineConfig) -> EngineConfig {
        let (hot, warm) = (self.folder.join("hot"), self.folder.join("warm"));
        config.storage.hot = Some(HotOptions { folder: hot, bytes_max: self.hot_bytes });
        let (bytes_max, memory_bytes_max) = (self.warm_bytes, 2 * MIB);
        config.storage.warm = Some(WarmOptions { folder: warm, bytes_max, memory_bytes_max });
        // Rows must come from files.
        EngineConfig { result_cache_bytes_max: 0, ..config }
    }
}

/// An engine as in a process of its own.
async fn engine(s3: &TestS3, near: &Near<'_>) -> Arc<Engine> {
    let config = near.config(EngineConfig { storage: s3.options(), ..config() });
    Engine::open(&s3.url("lake"), config).await.unwrap()
}

async fn rows(engine: &Arc<Engine>, script: &str) -> Vec<RecordBatch> {
    let (session, mut last) = (engine.session(), vec![]);
    for sql in parser::split(script) {
        if let Outcome::Rows(rows) = session.execute(sql).await.unwrap_or_else(|error| panic!("{sql}\n{error}")) {
            last = rows.collect().await.unwrap();
        }
    }
    last
}

async fn text(engine: &Arc<Engine>, script: &str) -> String {
    pretty_format_batches(&rows(engine, script).await).unwrap().to_string()
}

/// The rows of CACHE and UNCACHE: the tier and its numbers.
async fn tiers(engine: &Arc<Engine>, sql: &str) -> Vec<(String, Vec<u64>)> {
    let rows = rows(engine, sql).await;
    let of = |rows: &RecordBatch, row: usize| {
        let number = |column: &ArrayRef| Some(column.as_primitive_opt::<Int64Type>()?.value(row) as u64);
        let numbers = rows.columns()[1..].iter().filter_map(number).collect();
        (rows.column(0).as_string::<i32>().value(row).to_owned(), numbers)
    };
    rows.iter().flat_map(|rows| (0..rows.num_rows()).map(|row| of(rows, row)).collect::<Vec<_>>()).collect()
}

/// Bytes that the store was asked for.
fn read(engine: &Engine) -> u64 {
    engine.lake_usage().store.bytes_read
}

/// The log of a small table, and no rows.
const LOG_BYTES: u64 = 96 << 10;
const MAKE: &str = "
    CREATE TABLE t (id BIGINT, text VARCHAR, p BIGINT) PARTITIONED BY (p);
    INSERT INTO t SELECT value, md5(CAST(value AS VARCHAR)), value % 3 FROM generate_series(1, 240000)";
const LOOK: &str = "SELECT p, count(*), sum(id), max(text) FROM t GROUP BY p ORDER BY p";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_in_a_bucket_comes_near_as_a_whole_or_in_part_and_goes_again() {
    let (s3, folder) = (TestS3::start(), tempfile::tempdir().unwrap());
    let near = Near { folder: folder.path(), hot_bytes: 0, warm_bytes: 128 * MIB };
    let first = engine(&s3, &near).await;
    text(&first, MAKE).await;
    text(&first, "UNCACHE TABLE t").await;
    let size: u64 = tiers(&first, "CACHE TABLE t WHERE p = 1").await[0].1[1];
    assert!(size > 2 * MIB, "{size} bytes of a partition");
    let before = read(&first);
    text(&first, "SELECT max(text), sum(id) FROM t WHERE p = 1").await;
    assert!(read(&first) - before < LOG_BYTES, "{} bytes", read(&first) - before);
    // Statistics rule out the others as partitions do.
    assert_eq!(tiers(&first, "CACHE TABLE t WHERE id < 0").await, [("warm".to_owned(), vec![0, 0, 0, 0])]);
    let whole = tiers(&first, "CACHE TABLE t").await;
    let [(tier, numbers)] = &whole[..] else { panic!("{whole:?}") };
    assert_eq!((tier.as_str(), numbers[0], numbers[2], numbers[3]), ("warm", 3, 0, 0));
    assert!(numbers[1] > 2 * size, "{numbers:?}");
    let before = read(&first);
    let expected = text(&first, LOOK).await;
    assert!(read(&first) - before < LOG_BYTES, "{} bytes", read(&first) - before);
    first.idle().await;
    drop(first);
    // It is there after a restart.
    let second = engine(&s3, &near).await;
    assert_eq!(text(&second, LOOK).await, expected);
    assert!(read(&second) < 2 * LOG_BYTES, "{} bytes", read(&second));
    let gone = tiers(&second, "UNCACHE TABLE t").await;
    // The disk gets nothing of it back at once.
    assert_eq!(gone, [("warm".to_owned(), vec![3, numbers[1], numbers[1]])]);
    assert_eq!(tiers(&second, "UNCACHE TABLE t").await, [("warm".to_owned(), vec![0, 0, 0])]);
    assert_eq!(tiers(&second, "UNCACHE TABLE IF EXISTS u").await, []);
    let before = read(&second);
    assert_eq!(text(&second, LOOK).await, expected);
    assert!(read(&second) - before > 3 * size / 2, "{} bytes", read(&second) - before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_brings_what_it_reads_and_no_more_than_fits_comes() {
    let (s3, folder) = (TestS3::start(), tempfile::tempdir().unwrap());
    let near = Near { folder: folder.path(), hot_bytes: 0, warm_bytes: 128 * MIB };
    let first = engine(&s3, &near).await;
    text(&first, MAKE).await;
    text(&first, "UNCACHE TABLE t").await;
    let ids = tiers(&first, "CACHE SELECT sum(id) FROM t WHERE p < 2").await;
    let [(tier, numbers)] = &ids[..] else { panic!("{ids:?}") };
    assert_eq!((tier.as_str(), numbers[0], numbers[2], numbers[3]), ("warm", 2, 0, 0));
    let before = read(&first);
    text(&first, "SELECT sum(id), count(id) FROM t WHERE p < 2").await;
    assert!(read(&first) - before < LOG_BYTES, "{} bytes", read(&first) - before);
    let whole = tiers(&first, "CACHE TABLE t WHERE p < 2").await;
    assert!(numbers[1] < whole[0].1[1], "{ids:?} are part of {whole:?}");
    let error = first.session().execute("CACHE SELECT 1").await.unwrap_err();
    assert!(error.to_string().contains("reads tables of the lake"), "{error}");
    // The folder is the first one's: the second keeps blocks in memory, which is less than the table.
    let second = engine(&s3, &near).await;
    let brought = tiers(&second, "CACHE TABLE t").await;
    let [(_, numbers)] = &brought[..] else { panic!("{brought:?}") };
    assert_eq!(numbers[0] + numbers[2], 3, "{brought:?}");
    assert!(numbers[1] <= 2 * MIB && numbers[2] > 0 && numbers[3] > 2 * MIB, "{brought:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_in_a_folder_gets_copies_at_once_and_keeps_them_until_it_is_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let near = Near { folder: folder.path(), hot_bytes: 256 * MIB, warm_bytes: 128 * MIB };
    let lake = TestLake::folder_with(near.config(config())).await;
    let engine = lake.engine();
    let hot = async |sql: &str| {
        let plan = text(engine, &format!("EXPLAIN ANALYZE {sql}")).await;
        let (_, files) = plan.split_once("files_hot=").expect("files_hot");
        files.split(|next: char| !next.is_ascii_digit()).next().unwrap().parse::<u64>().unwrap()
    };
    text(engine, MAKE).await;
    assert_eq!(tiers(engine, "CACHE TABLE t WHERE p = 0").await[0].1[0], 1);
    assert_eq!(hot(LOOK).await, 1);
    let whole = tiers(engine, "CACHE TABLE t").await;
    let [(tier, numbers)] = &whole[..] else { panic!("{whole:?}") };
    assert_eq!((tier.as_str(), numbers[0], numbers[2]), ("hot", 3, 0));
    assert_eq!(hot(LOOK).await, 3);
    // What is written later gets a copy by itself, and those of files that are gone go.
    let copies = || std::fs::read_dir(folder.path().join("hot")).unwrap().count() - 1;
    for (change, files) in [
        ("INSERT INTO t VALUES (1, 'x', 7)", 4),
        ("UPDATE t SET text = 'y' WHERE p < 2 AND id % 2 = 0", 4),
        ("INSERT INTO t SELECT id, text, p FROM t WHERE p = 7", 5),
        ("OPTIMIZE t", 4),
        ("DELETE FROM t WHERE p = 1", 3),
    ] {
        text(engine, change).await;
        engine.lake().hot_idle().await;
        assert_eq!((copies(), hot(LOOK).await), (files, files as u64), "{change}");
    }
    let gone = tiers(engine, "UNCACHE TABLE t").await;
    assert_eq!((gone[0].0.as_str(), gone[0].1[0], gone[0].1[2]), ("hot", 3, 0));
    assert_eq!(hot(LOOK).await, 0);
    engine.lake().hot_idle().await;
    assert_eq!(hot("SELECT max(id) FROM t WHERE p = 7 AND text = 'x'").await, 0, "it is not pinned any more");
    assert_eq!(tiers(engine, "CACHE SELECT id FROM t WHERE p = 2").await[0].1[0], 1);
    assert_eq!(hot("SELECT sum(id) FROM t WHERE p = 2").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_hot_tier_has_no_room_for_becomes_warm() {
    let (s3, folder) = (TestS3::start(), tempfile::tempdir().unwrap());
    // One copy of three fits.
    let near = Near { folder: folder.path(), hot_bytes: 4 * MIB, warm_bytes: 128 * MIB };
    let engine = engine(&s3, &near).await;
    text(&engine, MAKE).await;
    text(&engine, "UNCACHE TABLE t").await;
    let brought = tiers(&engine, "CACHE TABLE t").await;
    let [(hot, copies), (warm, blocks)] = &brought[..] else { panic!("{brought:?}") };
    assert_eq!((hot.as_str(), copies[0], copies[2]), ("hot", 1, 2), "{brought:?}");
    assert_eq!((warm.as_str(), blocks[0], blocks[2]), ("warm", 2, 0), "{brought:?}");
    let before = read(&engine);
    let plan = text(&engine, &format!("EXPLAIN ANALYZE {LOOK}")).await;
    assert!(plan.contains("files_hot=1"), "{plan}");
    assert!(read(&engine) - before < LOG_BYTES, "{} bytes", read(&engine) - before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_query_after_a_write_reads_nothing_of_it_from_the_bucket() {
    let (s3, folder) = (TestS3::start(), tempfile::tempdir().unwrap());
    let near = Near { folder: folder.path(), hot_bytes: 0, warm_bytes: 128 * MIB };
    let engine = engine(&s3, &near).await;
    let cost = "SELECT requests, bytes_fetched, bytes_warm > 0 AS warm FROM system.queries
                WHERE statement = 'SELECT' AND sql NOT LIKE '%system.queries%' ORDER BY started_at DESC LIMIT 1";
    let nothing = "| 0        | 0             | true |";
    for change in [
        "CREATE TABLE t (id BIGINT, text VARCHAR, p BIGINT) PARTITIONED BY (p)",
        "INSERT INTO t SELECT value, md5(CAST(value AS VARCHAR)), value % 3 FROM generate_series(1, 240000)",
        "INSERT INTO t VALUES (1, 'x', 1)",
        "UPDATE t SET text = 'x' || text WHERE p = 2 AND id % 2 = 0",
        "DELETE FROM t WHERE id % 7 = 0",
        "MERGE INTO t USING (SELECT 5 AS id UNION ALL SELECT 500000) AS s ON t.id = s.id
         WHEN MATCHED THEN UPDATE SET text = 'merged' WHEN NOT MATCHED THEN INSERT (id, p) VALUES (s.id, 1)",
        "CREATE TABLE u AS SELECT * FROM t",
    ] {
        text(&engine, change).await;
        if !change.contains("PARTITIONED") {
            let table = if change.contains("TABLE u") { "u" } else { "t" };
            text(&engine, &LOOK.replace(" t ", &format!(" {table} "))).await;
            let cost = text(&engine, cost).await;
            assert!(cost.contains(nothing), "{change}\n{cost}");
        }
    }
    // What upkeep writes anew is not put there.
    text(&engine, "OPTIMIZE t").await;
    text(&engine, LOOK).await;
    let cost = text(&engine, cost).await;
    assert!(!cost.contains("| 0        | 0 "), "{cost}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_tables_have_near_by_is_told_by_table() {
    let (s3, folder) = (TestS3::start(), tempfile::tempdir().unwrap());
    let near = Near { folder: folder.path(), hot_bytes: 256 * MIB, warm_bytes: 128 * MIB };
    let engine = engine(&s3, &near).await;
    text(&engine, MAKE).await;
    text(&engine, "CREATE TABLE u AS SELECT 1 AS a").await;
    let cache = "SELECT tier, table_name, pinned, entries, bytes > 0 AS bytes, hits > 0 AS hits, misses > 0 AS misses
                 FROM system.cache ORDER BY tier, table_name";
    text(&engine, "SELECT * FROM u").await;
    let told = text(&engine, cache).await;
    assert!(told.contains("| warm | main.u     | false  | 1       | true  | true  | false  |"), "{told}");
    text(&engine, "CACHE TABLE t").await;
    let told = text(&engine, cache).await;
    assert!(told.contains("| hot  | main.t     | true   | 3       | true  | false | false  |"), "{told}");
    text(&engine, LOOK).await;
    let told = text(&engine, cache).await;
    assert!(told.contains("| hot  | main.t     | true   | 3       | true  | true  | false  |"), "{told}");
    text(&engine, "UNCACHE TABLE t").await;
    let told = text(&engine, cache).await;
    assert!(told.contains("| hot  | main.t     | false  | 0       | false | true  | false  |"), "{told}");
    assert!(told.contains("| warm | main.t     | false  | 0       | false |"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_are_dropped_or_made_anew_leave_no_pin_and_no_copy() {
    let folder = tempfile::tempdir().unwrap();
    let near = Near { folder: folder.path(), hot_bytes: 256 * MIB, warm_bytes: 128 * MIB };
    let lake = TestLake::folder_with(near.config(config())).await;
    let engine = lake.engine();
    let copies = || {
        let inside = std::fs::read_dir(folder.path().join("hot")).unwrap().map(|entry| entry.unwrap().path());
        inside.filter(|path| path.extension().is_some_and(|kind| kind == "hot")).count()
    };
    let pins = || std::fs::read_to_string(folder.path().join("hot/pinned")).unwrap().lines().count();
    text(engine, "CREATE SCHEMA s").await;
    for table in ["s.a", "s.b", "c", "d"] {
        text(engine, &format!("CREATE TABLE {table} AS SELECT 1 AS id")).await;
        text(engine, &format!("CACHE TABLE {table}")).await;
    }
    engine.lake().hot_idle().await;
    assert_eq!((copies(), pins()), (4, 4));
    text(engine, "DROP SCHEMA s CASCADE").await;
    assert_eq!((copies(), pins()), (2, 2));
    text(engine, "DROP TABLE c").await;
    assert_eq!((copies(), pins()), (1, 1));
    // It is the same table to who has pinned it.
    text(engine, "CREATE OR REPLACE TABLE d AS SELECT 'x' AS name UNION ALL SELECT 'y'").await;
    engine.lake().hot_idle().await;
    let told =
        text(engine, "SELECT pinned, entries FROM system.cache WHERE table_name = 'main.d' AND entries > 0").await;
    assert!(told.contains("| true   | 1       |"), "{told}");
    assert_eq!((copies(), pins()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_young_has_copies_by_its_policy_alone() {
    let folder = tempfile::tempdir().unwrap();
    let near = Near { folder: folder.path(), hot_bytes: 256 * MIB, warm_bytes: 128 * MIB };
    let lake = TestLake::folder_with(near.config(config())).await;
    let engine = lake.engine();
    let tiers = async || {
        let hot =
            "SELECT table_name, partition_values, files, files_due FROM system.tiers WHERE tier = 'hot' ORDER BY 1, 2";
        engine.lake().hot_idle().await;
        text(engine, &hot.replace("partition_values", "right(partition_values, 5) AS day")).await
    };
    text(engine, "CREATE TABLE t (id BIGINT, day DATE) PARTITIONED BY (day)").await;
    // Of its files statistics tell.
    text(engine, "CREATE TABLE u (id BIGINT, at TIMESTAMP)").await;
    for days in [1, 40] {
        let day = format!("CAST(current_date() - INTERVAL '{days} days' AS DATE)");
        text(engine, &format!("INSERT INTO t VALUES (1, {day})")).await;
        text(engine, &format!("INSERT INTO u VALUES (1, CAST(now() AS TIMESTAMP) - INTERVAL '{days} days')")).await;
    }
    assert!(!tiers().await.contains("main."));
    text(engine, "ALTER TABLE t SET TIER (hot = '30 days', on = day)").await;
    text(engine, "ALTER TABLE u SET TIER (cold_after = '90 days', hot = '30 days', on = at)").await;
    let told = tiers().await;
    assert_eq!((told.matches("main.t").count(), told.matches("main.u").count()), (1, 1), "{told}");
    assert_eq!(told.matches("| 1     | 0         |").count(), 2, "{told}");
    // What is written is looked at as well.
    let past = "CAST(current_date() - INTERVAL '90 days' AS DATE)";
    text(engine, &format!("INSERT INTO t VALUES (2, current_date()), (3, {past}), (4, NULL)")).await;
    assert_eq!(tiers().await.matches("main.t").count(), 2, "{}", tiers().await);
    let plan = text(engine, "EXPLAIN ANALYZE SELECT count(id + 1) FROM t WHERE id > 0").await;
    assert!(plan.contains("files_hot=2"), "{plan}");
    text(engine, "ALTER TABLE t SET TIER (hot = '1 second', on = day)").await;
    assert_eq!(tiers().await.matches("main.t").count(), 1, "{}", tiers().await);
    // All of it, and then by its policy again.
    text(engine, "CACHE TABLE t").await;
    assert_eq!(tiers().await.matches("main.t").count(), 5, "{}", tiers().await);
    text(engine, "UNCACHE TABLE t").await;
    text(engine, &format!("INSERT INTO t VALUES (5, {past})")).await;
    assert_eq!(tiers().await.matches("main.t").count(), 1, "{}", tiers().await);
    text(engine, "ALTER TABLE t UNSET TIER").await;
    assert_eq!(tiers().await.matches("main.t").count(), 0, "{}", tiers().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_with_caches_of_their_own_answer_as_one_without() {
    let seed = std::env::var("BOATHOUSE_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1_u64);
    println!("seed {seed}");
    let (s3, folders) = (TestS3::start(), [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]);
    let near = |at: usize| Near { folder: folders[at].path(), hot_bytes: 64 * MIB, warm_bytes: 128 * MIB };
    let both = [engine(&s3, &near(0)).await, engine(&s3, &near(1)).await];
    let config = EngineConfig { storage: s3.options(), result_cache_bytes_max: 0, ..config() };
    let plain = Engine::open(&s3.url("lake"), config).await.unwrap();
    text(&plain, "CREATE TABLE t (id BIGINT, text VARCHAR, p BIGINT) PARTITIONED BY (p)").await;
    let mut state = seed;
    let mut below = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    for step in 0..24_u64 {
        let who = below(2) as usize;
        let (p, part) = (below(3), below(9));
        let sql = match below(8) {
            0 | 1 => format!(
                "INSERT INTO t SELECT value + {step} * 1000, md5(CAST(value AS VARCHAR)), {p} FROM generate_series(1, 800)"
            ),
            2 => format!("DELETE FROM t WHERE id % 9 = {part}"),
            3 => format!("UPDATE t SET text = text || 'x' WHERE p = {p} AND id % 9 = {part}"),
            4 => "OPTIMIZE t".to_owned(),
            5 => format!("CACHE TABLE t WHERE p = {p}"),
            6 => "CACHE TABLE t".to_owned(),
            _ => "UNCACHE TABLE t".to_owned(),
        };
        text(&both[who], &sql).await;
        let expected = text(&plain, LOOK).await;
        for (at, engine) in both.iter().enumerate() {
            assert_eq!(text(engine, LOOK).await, expected, "server {at} after step {step} by {who}: {sql}");
        }
    }
}
