//! The protocol that a table's definition needs: versions, and features by name.
//!
//! Delta protocol, "Table Features": up to writer version 6 a version stands for all features before it, at 7 each one is
//! listed. A table stays with the old versions as long as they have what it needs, for then most readers and writers know
//! it. Features are added and never taken away: older versions of the table still need them.

use std::collections::{BTreeMap, BTreeSet};

use deltalake::kernel::{DataType, PrimitiveType, Protocol, StructField, StructType};
use serde_json::json;

use super::{
    identity::IDENTITY_STEP,
    rules::{CONSTRAINT_PREFIX, DEFAULT_KEY, GENERATED_KEY, INVARIANT_KEY},
};
use crate::StorageError;

pub(super) const MAPPING_MODE: &str = "delta.columnMapping.mode";
pub(super) const TYPE_CHANGES: &str = "delta.typeChanges";

const COLUMN_MAPPING: &str = "columnMapping";
/// Features with the writer version that brought them.
const LEGACY: [(&str, i32); 7] = [
    ("appendOnly", 2),
    ("invariants", 2),
    ("checkConstraints", 3),
    ("changeDataFeed", 4),
    ("generatedColumns", 4),
    (COLUMN_MAPPING, 5),
    ("identityColumns", 6),
];
/// Features that readers must know.
const READER: [&str; 6] =
    [COLUMN_MAPPING, "deletionVectors", "timestampNtz", "typeWidening", "typeWidening-preview", "v2Checkpoint"];
const LISTED_WRITER_VERSION: i32 = 7;
const LISTED_READER_VERSION: i32 = 3;

/// `old` (for a table that is about to be made: `None`) with what a table of these columns and properties needs besides.
pub(super) fn protocol(
    old: Option<&Protocol>,
    columns: &StructType,
    properties: &BTreeMap<String, String>,
) -> Result<Protocol, StorageError> {
    let needed = needed(columns, properties);
    let (reader, writer) = old.map_or((1, 2), |old| (old.min_reader_version(), old.min_writer_version()));
    let version_of = |feature: &str| LEGACY.iter().find(|(legacy, _)| *legacy == feature).map(|(_, version)| *version);
    if writer < LISTED_WRITER_VERSION
        && let Some(wanted) = needed.iter().map(|feature| version_of(feature)).collect::<Option<Vec<_>>>()
    {
        let writer = wanted.into_iter().fold(writer, i32::max);
        let reader = if needed.contains(COLUMN_MAPPING) { reader.max(2) } else { reader };
        return build(json!({ "minReaderVersion": reader, "minWriterVersion": writer }));
    }
    let mut writers = listed(old.and_then(Protocol::writer_features));
    let mut readers = listed(old.and_then(Protocol::reader_features));
    if writer < LISTED_WRITER_VERSION && old.is_some() {
        let implied = LEGACY.iter().filter(|(_, since)| *since <= writer);
        writers.extend(implied.map(|(feature, _)| (*feature).to_owned()));
    }
    // Before version 3 a reader's version 2 says it.
    if reader == 2 {
        readers.insert(COLUMN_MAPPING.to_owned());
    }
    writers.extend(needed.iter().map(|feature| (*feature).to_owned()));
    readers.extend(needed.iter().filter(|feature| READER.contains(feature)).map(|feature| (*feature).to_owned()));
    let writer = LISTED_WRITER_VERSION.max(writer);
    if readers.is_empty() && reader < LISTED_READER_VERSION {
        return build(json!({ "minReaderVersion": 1, "minWriterVersion": writer, "writerFeatures": writers }));
    }
    // What readers must know, writers must know as well.
    writers.extend(readers.iter().cloned());
    build(json!({
        "minReaderVersion": LISTED_READER_VERSION.max(reader),
        "minWriterVersion": writer,
        "readerFeatures": readers,
        "writerFeatures": writers,
    }))
}

fn build(value: serde_json::Value) -> Result<Protocol, StorageError> {
    serde_json::from_value(value)
        .map_err(|error| StorageError::Internal { message: format!("a protocol cannot be written: {error}") })
}

fn listed<T: ToString>(features: Option<&[T]>) -> BTreeSet<String> {
    features.unwrap_or_default().iter().map(ToString::to_string).collect()
}

fn needed(columns: &StructType, properties: &BTreeMap<String, String>) -> BTreeSet<&'static str> {
    let mut needed = BTreeSet::new();
    let is = |key: &str, value: &str| properties.get(key).is_some_and(|given| given.eq_ignore_ascii_case(value));
    let switches = [
        ("delta.appendOnly", "appendOnly"),
        ("delta.enableChangeDataFeed", "changeDataFeed"),
        ("delta.enableDeletionVectors", "deletionVectors"),
        ("delta.enableTypeWidening", "typeWidening"),
        ("delta.enableInCommitTimestamps", "inCommitTimestamp"),
    ];
    needed.extend(switches.into_iter().filter(|(key, _)| is(key, "true")).map(|(_, feature)| feature));
    if is(MAPPING_MODE, "name") || is(MAPPING_MODE, "id") {
        needed.insert(COLUMN_MAPPING);
    }
    if properties.keys().any(|key| key.starts_with(CONSTRAINT_PREFIX)) {
        needed.insert("checkConstraints");
    }
    columns.fields().for_each(|field| of_field(field, &mut needed));
    needed
}

fn of_field(field: &StructField, needed: &mut BTreeSet<&'static str>) {
    let keys = [
        (GENERATED_KEY, "generatedColumns"),
        (DEFAULT_KEY, "allowColumnDefaults"),
        (INVARIANT_KEY, "invariants"),
        (TYPE_CHANGES, "typeWidening"),
        (IDENTITY_STEP, "identityColumns"),
    ];
    needed.extend(keys.into_iter().filter(|(key, _)| field.metadata().contains_key(*key)).map(|(_, feature)| feature));
    // The protocol names the feature after its conditions; Spark takes NOT NULL for one and refuses a table without it.
    if !field.is_nullable() {
        needed.insert("invariants");
    }
    of_type(field.data_type(), needed);
}

fn of_type(kind: &DataType, needed: &mut BTreeSet<&'static str>) {
    match kind {
        DataType::Primitive(PrimitiveType::TimestampNtz) => drop(needed.insert("timestampNtz")),
        DataType::Struct(fields) => fields.fields().for_each(|field| of_field(field, needed)),
        DataType::Array(array) => of_type(array.element_type(), needed),
        DataType::Map(map) => {
            of_type(map.key_type(), needed);
            of_type(map.value_type(), needed);
        }
        DataType::Primitive(_) | DataType::Variant(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(old: Option<&Protocol>, fields: Vec<StructField>, properties: &[(&str, &str)]) -> Protocol {
        let columns = StructType::try_new(fields).unwrap();
        let properties = properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        protocol(old, &columns, &properties).unwrap()
    }

    fn plain() -> Vec<StructField> {
        vec![StructField::new("a", DataType::LONG, true)]
    }

    fn writers(protocol: &Protocol) -> Vec<String> {
        listed(protocol.writer_features()).into_iter().collect()
    }

    #[test]
    fn old_versions_are_kept_while_they_have_what_is_needed() {
        let versions = |protocol: &Protocol| (protocol.min_reader_version(), protocol.min_writer_version());
        assert_eq!(versions(&of(None, plain(), &[])), (1, 2));
        assert_eq!(versions(&of(None, plain(), &[("delta.constraints.c", "a > 0")])), (1, 3));
        assert_eq!(versions(&of(None, plain(), &[(MAPPING_MODE, "name")])), (2, 5));
        let old = of(None, plain(), &[(MAPPING_MODE, "name")]);
        assert_eq!(versions(&of(Some(&old), plain(), &[])), (2, 5));
    }

    #[test]
    fn not_null_is_an_invariant() {
        let id = || StructField::new("id", DataType::LONG, false);
        let inner = StructField::new("s", DataType::Struct(Box::new(StructType::try_new([id()]).unwrap())), true);
        for field in [id(), inner] {
            let versions = of(None, vec![field.clone()], &[]);
            assert_eq!((versions.min_writer_version(), versions.writer_features()), (2, None));
            let time = StructField::new("at", DataType::TIMESTAMP_NTZ, true);
            assert_eq!(writers(&of(None, vec![field, time], &[])), ["invariants", "timestampNtz"]);
        }
    }

    #[test]
    fn a_listed_feature_brings_the_list_and_what_the_old_version_stood_for() {
        let old = of(None, plain(), &[("delta.constraints.c", "a > 0")]);
        let default = StructField::new("a", DataType::LONG, true).with_metadata([(DEFAULT_KEY, "0")]);
        let new = of(Some(&old), vec![default], &[]);
        assert_eq!((new.min_reader_version(), new.min_writer_version()), (1, 7));
        assert_eq!(writers(&new), ["allowColumnDefaults", "appendOnly", "checkConstraints", "invariants"]);
        let mapped = of(None, plain(), &[(MAPPING_MODE, "name")]);
        let vectors = of(Some(&mapped), plain(), &[("delta.enableDeletionVectors", "true")]);
        assert_eq!((vectors.min_reader_version(), vectors.min_writer_version()), (3, 7));
        let readers: Vec<_> = listed(vectors.reader_features()).into_iter().collect();
        assert_eq!(readers, ["columnMapping", "deletionVectors"]);
        assert!(writers(&vectors).contains(&"generatedColumns".to_owned()));
    }
}
