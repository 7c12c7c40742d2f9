//! Random tables on disk: rows and statistics by the Delta library, the features that it does not write added to the log.

use std::{
    collections::HashMap,
    fs::{self, File},
    path::Path,
    sync::Arc,
};

use arrow::{
    array::RecordBatch,
    datatypes::{Field, Schema},
};
use datafusion::parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};
use deltalake::{DeltaTable, operations::write::SchemaMode, protocol::SaveMode};
use serde_json::{Value, json};
use url::Url;

use crate::{
    table::{Mapping, RandomTable},
    vector,
};

/// What Arrow's Parquet writer takes a column's id from.
const FIELD_ID: &str = "PARQUET:field_id";

/// Writes the table into a new folder, one commit for each of its files.
pub async fn write(folder: &Path, table: &RandomTable) {
    fs::create_dir_all(folder).unwrap();
    let stored = Stored::new(table);
    let partitions: Vec<String> = table.partition_columns.iter().map(|name| stored.name(name)).collect();
    for (version, rows) in table.files.iter().enumerate() {
        let renamed = RecordBatch::try_new(Arc::new(stored.schema(&rows.schema())), rows.columns().to_vec()).unwrap();
        let library = DeltaTable::try_from_url(Url::from_directory_path(folder).unwrap()).await.unwrap();
        let write = library.write([renamed]).with_save_mode(SaveMode::Append).with_schema_mode(SchemaMode::Merge);
        write.with_partition_columns(partitions.clone()).await.unwrap();
        assert!(folder.join(format!("_delta_log/{version:020}.json")).exists(), "one commit for each file");
    }
    for version in 0..table.files.len() {
        let file = folder.join(format!("_delta_log/{version:020}.json"));
        let text = fs::read_to_string(&file).unwrap();
        let actions =
            text.lines().map(|line| rewritten(folder, table, &stored, version, serde_json::from_str(line).unwrap()));
        fs::write(&file, actions.map(|action| action.to_string() + "\n").collect::<String>()).unwrap();
    }
}

/// The names and ids that columns have in the files.
struct Stored {
    mapping: Mapping,
    ids: HashMap<String, usize>,
}

impl Stored {
    fn new(table: &RandomTable) -> Self {
        let schema = table.schema();
        let ids = schema.fields().iter().enumerate().map(|(at, field)| (field.name().clone(), at + 1));
        Self { mapping: table.mapping, ids: ids.collect() }
    }

    fn name(&self, name: &str) -> String {
        match self.mapping {
            Mapping::None => name.to_owned(),
            // The first is called as the last is stored: whoever takes a column by its name takes the wrong one.
            _ if self.ids[name] == self.ids.len() => "id".to_owned(),
            _ => format!("col-{}", self.ids[name]),
        }
    }

    fn schema(&self, schema: &Schema) -> Schema {
        let rename = |field: &Arc<Field>| field.as_ref().clone().with_name(self.name(field.name()));
        Schema::new(schema.fields().iter().map(rename).collect::<Vec<_>>())
    }
}

fn rewritten(folder: &Path, table: &RandomTable, stored: &Stored, version: usize, mut action: Value) -> Value {
    if action.get("protocol").is_some() {
        let mut features = vec!["timestampNtz"];
        features.extend((table.mapping != Mapping::None).then_some("columnMapping"));
        features.extend(table.has_vectors().then_some("deletionVectors"));
        return json!({"protocol": {
            "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features,
        }});
    }
    if action.get("metaData").is_some() && table.mapping != Mapping::None {
        map_columns(&mut action["metaData"], table, stored);
    }
    if action.get("add").is_some() {
        let add = &mut action["add"];
        if table.mapping == Mapping::Id {
            // Paths in the log are URLs.
            let url = Url::from_directory_path(folder).unwrap().join(add["path"].as_str().unwrap()).unwrap();
            let path = url.to_file_path().unwrap();
            add["size"] = json!(with_ids(&path, table, stored));
        }
        if !table.hidden[version].is_empty() {
            add["deletionVector"] = serde_json::from_str(&vector::inline(&table.hidden[version])).unwrap();
        }
    }
    action
}

/// Gives the schema its logical names back, with the stored ones beside them.
fn map_columns(metadata: &mut Value, table: &RandomTable, stored: &Stored) {
    let mut schema: Value = serde_json::from_str(metadata["schemaString"].as_str().unwrap()).unwrap();
    let logical = table.schema();
    for (json, field) in schema["fields"].as_array_mut().unwrap().iter_mut().zip(logical.fields()) {
        assert_eq!(json["name"], json!(stored.name(field.name())));
        json["name"] = json!(field.name());
        json["metadata"] = json!({
            "delta.columnMapping.id": stored.ids[field.name()],
            "delta.columnMapping.physicalName": stored.name(field.name()),
        });
    }
    metadata["schemaString"] = json!(schema.to_string());
    metadata["partitionColumns"] = json!(table.partition_columns);
    let mode = if stored.mapping == Mapping::Id { "id" } else { "name" };
    metadata["configuration"] = json!({
        "delta.columnMapping.mode": mode,
        "delta.columnMapping.maxColumnId": stored.ids.len().to_string(),
    });
}

/// Writes a data file again with the ids of its columns; returns its new size.
fn with_ids(path: &Path, table: &RandomTable, stored: &Stored) -> u64 {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    let batches: Vec<RecordBatch> = reader.map(|batch| batch.unwrap()).collect();
    let ids: HashMap<String, usize> =
        table.schema().fields().iter().map(|f| (stored.name(f.name()), stored.ids[f.name()])).collect();
    let numbered = |field: &Arc<Field>| {
        let id = ids[field.name()].to_string();
        field.as_ref().clone().with_metadata([(FIELD_ID.to_owned(), id)].into())
    };
    let fields: Vec<Field> = batches[0].schema().fields().iter().map(numbered).collect();
    let schema = Arc::new(Schema::new(fields));
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), schema.clone(), None).unwrap();
    for batch in batches {
        writer.write(&RecordBatch::try_new(schema.clone(), batch.columns().to_vec()).unwrap()).unwrap();
    }
    writer.close().unwrap();
    fs::metadata(path).unwrap().len()
}
