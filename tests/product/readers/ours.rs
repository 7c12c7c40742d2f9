//! What our statements write is read by another library, after each statement and behind a checkpoint.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use boathouse_engine::{Session, tier::TierRun};
use boathouse_tests::TestLake;

use super::{
    look::{Table, copy_folder, run},
    reader::Reader,
    script::{Step, scripts},
};

/// In place of a statement, in the year 2030.
const MOVE: &str = "boathouse tier run";
const LATER_MS: i64 = 1_893_456_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deltalake_reads_what_each_statement_wrote() {
    if let Some(mut reader) = Reader::deltalake() {
        read_all(&mut reader).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spark_reads_what_each_statement_wrote() {
    if let Some(mut reader) = Reader::spark() {
        read_all(&mut reader).await;
    }
}

async fn read_all(reader: &mut Reader) {
    let (mut looks, mut faults) = (0, vec![]);
    for (name, steps) in scripts() {
        let mut script = Script::new(reader, name).await;
        script.run(&steps).await;
        looks += script.looks;
        faults.extend(script.faults);
    }
    println!("{looks} versions of tables compared with {}", reader.name);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n\n"));
    assert!(looks > 100, "nearly nothing was compared");
}

struct Script<'a> {
    name: String,
    reader: &'a mut Reader,
    lake: TestLake,
    /// What the library says instead of reading a table.
    refusals: BTreeMap<String, String>,
    /// Table ids and versions that were looked at.
    seen: BTreeMap<String, (String, u64)>,
    looks: usize,
    faults: Vec<String>,
}

impl<'a> Script<'a> {
    async fn new(reader: &'a mut Reader, name: String) -> Self {
        let lake = TestLake::folder().await;
        let (refusals, seen) = (BTreeMap::new(), BTreeMap::new());
        Self { name, reader, lake, refusals, seen, looks: 0, faults: vec![] }
    }

    async fn run(&mut self, steps: &[Step]) {
        let files = tempfile::tempdir().unwrap();
        let session = self.lake.engine().session();
        for step in steps {
            let refusals = step.refusals.iter().filter(|((library, _), _)| library == self.reader.name);
            self.refusals.extend(refusals.map(|((_, table), error)| (table.clone(), error.clone())));
            let sql = step.sql.replace("{files}", files.path().to_str().unwrap());
            let done = match sql.as_str() {
                MOVE => self.move_old().await,
                sql => run(&session, sql).await.map(drop),
            };
            if let Err(error) = done {
                return self.fault(&sql, &error);
            }
            self.look(&session, step).await;
        }
        for table in self.seen.clone().into_keys() {
            if !self.refusals.contains_key(&table) {
                let found = self.table(&table).await.older_versions_differ(self.reader).await;
                found.unwrap_or_else(|error| vec![error]).iter().for_each(|fault| self.fault(&table, fault));
                if self.keeps_feed(&table).await
                    && let Some(fault) = self.table(&table).await.changes_differ(self.reader).await.unwrap_or_else(Some)
                {
                    self.fault(&table, &fault);
                }
                if let Err(fault) = self.look_behind_checkpoint(&session, &table).await {
                    self.fault(&format!("{table} behind a checkpoint"), &fault);
                }
            }
        }
    }

    async fn move_old(&self) -> Result<(), String> {
        let mut failed = None;
        let run = TierRun { table: None, now_ms: LATER_MS };
        let moved = self.lake.engine().cool(run, &mut |cooled| failed = failed.take().or(cooled.moved.err())).await;
        moved.err().or(failed).map_or(Ok(()), |error| Err(error.to_string()))
    }

    /// Whether it has kept its changes since it was made.
    async fn keeps_feed(&self, name: &str) -> bool {
        let first = self.lake.engine().lake().table_version("main", name, 0).await.unwrap();
        first.properties().get("delta.enableChangeDataFeed").is_some_and(|value| value == "true")
    }

    async fn table(&self, name: &str) -> Table {
        // A table that was renamed lies where it lay.
        let snapshot = self.lake.engine().lake().table("main", name).await.unwrap();
        let folder = snapshot.location().to_file_path().unwrap();
        Table { engine: self.lake.engine().clone(), name: name.to_owned(), folder }
    }

    /// Compares the tables that the statement changed.
    async fn look(&mut self, session: &Session, step: &Step) {
        for entry in session.tables("main").await.unwrap() {
            let name = entry.name;
            let snapshot = self.lake.engine().lake().table("main", &name).await.unwrap();
            let now = (snapshot.id().to_owned(), snapshot.version());
            if self.seen.insert(name.clone(), now.clone()) == Some(now) {
                continue;
            }
            self.looks += 1;
            let table = self.table(&name).await;
            if let Some(expected) = self.refusals.get(&name) {
                let read = table.theirs(self.reader, None, &format!("SELECT * FROM {name}"));
                if !matches!(&read, Err(error) if error.contains(expected)) {
                    let fault = format!("expected {expected:?}, found {:?}", read.map(|_| "rows"));
                    self.fault(&step.sql, &fault);
                }
                continue;
            }
            let queries = step.queries.iter().filter(|(table, _)| *table == name).map(|(_, query)| query.as_str());
            let found = table.differences(self.reader, queries).await;
            found.unwrap_or_else(|error| vec![error]).iter().for_each(|fault| self.fault(&step.sql, fault));
        }
    }

    /// Lets a checkpoint follow, and compares what the library reads when the log before it is gone.
    async fn look_behind_checkpoint(&mut self, session: &Session, name: &str) -> Result<(), String> {
        run(session, &format!("ALTER TABLE {name} SET TBLPROPERTIES ('delta.checkpointInterval' = '1')")).await?;
        run(session, &format!("ALTER TABLE {name} SET TBLPROPERTIES ('reader' = 'another')")).await?;
        let table = self.table(name).await;
        let version = self.lake.engine().lake().table("main", name).await.unwrap().version();
        wait_for_checkpoint(&table.folder.join("_delta_log"), version).await;
        let copy = tempfile::tempdir().unwrap();
        copy_folder(&table.folder, copy.path());
        for old in 0..version {
            let _ = std::fs::remove_file(copy.path().join(format!("_delta_log/{old:020}.json")));
        }
        let behind = Table { folder: copy.path().to_owned(), ..table };
        let faults = behind.rows_differ(self.reader).await?;
        faults.map_or(Ok(()), Err)
    }

    fn fault(&mut self, place: &str, text: &str) {
        self.faults.push(format!("{}.sql: {place}\n  {text}", self.name));
    }
}

async fn wait_for_checkpoint(log: &Path, version: u64) {
    let began = Instant::now();
    let written = || {
        let hint = std::fs::read_to_string(log.join("_last_checkpoint")).unwrap_or_default();
        hint.contains(&format!("\"version\":{version}"))
    };
    while !written() {
        assert!(began.elapsed() < Duration::from_secs(60), "no checkpoint of version {version} in {}", log.display());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
