//! The move of a partition's old files into the cold tier.
//!
//! Like OPTIMIZE it relies on nothing but the files that it takes out: readers and appends never notice, and whoever changed
//! one of these files first wins. What was moved is tagged, so a move that ended early goes on where it stood.

use std::sync::Arc;

use datafusion::{catalog::Session, logical_expr::lit};

use super::{Partition, PartitionTiers, TierPolicy, tiers_of};
use crate::{
    Lake, Snapshot, StorageError,
    maintain::{
        Optimized, Pace,
        rewrite::{COLD_TARGET_BYTES, Rewrite, kept_bytes},
    },
    write::{CommitInfo, Operation, Reads, Transaction},
};

/// One commit takes in about so much: what a rival can spoil.
const COMMIT_BYTES: u64 = 8 * COLD_TARGET_BYTES;

/// Moves the old files of one partition, given as `tiers_of` found it at some version, at the newest one. Nothing to do is no
/// commit. `Conflict` when another writer changed a file first: what was committed until then stays, and the rest can be tried
/// again. `now_ms`: milliseconds since 1970, UTC. Any number may run at once; of two at one partition, one loses.
pub async fn cool(
    lake: &Lake,
    table: &Arc<Snapshot>,
    partition: &Partition,
    (policy, now_ms): (&TierPolicy, i64),
    (session, pace): (Arc<dyn Session>, &Pace),
    info: &CommitInfo,
) -> Result<Optimized, StorageError> {
    // Tables that cannot be written are refused whether there is something to do or not.
    Transaction::new(lake, table, Operation::default())?;
    let all = tiers_of(lake, table, Some(policy), now_ms)?;
    let found = all.iter().find(|tiers| tiers.partition == *partition);
    let mut done = Optimized::default();
    for files in found.map(|tiers| commits(table, tiers)).transpose()?.unwrap_or_default() {
        let (session, info) = (session.clone(), info.clone());
        let moved = cool_files(lake, table, partition, files, (session, pace), &info).await?;
        done.version = moved.version;
        done.files_removed += moved.files_removed;
        done.files_added += moved.files_added;
        done.bytes_removed += moved.bytes_removed;
        done.bytes_added += moved.bytes_added;
    }
    Ok(done)
}

/// One commit.
async fn cool_files(
    lake: &Lake,
    table: &Arc<Snapshot>,
    partition: &Partition,
    bins: Vec<Vec<usize>>,
    (session, pace): (Arc<dyn Session>, &Pace),
    info: &CommitInfo,
) -> Result<Optimized, StorageError> {
    let index = table.files()?;
    let files: Vec<usize> = bins.iter().flatten().copied().collect();
    let mut transaction = Transaction::new(lake, table, Operation::default())?;
    transaction.reads(Reads::Rows { filters: vec![lit(false)], files: files.clone() });
    for file in &files {
        transaction.remove(*file, false)?;
    }
    let mut moved = Optimized {
        files_removed: files.len() as u64,
        bytes_removed: files.iter().map(|file| index.size(*file)).sum(),
        ..Optimized::default()
    };
    for bin in bins {
        let rewrite = Rewrite::cold(lake, table, &bin, pace)?;
        let written = rewrite.run(bin, session.clone()).await?;
        moved.files_added += written.len() as u64;
        moved.bytes_added += written.iter().map(|file| u64::try_from(file.size).unwrap_or(0)).sum::<u64>();
        transaction.add_written(written)?;
    }
    *transaction.operation_mut() = operation(partition, &moved);
    moved.version = Some(transaction.commit(lake, info).await?.version);
    Ok(moved)
}

fn operation(partition: &Partition, moved: &Optimized) -> Operation {
    let parameters = [("tier", "cold".to_owned()), ("partition", partition.to_string())];
    let metrics = [
        ("numRemovedFiles", moved.files_removed),
        ("numAddedFiles", moved.files_added),
        ("numRemovedBytes", moved.bytes_removed),
        ("numAddedBytes", moved.bytes_added),
    ];
    Operation {
        name: "TIER",
        parameters: parameters.map(|(name, value)| (name.to_owned(), value)).into(),
        metrics: metrics.map(|(name, count)| (name.to_owned(), count)).into(),
        ..Operation::default()
    }
}

/// The old files of a partition: commits of bins, of which each becomes about one file.
fn commits(table: &Snapshot, tiers: &PartitionTiers) -> Result<Vec<Vec<Vec<usize>>>, StorageError> {
    let index = table.files()?;
    let sized = tiers.old_files.iter().map(|file| (*file, kept_bytes(index, *file)));
    let bins = filled(sized, COLD_TARGET_BYTES).into_iter().map(|bin| {
        let bytes = bin.iter().map(|file| index.size(*file)).sum();
        (bin, bytes)
    });
    Ok(filled(bins, COMMIT_BYTES))
}

/// Puts things together, in their order, as long as they weigh no more than `most`; one that weighs more is alone.
fn filled<T>(things: impl Iterator<Item = (T, u64)>, most: u64) -> Vec<Vec<T>> {
    let mut all: Vec<(Vec<T>, u64)> = Vec::new();
    for (thing, weight) in things {
        match all.last_mut() {
            Some((bin, filled)) if filled.saturating_add(weight) <= most => {
                bin.push(thing);
                *filled += weight;
            }
            _ => all.push((vec![thing], weight)),
        }
    }
    all.into_iter().map(|(bin, _)| bin).collect()
}

#[cfg(test)]
mod tests {
    use super::filled;

    #[test]
    fn bins_are_filled_in_order_and_none_is_empty() {
        let filled = |weights: &[u64]| filled(weights.iter().map(|weight| (*weight, *weight)), 10);
        assert_eq!(filled(&[4, 6, 1, 20, 3, 8]), [vec![4, 6], vec![1], vec![20], vec![3], vec![8]]);
        assert_eq!(filled(&[]), Vec::<Vec<u64>>::new());
    }
}
