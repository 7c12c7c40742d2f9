//! A writer: a process of its own with a lake of its own opening, which does one operation after the other.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::{array::AsArray, datatypes::Int64Type};
use boathouse_engine::{
    Engine, EngineConfig, EngineError, ErrorKind, Outcome, S3Options, Session, StorageOptions, tier::TierRun,
};
use boathouse_storage::{Lake, store::StoreLayer};
use boathouse_tests::store::{Fate, RequestLog};
use serde_json::{Value, json};

use crate::{
    operation::{Kind, Operation, Random},
    record::{Answer, Record, read, tries},
};

/// How often a writer sends a statement again of which nobody knows whether it happened.
const TRIES_MAX: u32 = 5;
/// One request in so many fails on a folder. Nobody sends it again but the statement's client.
const FAULTS_ONE_IN: i64 = 150;
/// The year 2030, in milliseconds since 1970: every row is old then.
const LATER_MS: i64 = 1_893_456_000_000;

/// What a writer is told, through a variable.
#[derive(Debug, Clone)]
pub struct Orders {
    pub lake: String,
    pub s3: S3Options,
    pub seed: u64,
    pub writer: u64,
    pub operations: u64,
    pub record: PathBuf,
    /// On a folder, whose store cannot be told to fail.
    pub faults: bool,
}

impl Orders {
    pub fn to_text(&self) -> String {
        let s3 = [&self.s3.endpoint, &self.s3.region, &self.s3.access_key_id, &self.s3.secret_access_key];
        json!({
            "lake": self.lake, "s3": s3, "seed": self.seed, "writer": self.writer,
            "operations": self.operations, "record": self.record, "faults": self.faults,
        })
        .to_string()
    }

    pub fn of_text(text: &str) -> Self {
        let orders: Value = serde_json::from_str(text).unwrap();
        let number = |name: &str| orders[name].as_u64().unwrap();
        let s3 = |at: usize| orders["s3"][at].as_str().map(str::to_owned);
        Self {
            lake: orders["lake"].as_str().unwrap().to_owned(),
            s3: S3Options {
                endpoint: s3(0),
                region: s3(1),
                access_key_id: s3(2),
                secret_access_key: s3(3),
                ..S3Options::default()
            },
            seed: number("seed"),
            writer: number("writer"),
            operations: number("operations"),
            record: orders["record"].as_str().unwrap().into(),
            faults: orders["faults"].as_bool().unwrap(),
        }
    }

    /// An engine as each process has its own.
    pub async fn engine(&self) -> Result<Arc<Engine>, EngineError> {
        // The endpoint of the tests knows this class.
        let cold_storage_class = "REDUCED_REDUNDANCY".to_owned();
        let storage = StorageOptions { s3: self.s3.clone(), cold_storage_class, ..StorageOptions::default() };
        let config = EngineConfig {
            threads: 1,
            memory_bytes_max: 128 << 20,
            storage: storage.clone(),
            ..EngineConfig::default()
        };
        if !self.faults {
            return Engine::open(&self.lake, config).await;
        }
        Engine::on(Lake::open_layered(&self.lake, &storage, Some(self.faulty())).await?, config)
    }

    /// Lets requests of this process fail, half of them when they have been carried out. Where a writer goes on after it
    /// was killed, or opens the lake again, others fail than before.
    fn faulty(&self) -> StoreLayer {
        static OPENED: AtomicU64 = AtomicU64::new(0);
        let opened = OPENED.fetch_add(1, Ordering::Relaxed);
        let mut random = Random::new(self.seed ^ (self.writer << 32) ^ (opened << 48) ^ tries(&self.record));
        let log = Arc::new(RequestLog::default());
        log.set_rule(move |_| match random.below(2 * FAULTS_ONE_IN) {
            0 => Fate::Refused,
            1 => Fate::AnswerLost,
            _ => Fate::Served,
        });
        log.layer()
    }
}

/// Does what is left to do: a writer that was killed begins where the one before it ended.
pub async fn work(orders: &Orders) {
    let before = read(&orders.record);
    let mut record = Record::open(&orders.record);
    let mut writer = Writer::new(open(orders).await, BTreeMap::new());
    let first = before.last().map_or(0, |last| {
        let n = last.id - Operation::id(orders.writer, 0);
        let operation = Operation::new(orders.seed, orders.writer, n);
        // Without a key nobody may send it again.
        if is_known(last.ended.as_ref().map(|(_, answer)| answer)) || !operation.may_repeat() { n + 1 } else { n }
    });
    for n in first..orders.operations {
        let operation = Operation::new(orders.seed, orders.writer, n);
        for _ in 0..TRIES_MAX {
            record.begin(operation.id);
            let answer = writer.run(&operation).await;
            record.end(operation.id, &answer);
            if is_known(Some(&answer)) || !operation.may_repeat() {
                break;
            }
            // As a client that lost its server: a new session, and perhaps a new process.
            writer = Writer::new(open(orders).await, writer.newest);
        }
    }
}

fn is_known(answer: Option<&Answer>) -> bool {
    matches!(answer, Some(Answer::Changed { .. } | Answer::Read { .. } | Answer::Refused(_)))
}

/// The store may refuse the first requests, too.
async fn open(orders: &Orders) -> Arc<Engine> {
    let mut failed = None;
    for _ in 0..20 {
        match orders.engine().await {
            Ok(engine) => return engine,
            Err(error) => failed = Some(error),
        }
    }
    panic!("the lake does not open: {failed:?}")
}

struct Writer {
    engine: Arc<Engine>,
    session: Arc<Session>,
    /// The newest version of each table that it was told of.
    newest: BTreeMap<&'static str, u64>,
}

impl Writer {
    fn new(engine: Arc<Engine>, newest: BTreeMap<&'static str, u64>) -> Self {
        Self { session: engine.session(), engine, newest }
    }

    async fn cool(&self, table: &str) -> Answer {
        let mut failed = None;
        let run = TierRun { table: Some(table), now_ms: LATER_MS };
        let moved = self.engine.cool(run, &mut |cooled| failed = cooled.moved.err()).await;
        match moved.err().or(failed) {
            Some(error) => Self::failed(&error),
            None => Answer::Changed { rows: 0, version: None },
        }
    }

    async fn run(&mut self, operation: &Operation) -> Answer {
        let newest = self.newest.get(operation.table).copied().unwrap_or_default();
        if operation.kind == Kind::Cool {
            return self.cool(operation.table).await;
        }
        if operation.may_repeat() {
            let key = format!("SET idempotency_key = 'operation {}'", operation.id);
            self.session.execute(&key).await.unwrap();
        } else {
            self.session.execute("RESET idempotency_key").await.unwrap();
        }
        match self.session.execute(&operation.sql(newest)).await {
            Ok(Outcome::Changed { inserted, updated, deleted, version, .. }) => {
                self.newest.extend(version.map(|version| (operation.table, version)));
                Answer::Changed { rows: inserted + updated + deleted, version }
            }
            Ok(Outcome::Rows(rows)) => match rows.collect().await {
                Ok(_) if matches!(operation.kind, Kind::Optimize { .. }) => Answer::Changed { rows: 0, version: None },
                Ok(rows) => {
                    let row = rows.iter().find(|batch| batch.num_rows() > 0).expect("one row");
                    let number = |column| row.column(column).as_primitive::<Int64Type>().value(0);
                    let fingerprint = (0..row.num_columns()).map(number).collect();
                    Answer::Read { version: operation.version_read(newest), fingerprint }
                }
                Err(error) => Self::failed(&error),
            },
            Ok(Outcome::Done(_)) => Answer::Changed { rows: 0, version: None },
            Err(error) => Self::failed(&error),
        }
    }

    fn failed(error: &EngineError) -> Answer {
        match error.kind {
            ErrorKind::Conflict => Answer::Refused(error.to_string()),
            _ => Answer::Unknown(error.to_string()),
        }
    }
}
