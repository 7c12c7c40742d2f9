//! Which files of a table are old, and which lie in the cold tier already.

use std::{collections::BTreeMap, fmt, time::Duration};

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, Date32Type, TimeUnit, TimestampMicrosecondType},
};

use super::TierPolicy;
use crate::{Lake, Snapshot, StorageError, maintain::rewrite::by_partition, table::FileIndex, write::partition_text};

const DAY_MS: i64 = 86_400_000;

/// Files and what they weigh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TierSize {
    pub files: u64,
    pub bytes: u64,
}

/// The values of a partition, in the order of the table's partition columns; of a table without any, none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Partition(pub Vec<(String, Option<String>)>);

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{name}={}", value.as_deref().unwrap_or("NULL"))?;
        }
        Ok(())
    }
}

/// Where the files of a partition lie.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartitionTiers {
    pub partition: Partition,
    /// Under the usual storage class.
    pub warm: TierSize,
    pub cold: TierSize,
    /// The cold ones by the storage class under which they were put; `None` where no commit says it.
    pub cold_classes: BTreeMap<Option<String>, TierSize>,
    /// Those of either that have a copy on local disk; the bytes are the copies'.
    pub hot: TierSize,
    /// When a scan of this process last read one of these copies, in milliseconds since 1970, UTC.
    pub hot_read_ms: Option<i64>,
    /// Those of either that the policy wants to have a copy, and those of them that have none.
    pub young: TierSize,
    pub young_left: TierSize,
    /// The warm ones that the policy calls old: a move would take them.
    pub old: TierSize,
    /// Their places in the index of the table's version.
    pub(super) old_files: Vec<usize>,
}

/// Each partition of a table, in their order. A file is old when all its rows were, `now_ms` (milliseconds since 1970, UTC)
/// being now: by its partition value, else by the greatest value that the log tells of. What has no value is not old.
pub fn tiers_of(
    lake: &Lake,
    table: &Snapshot,
    policy: Option<&TierPolicy>,
    now_ms: i64,
) -> Result<Vec<PartitionTiers>, StorageError> {
    let index = table.files()?;
    let latest = policy.and_then(|policy| latest_values(index, &policy.on));
    let latest_of = |file: usize| latest.as_ref().and_then(|latest| latest_ms(latest, file));
    let before = |age: Option<Duration>| age.map(|age| moment_before(now_ms, age));
    let (cold, hot) =
        (before(policy.and_then(|policy| policy.cold_after)), before(policy.and_then(|policy| policy.hot)));
    let is_old = |file: usize| cold.zip(latest_of(file)).is_some_and(|(cutoff, latest)| latest < cutoff);
    let is_young = |file: usize| hot.zip(latest_of(file)).is_some_and(|(cutoff, latest)| latest >= cutoff);
    let copies = lake.hot_copies_of(table)?;
    let mut all = Vec::new();
    for files in by_partition(index, 0..index.len())? {
        let mut tiers = PartitionTiers::default();
        if let Some(first) = files.first() {
            tiers.partition = partition_of(index, *first)?;
        }
        for file in files {
            let bytes = index.size(file);
            let copy = copies.get(file).copied().flatten();
            if let Some(copy) = copy {
                tiers.hot.add(copy.bytes);
                tiers.hot_read_ms = tiers.hot_read_ms.max(copy.read_ms);
            }
            if is_young(file) {
                tiers.young.add(bytes);
                if copy.is_none() {
                    tiers.young_left.add(bytes);
                }
            }
            if index.is_cold(file) {
                tiers.cold.add(bytes);
                tiers.cold_classes.entry(index.storage_class(file)).or_default().add(bytes);
                continue;
            }
            tiers.warm.add(bytes);
            if is_old(file) {
                tiers.old.add(bytes);
                tiers.old_files.push(file);
            }
        }
        all.push(tiers);
    }
    Ok(all)
}

/// The files that a policy wants to have copies on local disk, by their places in the index: those with rows that are young
/// enough, `now_ms` (milliseconds since 1970, UTC) being now. None when there is no index.
pub(crate) fn young_files(index: Option<&FileIndex>, policy: &TierPolicy, now_ms: i64) -> Vec<usize> {
    let Some((index, hot)) = index.zip(policy.hot) else { return Vec::new() };
    let Some(latest) = latest_values(index, &policy.on) else { return Vec::new() };
    let cutoff = moment_before(now_ms, hot);
    (0..index.len()).filter(|file| latest_ms(&latest, *file).is_some_and(|latest| latest >= cutoff)).collect()
}

fn moment_before(now_ms: i64, age: Duration) -> i64 {
    now_ms.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}

impl TierSize {
    fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

fn partition_of(index: &FileIndex, file: usize) -> Result<Partition, StorageError> {
    let values = index.partitions().iter().map(|(name, values)| {
        let text = values.is_valid(file).then(|| partition_text(values, file)).transpose()?;
        Ok((name.clone(), text))
    });
    values.collect::<Result<_, _>>().map(Partition)
}

/// The greatest value of a column in each file, as far as the log tells.
fn latest_values(index: &FileIndex, column: &str) -> Option<ArrayRef> {
    index.partition(column).cloned().or_else(|| index.column(column)?.max.clone())
}

/// The last moment that the value of a file covers, in milliseconds since 1970.
fn latest_ms(values: &ArrayRef, file: usize) -> Option<i64> {
    if values.is_null(file) {
        return None;
    }
    match values.data_type() {
        DataType::Date32 => {
            let day = i64::from(values.as_primitive::<Date32Type>().value(file));
            Some((day + 1) * DAY_MS - 1)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Some(values.as_primitive::<TimestampMicrosecondType>().value(file).div_euclid(1000))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, TimestampMicrosecondArray};

    use super::*;

    #[test]
    fn a_day_is_over_when_it_is_over() {
        let days: ArrayRef = Arc::new(Date32Array::from(vec![Some(0), None, Some(-1)]));
        assert_eq!([0, 1, 2].map(|file| latest_ms(&days, file)), [Some(DAY_MS - 1), None, Some(-1)]);
        let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![Some(1_999), Some(-1), None]));
        assert_eq!([0, 1, 2].map(|file| latest_ms(&times, file)), [Some(1), Some(-1), None]);
    }

    #[test]
    fn a_partition_is_told_by_its_values() {
        let partition = Partition(vec![("day".into(), Some("2024-01-01".into())), ("region".into(), None)]);
        assert_eq!(partition.to_string(), "day=2024-01-01, region=NULL");
        assert_eq!(Partition::default().to_string(), "");
    }
}
