use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray,
        RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
    },
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef},
};

use super::*;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn people() -> RecordBatch {
    batch(vec![
        ("id", Arc::new(Int64Array::from(vec![1, 20, 300]))),
        ("name", Arc::new(StringArray::from(vec![Some("Ann, \"A\""), None, Some("")]))),
        ("note", Arc::new(StringArray::from(vec![Some("one\ntwo"), Some("a|b"), Some("tab\there")]))),
    ])
}

fn types() -> RecordBatch {
    let decimal = Decimal128Array::from(vec![Some(1_250), None]).with_precision_and_scale(10, 2).unwrap();
    let time = TimestampMicrosecondArray::from(vec![Some(1_700_000_000_123_000), Some(0)]);
    let point = StructArray::from(vec![
        (Arc::new(Field::new("x", DataType::Int64, true)), Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
        (Arc::new(Field::new("t", DataType::Utf8, true)), Arc::new(StringArray::from(vec![None, Some("q\"")])) as _),
    ]);
    batch(vec![
        ("d", Arc::new(decimal)),
        ("f", Arc::new(Float64Array::from(vec![0.1, 1e300]))),
        ("b", Arc::new(BooleanArray::from(vec![true, false]))),
        ("day", Arc::new(Date32Array::from(vec![0, 19_000]))),
        ("ts", Arc::new(time.clone())),
        ("tz", Arc::new(time.with_timezone("UTC"))),
        ("bytes", Arc::new(BinaryArray::from(vec![&b"\x00\xff"[..], b""]))),
        ("list", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]))),
        ("point", Arc::new(point)),
    ])
}

fn print_with(format: Format, look: Look, schema: SchemaRef, batches: &[RecordBatch]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut printer = format.printer(schema, look).unwrap();
    for batch in batches {
        printer.batch(batch, &mut out).unwrap();
    }
    printer.end(&mut out).unwrap();
    out
}

fn print(format: Format, batch: &RecordBatch) -> String {
    String::from_utf8(print_with(format, Look::default(), batch.schema(), std::slice::from_ref(batch))).unwrap()
}

fn print_nothing(format: Format) -> String {
    String::from_utf8(print_with(format, Look::default(), people().schema(), &[])).unwrap()
}

#[test]
fn table_aligns_columns_and_continues_long_cells() {
    let expected = r#"
  id | name     | note
-----+----------+-----------
   1 | Ann, "A" | one      +
     |          | two
  20 | NULL     | a|b
 300 |          | tab\there
(3 rows)

"#;
    assert_eq!(print(Format::Table, &people()), expected.trim_start_matches('\n'));
    assert_eq!(print_nothing(Format::Table), " id | name | note\n----+------+------\n(0 rows)\n\n");
}

#[test]
fn table_measures_the_first_rows_and_lets_later_ones_stick_out() {
    let first = batch(vec![
        ("n", Arc::new(Int64Array::from(vec![1; 1_000]))),
        ("m", Arc::new(Int64Array::from(vec![2; 1_000]))),
    ]);
    let second =
        batch(vec![("n", Arc::new(Int64Array::from(vec![12_345]))), ("m", Arc::new(Int64Array::from(vec![2])))]);
    let text = String::from_utf8(print_with(Format::Table, Look::default(), first.schema(), &[first, second])).unwrap();
    assert!(text.ends_with(" 1 | 2\n 12345 | 2\n(1001 rows)\n\n"), "{}", &text[text.len() - 60..]);
}

#[test]
fn table_cuts_and_dims_only_where_it_is_asked_to() {
    let look = Look { colors: true, cell_width_max: Some(5) };
    let wide = batch(vec![("title", Arc::new(StringArray::from(vec![Some("日本語日本語"), Some("12345"), None])))]);
    let text = String::from_utf8(print_with(Format::Table, look, wide.schema(), &[wide])).unwrap();
    assert_eq!(text, " \x1b[1mtitle\x1b[0m\n-------\n 日本…\n 12345\n \x1b[2mNULL\x1b[0m\n(3 rows)\n\n");
}

#[test]
fn control_characters_never_reach_the_terminal() {
    let text = print(Format::Table, &batch(vec![("x", Arc::new(StringArray::from(vec!["a\x1b[31mb\r"])))]));
    assert!(text.contains("a\\u{1b}[31mb\\r"), "{text}");
}

#[test]
fn every_type_has_a_plain_text_form() {
    let expected = r#"
-[ row 1 ]---------------------------
d     | 12.50
f     | 0.1
b     | true
day   | 1970-01-01
ts    | 2023-11-14 22:13:20.123
tz    | 2023-11-14 22:13:20.123+00:00
bytes | 00ff
list  | [1,null]
point | {"x":1,"t":null}
-[ row 2 ]---------------------------
d     | NULL
f     | 1e300
b     | false
day   | 2022-01-08
ts    | 1970-01-01 00:00:00
tz    | 1970-01-01 00:00:00+00:00
bytes |
list  | NULL
point | {"x":2,"t":"q\""}
(2 rows)

"#;
    assert_eq!(print(Format::Line, &types()), expected.trim_start_matches('\n'));
}

#[test]
fn csv_quotes_what_needs_it_and_tells_null_from_empty() {
    let expected = "id,name,note\n1,\"Ann, \"\"A\"\"\",\"one\ntwo\"\n20,,a|b\n300,\"\",tab\there\n";
    assert_eq!(print(Format::Csv, &people()), expected);
    assert_eq!(print_nothing(Format::Csv), "id,name,note\n");
}

#[test]
fn json_is_one_array_and_ndjson_one_object_a_line() {
    let text = print(Format::Json, &people());
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value[1], serde_json::json!({ "id": 20, "name": null, "note": "a|b" }));
    assert_eq!(value.as_array().unwrap().len(), 3);
    assert_eq!(print_nothing(Format::Json), "[]\n");

    let text = print(Format::Ndjson, &people());
    assert_eq!(text.lines().next(), Some(r#"{"id":1,"name":"Ann, \"A\"","note":"one\ntwo"}"#));
    assert_eq!(text.lines().count(), 3);
    assert_eq!(print_nothing(Format::Ndjson), "");

    let value: serde_json::Value = serde_json::from_str(&print(Format::Json, &types())).unwrap();
    assert_eq!(value[0]["d"], serde_json::json!(12.50));
    assert_eq!(value[0]["ts"], serde_json::json!("2023-11-14T22:13:20.123"));
    assert_eq!(value[1]["point"]["t"], serde_json::json!("q\""));
}

#[test]
fn markdown_escapes_its_own_marks() {
    let expected =
        "| id | name | note |\n| ---: | --- | --- |\n| 1 | Ann, \"A\" | one<br>two |\n| 20 | NULL | a\\|b |\n";
    assert!(print(Format::Markdown, &people()).starts_with(expected));
    assert_eq!(print_nothing(Format::Markdown), "| id | name | note |\n| ---: | --- | --- |\n");
}

#[test]
fn parquet_and_arrow_are_read_back_as_they_were() {
    let people = people();
    let halves = [people.slice(0, 2), people.slice(2, 1)];
    let bytes = print_with(Format::Arrow, Look::default(), people.schema(), &halves);
    let read: Vec<RecordBatch> =
        arrow::ipc::reader::StreamReader::try_new(bytes.as_slice(), None).unwrap().map(Result::unwrap).collect();
    assert_eq!(read, halves);

    let bytes = print_with(Format::Parquet, Look::default(), people.schema(), &halves);
    let reader =
        parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(bytes::Bytes::from(bytes), 100).unwrap();
    let read: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    assert_eq!(read, [people]);
}

#[test]
fn format_names_are_those_of_the_command_line() {
    for format in Format::ALL {
        assert_eq!(format.name().to_uppercase().parse(), Ok(format));
    }
}
