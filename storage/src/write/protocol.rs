//! Which tables may be written: every feature that asks something of a writer is known here or refused by its name.
//!
//! What the features ask is carried out elsewhere: rules on rows by `conform`, names of columns by `data`, the log by
//! `transaction`.

use std::collections::BTreeSet;

use deltalake::kernel::{Protocol, StructType};

use crate::{
    Snapshot, StorageError,
    table::{VARIANT_FEATURE, has_variants},
};

/// Writer features whose demands are met.
const WRITER_FEATURES: [&str; 16] = [
    "allowColumnDefaults",
    "appendOnly",
    "changeDataFeed",
    "checkConstraints",
    "checkpointProtection",
    "columnMapping",
    "deletionVectors",
    "generatedColumns",
    "identityColumns",
    "inCommitTimestamp",
    "invariants",
    "timestampNtz",
    "typeWidening",
    "typeWidening-preview",
    "v2Checkpoint",
    "vacuumProtocolCheck",
];
/// Up to this version the features follow from the version, past it they are listed.
const LEGACY_WRITER_VERSION_MAX: i32 = 6;
const WRITER_VERSION_MAX: i32 = 7;

/// Refuses a table that has a feature which is not honoured here.
pub(super) fn check_writable(table: &Snapshot) -> Result<(), StorageError> {
    check(table.name(), table.protocol(), table.columns())
}

/// The same for the protocol that a commit gives to a table with these columns.
pub(super) fn check(table: &str, protocol: &Protocol, columns: &StructType) -> Result<(), StorageError> {
    let listed = [protocol.reader_features(), protocol.writer_features()].into_iter().flatten().flatten();
    let mut missing: BTreeSet<String> = listed.map(ToString::to_string).collect();
    missing.retain(|feature| !WRITER_FEATURES.contains(&feature.as_str()));
    if !has_variants(columns) {
        missing.remove(VARIANT_FEATURE);
    }
    let version = protocol.min_writer_version();
    match version {
        ..=LEGACY_WRITER_VERSION_MAX => {}
        WRITER_VERSION_MAX => {}
        _ => drop(missing.insert(format!("writer version {version} of the protocol"))),
    }
    if protocol.min_reader_version() > 3 {
        missing.insert(format!("reader version {} of the protocol", protocol.min_reader_version()));
    }
    if missing.is_empty() {
        return Ok(());
    }
    let features = missing.into_iter().collect::<Vec<_>>().join(", ");
    Err(StorageError::UnsupportedFeature { table: table.to_owned(), features })
}
