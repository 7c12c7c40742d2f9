//! One table, seen by us and by another library.

use std::path::{Path, PathBuf};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef, TimeUnit},
};
use boathouse_engine::{Engine, Outcome, Session};
use boathouse_tests::rows::multiset;
use serde_json::{Value, json};
use std::sync::Arc;

use super::reader::Reader;

/// Rows of a statement; its error as text.
pub async fn run(session: &Session, sql: &str) -> Result<Vec<RecordBatch>, String> {
    match session.execute(sql).await.map_err(|error| error.to_string())? {
        Outcome::Rows(rows) => {
            let empty = RecordBatch::new_empty(rows.schema());
            let mut rows = rows.collect().await.map_err(|error| error.to_string())?;
            rows.push(empty);
            Ok(rows)
        }
        Outcome::Changed { .. } | Outcome::Done(_) => Ok(vec![]),
    }
}

/// A table of a lake in a folder.
pub struct Table {
    pub engine: Arc<Engine>,
    pub name: String,
    pub folder: PathBuf,
}

impl Table {
    /// What is not the same for both: rows, columns, version, history, what is known of the table.
    pub async fn differences<'q>(
        &self,
        reader: &mut Reader,
        queries: impl Iterator<Item = &'q str>,
    ) -> Result<Vec<String>, String> {
        let session = self.engine.session();
        let mut faults = vec![];
        let detail = reader.call(&json!({ "do": "detail", "table": self.folder }))?.0;
        let ours = self.detail(reader).await;
        faults.extend(
            ours.as_object()
                .unwrap()
                .iter()
                .filter(|(key, value)| detail[*key] != **value)
                .map(|(key, value)| format!("{key}: {value}, but {} says {}", reader.name, detail[key])),
        );
        let history = reader.call(&json!({ "do": "history", "table": self.folder }))?.0;
        let ours = self.history(&session).await?;
        if history["history"] != ours {
            faults.push(format!("history: {ours}, but {} says {}", reader.name, history["history"]));
        }
        faults.extend(self.columns_differ(reader, &session).await?);
        faults.extend(self.rows_differ(reader).await?);
        for query in queries {
            faults.extend(self.query_differs(reader, query).await?);
        }
        Ok(faults)
    }

    /// The versions that we can read: are they the same for both?
    pub async fn older_versions_differ(&self, reader: &mut Reader) -> Result<Vec<String>, String> {
        let session = self.engine.session();
        let versions = run(&session, &format!("DESCRIBE HISTORY {}", self.name)).await?;
        let mut faults = vec![];
        for version in versions.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()) {
            let version = version as u64;
            let all = format!("SELECT * FROM {}", self.name);
            // Of some the files are gone.
            let Ok(ours) = run(&session, &format!("{all} VERSION AS OF {version}")).await else { continue };
            let theirs = self.theirs(reader, Some(version), &all)?;
            faults.extend(differ(&ours, &theirs, reader).map(|fault| format!("version {version}: {fault}")));
        }
        Ok(faults)
    }

    /// Names and types of the columns, and which are never NULL, as far as the library tells.
    async fn columns_differ(&self, reader: &mut Reader, session: &Session) -> Result<Option<String>, String> {
        let ours = session.table_columns("main", &self.name).await.map_err(|error| error.to_string())?.schema;
        let theirs = self.theirs(reader, None, &format!("SELECT * FROM {} LIMIT 0", self.name))?;
        let told = |schema: SchemaRef| {
            let fields: Vec<String> = schema.fields().iter().map(|field| format!("{:?}", plain_field(field))).collect();
            match reader.name {
                "deltalake" => fields.join("\n"),
                _ => fields.join("\n").replace("nullable: false", "nullable: true"),
            }
        };
        let (ours, theirs) = (told(ours), told(theirs[0].schema()));
        Ok((ours != theirs).then(|| format!("columns\n{ours}\nbut {} has\n{theirs}", reader.name)))
    }

    /// All rows of the newest version.
    pub async fn rows_differ(&self, reader: &mut Reader) -> Result<Option<String>, String> {
        self.query_differs(reader, &format!("SELECT * FROM {}", self.name)).await
    }

    /// A query over the table, answered by both.
    async fn query_differs(&self, reader: &mut Reader, query: &str) -> Result<Option<String>, String> {
        let ours = run(&self.engine.session(), query).await.map_err(|error| format!("we: {query}: {error}"))?;
        let theirs = self.theirs(reader, None, query)?;
        Ok(differ(&ours, &theirs, reader).map(|fault| format!("{query}: {fault}")))
    }

    /// The rows of all changes since the table was made, which has kept them from then on.
    pub async fn changes_differ(&self, reader: &mut Reader) -> Result<Option<String>, String> {
        let session = self.engine.session();
        let schema = session.table_columns("main", &self.name).await.map_err(|error| error.to_string())?.schema;
        let names = schema.fields().iter().map(|field| field.name().as_str());
        // What a library takes for the time of a commit is another test's.
        let columns: Vec<&str> = names.chain(["_change_type", "_commit_version"]).collect();
        let query = format!("SELECT {} FROM table_changes('{}', 0)", columns.join(", "), self.name);
        let ours = run(&session, &query).await.map_err(|error| format!("we: {query}: {error}"))?;
        let (_, theirs) = reader.call(&json!({ "do": "changes", "table": self.folder, "columns": columns }))?;
        Ok(differ(&ours, &theirs, reader).map(|fault| format!("change feed: {fault}")))
    }

    /// What the other library answers.
    pub fn theirs(&self, reader: &mut Reader, version: Option<u64>, query: &str) -> Result<Vec<RecordBatch>, String> {
        let request = json!({
            "do": "rows", "table": self.folder, "name": self.name, "version": version, "query": query
        });
        reader.call(&request).map(|(_, rows)| rows).map_err(|error| format!("{query}: {error}"))
    }

    async fn detail(&self, reader: &Reader) -> Value {
        let table = self.engine.lake().table("main", &self.name).await.unwrap();
        let mut detail = json!({
            "id": table.id(),
            "description": table.comment(),
            "partitionColumns": table.partition_columns(),
            "numFiles": table.file_count(),
            "properties": table.properties().iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>(),
            "version": table.version(),
        });
        // Spark tells of features that are implied by the versions, too.
        if reader.name == "deltalake" {
            detail["minReaderVersion"] = table.reader_version().into();
            detail["minWriterVersion"] = table.writer_version().into();
            detail["tableFeatures"] = table.features().into();
        }
        detail
    }

    async fn history(&self, session: &Session) -> Result<Value, String> {
        let rows = run(session, &format!("DESCRIBE HISTORY {}", self.name)).await?;
        let entries = rows.iter().flat_map(|batch| {
            let versions = batch.column_by_name("version").unwrap().as_primitive::<Int64Type>();
            let operations = batch.column_by_name("operation").unwrap().as_string::<i32>();
            let entry = |row| json!({ "version": versions.value(row), "operation": operations.value(row) });
            (0..batch.num_rows()).map(entry).collect::<Vec<_>>()
        });
        Ok(entries.collect())
    }
}

fn differ(ours: &[RecordBatch], theirs: &[RecordBatch], reader: &Reader) -> Option<String> {
    let (ours, theirs) = (plain(ours), plain(theirs));
    let columns = |rows: &[RecordBatch]| {
        let schema = rows[0].schema();
        schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect::<Vec<_>>()
    };
    let (our_columns, their_columns) = (columns(&ours), columns(&theirs));
    if our_columns != their_columns {
        return Some(format!("columns {our_columns:?}, but {} has {their_columns:?}", reader.name));
    }
    let (ours, theirs) = (multiset(&ours), multiset(&theirs));
    if ours == theirs {
        return None;
    }
    let odd = ours.iter().find(|row| theirs.binary_search(row).is_err());
    let missing = theirs.iter().find(|row| ours.binary_search(row).is_err());
    Some(format!(
        "{} rows, but {} has {}\n  only ours: {odd:?}\n  only theirs: {missing:?}",
        ours.len(),
        reader.name,
        theirs.len()
    ))
}

/// Rows with one Arrow type for each of Delta's.
fn plain(batches: &[RecordBatch]) -> Vec<RecordBatch> {
    let to = |schema: SchemaRef| Arc::new(Schema::new(schema.fields().iter().map(plain_field).collect::<Vec<_>>()));
    let one = |batch: &RecordBatch| {
        let schema = to(batch.schema());
        let cast = |(column, field): (&Arc<dyn Array>, &FieldRef)| cast(column, field.data_type()).unwrap();
        let columns = batch.columns().iter().zip(schema.fields()).map(cast).collect();
        RecordBatch::try_new(schema, columns).unwrap()
    };
    batches.iter().map(one).collect()
}

fn plain_field(field: &FieldRef) -> FieldRef {
    renamed(field.name(), field)
}

fn renamed(name: &str, field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(name, plain_type(field.data_type()), field.is_nullable()))
}

fn plain_type(kind: &DataType) -> DataType {
    match kind {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, value) => plain_type(value),
        DataType::Timestamp(_, Some(_)) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::List(item) | DataType::LargeList(item) => DataType::List(renamed("element", item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        DataType::Map(entries, _) => {
            let DataType::Struct(pair) = entries.data_type() else { unreachable!("a map's entries are pairs") };
            let pair = vec![renamed("key", &pair[0]), renamed("value", &pair[1])];
            DataType::Map(Arc::new(Field::new("entries", DataType::Struct(pair.into()), false)), false)
        }
        other => other.clone(),
    }
}

/// A copy of a table's folder.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &to.join(entry.file_name())),
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}
