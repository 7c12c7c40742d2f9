//! The actions of the log that a reader or a rival needs, as JSON has them.
//!
//! Delta protocol, "Actions". Everything else in a line (domains, most of the commit info) is skipped
//! without being kept.

use std::collections::HashMap;

use deltalake::kernel::{Metadata, Protocol};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::z85;

/// The tag of a data file whose rows lie in rising order of a column, NULL last. Its value is the column's name in the file.
/// A file never changes, so that whoever lists it, under whatever version, may believe it; only our own writer sets it.
pub(crate) const SORTED_BY: &str = "boathouse.sortedBy";

/// The tag of a data file that was written for a tier, and the one tier that there is: few large files under a cheaper
/// storage class. A file without it is warm.
pub(crate) const TIER: &str = "boathouse.tier";
pub(crate) const COLD: &str = "cold";
/// The tag that says under which storage class a data file was put, where a store has classes and it is not the usual one.
pub(crate) const STORAGE_CLASS: &str = "boathouse.storageClass";

/// A data file that is added.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Add {
    pub(super) path: String,
    #[serde(default)]
    pub(super) partition_values: HashMap<String, Option<String>>,
    pub(super) size: i64,
    #[serde(default)]
    pub(super) modification_time: i64,
    /// JSON in a string; anything else tells nothing.
    #[serde(default)]
    stats: Value,
    pub(super) deletion_vector: Option<DeletionVector>,
    /// Texts by their names; anything else tells nothing.
    #[serde(default)]
    tags: Value,
    /// False for rows that were in the table before.
    #[serde(default = "yes")]
    pub(super) data_change: bool,
}

impl Add {
    pub(super) fn stats(&self) -> Option<&str> {
        self.stats.as_str()
    }

    /// The stored name of the column by which our own writer wrote the rows in order.
    pub(super) fn sorted_by(&self) -> Option<&str> {
        self.tags.get(SORTED_BY)?.as_str()
    }

    /// The tier that it was written for, where that is not the usual one.
    pub(super) fn tier(&self) -> Option<&str> {
        self.tags.get(TIER)?.as_str()
    }

    /// The storage class under which it was put, where that was said.
    pub(super) fn storage_class(&self) -> Option<&str> {
        self.tags.get(STORAGE_CLASS)?.as_str()
    }
}

/// A data file that is removed; only what identifies it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Remove {
    pub(super) path: String,
    pub(super) deletion_vector: Option<DeletionVector>,
    /// False when other files of the commit hold its rows.
    #[serde(default = "yes")]
    pub(super) data_change: bool,
}

fn yes() -> bool {
    true
}

/// Begins the id under which a process of ours commits what has no other id. No reader of ours asks for these: they are for
/// people, and for programs of others.
pub(crate) const PROCESS: &str = "boathouse-process:";

/// Whether a program's id is that of a process of ours.
pub(super) fn is_of_process(app_id: &str) -> bool {
    app_id.starts_with(PROCESS)
}

/// How far a program of someone's got: "Transaction Identifiers".
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AppTransaction {
    pub(crate) app_id: String,
    pub(crate) version: i64,
}

/// Rows that a statement of ours told its client.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RowCounts {
    pub(crate) inserted: u64,
    pub(crate) updated: u64,
    pub(crate) deleted: u64,
}

/// What a commit says of itself. Any writer may leave out anything.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Provenance {
    #[serde(default)]
    pub(crate) operation: Value,
    /// It read nothing of the table and only added rows.
    #[serde(default)]
    pub(crate) is_blind_append: Value,
    /// Only commits of ours have it.
    #[serde(default)]
    rows: Value,
    /// A hash of the statement, of a commit for an idempotency key.
    #[serde(default)]
    key_is_for: Value,
}

/// A deletion vector, not the rows in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeletionVector {
    pub(crate) storage_type: String,
    pub(crate) path_or_inline_dv: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offset: Option<i32>,
    pub(crate) size_in_bytes: i32,
    pub(crate) cardinality: i64,
}

/// Where a deletion vector lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum VectorFile {
    /// In the action itself.
    InLog,
    /// A path in the table's folder.
    Relative(String),
    Absolute(String),
}

impl DeletionVector {
    /// What tells the vector from every other of its table (Delta protocol, "Deletion Vector Descriptor Schema").
    pub(crate) fn id(&self) -> String {
        super::chunk::vector_id(&self.storage_type, &self.path_or_inline_dv, self.offset)
    }

    /// Delta protocol, "Derived Fields". The error says what is wrong with the descriptor.
    pub(crate) fn file(&self) -> Result<VectorFile, String> {
        const UUID_CHARS: usize = 20;
        let text = &self.path_or_inline_dv;
        match self.storage_type.as_str() {
            "i" => Ok(VectorFile::InLog),
            "p" => Ok(VectorFile::Absolute(text.clone())),
            "u" => {
                let wrong = || format!("the deletion vector \"{text}\" has no id");
                let (prefix, id) = text.split_at_checked(text.len().saturating_sub(UUID_CHARS)).ok_or_else(wrong)?;
                let id = uuid::Uuid::from_slice(&z85::decode(id).ok_or_else(wrong)?).map_err(|_| wrong())?;
                let folder = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
                Ok(VectorFile::Relative(format!("{folder}deletion_vector_{id}.bin")))
            }
            other => Err(format!("deletion vectors of kind \"{other}\" are not known")),
        }
    }
}

/// A file of a V2 checkpoint that holds some of its actions.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Sidecar {
    pub(super) path: String,
}

/// A data file comes or goes. The order of these in one commit is kept.
#[derive(Debug, Clone)]
pub(super) enum FileAction {
    Add(Add),
    Remove(Remove),
}

/// What one file of the log says to a reader.
#[derive(Debug, Default)]
pub(super) struct Actions {
    pub(super) files: Vec<FileAction>,
    pub(super) protocol: Option<Protocol>,
    pub(super) metadata: Option<Metadata>,
    pub(super) sidecars: Vec<Sidecar>,
    pub(super) transactions: Vec<AppTransaction>,
    pub(super) provenance: Option<Provenance>,
    /// Paths of files of the change feed.
    pub(super) changes: Vec<String>,
}

impl Provenance {
    /// Rows that the statement told its client.
    pub(crate) fn rows(&self) -> Option<RowCounts> {
        serde_json::from_value(self.rows.clone()).ok()
    }

    /// What its idempotency key is for, if it says so.
    pub(crate) fn key_is_for(&self) -> Option<&str> {
        self.key_is_for.as_str()
    }
}

impl Actions {
    /// What the file says of which `next` is the next piece.
    pub(super) fn followed_by(mut self, next: Self) -> Self {
        self.files.extend(next.files);
        self.sidecars.extend(next.sidecars);
        self.transactions.extend(next.transactions);
        self.changes.extend(next.changes);
        self.provenance = self.provenance.or(next.provenance);
        self.protocol = next.protocol.or(self.protocol);
        self.metadata = next.metadata.or(self.metadata);
        self
    }
}

/// A file of the change feed; only where it is.
#[derive(Deserialize)]
struct ChangeFile {
    path: String,
}

#[derive(Deserialize)]
struct Line {
    add: Option<Add>,
    remove: Option<Remove>,
    protocol: Option<Value>,
    #[serde(rename = "metaData")]
    metadata: Option<Value>,
    sidecar: Option<Sidecar>,
    txn: Option<AppTransaction>,
    cdc: Option<ChangeFile>,
    #[serde(rename = "commitInfo")]
    provenance: Option<Provenance>,
}

/// Parses a file of JSON actions. Says in words what is wrong with a file that holds anything else, or nothing.
pub(super) fn parse(bytes: &[u8]) -> Result<Actions, String> {
    let mut actions = Actions::default();
    let mut lines = 0_usize;
    for line in serde_json::Deserializer::from_slice(bytes).into_iter::<Line>() {
        let line = line.map_err(|error| error.to_string())?;
        lines += 1;
        actions.files.extend(line.add.map(FileAction::Add));
        actions.files.extend(line.remove.map(FileAction::Remove));
        actions.sidecars.extend(line.sidecar);
        actions.transactions.extend(line.txn);
        actions.changes.extend(line.cdc.map(|file| file.path));
        actions.provenance = actions.provenance.or(line.provenance);
        if let Some(value) = line.protocol {
            actions.protocol = Some(protocol(value)?);
        }
        if let Some(value) = line.metadata {
            actions.metadata = Some(metadata(value)?);
        }
    }
    match lines {
        0 => Err("it is empty".to_owned()),
        _ => Ok(actions),
    }
}

/// A `protocol` action.
pub(super) fn protocol(value: Value) -> Result<Protocol, String> {
    serde_json::from_value(value).map_err(|error| format!("its protocol action: {error}"))
}

/// A `metaData` action; writers leave out what is empty.
pub(super) fn metadata(mut value: Value) -> Result<Metadata, String> {
    let fields = value.as_object_mut().ok_or("its metaData action is not an object")?;
    default(fields, "format", json!({ "provider": "parquet" }));
    default(fields, "configuration", json!({}));
    default(fields, "partitionColumns", json!([]));
    if let Some(format) = fields.get_mut("format").and_then(Value::as_object_mut) {
        default(format, "options", json!({}));
    }
    serde_json::from_value(value).map_err(|error| format!("its metaData action: {error}"))
}

fn default(fields: &mut serde_json::Map<String, Value>, key: &str, value: Value) {
    let field = fields.entry(key).or_insert(Value::Null);
    if field.is_null() {
        *field = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_holds_what_a_reader_needs_and_no_more() {
        let text = concat!(
            r#"{"commitInfo":{"operation":"WRITE","operationParameters":{"mode":"Append"}}}"#,
            "\n\n",
            r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}"#,
            "\n",
            r#"{"metaData":{"id":"x","format":{"provider":"parquet"},"schemaString":"{}","partitionColumns":[]}}"#,
            "\r\n",
            r#"{"remove":{"path":"a","deletionTimestamp":1,"dataChange":true}}"#,
            "\n",
            r#"{"add":{"path":"b","partitionValues":{"p":null},"size":3,"modificationTime":4,"dataChange":true,"stats":"{}"}}"#,
            "\n",
            r#"{"add":{"path":"c","size":3,"stats":{"numRecords":1}}}"#,
        );
        let actions = parse(text.as_bytes()).unwrap();
        assert_eq!(actions.protocol.unwrap().min_writer_version(), 2);
        assert_eq!(actions.metadata.unwrap().id(), "x");
        let [FileAction::Remove(gone), FileAction::Add(add), FileAction::Add(odd)] = &actions.files[..] else {
            panic!("{:?}", actions.files)
        };
        assert_eq!((gone.path.as_str(), add.path.as_str(), add.stats(), odd.stats()), ("a", "b", Some("{}"), None));
    }

    #[test]
    fn a_deletion_vector_tells_its_file() {
        let vector = |kind: &str, path: &str| DeletionVector {
            storage_type: kind.to_owned(),
            path_or_inline_dv: path.to_owned(),
            offset: Some(1),
            size_in_bytes: 1,
            cardinality: 1,
        };
        // The example of the protocol.
        let file = "deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin";
        assert_eq!(vector("u", "^-aqEH.-t@S}K{vb[*k^").file(), Ok(VectorFile::Relative(file.to_owned())));
        assert_eq!(vector("u", "ab^-aqEH.-t@S}K{vb[*k^").file(), Ok(VectorFile::Relative(format!("ab/{file}"))));
        assert_eq!(vector("p", "s3://b/x.bin").file(), Ok(VectorFile::Absolute("s3://b/x.bin".to_owned())));
        assert_eq!(vector("i", "x").file(), Ok(VectorFile::InLog));
        for (kind, path) in [("u", "short"), ("u", "^-aqEH.-t@S}K{vb[*k~"), ("x", "y")] {
            assert!(vector(kind, path).file().is_err(), "{kind} {path}");
        }
    }

    #[test]
    fn what_is_no_commit_is_refused() {
        for text in ["", "\n", "{\"add\": {", "[1]", "{\"add\":{\"path\":1}}", "{} x", "\u{0}\u{1}"] {
            assert!(parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
