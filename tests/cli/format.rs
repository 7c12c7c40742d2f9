//! What results look like in each format.

use crate::{boathouse, check};

const SETUP: &str = "\
CREATE TABLE trips (id BIGINT NOT NULL, boat VARCHAR, length_km DECIMAL(8, 2), started TIMESTAMP, tags ARRAY<VARCHAR>);
INSERT INTO trips VALUES
  (1, 'Heron', 12.50, TIMESTAMP '2024-05-01 08:30:00', ['calm', 'sun']),
  (2, 'Otter, the \"fast\"', NULL, TIMESTAMP '2024-05-02 09:00:00.25', NULL),
  (30, '', 7, NULL, []);
";

const QUERY: &str = "SELECT * FROM trips ORDER BY id;";

#[test]
fn each_text_format_shows_the_same_rows() {
    for format in ["table", "line", "csv", "json", "ndjson", "markdown"] {
        let call = boathouse(["sql", "memory://", "--format", format]).input(&format!("{SETUP}{QUERY}"));
        check!(format!("format_{format}"), call.text());
    }
}

#[test]
fn a_parquet_file_is_read_back_by_a_query() {
    let folder = tempfile::tempdir().unwrap();
    let call = boathouse(["sql", "memory://", "--format", "parquet", "-o", "trips.parquet"]).folder(folder.path());
    check!("parquet_written", call.input(&format!("{SETUP}{QUERY}")).text());
    let query = "SELECT * FROM 'trips.parquet' ORDER BY id";
    let call = boathouse(["sql", "memory://", "-c", query]).folder(folder.path());
    check!("parquet_read", call.text());
}

#[test]
fn arrow_streams_to_a_pipe() {
    let output =
        boathouse(["sql", "memory://", "--format", "arrow", "-c", "SELECT 1 AS n UNION ALL SELECT 2"]).output();
    assert!(output.status.success());
    let reader = arrow::ipc::reader::StreamReader::try_new(output.stdout.as_slice(), None).unwrap();
    assert_eq!(reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 2);
}

#[test]
fn a_failed_script_leaves_no_output_file() {
    let folder = tempfile::tempdir().unwrap();
    let call = boathouse(["sql", "memory://", "-o", "out.csv", "--format", "csv", "-c", "SELECT 1; SELECT nothing"]);
    assert_eq!(call.folder(folder.path()).output().status.code(), Some(1));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_reader_that_stops_early_is_no_error() {
    use std::io::Read;
    let query = "SELECT * FROM generate_series(1, 100000000)";
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_boathouse"))
        .args(["sql", "memory://", "--format", "csv", "-c", query])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 8];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
