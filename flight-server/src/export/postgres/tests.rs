//! What can be said of a database that is not there. With one: `tests/export`.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Date32Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray},
    datatypes::Int32Type,
};
use boathouse_engine::Secret;

use super::{encode::Rows, load::Place, options::PostgresOptions};

fn options(url: &str) -> Result<PostgresOptions, String> {
    PostgresOptions::checked(&Secret::new(url), None, None)
}

#[test]
fn a_connection_is_encrypted_unless_it_stays_on_this_machine() {
    for (url, encrypted) in [
        ("postgres://u@localhost/d", false),
        ("postgresql://u:p@127.0.0.1:5433/d?application_name=x", false),
        ("postgres://u@[::1]/d", false),
        ("postgres://u@localhost/d?sslmode=require", true),
        ("postgres://u@db.example.org/d", true),
        ("postgres://u@db.example.org/d?sslmode=verify-full&connect_timeout=3", true),
        ("postgres://u@db.example.org/d?sslmode=disable", false),
    ] {
        assert_eq!(options(url).unwrap().tls.is_some(), encrypted, "{url}");
    }
    for (url, expected) in [
        ("postgres://u@h/d?sslmode=prefer", "sslmode=prefer is not supported: write disable or require"),
        ("postgres://u:p4ss@h/d?colour=red", "the url is not understood: unknown option `colour`"),
        ("u:p4ss@h", "the url is not one of PostgreSQL: write postgres://user@host/database"),
    ] {
        let error = options(url).unwrap_err();
        assert!(error.starts_with(expected), "{url}: {error}");
        assert!(!error.contains("p4ss"), "{error}");
    }
}

#[test]
fn a_table_has_a_schema_and_a_name() {
    assert_eq!(Place::parse("sales.daily").unwrap().sql(), "\"sales\".\"daily\"");
    assert_eq!(Place::parse("da\"ily").unwrap().sql(), "\"public\".\"da\"\"ily\"");
    // A longer name is another one's beginning.
    let (fits, long) = ("n".repeat(63), "n".repeat(64));
    assert!(Place::parse(&format!("{fits}.{fits}")).is_ok());
    let (schema, table) = (format!("{long}.t"), format!("s.{long}"));
    for wrong in ["", ".", "a.", ".b", "a.b.c", long.as_str(), schema.as_str(), table.as_str()] {
        assert!(Place::parse(wrong).is_err(), "{wrong}");
    }
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let batch = RecordBatch::try_from_iter([(fits, column.clone())]).unwrap();
    assert!(Rows::of(&batch).is_ok());
    let batch = RecordBatch::try_from_iter([(long, column)]).unwrap();
    assert!(Rows::of(&batch).is_err());
}

#[test]
fn a_row_is_a_count_and_then_each_value_behind_its_length() {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("i", Arc::new(Int32Array::from(vec![Some(258), None]))),
        ("t", Arc::new(StringArray::from(vec!["é", ""]))),
        ("d", Arc::new(Date32Array::from(vec![10_957, 10_956]))),
        ("l", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let rows = Rows::of(&batch).unwrap();
    let mut bytes = Vec::new();
    rows.write(0, &mut bytes).unwrap();
    let mut expected = vec![0, 4, 0, 0, 0, 4, 0, 0, 1, 2, 0, 0, 0, 2, 0xc3, 0xa9, 0, 0, 0, 4, 0, 0, 0, 0];
    expected.extend([0, 0, 0, 9, 1]);
    expected.extend(b"[1,null]");
    assert_eq!(bytes, expected);
    bytes.clear();
    rows.write(1, &mut bytes).unwrap();
    let null = [0xff; 4];
    let mut expected = vec![0, 4];
    expected.extend(null);
    expected.extend([0, 0, 0, 0, 0, 0, 0, 4]);
    expected.extend([0xff; 4]);
    expected.extend(null);
    assert_eq!(bytes, expected);
}

#[test]
fn what_the_database_cannot_hold_is_told_by_its_column() {
    let batch = RecordBatch::try_from_iter([("t", Arc::new(StringArray::from(vec!["a\0b"])) as ArrayRef)]).unwrap();
    let error = Rows::of(&batch).unwrap().write(0, &mut Vec::new()).unwrap_err();
    assert_eq!(error.message, "column \"t\" has a text with the character U+0000, which PostgreSQL does not keep");
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let seconds =
        arrow::compute::cast(&column, &arrow::datatypes::DataType::Duration(arrow::datatypes::TimeUnit::Second));
    let batch = RecordBatch::try_from_iter([("t", seconds.unwrap())]).unwrap();
    assert!(Rows::of(&batch).is_err());
}
