use std::{
    io::{self, Write},
    sync::Arc,
};

use arrow::{
    array::{Int64Array, RecordBatch},
    datatypes::{DataType, Field, Schema},
};
use async_trait::async_trait;
use boathouse_engine::ErrorKind;
use futures::{StreamExt, stream};
use parking_lot::Mutex;

use super::{output::Format, *};
use crate::client::{Answer, Client, ClientError, Names, Rows};

/// Answers without an engine and remembers what it was asked.
#[derive(Default)]
struct Fake {
    asked: Arc<Mutex<Vec<String>>>,
    running: Arc<Mutex<usize>>,
}

/// A statement that runs until it is dropped.
struct Running(Arc<Mutex<usize>>);

impl Running {
    fn start(running: &Arc<Mutex<usize>>) -> Self {
        *running.lock() += 1;
        Self(running.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        *self.0.lock() -= 1;
    }
}

/// What the terminal does to this process. The shell listens by now: it looks for Ctrl-C before it looks at its statement.
fn press_ctrl_c() {
    let status = std::process::Command::new("kill").args(["-INT", &std::process::id().to_string()]).status();
    assert!(status.unwrap().success());
}

#[async_trait]
impl Client for Fake {
    async fn run(&self, sql: &str) -> Result<Answer, ClientError> {
        self.asked.lock().push(sql.to_owned());
        match sql {
            "INSERT" => Ok(Answer::Changed { rows: 2, parts: None }),
            "CREATE" => Ok(Answer::Done("CREATE TABLE".to_owned())),
            "FAIL" => Err(ClientError::new(ErrorKind::InvalidSql, "no\nLINE 1: FAIL\n        ^^^^")),
            "HANG" => {
                let _running = Running::start(&self.running);
                press_ctrl_c();
                std::future::pending().await
            }
            _ => {
                let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
                let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from(vec![1, 2]))]);
                let mut batches = stream::iter([Ok(batch.unwrap())]).boxed();
                if sql == "HANG LATER" {
                    let running = Running::start(&self.running);
                    let hang = async move {
                        let _running = running;
                        press_ctrl_c();
                        std::future::pending().await
                    };
                    batches = batches.chain(stream::once(hang)).boxed();
                }
                Ok(Answer::Rows(Rows::new(schema, batches)))
            }
        }
    }

    async fn names(&self) -> Result<Names, ClientError> {
        Ok(Names::default())
    }

    async fn idle(&self) {}

    fn location(&self) -> &str {
        "fake"
    }
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }
}

fn shell(format: Format) -> (Shell, Written, Arc<Mutex<Vec<String>>>) {
    let fake = Fake::default();
    let asked = fake.asked.clone();
    let written = Written::default();
    let out = Out::stream(written.clone());
    (Shell::new(Box::new(fake), Settings::new(format, false), Screen::default(), out, false), written, asked)
}

#[tokio::test]
async fn a_script_runs_in_order_and_prints_rows_tags_and_counts() {
    let (mut shell, written, asked) = shell(Format::Table);
    let flow = shell.run_script("CREATE; INSERT;\nSELECT 1".as_bytes(), "load.sql").await.unwrap();
    assert_eq!(flow, Flow::Continue);
    assert_eq!(*asked.lock(), ["CREATE", "INSERT", "SELECT 1"]);
    assert_eq!(written.text(), "CREATE TABLE\n2 rows changed\n n\n---\n 1\n 2\n(2 rows)\n\n");
}

#[tokio::test]
async fn formats_for_programs_hold_rows_alone() {
    let (mut shell, written, _) = shell(Format::Csv);
    shell.run_script("CREATE; SELECT 1;\n\\x\n\\format ndjson\nSELECT 1".as_bytes(), "-").await.unwrap();
    assert_eq!(written.text(), "n\n1\n2\n{\"n\":1}\n{\"n\":2}\n");
}

#[tokio::test]
async fn the_first_error_stops_a_script_and_tells_its_line() {
    let (mut shell, _, asked) = shell(Format::Table);
    let error = shell.run_script("SELECT 1;\n\nFAIL; SELECT 2;".as_bytes(), "load.sql").await.unwrap_err();
    assert_eq!(error.to_string(), "load.sql:3: no\nLINE 1: FAIL\n        ^^^^");
    assert_eq!(*asked.lock(), ["SELECT 1", "FAIL"]);
}

#[tokio::test]
async fn quit_ends_a_script_early() {
    let (mut shell, _, asked) = shell(Format::Table);
    assert_eq!(shell.run_script("SELECT 1;\n\\q\nSELECT 2;".as_bytes(), "-").await.unwrap(), Flow::Quit);
    assert_eq!(*asked.lock(), ["SELECT 1"]);
}

#[tokio::test]
async fn included_files_run_and_may_not_include_themselves_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("again.sql");
    std::fs::write(&path, format!("SELECT 1;\n\\i {}\n", path.display())).unwrap();
    let (mut shell, _, asked) = shell(Format::Table);
    let error = shell.run_script(format!("\\i {}", path.display()).as_bytes(), "-").await.unwrap_err();
    assert!(error.to_string().contains("files deep"), "{error}");
    assert_eq!(asked.lock().len(), 16);

    let error = shell.run_script("\\i missing.sql".as_bytes(), "-").await.unwrap_err();
    assert!(error.to_string().starts_with("-:1: could not read \"missing.sql\""), "{error}");
}

#[tokio::test]
async fn results_follow_the_output_command() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.txt");
    let (mut shell, _, _) = shell(Format::Csv);
    let script = format!("\\o {}\nSELECT 1;\n\\format json\nSELECT 1;", path.display());
    shell.run_script(script.as_bytes(), "-").await.unwrap();
    shell.finish().unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "n\n1\n2\n[{\"n\":1},\n {\"n\":2}]\n");
}

#[tokio::test]
async fn a_second_result_does_not_fit_into_a_parquet_file() {
    let (mut shell, _, _) = shell(Format::Parquet);
    let error = shell.run_script("SELECT 1;\nSELECT 2;".as_bytes(), "-").await.unwrap_err();
    assert_eq!(error.to_string(), "-:2: the format parquet puts one result into a file, and standard output has one");
}

#[tokio::test]
async fn ctrl_c_cancels_the_statement_and_not_the_shell() {
    let fake = Fake::default();
    let running = fake.running.clone();
    let written = Written::default();
    let settings = Settings { timing: false, ..Settings::new(Format::Csv, true) };
    let mut shell = Shell::new(Box::new(fake), settings, Screen::default(), Out::stream(written.clone()), true);
    for sql in ["HANG", "HANG LATER"] {
        assert!(matches!(shell.run_statement(sql).await, Err(ShellError::Cancelled)), "{sql}");
        assert_eq!(*running.lock(), 0, "{sql} is dropped");
    }
    shell.run_statement("SELECT 1").await.unwrap();
    assert_eq!(written.text(), "n\n1\n2\nn\n1\n2\n");
}
