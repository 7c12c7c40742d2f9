//! What drivers ask before they ask for rows.

use std::collections::BTreeMap;

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{DataType, Field, Schema, UInt32Type},
};
use arrow_flight::{
    IpcMessage,
    sql::{
        CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
        CommandGetPrimaryKeys, CommandGetTables, CommandGetXdbcTypeInfo, SqlInfo,
    },
};
use boathouse_tests::{TestLake, TestServer};

use crate::support::{Flight, fetch, table as table_of};

async fn server() -> (TestLake, TestServer) {
    let lake = TestLake::folder().await;
    lake.run(
        "CREATE SCHEMA sales; CREATE TABLE sales.order_items (id BIGINT NOT NULL, price DECIMAL(12, 2), note VARCHAR); \
         CREATE TABLE sales.orderXitems (x INT); CREATE VIEW sales.cheap AS SELECT id FROM sales.order_items; \
         CREATE TABLE t (a INT)",
    )
    .await;
    let server = TestServer::spawn(lake.engine().clone()).await;
    (lake, server)
}

fn column(batches: &[RecordBatch], index: usize) -> Vec<String> {
    let columns = batches.iter().map(|batch| batch.column(index).as_string::<i32>());
    columns.flat_map(|column| column.iter().flatten().map(str::to_owned).collect::<Vec<_>>()).collect()
}

async fn tables(flight: &mut Flight, command: CommandGetTables) -> Vec<String> {
    let info = flight.get_tables(command).await.unwrap();
    column(&fetch(flight, &info).await, 2)
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_catalog_with_the_lakes_schemas() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let info = flight.get_catalogs().await.unwrap();
    assert_eq!(column(&fetch(&mut flight, &info).await, 0), ["lake"]);
    for (catalog, pattern, expected) in [
        (Some("lake"), Some("s%s"), vec!["sales"]),
        (None, Some("main"), vec!["main"]),
        (Some("other"), None, vec![]),
        (Some(""), None, vec![]),
        (None, Some("SELECT * FROM t"), vec![]),
    ] {
        let command = CommandGetDbSchemas {
            catalog: catalog.map(str::to_owned),
            db_schema_filter_pattern: pattern.map(str::to_owned),
        };
        let info = flight.get_db_schemas(command).await.unwrap();
        assert_eq!(column(&fetch(&mut flight, &info).await, 1), expected, "{catalog:?} {pattern:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_found_by_pattern_and_type() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let sales = CommandGetTables { db_schema_filter_pattern: Some("sales".to_owned()), ..Default::default() };
    assert_eq!(tables(&mut flight, sales.clone()).await, ["cheap", "order_items", "orderxitems"]);
    for (pattern, types, expected) in [
        (Some("order_items"), vec![], vec!["order_items", "orderxitems"]),
        (Some(r"order\_items"), vec![], vec!["order_items"]),
        (Some("%"), vec!["VIEW"], vec!["cheap"]),
        (None, vec!["TABLE"], vec!["order_items", "orderxitems"]),
        (None, vec!["SYSTEM TABLE"], vec![]),
        (Some("SELECT 1"), vec![], vec![]),
    ] {
        let command = CommandGetTables {
            table_name_filter_pattern: pattern.map(str::to_owned),
            table_types: types.iter().map(|kind: &&str| (*kind).to_owned()).collect(),
            ..sales.clone()
        };
        assert_eq!(tables(&mut flight, command).await, expected, "{pattern:?} {types:?}");
    }
    let info = flight.get_table_types().await.unwrap();
    assert_eq!(column(&fetch(&mut flight, &info).await, 0), ["TABLE", "VIEW"]);
}

/// The columns of the one table that the pattern finds.
async fn columns(flight: &mut Flight, pattern: &str) -> Schema {
    let command = CommandGetTables {
        table_name_filter_pattern: Some(pattern.to_owned()),
        include_schema: true,
        ..Default::default()
    };
    let info = flight.get_tables(command).await.unwrap();
    let batches = fetch(flight, &info).await;
    assert_eq!(column(&batches, 2).len(), 1);
    let bytes = batches[0].column(4).as_binary::<i32>().value(0).to_vec();
    Schema::try_from(IpcMessage(bytes.into())).unwrap()
}

fn facts(field: &Field, key: &str) -> Option<String> {
    field.metadata().get(&format!("ARROW:FLIGHT:SQL:{key}")).cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_come_with_described_columns_when_asked() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let schema = columns(&mut flight, "order\\_items").await;
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["id", "price", "note"]);
    assert!(!schema.field(0).is_nullable());
    assert_eq!(*schema.field(1).data_type(), DataType::Decimal128(12, 2));
    assert_eq!(facts(schema.field(0), "TYPE_NAME").as_deref(), Some("BIGINT"));
    assert_eq!(facts(schema.field(1), "PRECISION").as_deref(), Some("12"));
    assert_eq!(facts(schema.field(1), "SCALE").as_deref(), Some("2"));
    assert_eq!(facts(schema.field(2), "TABLE_NAME").as_deref(), Some("order_items"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_says_all_that_the_protocol_has_names_for() {
    let (lake, server) = server().await;
    lake.run(
        "CREATE TABLE described (id BIGINT NOT NULL COMMENT 'counts them', word VARCHAR, ratio DOUBLE, moment TIMESTAMP); \
         CREATE VIEW seen AS SELECT id FROM described",
    )
    .await;
    let mut flight = server.flight().await;
    for (table, column, own) in [
        (
            "described",
            "id",
            vec![("TYPE_NAME", "BIGINT"), ("PRECISION", "19"), ("SCALE", "0"), ("REMARKS", "counts them")],
        ),
        ("described", "word", vec![("TYPE_NAME", "VARCHAR"), ("IS_CASE_SENSITIVE", "1")]),
        ("described", "ratio", vec![("TYPE_NAME", "DOUBLE"), ("PRECISION", "15"), ("SCALE", "0")]),
        ("described", "moment", vec![("TYPE_NAME", "TIMESTAMP"), ("PRECISION", "6"), ("SCALE", "6")]),
    ] {
        let mut expected = BTreeMap::from([
            ("CATALOG_NAME", "lake"),
            ("SCHEMA_NAME", "main"),
            ("TABLE_NAME", table),
            ("IS_AUTO_INCREMENT", "0"),
            ("IS_CASE_SENSITIVE", "0"),
            ("IS_READ_ONLY", "0"),
            ("IS_SEARCHABLE", "1"),
        ]);
        expected.extend(own);
        let schema = columns(&mut flight, table).await;
        let field = schema.field_with_name(column).unwrap();
        let told = field.metadata().iter();
        let told: BTreeMap<_, _> =
            told.filter_map(|(key, value)| Some((key.strip_prefix("ARROW:FLIGHT:SQL:")?, value.as_str()))).collect();
        assert_eq!(told, expected, "{table}.{column}");
    }
    let schema = columns(&mut flight, "seen").await;
    assert_eq!(facts(schema.field(0), "IS_READ_ONLY").as_deref(), Some("1"));
    assert_eq!(facts(schema.field(0), "TABLE_NAME").as_deref(), Some("seen"));
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_number_the_rows_are_told_from_others() {
    let (lake, server) = server().await;
    lake.run(
        "CREATE TABLE numbered (\"Id\" BIGINT GENERATED ALWAYS AS IDENTITY, a INT DEFAULT 1, \
         other BIGINT GENERATED BY DEFAULT AS IDENTITY (START WITH 5), twice BIGINT GENERATED ALWAYS AS (a * 2)); \
         CREATE VIEW of_numbered AS SELECT * FROM numbered",
    )
    .await;
    let mut flight = server.flight().await;
    for (table, expected) in [("numbered", ["1", "0", "1", "0"]), ("of\\_numbered", ["0"; 4])] {
        let schema = columns(&mut flight, table).await;
        let found: Vec<_> = schema.fields().iter().map(|field| facts(field, "IS_AUTO_INCREMENT").unwrap()).collect();
        assert_eq!(found, expected, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sql_info_is_there_with_its_type() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let info = flight.get_sql_info(Vec::new()).await.unwrap();
    let batches = fetch(&mut flight, &info).await;
    let mut types = BTreeMap::new();
    for batch in &batches {
        let codes = batch.column(0).as_primitive::<UInt32Type>();
        let values = batch.column(1).as_union();
        types.extend((0..batch.num_rows()).map(|row| (codes.value(row), values.type_id(row))));
    }
    // 0 text, 1 boolean, 2 int64, 3 int32, 4 list of text, 5 map: as FlightSql.proto has them.
    let expected = |code: u32| match code {
        0..=2 | 6 | 7 | 504 | 513 | 514 | 529..=531 => 0,
        8 | 100 | 101 | 503 | 505 | 507 | 522 | 525 | 526 | 528 | 533..=535 | 538 | 540 | 564 | 567..=571 => 3,
        508..=512 => 4,
        517 => 5,
        541..=555 | 557..=562 => 2,
        _ => 1,
    };
    let codes: Vec<u32> = (0..=11).chain(100..=101).chain(500..=576).collect();
    assert_eq!(types.keys().copied().collect::<Vec<_>>(), codes);
    for (code, found) in types {
        assert_eq!(found, expected(code), "code {code}");
    }
    let info = flight.get_sql_info(vec![SqlInfo::FlightSqlServerTransaction]).await.unwrap();
    let batches = fetch(&mut flight, &info).await;
    assert_eq!(batches[0].num_rows(), 1);
    assert_eq!(batches[0].schema(), info.try_decode_schema().unwrap().into());
}

#[tokio::test(flavor = "multi_thread")]
async fn types_are_listed_and_found_by_number() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let info = flight.get_xdbc_type_info(CommandGetXdbcTypeInfo { data_type: None }).await.unwrap();
    let batches = fetch(&mut flight, &info).await;
    assert_eq!(batches[0].num_columns(), 19);
    let names = column(&batches, 0);
    for name in ["BIGINT", "DECIMAL", "VARCHAR", "TIMESTAMP", "BOOLEAN", "DATE", "DOUBLE"] {
        assert!(names.iter().any(|found| found == name), "{name}");
    }
    let info = flight.get_xdbc_type_info(CommandGetXdbcTypeInfo { data_type: Some(-5) }).await.unwrap();
    assert_eq!(column(&fetch(&mut flight, &info).await, 0), ["BIGINT"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_key_is_what_the_tables_property_says() {
    let (lake, server) = server().await;
    lake.run(
        "CREATE TABLE keyed (v INT, id BIGINT NOT NULL, day DATE) \
         TBLPROPERTIES ('boathouse.primaryKey' = 'day, id', 'delta.columnMapping.mode' = 'name'); \
         ALTER TABLE sales.order_items SET TBLPROPERTIES ('boathouse.primaryKey' = 'id'); \
         CREATE TABLE sales.keyed (id INT); CREATE VIEW of_keyed AS SELECT * FROM keyed",
    )
    .await;
    let mut flight = server.flight().await;
    let mut keys = async |catalog: Option<&str>, db_schema: Option<&str>, table: &str| {
        let [catalog, db_schema] = [catalog, db_schema].map(|name| name.map(str::to_owned));
        let command = CommandGetPrimaryKeys { catalog, db_schema, table: table.to_owned() };
        let info = flight.get_primary_keys(command).await.unwrap();
        table_of(&fetch(&mut flight, &info).await)
    };
    let head = "| catalog_name | db_schema_name | table_name | column_name | key_name | key_sequence |";
    let found = keys(Some("lake"), Some("main"), "keyed").await;
    let rows: Vec<&str> = found.lines().filter(|line| line.starts_with('|')).collect();
    assert_eq!(
        rows,
        [
            head,
            "| lake         | main           | keyed      | day         |          | 1            |",
            "| lake         | main           | keyed      | id          |          | 2            |",
        ]
    );
    assert_eq!(keys(None, None, "keyed").await, found);
    assert!(keys(None, None, "order_items").await.contains("| lake         | sales          | order_items | id"));
    for (catalog, schema, table) in [
        (Some("other"), None, "keyed"),
        (None, Some("sales"), "keyed"),
        (None, Some("main"), "of_keyed"),
        (None, Some("ma%"), "keyed"),
        (None, None, "key%"),
        (None, None, "nowhere"),
    ] {
        let none = keys(catalog, schema, table).await;
        assert_eq!(none.lines().filter(|line| line.starts_with('|')).count(), 1, "{schema:?} {table}: {none}");
    }
    // It names no column that is not there.
    for change in ["RENAME COLUMN id TO other", "DROP COLUMN day"] {
        let error = lake.error(&format!("ALTER TABLE keyed {change}")).await;
        assert!(error.contains("is named by property \"boathouse.primaryKey\"; unset it first"), "{error}");
    }
    let error = lake.error("ALTER TABLE keyed SET TBLPROPERTIES ('boathouse.primaryKey' = 'id, nothing')").await;
    assert!(error.contains("a list of the table's columns, and \"nothing\" is none"), "{error}");
    lake.run(
        "ALTER TABLE keyed UNSET TBLPROPERTIES ('boathouse.primaryKey'); ALTER TABLE keyed RENAME COLUMN id TO other",
    )
    .await;
    assert!(!keys(None, None, "keyed").await.contains("| lake"));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_none_in_the_prescribed_columns() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let table = || ("lake".to_owned(), "main".to_owned(), "t".to_owned());
    let (catalog, db_schema, name) = table();
    let primary = CommandGetPrimaryKeys { catalog: Some(catalog), db_schema: Some(db_schema), table: name };
    let mut infos = vec![(flight.get_primary_keys(primary).await.unwrap(), 6)];
    let exported = CommandGetExportedKeys { table: "t".to_owned(), ..Default::default() };
    infos.push((flight.get_exported_keys(exported).await.unwrap(), 13));
    let imported = CommandGetImportedKeys { table: "t".to_owned(), ..Default::default() };
    infos.push((flight.get_imported_keys(imported).await.unwrap(), 13));
    let cross = CommandGetCrossReference { pk_table: "t".to_owned(), fk_table: "t".to_owned(), ..Default::default() };
    infos.push((flight.get_cross_reference(cross).await.unwrap(), 13));
    for (info, columns) in infos {
        let schema = info.clone().try_decode_schema().unwrap();
        assert_eq!(schema.fields().len(), columns);
        let rows: usize = fetch(&mut flight, &info).await.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(rows, 0);
    }
}
