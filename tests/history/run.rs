//! Writers at work on one lake, some of them killed and begun anew, and the history that they leave.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use arrow::{array::AsArray, datatypes::Int64Type};
use boathouse_engine::{Engine, Outcome, S3Options, Session};
use boathouse_tests::{Faults, TestS3, config};
use regex::Regex;
use serde_json::Value;

use crate::{
    check::{History, Version},
    operation::{ACCOUNTS, MONEY_EACH, Operation, Random, SERIALIZABLE, TABLES},
    record::{Answer, Entry, read, tries},
    worker::Orders,
};

/// The variable with a writer's orders.
pub const WRITER: &str = "BOATHOUSE_TEST_WRITER";
/// One request in so many fails on S3.
const FAULTS_ONE_IN: u64 = 40;
/// A writer is killed after so many operations of all, more or less.
const OPERATIONS_PER_KILL: u64 = 40;

/// Where the lake lies.
pub enum Place {
    Folder(tempfile::TempDir),
    S3(TestS3),
}

impl Place {
    fn lake(&self) -> String {
        match self {
            Self::Folder(folder) => folder.path().to_str().unwrap().to_owned(),
            Self::S3(s3) => s3.url("lake"),
        }
    }

    fn options(&self) -> S3Options {
        match self {
            Self::Folder(_) => S3Options::default(),
            Self::S3(s3) => s3.options().s3,
        }
    }

    /// The lake as a folder of this machine.
    fn folder(&self) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.path().to_owned(),
            Self::S3(s3) => s3.folder().join(s3.bucket()).join("lake"),
        }
    }
}

pub struct Plan {
    pub seed: u64,
    pub writers: u64,
    pub operations: u64,
}

/// Lets the writers work and checks what they leave. Panics with all that has no explanation.
pub async fn run(place: Place, plan: &Plan) {
    let Plan { seed, writers, operations } = *plan;
    println!("seed {seed}, {writers} writers, {operations} operations each");
    let began = Instant::now();
    let records = tempfile::tempdir().unwrap();
    let orders = |writer| Orders {
        lake: place.lake(),
        s3: place.options(),
        seed,
        writer,
        operations,
        record: records.path().join(writer.to_string()),
        faults: matches!(place, Place::Folder(_)),
    };
    if let Place::Folder(_) = place {
        std::fs::create_dir_all(place.lake()).unwrap();
    }
    let first = set_up(&Orders { faults: false, ..orders(0) }, seed).await;
    if let Place::S3(s3) = &place {
        s3.set_faults(Some(Faults { seed, one_in: FAULTS_ONE_IN }));
    }
    let kills = let_work(&(0..writers).map(orders).collect::<Vec<_>>(), seed);
    if let Place::S3(s3) = &place {
        println!("{} requests failed", s3.faults_injected());
        s3.set_faults(None);
    }
    let worked = began.elapsed();
    let tries: Vec<Entry> = (0..writers).flat_map(|writer| read(&orders(writer).record)).collect();
    let engine = Engine::open(place.folder().to_str().unwrap(), config()).await.unwrap();
    let (mut faults, mut versions_seen) = (vec![], 0);
    for table in TABLES {
        let versions = versions(&engine.session(), &place.folder(), table, first[table]).await;
        versions_seen += versions.len();
        let mut operations: BTreeMap<u64, (Operation, Vec<Entry>)> = BTreeMap::new();
        for entry in &tries {
            let operation = operation_of(seed, entry.id);
            if operation.table == table {
                operations.entry(entry.id).or_insert_with(|| (operation, vec![])).1.push(entry.clone());
            }
        }
        faults.extend(History { table, versions: &versions, operations }.faults());
    }
    tell(&tries, kills, versions_seen, worked, began.elapsed());
    assert!(faults.is_empty(), "seed {seed}: {} faults:\n{}", faults.len(), faults.join("\n"));
    let sent = tries.iter().map(|entry| entry.id).collect::<std::collections::BTreeSet<_>>().len() as u64;
    assert_eq!(sent, writers * operations, "seed {seed}: not all was done");
}

fn operation_of(seed: u64, id: u64) -> Operation {
    let writer = id / Operation::id(1, 0);
    Operation::new(seed, writer, id - Operation::id(writer, 0))
}

/// Makes the tables; gives the version of each that the writers find.
async fn set_up(orders: &Orders, seed: u64) -> BTreeMap<&'static str, u64> {
    let session = orders.engine().await.unwrap().session();
    let mut first = BTreeMap::new();
    for table in TABLES {
        let mut properties = vec![
            "'delta.checkpointInterval' = '10'".to_owned(),
            "'boathouse.tier.coldAfter' = '90 days'".to_owned(),
            "'boathouse.tier.on' = 'day'".to_owned(),
        ];
        if SERIALIZABLE.contains(&table) {
            properties.push("'delta.isolationLevel' = 'Serializable'".to_owned());
        }
        if (seed + table.len() as u64).is_multiple_of(2) {
            properties.push("'delta.enableDeletionVectors' = 'true'".to_owned());
        }
        let properties = properties.join(", ");
        let columns = "key BIGINT, value BIGINT, day DATE DEFAULT DATE '2020-01-01'";
        rows(&session, &format!("CREATE TABLE {table} ({columns}) TBLPROPERTIES ({properties})")).await;
        let (count, parts) = if table == "account" { (ACCOUNTS, 4) } else { (30, 1) };
        for part in 0..parts {
            let (from, to) = (part * count / parts, (part + 1) * count / parts - 1);
            let sql = format!(
                "INSERT INTO {table} (key, value) SELECT value, {MONEY_EACH} FROM generate_series({from}, {to})"
            );
            rows(&session, &sql).await;
        }
        first.insert(table, parts as u64);
    }
    first
}

/// All writers until each has done its part; gives how many were killed.
fn let_work(orders: &[Orders], seed: u64) -> usize {
    let mut random = Random::new(seed ^ 0x51ED);
    let mut running: Vec<(&Orders, Child)> = orders.iter().map(|orders| (orders, start(orders))).collect();
    let all: u64 = orders.iter().map(|orders| orders.operations).sum();
    let done = || orders.iter().map(|orders| tries(&orders.record)).sum::<u64>();
    let (mut kills, mut next_kill) = (0, OPERATIONS_PER_KILL / 2);
    while !running.is_empty() {
        std::thread::sleep(Duration::from_millis(50));
        running.retain_mut(|(orders, writer)| match writer.try_wait().unwrap() {
            Some(status) => {
                assert!(status.success(), "seed {seed}: writer {} ended with {status}", orders.writer);
                false
            }
            None => true,
        });
        let now = done();
        if now >= next_kill && now < all && !running.is_empty() {
            let at = random.below(running.len() as i64) as usize;
            let (orders, writer) = &mut running[at];
            writer.kill().unwrap();
            writer.wait().unwrap();
            *writer = start(orders);
            kills += 1;
            next_kill = now + OPERATIONS_PER_KILL / 2 + random.below(OPERATIONS_PER_KILL as i64) as u64;
        }
    }
    kills
}

fn start(orders: &Orders) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(WRITER, orders.to_text()).stdin(Stdio::null()).spawn().unwrap()
}

/// The versions of a table from `first` on: what the log says of them, and their rows.
async fn versions(session: &Session, lake: &Path, table: &str, first: u64) -> Vec<Version> {
    let id = Regex::new(r"/\* operation (\d+) \*/").unwrap();
    let log = lake.join("main").join(table).join("_delta_log");
    let mut versions = vec![];
    for number in first.. {
        let Ok(text) = std::fs::read_to_string(log.join(format!("{number:020}.json"))) else { break };
        let actions = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let infos: Vec<Value> =
            actions.filter_map(|mut action| action.get_mut("commitInfo").map(Value::take)).collect();
        let [info] = &infos[..] else { panic!("{table}: version {number} has {} commitInfo", infos.len()) };
        let statement = info["statement"].as_str().unwrap_or_default();
        let operations = id.captures_iter(statement).map(|found| found[1].parse().unwrap()).collect();
        let mut found: Vec<(i64, i64)> = vec![];
        for batch in rows(session, &format!("SELECT key, value FROM {table} VERSION AS OF {number}")).await {
            let column = |at: usize| batch.column(at).as_primitive::<Int64Type>().values().to_vec();
            found.extend(column(0).into_iter().zip(column(1)));
        }
        found.sort_unstable();
        let is_move = info["operation"] == "TIER";
        let (read, blind) = (info["readVersion"].as_u64().unwrap_or_default(), info["isBlindAppend"] == true);
        versions.push(Version { number, operations, is_move, read, blind, rows: found });
    }
    versions
}

async fn rows(session: &Session, sql: &str) -> Vec<arrow::array::RecordBatch> {
    let answer = session.execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let Outcome::Rows(rows) = answer else { return vec![] };
    rows.collect().await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn tell(tries: &[Entry], kills: usize, versions: usize, worked: Duration, all: Duration) {
    let count = |kind: fn(&Answer) -> bool| {
        tries.iter().filter(|entry| entry.ended.as_ref().is_some_and(|(_, answer)| kind(answer))).count()
    };
    println!(
        "{} tries: {} changes acknowledged, {} reads, {} refused, {} unknown, {} without an answer ({kills} kills); \
         {versions} versions; {:.1} s, checked after {:.1} s",
        tries.len(),
        count(|answer| matches!(answer, Answer::Changed { .. })),
        count(|answer| matches!(answer, Answer::Read { .. })),
        count(|answer| matches!(answer, Answer::Refused(_))),
        count(|answer| matches!(answer, Answer::Unknown(_))),
        tries.iter().filter(|entry| entry.ended.is_none()).count(),
        worked.as_secs_f64(),
        all.as_secs_f64(),
    );
    let told = tries.iter().filter_map(|entry| match &entry.ended {
        Some((_, Answer::Refused(error) | Answer::Unknown(error))) => Some(error.lines().next().unwrap_or_default()),
        _ => None,
    });
    let told: std::collections::BTreeSet<&str> = told.collect();
    told.iter().take(5).for_each(|error| println!("  {error}"));
}
