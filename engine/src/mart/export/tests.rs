//! Exports to destinations that a test keeps in its hands, and to files.

mod delta;
mod ordered;
mod told;

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use boathouse_storage::catalog::ExportMark;
use datafusion::arrow::{datatypes::FieldRef, util::pretty::pretty_format_batches};
use futures::StreamExt;
use parking_lot::Mutex;

use super::*;
use crate::{
    Engine, EngineConfig, EngineError, ErrorKind, Outcome, RowStream,
    mart::{Clock, Definition, FileExports, FileFormat, LeaseTimes, MartOptions, Project, Scheduler},
};

const BEGIN: i64 = 1_767_225_600_000;
const MINUTE: i64 = 60_000;

/// A destination with a ledger.
#[derive(Debug, Default)]
struct Kept {
    is_down: Mutex<bool>,
    refuses: Mutex<bool>,
    /// A row of text each, of all that was delivered, in order.
    rows: Mutex<Vec<String>>,
    ledger: Mutex<Vec<ExportMark>>,
    asked: Mutex<u32>,
}

impl Kept {
    fn answer(&self) -> Result<(), EngineError> {
        *self.asked.lock() += 1;
        if *self.is_down.lock() {
            return Err(EngineError::new(ErrorKind::Unavailable, "nobody is there"));
        }
        if *self.refuses.lock() { Err(EngineError::invalid("no such column")) } else { Ok(()) }
    }

    fn rows(&self) -> Vec<String> {
        let mut rows = self.rows.lock().clone();
        rows.sort();
        rows
    }
}

async fn texts(mut rows: RowStream) -> Result<Vec<String>, EngineError> {
    let mut texts = Vec::new();
    while let Some(batch) = rows.next().await {
        let text = pretty_format_batches(&[batch?]).unwrap().to_string();
        let lines: Vec<&str> = text.lines().collect();
        let cells = |line: &&str| line.split('|').map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned();
        texts.extend(lines[3..lines.len() - 1].iter().map(cells));
    }
    Ok(texts)
}

#[async_trait]
impl Destination for Arc<Kept> {
    fn kind(&self) -> &'static str {
        "kept"
    }

    fn check(&self, _: &Export, _: &[FieldRef]) -> Result<(), EngineError> {
        Ok(())
    }

    async fn last(&self, _: &Delivery, _: Option<ExportMark>) -> Result<Option<ExportMark>, EngineError> {
        self.answer()?;
        Ok(self.ledger.lock().last().cloned())
    }

    async fn deliver(&self, delivery: &Delivery, rows: RowStream, _: &Progress) -> Result<u64, EngineError> {
        let texts = texts(rows).await?;
        self.answer()?;
        let count = texts.len() as u64;
        let mut kept = self.rows.lock();
        if delivery.mode == ExportMode::Replace {
            kept.clear();
        }
        kept.extend(texts);
        self.ledger.lock().push(delivery.mark.clone());
        Ok(count)
    }
}

struct Place {
    engine: Arc<Engine>,
    kept: Arc<Kept>,
    now: Arc<AtomicI64>,
}

impl Place {
    async fn new() -> Self {
        let config = EngineConfig { threads: 2, ..EngineConfig::default() };
        let engine = Engine::open("memory://", config).await.unwrap();
        let place = Self { engine, kept: Arc::default(), now: Arc::new(AtomicI64::new(BEGIN)) };
        place
            .execute("CREATE TABLE orders AS SELECT * FROM (VALUES (1, 10), (2, 20), (2, 20)) AS v (id, amount)")
            .await;
        place
    }

    async fn execute(&self, sql: &str) -> Vec<String> {
        match self.engine.session().execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}")) {
            Outcome::Rows(rows) => texts(rows).await.unwrap(),
            _ => Vec::new(),
        }
    }

    fn options(&self, more: Vec<(String, Arc<dyn Destination>)>) -> MartOptions {
        let now = self.now.clone();
        let kept: Arc<dyn Destination> = Arc::new(self.kept.clone());
        MartOptions {
            clock: Clock::of(move || now.load(Ordering::SeqCst)),
            lease: LeaseTimes::default(),
            destinations: std::iter::once(("kept".to_owned(), kept)).chain(more).collect(),
            ..MartOptions::default()
        }
    }

    async fn project(&self, block: &str) -> Result<Project, String> {
        let text = format!("/*---\n{block}\n---*/\nSELECT id, amount FROM orders");
        let definition = Definition::parse("m.t.sql", &text).map_err(|fault| fault.to_string())?;
        let opened = Project::open(&self.engine, vec![definition], self.options(Vec::new())).await;
        opened.map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    /// Runs the mart, delivers its exports, and tells what became of the first.
    async fn run(&self, block: &str) -> String {
        let project = self.project(block).await.unwrap();
        let runs = project.run(&[], false, |_| {}).await.unwrap();
        assert!(runs.iter().all(|run| run.outcome.is_good()), "{runs:?}");
        told(&project.export_behind(&runs, |_| {}).await.unwrap())
    }
}

fn told(reports: &[ExportReport]) -> String {
    match &reports[0].outcome {
        ExportOutcome::Delivered { rows, version } => format!("{rows} rows of v{version}"),
        ExportOutcome::Failed(error) => format!("failed: {error}"),
        outcome => outcome.word().to_owned(),
    }
}

const REPLACE: &str = "export = [{ to = \"kept\" }]";
const APPEND: &str = "[[export]]\nto = \"kept\"\nmode = \"append\"";

#[tokio::test]
async fn a_fault_tells_file_line_and_cure_and_nothing_runs() {
    let place = Place::new().await;
    for (block, expected) in [
        ("\nexport = [{ to = \"kep\" }]", "m.t.sql:3: there is no destination \"kep\"\nHINT: Did you mean \"kept\"?"),
        ("exports = [{ to = \"other\" }]", "m.t.sql:2: there is no destination \"other\"\nHINT: There are kept."),
        (
            "[[export]]\nto = \"kept\"\nmode = \"upsert\"",
            "m.t.sql:2: mode = \"upsert\" of an export is not known\nHINT: Write replace, merge or append.",
        ),
        (
            "[[export]]\nto = \"kept\"\nmode = \"merge\"",
            "m.t.sql:2: mode = \"merge\" of an export needs key\nHINT: Write",
        ),
        ("export = [{ to = \"kept\", key = \"id\" }]", "m.t.sql:2: key has no meaning with mode = \"replace\"\nHINT: "),
        (
            "export = [{ to = \"kept\", mode = \"merge\", key = [\"idd\"] }]",
            "m.t.sql:2: column \"idd\" is not one of the query's\nHINT: Did you mean \"id\"?",
        ),
        (
            "export = [{ to = \"kept\" }, { to = \"kept\", table = \"m.t\" }]",
            "m.t.sql:2: two exports go to the same place",
        ),
        ("export = [{ mode = \"append\" }]", "m.t.sql:2: key \"to\" is missing"),
        (
            "export = [{ to = \"kept\", tabel = \"x\" }]",
            "m.t.sql:2: key \"tabel\" is not known\nHINT: Did you mean \"table\"?",
        ),
    ] {
        let fault = place.project(block).await.err().unwrap_or_default();
        assert!(fault.starts_with(expected), "{block}\n{fault}\nexpected {expected}");
    }
}

#[tokio::test]
async fn a_version_is_delivered_once_and_a_compacted_table_is_none() {
    let place = Place::new().await;
    assert_eq!(place.run(REPLACE).await, "3 rows of v0");
    assert_eq!(place.run(REPLACE).await, "up to date");
    place.execute("OPTIMIZE m.t ZORDER BY (id)").await;
    assert_eq!(place.engine.lake().table("m", "t").await.unwrap().version(), 1);
    assert_eq!(place.run(REPLACE).await, "up to date");
    place.execute("DELETE FROM orders WHERE id = 1").await;
    assert_eq!(place.run(REPLACE).await, "2 rows of v2");
    // Rows of somebody else leave with the next run.
    place.execute("INSERT INTO m.t SELECT * FROM m.t").await;
    assert_eq!(place.run(REPLACE).await, "2 rows of v4");
    assert_eq!(place.kept.rows(), ["2 20", "2 20"]);
    let state = "SELECT mart, destination, kind, target, mode, state, version, rows, attempts FROM system.mart_exports";
    assert_eq!(place.execute(state).await, ["m.t kept kept m.t replace delivered 4 2"]);
    // A table of the same name, made anew, begins with version 0 again.
    place.execute("DROP TABLE m.t PURGE").await;
    assert!(place.run(REPLACE).await.starts_with("2 rows of v"));
}

#[tokio::test]
async fn append_delivers_the_rows_that_are_new_each_as_often_as_it_is() {
    let place = Place::new().await;
    assert_eq!(place.run(APPEND).await, "3 rows of v0");
    place.execute("INSERT INTO orders VALUES (2, 20), (3, NULL), (3, NULL)").await;
    place.execute("DELETE FROM orders WHERE id = 1").await;
    assert_eq!(place.run(APPEND).await, "3 rows of v1");
    assert_eq!(place.kept.rows(), ["1 10", "2 20", "2 20", "2 20", "3", "3"]);
    let project = place.project(APPEND).await.unwrap();
    assert_eq!(told(&project.export(&[], Some("kept"), true, |_| {}).await.unwrap()), "5 rows of v1");
    let error = project.export(&[], Some("kpt"), false, |_| {}).await.unwrap_err();
    assert_eq!(error.to_string(), "no export goes to \"kpt\"\nHINT: Did you mean \"kept\"?");
    // What the old version was cannot be known any more.
    place.execute("DROP TABLE m.t PURGE").await;
    let failed = place.run(APPEND).await;
    assert!(failed.starts_with("failed: it cannot be told which rows are new since version 1"), "{failed}");
    assert!(failed.contains("mart export m.t --to kept --again"), "{failed}");
}

#[tokio::test]
async fn what_a_process_delivered_that_ended_behind_it_is_found_in_the_ledger() {
    let place = Place::new().await;
    assert_eq!(place.run(REPLACE).await, "3 rows of v0");
    place.engine.lake().change_mart_exports("m.t", |document| document.exports.clear()).await.unwrap();
    assert_eq!(place.run(REPLACE).await, "up to date");
    assert_eq!(place.kept.ledger.lock().len(), 1);
    let state = "SELECT state, version, rows FROM system.mart_exports";
    assert_eq!(place.execute(state).await, ["delivered 0"]);
}

#[tokio::test]
async fn a_destination_that_was_down_for_a_day_gets_the_newest_version_by_itself() {
    let place = Place::new().await;
    let folder = tempfile::tempdir().unwrap();
    let text = format!("/*---\nrefresh = {{ on_commit = true }}\n{REPLACE}\n---*/\nSELECT id, amount FROM orders");
    fs::write(folder.path().join("m.t.sql"), text).unwrap();
    let mut scheduler = Scheduler::new(&place.engine, Some(folder.path().to_owned()), place.options(Vec::new()));
    *place.kept.is_down.lock() = true;
    // The run, then a look at what it left.
    for minute in 0..24 * 60 {
        place.now.store(BEGIN + minute * MINUTE, Ordering::SeqCst);
        if minute == 700 {
            place.execute("INSERT INTO orders VALUES (4, 40)").await;
        }
        if minute < 10 || (698..710).contains(&minute) || minute % 20 == 0 {
            scheduler.pass().await;
            scheduler.settle().await;
        }
    }
    let asked = *place.kept.asked.lock();
    assert!((10..90).contains(&asked), "asked {asked} times");
    let state = "SELECT state, version, error FROM system.mart_exports";
    assert_eq!(place.execute(state).await, ["failed  nobody is there"]);
    *place.kept.is_down.lock() = false;
    place.now.fetch_add(16 * MINUTE, Ordering::SeqCst);
    scheduler.pass().await;
    scheduler.settle().await;
    assert_eq!(place.kept.rows(), ["1 10", "2 20", "2 20", "4 40"]);
    assert_eq!(place.execute(state).await, ["delivered 1"]);
    assert_eq!(place.kept.ledger.lock().len(), 1);
    for _ in 0..3 {
        place.now.fetch_add(30 * MINUTE, Ordering::SeqCst);
        scheduler.pass().await;
        scheduler.settle().await;
    }
    assert_eq!(place.kept.ledger.lock().len(), 1);
}

#[tokio::test]
async fn a_server_that_does_not_know_the_destination_runs_the_mart_and_one_that_does_delivers() {
    let place = Place::new().await;
    let query = "SELECT id, amount FROM orders";
    place
        .execute(&format!("CREATE MART m.t WITH (refresh = (every = '1h'), export = [(to = 'kept')]) AS {query}"))
        .await;
    let without = MartOptions { destinations: Destinations::default(), ..place.options(Vec::new()) };
    let mut first = Scheduler::new(&place.engine, None, without);
    let mut second = Scheduler::new(&place.engine, None, place.options(Vec::new()));
    for _ in 0..2 {
        first.pass().await;
        first.settle().await;
    }
    let states = "SELECT state FROM system.mart_runs";
    assert_eq!(place.execute(states).await, ["succeeded"]);
    assert_eq!((*place.kept.asked.lock(), first.faults().len()), (0, 1));
    let fault = &first.faults()[0];
    assert!(fault.starts_with("CREATE MART m.t:") && fault.contains("no destination \"kept\""), "{fault}");
    for _ in 0..2 {
        second.pass().await;
        second.settle().await;
    }
    assert_eq!(place.kept.rows(), ["1 10", "2 20", "2 20"]);
    assert_eq!((place.execute(states).await, second.faults().len()), (vec!["succeeded".to_owned()], 0));
}

#[tokio::test]
async fn what_is_refused_is_not_tried_again_before_something_changed() {
    let place = Place::new().await;
    let folder = tempfile::tempdir().unwrap();
    let write = |more: &str| {
        let text = format!("/*---\nrefresh = {{ on_commit = true }}\n{REPLACE}{more}\n---*/\nSELECT id FROM orders");
        fs::write(folder.path().join("m.t.sql"), text).unwrap();
    };
    write("");
    let mut scheduler = Scheduler::new(&place.engine, Some(folder.path().to_owned()), place.options(Vec::new()));
    *place.kept.refuses.lock() = true;
    for _ in 0..5 {
        scheduler.pass().await;
        scheduler.settle().await;
        place.now.fetch_add(60 * MINUTE, Ordering::SeqCst);
    }
    assert_eq!(*place.kept.asked.lock(), 1);
    write("\nowner = \"somebody else\"");
    *place.kept.refuses.lock() = false;
    for _ in 0..2 {
        scheduler.pass().await;
        scheduler.settle().await;
    }
    assert_eq!(place.kept.rows(), ["1", "2", "2"]);
}

#[tokio::test]
async fn files_are_listed_in_a_manifest_and_old_ones_go() {
    let place = Place::new().await;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let files = FileExports::new(root.to_str().unwrap(), FileFormat::Csv).unwrap();
    let options = place.options(vec![("files".to_owned(), Arc::new(files) as Arc<dyn Destination>)]);
    let text =
        "/*---\nexport = [{ to = \"files\", table = \"daily/t\" }]\n---*/\nSELECT id, amount FROM orders WHERE id > 1";
    let manifest = || -> serde_json::Value {
        serde_json::from_slice(&fs::read(root.join("daily/t/manifest.json")).unwrap()).unwrap()
    };
    for turn in 0..3_u64 {
        let definition = Definition::parse("m.t.sql", text).unwrap();
        let project = Project::open(&place.engine, vec![definition], options.clone()).await.unwrap();
        let runs = project.run(&[], false, |_| {}).await.unwrap();
        let reports = project.export_behind(&runs, |_| {}).await.unwrap();
        assert_eq!(told(&reports), format!("{} rows of v{turn}", 2 + turn));
        assert_eq!(told(&project.export_behind(&runs, |_| {}).await.unwrap()), "up to date");
        let manifest = manifest();
        assert_eq!((&manifest["version"], &manifest["mart"]), (&turn.into(), &"m.t".into()));
        assert_eq!(manifest["meta"]["record_count"], 2 + turn);
        assert_eq!(manifest["columns"][0], serde_json::json!({ "name": "id", "type": "BIGINT" }));
        let entry = &manifest["entries"][0];
        let bytes = fs::read(root.join("daily/t").join(entry["path"].as_str().unwrap())).unwrap();
        assert_eq!(entry["meta"]["content_length"], bytes.len());
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!((text.lines().next(), text.lines().count() as u64), (Some("id,amount"), 3 + turn), "{text}");
        // Those of the version before may still be loaded.
        let folders = fs::read_dir(root.join("daily/t")).unwrap().count() as u64 - 1;
        assert_eq!(folders, (turn + 1).min(2));
        place.execute(&format!("INSERT INTO orders VALUES ({}, NULL)", turn + 5)).await;
    }
}

#[tokio::test]
async fn no_mart_takes_the_rows_of_another_away() {
    let place = Place::new().await;
    for (one, two, is_fault) in [
        ("mode = \"replace\"", "mode = \"replace\"", true),
        ("mode = \"append\"", "mode = \"replace\"", true),
        ("mode = \"append\"", "mode = \"merge\", key = \"id\"", false),
    ] {
        let definition = |file: &str, mode: &str| {
            let text = format!(
                "/*---\nexport = [{{ to = \"kept\", table = \"x\", {mode} }}]\n---*/\nSELECT id, amount FROM orders"
            );
            Definition::parse(file, &text).unwrap()
        };
        let both = vec![definition("m.one.sql", one), definition("m.two.sql", two)];
        let opened = Project::open(&place.engine, both, place.options(Vec::new())).await;
        let faults = opened.err().unwrap_or_default().iter().map(ToString::to_string).collect::<String>();
        assert_eq!(!faults.is_empty(), is_fault, "{one} {two}: {faults}");
        assert!(!is_fault || faults.contains("is exported to \"x\" of \"kept\", too"), "{faults}");
    }
}

/// One mart with rows for a folder, delivered though it was.
async fn to_folder(place: &Place, url: &str, mart: &str, table: &str) -> String {
    let files: Arc<dyn Destination> = Arc::new(FileExports::new(url, FileFormat::Csv).unwrap());
    let options = place.options(vec![("files".to_owned(), files)]);
    let text = format!("/*---\nexport = [{{ to = \"files\", table = \"{table}\" }}]\n---*/\nSELECT 1 AS a");
    let definition = Definition::parse(&format!("{mart}.sql"), &text).unwrap();
    let project = Project::open(&place.engine, vec![definition], options).await.unwrap();
    project.run(&[], false, |_| {}).await.unwrap();
    told(&project.export(&[], None, true, |_| {}).await.unwrap())
}

#[tokio::test]
async fn a_name_is_that_of_a_folder_whatever_is_in_it() {
    // Not at the root of the store, where every folder would lie in the lake.
    let engine = Engine::open("memory:///lake", EngineConfig { threads: 2, ..EngineConfig::default() }).await.unwrap();
    let place = Place { engine, kept: Arc::default(), now: Arc::new(AtomicI64::new(BEGIN)) };
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    for table in ["odd name", "a#1", "a#2", "file:/x", "c:d/\u{e9}"] {
        for url in [root.to_str().unwrap(), "memory:///exports"] {
            // One that finds the manifest, and then a mart to which it belongs to another.
            for _ in 0..2 {
                assert_eq!(to_folder(&place, url, "m.one", table).await, "1 rows of v0", "{url} {table}");
            }
            let refused = to_folder(&place, url, "m.two", table).await;
            assert!(refused.contains("has the rows of mart \"m.one\""), "{url} {table}: {refused}");
        }
        assert!(root.join(table).join("manifest.json").exists(), "{table}");
    }
}

#[tokio::test]
async fn what_files_cannot_be_is_told() {
    let place = Place::new().await;
    let error = FileExports::new("s3://key:p4ss@bucket/x", FileFormat::Csv).unwrap_err().to_string();
    assert!(error.starts_with("the url has a user or a password in it") && !error.contains("p4ss"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let files = FileExports::new(folder.path().to_str().unwrap(), FileFormat::Csv).unwrap();
    let options = place.options(vec![("files".to_owned(), Arc::new(files) as Arc<dyn Destination>)]);
    for (block, query, expected) in [
        (
            "mode = \"append\"",
            "SELECT 1 AS a",
            "m.t.sql:2: files are not exported with mode = \"append\"\nHINT: Leave it out",
        ),
        ("table = \"../x\"", "SELECT 1 AS a", "m.t.sql:2: \"../x\" is not the name of a folder\nHINT: "),
        // Other ways to write it.
        ("table = '%2e%2e/x'", "SELECT 1 AS a", "m.t.sql:2: \"%2e%2e/x\" is not the name of a folder\nHINT: "),
        ("table = 'a\\..\\..\\x'", "SELECT 1 AS a", "m.t.sql:2: \"a\\..\\..\\x\" is not the name of a folder\nHINT: "),
        ("", "SELECT [1] AS a", "m.t.sql:2: column \"a\" is ARRAY<BIGINT>, which CSV cannot hold\nHINT: "),
    ] {
        let text = format!("/*---\n[[export]]\nto = \"files\"\n{block}\n---*/\n{query}");
        let definition = Definition::parse("m.t.sql", &text).unwrap();
        let faults = Project::open(&place.engine, vec![definition], options.clone()).await.err().unwrap_or_default();
        let fault = faults.iter().map(ToString::to_string).collect::<String>();
        assert!(fault.starts_with(expected), "{fault}\nexpected {expected}");
    }
}
