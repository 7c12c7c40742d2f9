//! OPTIMIZE: small files become large ones, deleted rows leave, rows that are asked for together come to lie together.
//!
//! ```text
//! files of one partition --pack--> bins of about one large file --read, (sort), write--> commits that change no row
//! ```
//! A commit relies on nothing but the files that it takes out: appends never fail it, and it never brings back what was
//! deleted meanwhile. Rows stream; a sort spills. Cold files stay cold: they go together among themselves.

use std::sync::Arc;

use datafusion::{
    catalog::Session,
    logical_expr::{Expr, lit},
};
use deltalake::kernel::Add;
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture};
use object_store::ObjectStore;

use super::{
    Pace,
    rewrite::{COLD_TARGET_BYTES, Rewrite, by_partition, kept_bytes},
};
use crate::{
    Lake, Snapshot, StorageError,
    table::{FileIndex, is_partition_filter, prune, table_store},
    write::{CommitInfo, Operation, Reads, Tier, Transaction},
};

/// Files grow to this size where the table does not say it.
const TARGET_BYTES: u64 = 128 << 20;
/// A file of at least so much of the target is large enough.
const LARGE_SHARE: f64 = 0.75;
/// Bins that are rewritten at once, and that one commit replaces.
const BINS_AT_ONCE: usize = 2;
const BINS_PER_COMMIT: usize = 32;

/// What to rewrite, and how.
#[derive(Debug, Clone, Default)]
pub struct Optimize {
    /// Over partition columns; all must hold.
    pub filters: Vec<Expr>,
    /// The predicate as it was written, for the history.
    pub predicate: String,
    /// Rows with near values in these columns come to lie together. Rewrites all files.
    pub zorder: Vec<String>,
    pub pace: Pace,
}

/// What was rewritten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Optimized {
    /// The last version that it made.
    pub version: Option<u64>,
    pub files_removed: u64,
    pub files_added: u64,
    pub bytes_removed: u64,
    pub bytes_added: u64,
}

/// Files of one partition and one tier that become one file, or few.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bin {
    files: Vec<usize>,
    tier: Tier,
}

/// Rewrites the files of a table. `Conflict` when another writer changed one of them first: what was committed until then
/// stays, and the rest can be tried again.
pub async fn optimize(
    lake: &Lake,
    table: &Arc<Snapshot>,
    request: &Optimize,
    session: Arc<dyn Session>,
    info: &CommitInfo,
) -> Result<Optimized, StorageError> {
    let target = target_bytes(table);
    // Tables that cannot be written are refused whether there is something to do or not.
    Transaction::new(lake, table, Operation::default())?;
    let index = table.files()?;
    let bins = bins(table, index, request, target, session.as_ref())?;
    let mut done = Optimized::default();
    let store = table_store(lake.store_registry(), table.location())?;
    for bins in bins.chunks(BINS_PER_COMMIT) {
        let mut transaction = Transaction::new(lake, table, Operation::default())?;
        let files: Vec<usize> = bins.iter().flat_map(|bin| bin.files.iter().copied()).collect();
        transaction.reads(Reads::Rows { filters: vec![lit(false)], files: files.clone() });
        for file in &files {
            transaction.remove(*file, false)?;
        }
        // Boxed and owned: the types of the futures stay simple for the callers.
        let work: Vec<BoxFuture<'static, Result<Vec<Add>, StorageError>>> = bins
            .iter()
            .map(|bin| {
                let rewrite = match bin.tier {
                    Tier::Cold => Rewrite::cold(lake, table, &bin.files, &request.pace)?,
                    Tier::Warm => warm(&store, table, request, target),
                };
                Ok(rewrite.run(bin.files.clone(), session.clone()).boxed())
            })
            .collect::<Result<_, StorageError>>()?;
        let mut work = futures::stream::iter(work).buffered(BINS_AT_ONCE);
        let mut added = Optimized {
            files_removed: files.len() as u64,
            bytes_removed: files.iter().map(|file| index.size(*file)).sum(),
            ..Optimized::default()
        };
        while let Some(written) = work.try_next().await? {
            added.files_added += written.len() as u64;
            added.bytes_added += written.iter().map(|file| u64::try_from(file.size).unwrap_or(0)).sum::<u64>();
            transaction.add_written(written)?;
        }
        drop(work);
        *transaction.operation_mut() = operation(request, &added);
        done.version = Some(transaction.commit(lake, info).await?.version);
        done.files_removed += added.files_removed;
        done.files_added += added.files_added;
        done.bytes_removed += added.bytes_removed;
        done.bytes_added += added.bytes_added;
    }
    Ok(done)
}

fn operation(request: &Optimize, added: &Optimized) -> Operation {
    let columns: Vec<_> = request.zorder.iter().map(|name| format!("{name:?}")).collect();
    let parameters = [
        ("predicate".to_owned(), format!("[{}]", request.predicate)),
        ("zOrderBy".to_owned(), format!("[{}]", columns.join(","))),
    ];
    let metrics = [
        ("numRemovedFiles", added.files_removed),
        ("numAddedFiles", added.files_added),
        ("numRemovedBytes", added.bytes_removed),
        ("numAddedBytes", added.bytes_added),
    ];
    Operation {
        name: "OPTIMIZE",
        parameters: parameters.into(),
        metrics: metrics.map(|(name, count)| (name.to_owned(), count)).into(),
        ..Operation::default()
    }
}

fn warm(store: &Arc<dyn ObjectStore>, table: &Arc<Snapshot>, request: &Optimize, target: u64) -> Rewrite {
    Rewrite {
        class: None,
        table: table.clone(),
        store: store.clone(),
        tier: Tier::Warm,
        zorder: request.zorder.clone(),
        // A bin that packs well into one file stays one.
        file_bytes: if request.zorder.is_empty() { target.saturating_mul(2) } else { target },
        pace: request.pace.clone(),
    }
}

/// The bins of all partitions, in their order.
fn bins(
    table: &Snapshot,
    index: &FileIndex,
    request: &Optimize,
    target: u64,
    session: &dyn Session,
) -> Result<Vec<Bin>, StorageError> {
    let internal = |error: &dyn std::fmt::Display| StorageError::Internal { message: error.to_string() };
    if let Some(filter) = request.filters.iter().find(|filter| !is_partition_filter(filter, table.partition_columns()))
    {
        return Err(internal(&format!("{filter} is no filter over partition columns")));
    }
    let schema = table.schema();
    let query = |source| StorageError::Query { table: table.name().to_owned(), source: Box::new(source) };
    let kept = prune(index, &schema, &request.filters, session).map_err(query)?.kept;
    let mut bins = Vec::new();
    for files in by_partition(index, kept.into_iter())? {
        let (cold, warm): (Vec<usize>, Vec<usize>) = files.into_iter().partition(|file| index.is_cold(*file));
        let sized = |files: Vec<usize>| {
            files.into_iter().map(|file| (file, kept_bytes(index, file), index.deleted_rows(file).is_some()))
        };
        match request.zorder.is_empty() {
            true => bins.extend(pack(sized(warm), target, Tier::Warm)),
            false if warm.is_empty() => {}
            false => bins.push(Bin { files: warm, tier: Tier::Warm }),
        }
        // They stay what they are, and are not moved about for an order of the rows.
        bins.extend(pack(sized(cold), COLD_TARGET_BYTES, Tier::Cold));
    }
    Ok(bins)
}

/// Packs files of one partition, given with their sizes and whether rows of theirs are deleted, in their order.
fn pack(files: impl Iterator<Item = (usize, u64, bool)>, target: u64, tier: Tier) -> Vec<Bin> {
    let large = (target as f64 * LARGE_SHARE) as u64;
    let mut bins: Vec<(Bin, u64, bool)> = Vec::new();
    for (file, bytes, cut) in files {
        if bytes >= large && !cut {
            continue;
        }
        match bins.last_mut() {
            Some((bin, filled, any_cut)) if *filled + bytes <= target => {
                bin.files.push(file);
                *filled += bytes;
                *any_cut |= cut;
            }
            _ => bins.push((Bin { files: vec![file], tier }, bytes, cut)),
        }
    }
    bins.into_iter().filter(|(bin, _, cut)| *cut || bin.files.len() > 1).map(|(bin, ..)| bin).collect()
}

/// `delta.targetFileSize`, in bytes or as `64mb`.
pub(super) fn target_bytes(table: &Snapshot) -> u64 {
    let text = table.properties().get("delta.targetFileSize").map(|text| text.trim().to_ascii_lowercase());
    let parsed = text.and_then(|text| {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let unit = match text.get(digits..)?.trim() {
            "" | "b" => 1,
            "k" | "kb" => 1 << 10,
            "m" | "mb" => 1 << 20,
            "g" | "gb" => 1 << 30,
            _ => return None,
        };
        text.get(..digits)?.parse::<u64>().ok()?.checked_mul(unit)
    });
    parsed.filter(|bytes| *bytes > 0).unwrap_or(TARGET_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_are_packed_and_packed_files_stay() {
        let pack = |files: &[(u64, bool)]| {
            let files = files.iter().enumerate().map(|(at, (bytes, cut))| (at, *bytes, *cut));
            pack(files, 100, Tier::Warm).into_iter().map(|bin| bin.files).collect::<Vec<_>>()
        };
        assert_eq!(pack(&[(10, false), (80, false), (20, false), (60, false), (30, false)]), [vec![0, 2, 3]]);
        assert_eq!(pack(&[(60, false), (60, false), (40, false)]), [vec![1, 2]]);
        // Nothing to gain.
        assert_eq!(pack(&[(74, false), (74, false), (200, false)]), Vec::<Vec<usize>>::new());
        assert_eq!(pack(&[(10, false)]), Vec::<Vec<usize>>::new());
        // Deleted rows leave, alone if need be, from large files too.
        assert_eq!(pack(&[(10, true)]), [vec![0]]);
        assert_eq!(pack(&[(200, true), (10, false)]), [vec![0]]);
    }
}
