//! Several processes write to one lake at once, and nothing is lost or doubled: money only moves between accounts, in every
//! version of the table, and each row that a writer was told of is there once.
//!
//! `BOATHOUSE_TEST_OPERATIONS=500` lets each process do that many; `BOATHOUSE_TEST_SEED=7` begins with another seed.

use std::{
    collections::BTreeSet,
    fmt::Write,
    process::{Command, Stdio},
};

use arrow::{array::AsArray, datatypes::Int64Type};
use boathouse_engine::{Engine, EngineConfig, Outcome, Session};

const WRITERS: u64 = 3;
const OPERATIONS: u64 = 25;
const ACCOUNTS: u64 = 40;
const MONEY: i64 = 4_000;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}

/// What one writer does, and which rows it adds to the journal.
fn script(writer: u64, operations: u64, seed: u64) -> (String, BTreeSet<i64>) {
    let mut random = Random((seed * 1_000 + writer + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let (mut text, mut rows) = (String::new(), BTreeSet::new());
    for n in 0..operations {
        let (from, amount) = (random.below(ACCOUNTS), 1 + random.below(3));
        let to = (from + 1 + random.below(ACCOUNTS - 1)) % ACCOUNTS;
        let row = (writer * 1_000_000 + n) as i64;
        let sql = match random.below(20) {
            0..=5 => format!(
                "UPDATE account SET money = CASE WHEN id = {from} THEN money - {amount} ELSE money + {amount} END \
                 WHERE id IN ({from}, {to})"
            ),
            6..=9 => format!(
                "MERGE INTO account AS a USING (VALUES ({from}, -{amount}), ({to}, {amount})) AS s (id, change) \
                 ON a.id = s.id WHEN MATCHED THEN UPDATE SET money = a.money + s.change"
            ),
            10..=15 => {
                rows.insert(row);
                format!("INSERT INTO journal VALUES ({row})")
            }
            16 => {
                let first = rows.pop_first();
                format!("DELETE FROM journal WHERE row = {}", first.unwrap_or(-1))
            }
            17 => "OPTIMIZE account".to_owned(),
            18 => "OPTIMIZE journal".to_owned(),
            _ => "SELECT sum(money) FROM account".to_owned(),
        };
        writeln!(text, "{sql};").unwrap();
    }
    (text, rows)
}

async fn numbers(session: &Session, sql: &str) -> Vec<i64> {
    let answer = session.execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let Outcome::Rows(rows) = answer else { return vec![] };
    let batches = rows.collect().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_write_at_once_lose_nothing() {
    let place = tempfile::tempdir().unwrap();
    let lake = place.path().to_str().unwrap();
    let (seed, operations) = (number("BOATHOUSE_TEST_SEED", 1), number("BOATHOUSE_TEST_OPERATIONS", OPERATIONS));
    println!("seed {seed}, {operations} operations a writer");
    let engine =
        Engine::open(lake, EngineConfig { threads: 2, memory_bytes_max: 256 << 20, ..EngineConfig::default() })
            .await
            .unwrap();
    let session = engine.session();
    numbers(&session, "CREATE TABLE account (id BIGINT NOT NULL, money BIGINT)").await;
    numbers(&session, "CREATE TABLE journal (row BIGINT)").await;
    for quarter in 0..4 {
        let (first, last) = (quarter * ACCOUNTS / 4, (quarter + 1) * ACCOUNTS / 4 - 1);
        let fill = format!("INSERT INTO account SELECT value, 100 FROM generate_series({first}, {last})");
        numbers(&session, &fill).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut expected = BTreeSet::new();
    let mut running = Vec::new();
    for writer in 0..WRITERS {
        let (text, rows) = script(writer, operations, seed);
        let file = folder.path().join(format!("{writer}.sql"));
        std::fs::write(&file, text).unwrap();
        expected.extend(rows);
        let mut command = Command::new(env!("CARGO_BIN_EXE_boathouse"));
        command.args(["sql", lake, "--format", "csv", "-f"]).arg(&file);
        running.push(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    }
    for process in running {
        let ended = process.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "seed {seed}: {said}");
        let read = String::from_utf8_lossy(&ended.stdout);
        let sums = read.lines().filter(|line| line.parse::<i64>().is_ok());
        assert!(sums.into_iter().all(|sum| sum.parse() == Ok(MONEY)), "seed {seed}: {read}");
    }
    assert_eq!(
        numbers(&session, "SELECT row FROM journal ORDER BY row").await,
        Vec::from_iter(expected),
        "seed {seed}"
    );
    let newest = numbers(&session, "DESCRIBE HISTORY account LIMIT 1").await[0];
    assert!(newest > 4, "nobody wrote");
    for version in 4..=newest {
        let sql = format!("SELECT sum(money) FROM account VERSION AS OF {version}");
        assert_eq!(numbers(&session, &sql).await, [MONEY], "seed {seed}, version {version}");
        let sql = format!("SELECT count(DISTINCT id) FROM account VERSION AS OF {version}");
        assert_eq!(numbers(&session, &sql).await, [ACCOUNTS as i64], "seed {seed}, version {version}");
    }
}
