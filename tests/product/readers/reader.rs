//! The Python process in which another Delta library lives.

use std::{
    io::{BufRead, BufReader, Cursor, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use arrow::{array::RecordBatch, ipc::reader::StreamReader};
use serde_json::Value;

/// A process that answers one request after the other. It ends when this is dropped.
pub struct Reader {
    /// `deltalake` or `spark`.
    pub name: &'static str,
    process: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Reader {
    /// Python's `deltalake`; none, and a word about it, where no Python has it.
    ///
    /// A Python that `BOATHOUSE_TEST_PYTHON` names must have it.
    pub fn deltalake() -> Option<Self> {
        let asked = std::env::var_os("BOATHOUSE_TEST_PYTHON");
        let python = PathBuf::from(asked.clone().unwrap_or_else(|| "python3".into()));
        if has(&python, "import deltalake, pyarrow") {
            return Some(Self::start("deltalake", &python, &["deltalake"]));
        }
        assert!(asked.is_none(), "{} cannot import deltalake and pyarrow", python.display());
        println!("skipped: no python3 with deltalake and pyarrow; .ci/run makes one");
        None
    }

    /// Delta of Spark, when `BOATHOUSE_TEST_SPARK` names a folder with `bin/python`, which has `pyspark`, and `jars/`.
    pub fn spark() -> Option<Self> {
        let Some(folder) = std::env::var_os("BOATHOUSE_TEST_SPARK").map(PathBuf::from) else {
            println!("skipped: BOATHOUSE_TEST_SPARK names no folder with Spark");
            return None;
        };
        let jars = std::fs::read_dir(folder.join("jars")).expect("BOATHOUSE_TEST_SPARK has a folder jars");
        let mut jars: Vec<String> = jars.map(|jar| jar.unwrap().path().display().to_string()).collect();
        jars.sort();
        Some(Self::start("spark", &folder.join("bin/python"), &["spark", &jars.join(",")]))
    }

    fn start(name: &'static str, python: &Path, arguments: &[&str]) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("product/readers/reader.py");
        let mut command = Command::new(python);
        command.arg(program).args(arguments).env("PYTHONDONTWRITEBYTECODE", "1");
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (requests, answers) = (process.stdin.take(), BufReader::new(process.stdout.take().unwrap()));
        Self { name, process, requests, answers }
    }

    /// Sends a request; the error is the library's.
    pub fn call(&mut self, request: &Value) -> Result<(Value, Vec<RecordBatch>), String> {
        let requests = self.requests.as_mut().expect("the process is asked until it is dropped");
        writeln!(requests, "{request}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{request}: {line:?}: {error}"));
        let mut body = vec![0; told["bytes"].as_u64().unwrap() as usize];
        self.answers.read_exact(&mut body).unwrap();
        if let Some(error) = told["error"].as_str() {
            return Err(error.to_owned());
        }
        if body.is_empty() {
            return Ok((told, vec![]));
        }
        let stream = StreamReader::try_new(Cursor::new(body), None).unwrap();
        let schema = stream.schema();
        let mut rows: Vec<RecordBatch> = stream.collect::<Result<_, _>>().unwrap();
        rows.push(RecordBatch::new_empty(schema));
        Ok((told, rows))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        drop(self.requests.take());
        let _ = self.process.wait();
    }
}

fn has(python: &Path, program: &str) -> bool {
    let mut command = Command::new(python);
    let ran = command.args(["-c", program]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    ran.is_ok_and(|status| status.success())
}
