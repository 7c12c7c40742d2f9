//! Keys. A table's primary key is what its property `boathouse.primaryKey` says; Delta has no keys that refer to other tables,
//! so the answers about those are empty, with the prescribed columns.

use std::sync::{Arc, LazyLock};

use arrow::{
    array::{ArrayRef, Int32Array, RecordBatch, StringArray, new_null_array},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use arrow_flight::sql::CommandGetPrimaryKeys;
use boathouse_engine::{ErrorKind, Session};
use tonic::Status;

use super::list::{CATALOG, matching_schemas};
use crate::status;

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

/// The answer to CommandGetPrimaryKeys: names in it are no patterns.
pub async fn primary(session: &Session, command: &CommandGetPrimaryKeys) -> Result<RecordBatch, Status> {
    let mut schemas = matching_schemas(session, command.catalog.as_deref(), None).await?;
    schemas.retain(|schema| command.db_schema.as_ref().is_none_or(|asked| asked == schema));
    let mut found = Vec::new();
    for schema in schemas {
        match session.table_columns(&schema, &command.table).await {
            Ok(columns) => {
                found.extend(columns.key.into_iter().zip(1_i32..).map(|(name, at)| (schema.clone(), name, at)))
            }
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => return Err(status::from_engine(error)),
        }
    }
    let text = |of: fn(&(String, String, i32)) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(found.iter().map(of)))
    };
    let same = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value; found.len()])) };
    let columns = vec![
        same(CATALOG),
        text(|(schema, _, _)| schema),
        same(&command.table),
        text(|(_, name, _)| name),
        new_null_array(&DataType::Utf8, found.len()),
        Arc::new(Int32Array::from_iter_values(found.iter().map(|(_, _, at)| *at))) as ArrayRef,
    ];
    RecordBatch::try_new(primary_schema(), columns).map_err(|error| status::internal(&error))
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
