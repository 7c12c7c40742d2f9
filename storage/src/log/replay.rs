//! Action reconciliation: which of the files that commits name are alive.
//!
//! Delta protocol, "Action Reconciliation". Commits are looked at from the newest to the oldest; the first that is said of
//! a file, which is its path together with its deletion vector, counts. The newest protocol and metadata count, too.

use std::collections::HashMap;

use arrow::array::{Int32Array, Int64Array, StringArray};
use deltalake::kernel::{Metadata, Protocol};

use super::{
    action::{Actions, Add, AppTransaction, FileAction, is_of_process},
    chunk::{Chunk, RawAdds, RawStats, Vectors},
    file_set::Keys,
    layout::Layout,
};

/// What some commits say together.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// Oldest first.
    pub(super) adds: Vec<Add>,
    /// All files that the commits add or remove: what is older says nothing of them.
    pub(super) seen: Keys,
    pub(super) protocol: Option<Protocol>,
    pub(super) metadata: Option<Metadata>,
    /// The last version of each program's transactions.
    pub(super) transactions: HashMap<String, i64>,
}

impl Replay {
    /// Reconciles commits that are given newest first.
    pub(super) fn new(commits: impl Iterator<Item = Actions>) -> Self {
        let mut replay = Self::default();
        for commit in commits {
            replay.protocol = replay.protocol.or(commit.protocol);
            replay.metadata = replay.metadata.or(commit.metadata);
            for AppTransaction { app_id, version } in commit.transactions {
                if !is_of_process(&app_id) {
                    replay.transactions.entry(app_id).or_insert(version);
                }
            }
            let mut added = Vec::new();
            for action in commit.files {
                match action {
                    FileAction::Add(add) => {
                        if replay.seen.insert(&add.path, add.deletion_vector.as_ref()) {
                            added.push(add);
                        }
                    }
                    FileAction::Remove(gone) => drop(replay.seen.insert(&gone.path, gone.deletion_vector.as_ref())),
                }
            }
            replay.adds.extend(added.into_iter().rev());
        }
        replay.adds.reverse();
        replay
    }
}

/// Types add actions that were read from JSON.
pub(super) fn chunk(layout: &Layout, adds: &[Add]) -> Result<Chunk, String> {
    let vectors = adds.iter().any(|add| add.deletion_vector.is_some()).then(|| {
        let all = || adds.iter().map(|add| add.deletion_vector.as_ref());
        Vectors {
            storage_type: all().map(|v| v.map(|v| v.storage_type.as_str())).collect::<StringArray>(),
            path_or_inline: all().map(|v| v.map(|v| v.path_or_inline_dv.as_str())).collect::<StringArray>(),
            offset: all().map(|v| v.and_then(|v| v.offset)).collect::<Int32Array>(),
            size_in_bytes: all().map(|v| v.map(|v| v.size_in_bytes)).collect::<Int32Array>(),
            cardinality: all().map(|v| v.map(|v| v.cardinality)).collect::<Int64Array>(),
        }
    });
    let partition = |stored: &String| -> StringArray {
        adds.iter().map(|add| add.partition_values.get(stored).and_then(Option::as_deref)).collect()
    };
    let raw = RawAdds {
        paths: StringArray::from_iter_values(adds.iter().map(|add| add.path.as_str())),
        sizes: adds.iter().map(|add| Some(add.size)).collect(),
        modified_ms: adds.iter().map(|add| Some(add.modification_time)).collect(),
        vectors,
        partitions: layout.partitions.iter().map(|column| partition(&column.stored)).collect(),
        sorted_by: adds.iter().any(|add| add.sorted_by().is_some()).then(|| adds.iter().map(Add::sorted_by).collect()),
        tier: adds.iter().any(|add| add.tier().is_some()).then(|| adds.iter().map(Add::tier).collect()),
        class: adds.iter().any(|a| a.storage_class().is_some()).then(|| adds.iter().map(Add::storage_class).collect()),
        stats: RawStats::Json(adds.iter().map(Add::stats).collect()),
    };
    Chunk::try_new(layout, raw)
}
