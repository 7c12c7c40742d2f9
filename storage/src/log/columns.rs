//! The columns of a checkpoint as it is written here, and how those of other writers become ours.
//!
//! Delta protocol, "Checkpoint Schema". Everything that the log may say of a file has its column, so that a checkpoint says
//! no less than the commits before it. All may be NULL: a row has one action.

use std::sync::{Arc, LazyLock};

use arrow::{
    array::{Array, ArrayRef, AsArray, MapArray, RecordBatch, StructArray, new_null_array},
    compute::cast,
    datatypes::{DataType, Field, Fields, Schema, SchemaRef},
    error::ArrowError,
    json::ReaderBuilder,
};
use serde_json::Value;

use super::stats::child;

/// The columns that name a file: what is read of the checkpoint before.
pub(super) const FILE_COLUMNS: [&str; 23] = [
    "add.path",
    "add.partitionValues",
    "add.size",
    "add.modificationTime",
    "add.dataChange",
    "add.stats",
    "add.tags",
    "add.deletionVector",
    "add.baseRowId",
    "add.defaultRowCommitVersion",
    "add.clusteringProvider",
    "remove.path",
    "remove.deletionTimestamp",
    "remove.dataChange",
    "remove.extendedFileMetadata",
    "remove.partitionValues",
    "remove.size",
    "remove.stats",
    "remove.tags",
    "remove.deletionVector",
    "remove.baseRowId",
    "remove.defaultRowCommitVersion",
    "txn",
];

/// Every action that a checkpoint holds, in the form in which JSON gives it.
static ACTIONS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let long = DataType::Int64;
    let format = DataType::Struct(fields([("provider", text()), ("options", texts())]));
    let action = |name: &str, fields: Fields| Field::new(name, DataType::Struct(fields), true);
    Arc::new(Schema::new(vec![
        action("txn", fields([("appId", text()), ("version", long.clone()), ("lastUpdated", long.clone())])),
        action("add", file([("modificationTime", long.clone()), ("clusteringProvider", text())])),
        action("remove", file([("deletionTimestamp", long.clone()), ("extendedFileMetadata", DataType::Boolean)])),
        action(
            "metaData",
            fields([
                ("id", text()),
                ("name", text()),
                ("description", text()),
                ("format", format),
                ("schemaString", text()),
                ("partitionColumns", list()),
                ("configuration", texts()),
                ("createdTime", long.clone()),
            ]),
        ),
        action(
            "protocol",
            fields([
                ("minReaderVersion", DataType::Int32),
                ("minWriterVersion", DataType::Int32),
                ("readerFeatures", list()),
                ("writerFeatures", list()),
            ]),
        ),
        action(
            "domainMetadata",
            fields([("domain", text()), ("configuration", text()), ("removed", DataType::Boolean)]),
        ),
        action("checkpointMetadata", fields([("version", long.clone()), ("tags", texts())])),
        action(
            "sidecar",
            fields([("path", text()), ("sizeInBytes", long.clone()), ("modificationTime", long), ("tags", texts())]),
        ),
    ]))
});

/// The schema of all actions, files without what is parsed of them.
pub(super) fn actions() -> &'static SchemaRef {
    &ACTIONS
}

/// The struct that an action is.
pub(super) fn action_fields(name: &str) -> Fields {
    match ACTIONS.field_with_name(name).map(Field::data_type) {
        Ok(DataType::Struct(fields)) => fields.clone(),
        _ => Fields::empty(),
    }
}

/// Actions as a log has them, `{"add": {...}}`, as rows of [`actions`]. What else they say is left out.
pub(super) fn rows_of(actions: &[Value]) -> Result<RecordBatch, ArrowError> {
    let decoder = ReaderBuilder::new(ACTIONS.clone()).with_coerce_primitive(true).with_batch_size(actions.len().max(1));
    let mut decoder = decoder.build_decoder()?;
    decoder.serialize(actions)?;
    Ok(decoder.flush()?.unwrap_or_else(|| RecordBatch::new_empty(ACTIONS.clone())))
}

/// An array of a type of ours: fields are found by their names, and those that are missing are NULL.
pub(super) fn conform(values: &ArrayRef, kind: &DataType) -> Result<ArrayRef, ArrowError> {
    let other = || ArrowError::SchemaError(format!("{} where {kind} should be", values.data_type()));
    match kind {
        DataType::Struct(fields) => {
            let given = values.as_struct_opt().ok_or_else(other)?;
            let field = |field: &Arc<Field>| match child(given, field.name())? {
                Some(values) => conform(&values, field.data_type()),
                None => Ok(new_null_array(field.data_type(), given.len())),
            };
            let arrays = fields.iter().map(field).collect::<Result<Vec<_>, ArrowError>>()?;
            Ok(Arc::new(StructArray::try_new(fields.clone(), arrays, given.nulls().cloned())?))
        }
        DataType::Map(entry, ordered) => {
            let given = values.as_map_opt().ok_or_else(other)?;
            let DataType::Struct(pair) = entry.data_type() else { return Err(other()) };
            let arrays = [given.keys(), given.values()].into_iter().zip(pair.iter());
            let arrays =
                arrays.map(|(values, field)| cast(values, field.data_type())).collect::<Result<Vec<_>, _>>()?;
            let entries = StructArray::try_new(pair.clone(), arrays, None)?;
            let (offsets, nulls) = (given.offsets().clone(), given.nulls().cloned());
            Ok(Arc::new(MapArray::try_new(entry.clone(), offsets, entries, nulls, *ordered)?))
        }
        kind => cast(values, kind),
    }
}

/// What adding and removing a file have in common, and what one of them says besides.
fn file<const N: usize>(own: [(&str, DataType); N]) -> Fields {
    let vector = DataType::Struct(fields([
        ("storageType", text()),
        ("pathOrInlineDv", text()),
        ("offset", DataType::Int32),
        ("sizeInBytes", DataType::Int32),
        ("cardinality", DataType::Int64),
    ]));
    let common = fields([
        ("path", text()),
        ("partitionValues", texts()),
        ("size", DataType::Int64),
        ("dataChange", DataType::Boolean),
        ("stats", text()),
        ("tags", texts()),
        ("deletionVector", vector),
        ("baseRowId", DataType::Int64),
        ("defaultRowCommitVersion", DataType::Int64),
    ]);
    common.iter().cloned().chain(fields(own).iter().cloned()).collect()
}

fn fields<const N: usize>(named: [(&str, DataType); N]) -> Fields {
    named.into_iter().map(|(name, kind)| Field::new(name, kind, true)).collect()
}

fn text() -> DataType {
    DataType::Utf8
}

fn list() -> DataType {
    DataType::List(Arc::new(Field::new("element", DataType::Utf8, true)))
}

fn texts() -> DataType {
    let pair: Fields = vec![Field::new("key", text(), false), Field::new("value", text(), true)].into();
    DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(pair), false)), false)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn actions_of_json_become_rows_and_their_columns_those_of_others() {
        let add =
            json!({"add": {"path": "a", "size": 1, "partitionValues": {"p": null, "q": "x"}, "unknown": {"a": [1]}}});
        let rows = rows_of(&[add, json!({"txn": {"appId": "x", "version": 7}})]).unwrap();
        assert_eq!((rows.num_rows(), rows.column_by_name("add").unwrap().null_count()), (2, 1));
        // A writer that has fewer columns, in another order and with larger numbers.
        let theirs = DataType::Struct(fields([("size", DataType::Int32), ("path", DataType::LargeUtf8)]));
        let narrow = conform(rows.column_by_name("add").unwrap(), &theirs).unwrap();
        let back = conform(&narrow, &DataType::Struct(action_fields("add"))).unwrap();
        let back = back.as_struct();
        assert_eq!(back.column_by_name("path").unwrap().as_string::<i32>().value(0), "a");
        assert!(back.column_by_name("partitionValues").unwrap().is_null(0) && back.is_null(1));
        let wrong = conform(rows.column_by_name("add").unwrap(), &texts()).unwrap_err();
        assert!(wrong.to_string().contains("where Map"), "{wrong}");
    }
}
