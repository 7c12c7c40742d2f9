//! Keys. Delta tables have none that a server could vouch for, so the answers are empty, with the prescribed columns.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

static PRIMARY: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = column("");
    fields.push(Field::new("key_name", DataType::Utf8, true));
    fields.push(Field::new("key_sequence", DataType::Int32, false));
    Arc::new(Schema::new(fields))
});

static FOREIGN: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = column("pk_");
    fields.extend(column("fk_"));
    fields.push(Field::new("key_sequence", DataType::Int32, false));
    fields.push(Field::new("fk_key_name", DataType::Utf8, true));
    fields.push(Field::new("pk_key_name", DataType::Utf8, true));
    fields.push(Field::new("update_rule", DataType::UInt8, false));
    fields.push(Field::new("delete_rule", DataType::UInt8, false));
    Arc::new(Schema::new(fields))
});

/// Of CommandGetPrimaryKeys.
pub fn primary_schema() -> SchemaRef {
    PRIMARY.clone()
}

/// Of CommandGetExportedKeys, CommandGetImportedKeys and CommandGetCrossReference.
pub fn foreign_schema() -> SchemaRef {
    FOREIGN.clone()
}

fn column(prefix: &str) -> Vec<Field> {
    let field = |name: &str, nullable| Field::new(format!("{prefix}{name}"), DataType::Utf8, nullable);
    vec![
        field("catalog_name", true),
        field("db_schema_name", true),
        field("table_name", false),
        field("column_name", false),
    ]
}
