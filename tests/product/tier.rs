//! A table that is half cold does what one does that is not.

use std::sync::Arc;

use boathouse_engine::{Engine, EngineConfig, tier::TierRun};
use boathouse_storage::{Lake, StorageOptions};
use boathouse_tests::{
    TestLake, TestS3, config,
    store::{Fate, RequestKind, RequestLog},
};

/// `t` has a policy, `twin` has none.
const TABLES: [&str; 2] = ["t", "twin"];
/// 2024-04-01, in milliseconds since 1970.
const NOW_MS: i64 = 1_711_929_600_000;

const CHANGES: [&str; 11] = [
    "INSERT INTO {t} VALUES (1000, DATE '2020-01-01', 'late'), (1001, NULL, 'never')",
    "DELETE FROM {t} WHERE id % 7 = 0",
    "UPDATE {t} SET name = 'changed' WHERE id % 11 = 0",
    "UPDATE {t} SET day = DATE '2024-03-31' WHERE id % 13 = 0",
    "MERGE INTO {t} AS t USING (VALUES (2, 'merged'), (2000, 'merged')) AS s (id, name) ON t.id = s.id
        WHEN MATCHED THEN UPDATE SET name = s.name WHEN NOT MATCHED THEN INSERT (id, day, name) VALUES (s.id, DATE '2020-01-02', s.name)",
    "OPTIMIZE {t}",
    "DELETE FROM {t} WHERE day = DATE '2020-01-02'",
    "OPTIMIZE {t} ZORDER BY (name)",
    "INSERT INTO {t} REPLACE WHERE day = DATE '2020-01-01' VALUES (3000, DATE '2020-01-01', 'instead')",
    "RESTORE TABLE {t} TO VERSION AS OF 3",
    "VACUUM {t} RETAIN 0 HOURS",
];

struct Twins {
    lake: TestLake,
}

impl Twins {
    /// Old days, a new one, and a policy for one of the tables. `more`: columns, partitions, properties.
    async fn new(more: &str) -> Self {
        let lake = TestLake::folder().await;
        for table in TABLES {
            lake.run(&format!("CREATE TABLE {table} (id BIGINT, day DATE, name VARCHAR) {more}")).await;
            for days in ["DATE '2020-01-01' + CAST(value % 3 AS INT)", "DATE '2024-03-31'"] {
                let rows = format!("SELECT value, {days}, concat('n', value) FROM generate_series(1, 90)");
                lake.run(&format!("INSERT INTO {table} {rows}")).await;
            }
        }
        lake.run("ALTER TABLE t SET TIER (cold_after = '90 days', on = day)").await;
        lake.run("ALTER TABLE twin SET TBLPROPERTIES ('no' = 'policy')").await;
        Self { lake }
    }

    async fn cool(&self) {
        let mut failed = Vec::new();
        let run = TierRun { table: None, now_ms: NOW_MS };
        self.lake.engine().cool(run, &mut |cooled| failed.extend(cooled.moved.err())).await.unwrap();
        assert!(failed.is_empty(), "{failed:?}");
    }

    /// Files of `t`: cold, and old ones that are warm.
    async fn files(&self) -> (u64, u64) {
        let tiers = self.lake.engine().tiers(Some("t"), NOW_MS).await.unwrap();
        let sum = |of: fn(&boathouse_engine::tier::PartitionTiers) -> u64| tiers[0].partitions.iter().map(of).sum();
        (sum(|tiers| tiers.cold.files), sum(|tiers| tiers.old.files))
    }

    async fn assert_same(&self, after: &str) {
        let rows = |table: &str| format!("SELECT * FROM {table} ORDER BY id, day, name");
        let [tiered, plain] = TABLES.map(rows);
        assert_eq!(self.lake.text(&tiered).await, self.lake.text(&plain).await, "{after}");
    }
}

async fn goes_on_like_its_twin(more: &str) {
    let twins = Twins::new(more).await;
    let lake = &twins.lake;
    twins.cool().await;
    twins.assert_same("the move").await;
    let (cold, old) = twins.files().await;
    assert!(cold > 0 && old == 0, "{cold} cold, {old} old");
    for change in CHANGES {
        for table in TABLES {
            let session = lake.engine().session();
            session.execute("SET vacuum_retention_check = false").await.unwrap();
            session.execute(&change.replace("{t}", table)).await.unwrap_or_else(|error| panic!("{change}\n{error}"));
        }
        twins.assert_same(change).await;
        twins.cool().await;
        assert_eq!(twins.files().await.1, 0, "{change}");
        twins.assert_same(&format!("the move behind {change}")).await;
    }
    assert!(twins.files().await.0 > 0, "what was restored is cold again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_do_the_same_on_a_half_cold_table() {
    goes_on_like_its_twin("PARTITIONED BY (day)").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_do_the_same_on_a_half_cold_table_with_vectors_mapped_columns_and_a_feed() {
    goes_on_like_its_twin(
        "PARTITIONED BY (day) TBLPROPERTIES ('delta.enableDeletionVectors' = 'true',
            'delta.columnMapping.mode' = 'name', 'delta.enableChangeDataFeed' = 'true')",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_do_the_same_on_a_half_cold_table_without_partitions() {
    goes_on_like_its_twin("TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_leaves_a_file_cold_and_optimize_takes_its_rows_out() {
    let twins = Twins::new("PARTITIONED BY (day) TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')").await;
    twins.cool().await;
    for table in TABLES {
        twins.lake.run(&format!("DELETE FROM {table} WHERE id = 3; OPTIMIZE {table}")).await;
        assert_eq!(twins.files().await, (3, 0), "{table}");
    }
    let table = twins.lake.engine().lake().table("main", "t").await.unwrap();
    let detail = twins.lake.text("SELECT count(*) AS n FROM t").await;
    assert!(detail.contains("| 178 |"), "{detail}");
    let log = table.location().to_file_path().unwrap().join("_delta_log");
    let last = std::fs::read_to_string(log.join(format!("{:020}.json", table.version()))).unwrap();
    let added: Vec<&str> = last.lines().filter(|line| line.starts_with("{\"add\"")).collect();
    assert!(added.iter().any(|line| line.contains("\"boathouse.tier\":\"cold\"")), "{last}");
    assert!(!added.iter().any(|line| line.contains("storageType")), "{last}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clones_and_old_versions_read_what_they_read() {
    let twins = Twins::new("PARTITIONED BY (day)").await;
    let lake = &twins.lake;
    let rows = |table: &str| format!("SELECT * FROM {table} ORDER BY id, day");
    let before = lake.text(&rows("t")).await;
    lake.run("CREATE TABLE warm_clone SHALLOW CLONE t").await;
    twins.cool().await;
    lake.run("CREATE TABLE cold_clone SHALLOW CLONE t").await;
    let tiers = lake.engine().tiers(Some("cold_clone"), NOW_MS).await.unwrap();
    assert!(tiers[0].partitions.iter().any(|tiers| tiers.cold.files > 0), "{tiers:?}");
    lake.run("DELETE FROM t WHERE id > 5").await;
    for table in ["t VERSION AS OF 3", "warm_clone", "cold_clone"] {
        assert_eq!(lake.text(&rows(table)).await, before, "{table}");
    }
}

const DAYS: &str = "SELECT value AS id, DATE '2020-01-01' + CAST(value % 5 AS INT) AS day FROM generate_series(1, 20)";
const POLICY: &str = "ALTER TABLE t SET TIER (cold_after = '90 days', on = day)";

async fn execute(engine: &Arc<Engine>, sql: &str) {
    engine.session().execute(sql).await.unwrap_or_else(|error| panic!("{sql}\n{error}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_class_of_storage_is_that_under_which_files_were_put() {
    let s3 = TestS3::start();
    let config = EngineConfig { storage: s3.options(), ..config() };
    let first = Engine::open(&s3.url("lake"), config.clone()).await.unwrap();
    execute(&first, &format!("CREATE TABLE t PARTITIONED BY (day) AS {DAYS}")).await;
    execute(&first, POLICY).await;
    let run = TierRun { table: None, now_ms: NOW_MS };
    first.cool(run, &mut |cooled| assert!(cooled.moved.is_ok(), "{:?}", cooled.moved)).await.unwrap();
    // Rows that vectors hide leave the file where it is.
    execute(&first, "ALTER TABLE t SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')").await;
    execute(&first, "DELETE FROM t WHERE id = 3").await;
    let put = s3.options().cold_storage_class;
    let mut other = config;
    other.storage.cold_storage_class = "GLACIER_IR".into();
    let second = Engine::open(&s3.url("lake"), other).await.unwrap();
    for engine in [first, second] {
        let rows = engine.session().execute("SELECT DISTINCT storage_class AS class FROM system.tiers").await.unwrap();
        let boathouse_engine::Outcome::Rows(rows) = rows else { panic!("a query has rows") };
        let text = arrow::util::pretty::pretty_format_batches(&rows.collect().await.unwrap()).unwrap().to_string();
        assert!(text.contains(&put) && text.lines().count() == 5, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_fail_for_ever_keep_no_others_from_their_turn() {
    let log = Arc::new(RequestLog::default());
    let lake = Lake::open_layered("memory:///lake", &StorageOptions::default(), Some(log.layer())).await.unwrap();
    let engine = Engine::on(lake, config()).unwrap();
    execute(&engine, &format!("CREATE TABLE t PARTITIONED BY (day) AS {DAYS}")).await;
    execute(&engine, POLICY).await;
    // The first three cannot be read.
    log.set_rule(|request| match request.kind {
        RequestKind::Get
            if ["01/", "02/", "03/"].iter().any(|day| request.path.contains(&format!("2020-01-{day}"))) =>
        {
            Fate::Refused
        }
        _ => Fate::Served,
    });
    let mut told = Vec::new();
    for _ in 0..2 {
        let run = TierRun { table: None, now_ms: NOW_MS };
        engine.cool(run, &mut |cooled| told.push((cooled.partition.to_string(), cooled.moved.is_ok()))).await.unwrap();
    }
    let day = |day: u32, moved| (format!("day=2020-01-0{day}"), moved);
    let first = [day(1, false), day(2, false), day(3, false)];
    assert_eq!(told, [&first[..], &[day(4, true), day(5, true)], &first].concat());
}
