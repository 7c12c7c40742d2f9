//! What a copy is a copy of.

use object_store::ObjectMeta;
use serde::{Deserialize, Serialize};

/// One data file of one table, told from every other that ever lay at its path.
///
/// Data files never change, and writers give them names that are not used twice; should a table be dropped and made
/// again with the same file names, its id differs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct CopyKey {
    /// The store and, where it is not the usual one, its endpoint.
    pub(crate) store: String,
    /// The path in the store.
    pub(crate) path: String,
    /// Bytes, as the log has them.
    pub(crate) size: u64,
    /// The modification time, as the log has it.
    pub(crate) modified_ms: i64,
    /// The table's Delta id.
    pub(crate) table: String,
}

impl CopyKey {
    /// `meta` is the object as the log has it.
    pub(crate) fn new(store: &str, table: &str, meta: &ObjectMeta) -> Self {
        Self {
            store: store.to_owned(),
            path: meta.location.to_string(),
            size: meta.size,
            modified_ms: meta.last_modified.timestamp_millis(),
            table: table.to_owned(),
        }
    }

    /// The name of the copy in its folder. Two keys could share one; the copy says whose it is.
    pub(crate) fn file_name(&self) -> String {
        let (size, modified) = (self.size.to_le_bytes(), self.modified_ms.to_le_bytes());
        let parts: [&[u8]; 5] = [self.store.as_bytes(), self.path.as_bytes(), self.table.as_bytes(), &size, &modified];
        format!("{:032x}.hot", fnv(&parts))
    }
}

/// FNV-1a of 128 bits, a zero byte after each part: the same in every release.
pub(super) fn fnv(parts: &[&[u8]]) -> u128 {
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in parts.iter().flat_map(|part| part.iter().chain(&[0])) {
        hash ^= u128::from(*byte);
        hash = hash.wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013B);
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_key_changes_the_name() {
        let key = CopyKey {
            store: "file:///".into(),
            path: "lake/t/a.parquet".into(),
            size: 10,
            modified_ms: 5,
            table: "one".into(),
        };
        let others = [
            CopyKey { store: "s3://b/".into(), ..key.clone() },
            CopyKey { path: "lake/t/b.parquet".into(), ..key.clone() },
            CopyKey { size: 11, ..key.clone() },
            CopyKey { modified_ms: 6, ..key.clone() },
            CopyKey { table: "two".into(), ..key.clone() },
        ];
        assert_eq!(key.file_name(), key.clone().file_name());
        assert!(others.iter().all(|other| other.file_name() != key.file_name()));
    }
}
