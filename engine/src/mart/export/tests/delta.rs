//! Deliveries to Delta tables in a folder.

use std::path::Path;

use datafusion::{
    arrow::{array::RecordBatch, datatypes::Schema},
    error::DataFusionError,
    physical_plan::stream::RecordBatchStreamAdapter,
};

use super::*;
use crate::mart::DeltaExports;

/// A lake with a mart, and a folder outside of it.
struct Out {
    place: Place,
    folder: tempfile::TempDir,
}

impl Out {
    async fn new() -> Self {
        Self { place: Place::new().await, folder: tempfile::tempdir().unwrap() }
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    async fn project(&self, name: &str, export: &str, query: &str) -> Result<Project, String> {
        let to: Arc<dyn Destination> = Arc::new(DeltaExports::new(self.root().to_str().unwrap()).unwrap());
        let text = format!("/*---\n[[export]]\nto = \"share\"\n{export}\n---*/\n{query}");
        let definition = Definition::parse(&format!("{name}.sql"), &text).unwrap();
        let options = self.place.options(vec![("share".to_owned(), to)]);
        let opened = Project::open(&self.place.engine, vec![definition], options).await;
        opened.map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    /// Runs a mart, and tells what became of its export.
    async fn run(&self, name: &str, export: &str, query: &str) -> String {
        let project = self.project(name, export, query).await.unwrap();
        let runs = project.run(&[], false, |_| {}).await.unwrap();
        told(&project.export_behind(&runs, |_| {}).await.unwrap())
    }

    /// Of the table to which mart `m.t` is delivered.
    async fn commits(&self) -> u64 {
        let engine = Engine::open(self.root().to_str().unwrap(), EngineConfig::default()).await.unwrap();
        engine.lake().table("m", "t").await.unwrap().version() + 1
    }

    /// As another process finds the place, which is a lake.
    async fn rows(&self, sql: &str) -> Vec<String> {
        let engine = Engine::open(self.root().to_str().unwrap(), EngineConfig::default()).await.unwrap();
        match engine.session().execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}")) {
            Outcome::Rows(rows) => texts(rows).await.unwrap(),
            _ => Vec::new(),
        }
    }
}

const QUERY: &str = "SELECT id, amount FROM orders";
const ALL: &str = "SELECT id, amount FROM m.t ORDER BY id";

#[tokio::test]
async fn replace_puts_each_version_in_place_of_the_one_before() {
    let out = Out::new().await;
    assert_eq!(out.run("m.t", "", QUERY).await, "3 rows of v0");
    assert_eq!(out.run("m.t", "", QUERY).await, "up to date");
    assert_eq!(out.rows(ALL).await, ["1 10", "2 20", "2 20"]);
    assert!(out.root().join("m/t/_delta_log/00000000000000000000.json").exists());
    out.place.execute("DELETE FROM orders WHERE id = 2").await;
    assert_eq!(out.run("m.t", "", QUERY).await, "1 rows of v1");
    assert_eq!(out.rows(ALL).await, ["1 10"]);
    // No row is a version, too, and so are rows behind it.
    out.place.execute("DELETE FROM orders").await;
    assert_eq!(out.run("m.t", "", QUERY).await, "0 rows of v2");
    assert_eq!(out.run("m.t", "", QUERY).await, "up to date");
    out.place.execute("INSERT INTO orders VALUES (7, 70)").await;
    assert_eq!(out.run("m.t", "", QUERY).await, "1 rows of v3");
    assert_eq!(out.rows(ALL).await, ["7 70"]);
    // Other columns.
    assert_eq!(out.run("m.t", "", "SELECT id, amount, id > 5 AS big FROM orders").await, "1 rows of v4");
    assert_eq!(out.rows("SELECT * FROM m.t").await, ["7 70 true"]);
    assert_eq!(out.commits().await, 5);
}

#[tokio::test]
async fn append_adds_what_is_new_in_one_commit_each() {
    let (out, mode) = (Out::new().await, "mode = \"append\"");
    assert_eq!(out.run("m.t", mode, QUERY).await, "3 rows of v0");
    out.place.execute("INSERT INTO orders VALUES (2, 20), (3, NULL)").await;
    assert_eq!(out.run("m.t", mode, QUERY).await, "2 rows of v1");
    assert_eq!(out.run("m.t", mode, QUERY).await, "up to date");
    out.place.execute("DELETE FROM orders WHERE id = 1").await;
    assert_eq!(out.run("m.t", mode, QUERY).await, "0 rows of v2");
    assert_eq!(out.run("m.t", mode, QUERY).await, "up to date");
    assert_eq!(out.rows(ALL).await, ["1 10", "2 20", "2 20", "2 20", "3"]);
    assert_eq!(out.commits().await, 3);
    // What the reader of the table does with it is no delivery.
    out.rows("OPTIMIZE m.t").await;
    out.place.execute("INSERT INTO orders VALUES (4, 40)").await;
    assert_eq!(out.run("m.t", mode, QUERY).await, "1 rows of v3");
    assert_eq!(out.rows(ALL).await, ["1 10", "2 20", "2 20", "2 20", "3", "4 40"]);
    // A table that somebody took away gets all rows.
    out.rows("DROP TABLE m.t PURGE").await;
    out.place.execute("INSERT INTO orders VALUES (5, 50)").await;
    assert_eq!(out.run("m.t", mode, QUERY).await, "6 rows of v4");
    assert_eq!(out.rows(ALL).await, ["2 20", "2 20", "2 20", "3", "4 40", "5 50"]);
}

#[tokio::test]
async fn the_log_of_the_table_is_the_ledger() {
    let (out, mode) = (Out::new().await, "mode = \"append\"");
    assert_eq!(out.run("m.t", mode, QUERY).await, "3 rows of v0");
    out.place.execute("INSERT INTO orders VALUES (3, 30)").await;
    assert_eq!(out.run("m.t", mode, QUERY).await, "1 rows of v1");
    // Nobody wrote down that it was delivered.
    let forget = |document: &mut boathouse_storage::catalog::ExportsDocument| document.exports.clear();
    out.place.engine.lake().change_mart_exports("m.t", forget).await.unwrap();
    assert_eq!(out.run("m.t", mode, QUERY).await, "up to date");
    assert_eq!(out.commits().await, 2);
    // Checkpoints keep it, and commits of before may go.
    out.rows("ALTER TABLE m.t SET TBLPROPERTIES ('delta.checkpointInterval' = '10')").await;
    for id in 10..22 {
        out.place.execute(&format!("INSERT INTO orders VALUES ({id}, NULL)")).await;
        assert_eq!(out.run("m.t", mode, QUERY).await, format!("1 rows of v{}", id - 8));
    }
    let log = out.root().join("m/t/_delta_log");
    assert!(log.join("00000000000000000010.checkpoint.parquet").exists(), "{:?}", fs::read_dir(&log).unwrap().count());
    for version in 0..10 {
        fs::remove_file(log.join(format!("{version:020}.json"))).unwrap();
    }
    out.place.engine.lake().change_mart_exports("m.t", forget).await.unwrap();
    assert_eq!(out.run("m.t", mode, QUERY).await, "up to date");
    assert_eq!(out.rows("SELECT count(*), count(DISTINCT id) FROM m.t").await, ["16 15"]);
    // Rows without a ledger are not delivered again by themselves.
    out.rows("CREATE TABLE m.copy AS SELECT * FROM m.t").await;
    out.rows("DROP TABLE m.t PURGE").await;
    out.rows("ALTER TABLE m.copy RENAME TO t").await;
    out.place.execute("INSERT INTO orders VALUES (30, NULL)").await;
    let told = out.run("m.t", mode, QUERY).await;
    assert!(told.contains("does not tell which rows") && told.contains("boathouse mart export m.t --again"), "{told}");
    assert_eq!(out.rows("SELECT count(*) FROM m.t").await, ["16"]);
}

/// A destination whose table somebody changes while rows are on their way.
#[derive(Debug)]
struct Meanwhile {
    to: DeltaExports,
    folder: std::path::PathBuf,
    sql: Mutex<Vec<&'static str>>,
}

#[async_trait]
impl Destination for Meanwhile {
    fn kind(&self) -> &'static str {
        "files"
    }

    fn check(&self, export: &Export, columns: &[FieldRef]) -> Result<(), EngineError> {
        self.to.check(export, columns)
    }

    async fn last(&self, delivery: &Delivery, known: Option<ExportMark>) -> Result<Option<ExportMark>, EngineError> {
        self.to.last(delivery, known).await
    }

    async fn deliver(&self, delivery: &Delivery, rows: RowStream, progress: &Progress) -> Result<u64, EngineError> {
        let (folder, sql) = (self.folder.clone(), std::mem::take(&mut *self.sql.lock()));
        let schema = rows.schema();
        // Behind the last row, so when the table was looked at.
        let rows = rows.map(|batch| batch.map_err(|error| DataFusionError::External(Box::new(error))));
        let rows = rows.chain(futures::stream::once(async move {
            let engine = Engine::open(folder.to_str().unwrap(), EngineConfig::default()).await.unwrap();
            for sql in sql {
                engine.session().execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
            }
            Ok(RecordBatch::new_empty(Arc::new(Schema::empty())))
        }));
        let rows = rows.filter(|batch| std::future::ready(!batch.as_ref().is_ok_and(|batch| batch.num_columns() == 0)));
        let rows = Box::pin(RecordBatchStreamAdapter::new(schema.clone(), rows));
        let rows = RowStream::spawn(delivery.engine.runtime(), schema, rows, None, None, None);
        self.to.deliver(delivery, rows, progress).await
    }
}

#[tokio::test]
async fn what_comes_between_is_neither_overwritten_nor_doubled() {
    for (export, sql, rows) in [
        // A row of somebody else: the delivery begins again behind it.
        ("mode = \"append\"", vec!["INSERT INTO m.t VALUES (9, 90)"], Ok(vec!["1 10", "2 20", "2 20", "4 40", "9 90"])),
        ("mode = \"append\"", vec!["OPTIMIZE m.t"], Ok(vec!["1 10", "2 20", "2 20", "4 40"])),
        ("", vec!["INSERT INTO m.t VALUES (9, 90)"], Ok(vec!["1 10", "2 20", "2 20", "4 40"])),
        // A table of somebody else, whose next version has the same number.
        ("", vec!["DROP TABLE m.t PURGE", "CREATE TABLE m.t AS SELECT 5 AS mine"], Err(vec!["5"])),
        ("", vec!["CREATE OR REPLACE TABLE m.t AS SELECT 5 AS mine"], Err(vec!["5"])),
    ] {
        let out = Out::new().await;
        assert_eq!(out.run("m.t", export, QUERY).await, "3 rows of v0");
        out.place.execute("INSERT INTO orders VALUES (4, 40)").await;
        let text = format!("/*---\n[[export]]\nto = \"share\"\n{export}\n---*/\n{QUERY}");
        let to = DeltaExports::new(out.root().to_str().unwrap()).unwrap();
        let to: Arc<dyn Destination> =
            Arc::new(Meanwhile { to, folder: out.root().to_owned(), sql: Mutex::new(sql.clone()) });
        let definition = Definition::parse("m.t.sql", &text).unwrap();
        let options = out.place.options(vec![("share".to_owned(), to)]);
        let project = Project::open(&out.place.engine, vec![definition], options).await.unwrap();
        project.run(&[], false, |_| {}).await.unwrap();
        let mut told = String::new();
        for _ in 0..2 {
            told = super::told(&project.export(&[], None, false, |_| {}).await.unwrap());
        }
        match rows {
            Ok(rows) => {
                assert_eq!(told, "up to date", "{sql:?}");
                assert_eq!(out.rows(ALL).await, rows, "{sql:?}");
            }
            Err(rows) => {
                assert!(told.starts_with("failed: the table \"m.t\" is there, and no export"), "{sql:?}: {told}");
                assert_eq!(out.rows("SELECT * FROM m.t").await, rows, "{sql:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_lake_that_was_moved_is_known_by_its_marts() {
    let (folder, share) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let deliver = async |at: &str, mode: &str, sql: &[&str]| {
        let place = folder.path().join(at);
        let engine = Engine::create(place.to_str().unwrap(), EngineConfig::default()).await.unwrap();
        for sql in sql {
            engine.session().execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        let to: Arc<dyn Destination> = Arc::new(DeltaExports::new(share.path().to_str().unwrap()).unwrap());
        let options =
            MartOptions { destinations: [("share".to_owned(), to)].into_iter().collect(), ..MartOptions::default() };
        let text = format!("/*---\nexport = [{{ to = \"share\", mode = \"{mode}\" }}]\n---*/\nSELECT id FROM t");
        let definition = Definition::parse(&format!("m.{mode}.sql"), &text).unwrap();
        let project = Project::open(&engine, vec![definition], options).await.unwrap();
        project.run(&[], false, |_| {}).await.unwrap();
        let told = super::told(&project.export(&[], None, false, |_| {}).await.unwrap());
        engine.idle().await;
        told
    };
    let (append, replace) = ("append", "replace");
    assert_eq!(deliver("here", append, &["CREATE TABLE t AS SELECT 1 AS id"]).await, "1 rows of v0");
    assert_eq!(deliver("here", replace, &[]).await, "1 rows of v0");
    fs::rename(folder.path().join("here"), folder.path().join("there")).unwrap();
    assert_eq!(deliver("there", append, &["INSERT INTO t VALUES (2)"]).await, "1 rows of v1");
    assert_eq!(deliver("there", replace, &[]).await, "2 rows of v1");
    let engine = Engine::open(share.path().to_str().unwrap(), EngineConfig::default()).await.unwrap();
    let Outcome::Rows(rows) = engine.session().execute("SELECT id FROM m.append ORDER BY id").await.unwrap() else {
        panic!("no rows");
    };
    assert_eq!(texts(rows).await.unwrap(), ["1", "2"]);
}

#[tokio::test]
async fn a_mart_that_was_made_anew_is_told_from_the_one_before() {
    let out = Out::new().await;
    let append = "mode = \"append\"";
    assert_eq!(out.run("m.t", append, QUERY).await, "3 rows of v0");
    out.place.execute("DROP TABLE m.t").await;
    let told = out.run("m.t", append, QUERY).await;
    assert!(
        told.contains("it cannot be told which rows are new since version 0") && told.contains("--again"),
        "{told}"
    );
    assert_eq!(out.rows(ALL).await, ["1 10", "2 20", "2 20"]);
    assert_eq!(out.run("m.t", "", QUERY).await, "3 rows of v0");
    out.place.execute("INSERT INTO orders VALUES (3, 30)").await;
    assert_eq!(out.run("m.t", append, QUERY).await, "1 rows of v1");
    assert_eq!(out.rows(ALL).await, ["1 10", "2 20", "2 20", "3 30"]);
}

#[tokio::test]
async fn what_a_delta_table_cannot_be_is_told() {
    let out = Out::new().await;
    for (block, query, expected) in [
        (
            "mode = \"merge\"\nkey = \"id\"",
            QUERY,
            "m.t.sql:2: Delta tables are not exported to with mode = \"merge\"\nHINT: ",
        ),
        ("table = \"a/b.c.d\"", QUERY, "m.t.sql:2: \"a/b.c.d\" is not the name of a table\nHINT: "),
        ("table = \"../x\"", QUERY, "m.t.sql:2: "),
    ] {
        let fault = out.project("m.t", block, query).await.err().unwrap_or_default();
        assert!(fault.starts_with(expected), "{fault}\nexpected {expected}");
    }
    // A table of somebody else.
    out.rows("CREATE SCHEMA m").await;
    out.rows("CREATE TABLE m.t AS SELECT 1 AS mine").await;
    let told = out.run("m.t", "", QUERY).await;
    assert!(
        told.starts_with("failed: the table \"m.t\" is there, and no export of the mart has made it\nHINT: "),
        "{told}"
    );
    let told = out.run("m.u", "table = \"m.t\"\nmode = \"append\"", QUERY).await;
    assert!(told.starts_with("failed: ") && told.contains("\"id\""), "{told}");
    assert_eq!(out.rows("SELECT * FROM m.t").await, ["1"]);
    // One that fits gets the rows beside its own.
    out.rows("CREATE TABLE m.own AS SELECT 0 AS id, 0 AS amount").await;
    assert_eq!(out.run("m.v", "table = \"m.own\"\nmode = \"append\"", QUERY).await, "3 rows of v0");
    assert_eq!(out.rows("SELECT count(*) FROM m.own").await, ["4"]);
    // And is not replaced for that.
    out.place.execute("INSERT INTO orders VALUES (8, 80)").await;
    let told = out.run("m.v", "table = \"m.own\"", QUERY).await;
    assert!(told.starts_with("failed: the table \"m.own\" is there, and no export of the mart has made it"), "{told}");
    assert_eq!(out.rows("SELECT count(*) FROM m.own").await, ["4"]);
    // One that another mart's exports replace loses what others add to it.
    assert_eq!(out.run("m.w", "", QUERY).await, "4 rows of v0");
    let told = out.run("m.x", "table = \"m.w\"\nmode = \"append\"", QUERY).await;
    let expected = "failed: the table \"m.w\" was made by the exports of another mart, \"m.w\"\nHINT: ";
    assert!(told.starts_with(expected), "{told}");
    out.rows("CREATE VIEW m.seen AS SELECT 1 AS one").await;
    let told = out.run("m.y", "table = \"m.seen\"", QUERY).await;
    assert!(told.starts_with("failed: \"m.seen\" is a view there"), "{told}");
    assert_eq!(out.rows("SELECT * FROM m.seen").await, ["1"]);
    // The lake is no place to deliver to.
    let lake = tempfile::tempdir().unwrap();
    let engine = Engine::open(lake.path().to_str().unwrap(), EngineConfig::default()).await.unwrap();
    let to: Arc<dyn Destination> = Arc::new(DeltaExports::new(lake.path().to_str().unwrap()).unwrap());
    let destinations = [("share".to_owned(), to)].into_iter().collect();
    let text = "/*---\nexport = [{ to = \"share\", table = \"x.y\" }]\n---*/\nSELECT 1 AS a";
    let definition = Definition::parse("m.t.sql", text).unwrap();
    let options = MartOptions { destinations, ..MartOptions::default() };
    let project = Project::open(&engine, vec![definition], options).await.unwrap();
    let runs = project.run(&[], false, |_| {}).await.unwrap();
    let told = super::told(&project.export_behind(&runs, |_| {}).await.unwrap());
    assert!(told.contains("lies in the lake"), "{told}");
    assert!(!lake.path().join("x").exists());
}
