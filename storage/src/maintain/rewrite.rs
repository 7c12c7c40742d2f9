//! The rows of some files in new files, for OPTIMIZE and for the cold tier: no row changes, none comes, none goes.

use std::{collections::BTreeMap, fmt::Display, sync::Arc};

use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::{
    catalog::Session,
    physical_plan::{ExecutionPlan, coalesce_partitions::CoalescePartitionsExec},
};
use deltalake::kernel::Add;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

use super::Pace;
use crate::{
    Lake, Snapshot, StorageError,
    log::STORAGE_CLASS,
    store::ClassedStore,
    table::{FileIndex, provider_of, table_store},
    write::{Tier, file_rows, write_compact},
};

/// Cold files grow to this size: few of them cost few requests, and many engines still read one in parallel.
pub(super) const COLD_TARGET_BYTES: u64 = 512 << 20;

/// How files are written anew.
#[derive(Debug, Clone)]
pub(super) struct Rewrite {
    pub table: Arc<Snapshot>,
    /// The table's folder, under the storage class of the tier.
    pub store: Arc<dyn ObjectStore>,
    /// That class, where it is not the usual one: what is written says so.
    pub class: Option<String>,
    pub tier: Tier,
    /// Rows with near values in these columns come to lie together; with one column, in its order.
    pub zorder: Vec<String>,
    pub file_bytes: u64,
    pub pace: Pace,
}

impl Rewrite {
    /// The rows of `files` in new files. As many rows as the old files have, or it is an error.
    pub async fn run(self, files: Vec<usize>, session: Arc<dyn Session>) -> Result<Vec<Add>, StorageError> {
        let table = &self.table;
        let query = |source| StorageError::Query { table: table.name().to_owned(), source: Box::new(source) };
        let plan: Arc<dyn ExecutionPlan> = match self.zorder.is_empty() {
            true => {
                let provider = provider_of(table, files.clone())?;
                let scan = provider.scan(session.as_ref(), None, &[], None).await.map_err(query)?;
                Arc::new(CoalescePartitionsExec::new(scan))
            }
            false => super::zorder::plan(table, &files, &self.zorder, session.as_ref()).await?,
        };
        let layout = (self.file_bytes, self.tier);
        let mut written = write_compact(table, &self.store, plan, session.as_ref(), layout, &self.pace).await?;
        let index = table.files()?;
        let rows: Option<u64> = files.iter().map(|file| index.visible_rows(*file)).sum();
        let kept: u64 = written.iter().map(file_rows).sum();
        match rows {
            Some(rows) if rows != kept => {
                for file in &written {
                    // What stays, VACUUM finds.
                    if let Ok(path) = Path::from_url_path(&file.path) {
                        drop(self.store.delete(&path).await);
                    }
                }
                let message = format!("rewriting files of \"{}\" would make {kept} rows of {rows}", table.name());
                Err(StorageError::Internal { message })
            }
            _ => {
                for (file, class) in written.iter_mut().zip(self.class.iter().cycle()) {
                    file.tags.get_or_insert_default().insert(STORAGE_CLASS.to_owned(), Some(class.clone()));
                }
                Ok(written)
            }
        }
    }

    /// Files of the cold tier. Where the old ones have their rows in an order, so have the new ones.
    pub fn cold(lake: &Lake, table: &Arc<Snapshot>, files: &[usize], pace: &Pace) -> Result<Self, StorageError> {
        let zorder = table.files()?.sorted_by(files).map(|column| vec![column.to_owned()]);
        let class = lake.cold_storage_class(table.location());
        Ok(Self {
            table: table.clone(),
            store: cold_store(lake, table, class)?,
            class: class.map(str::to_owned),
            tier: Tier::Cold,
            zorder: zorder.unwrap_or_default(),
            file_bytes: COLD_TARGET_BYTES,
            pace: pace.clone(),
        })
    }
}

/// The table's folder; of a bucket, what is put there is of the cold storage class.
fn cold_store(lake: &Lake, table: &Snapshot, class: Option<&str>) -> Result<Arc<dyn ObjectStore>, StorageError> {
    let store = table_store(lake.store_registry(), table.location())?;
    Ok(match class {
        Some(class) => Arc::new(ClassedStore::new(store, class)),
        None => store,
    })
}

/// Files by their partitions, in the order of the partitions.
pub(super) fn by_partition(
    index: &FileIndex,
    files: impl Iterator<Item = usize>,
) -> Result<Vec<Vec<usize>>, StorageError> {
    let internal = |error: &dyn Display| StorageError::Internal { message: error.to_string() };
    let arrays: Vec<_> = index.partitions().iter().map(|(_, values)| values.clone()).collect();
    let rows = match arrays.is_empty() {
        true => None,
        false => {
            let fields = arrays.iter().map(|values| SortField::new(values.data_type().clone())).collect();
            let converter = RowConverter::new(fields).map_err(|error| internal(&error))?;
            Some(converter.convert_columns(&arrays).map_err(|error| internal(&error))?)
        }
    };
    let mut partitions: BTreeMap<Option<OwnedRow>, Vec<usize>> = BTreeMap::new();
    for file in files {
        partitions.entry(rows.as_ref().map(|rows| rows.row(file).owned())).or_default().push(file);
    }
    Ok(partitions.into_values().collect())
}

/// What the file will take without its deleted rows.
pub(super) fn kept_bytes(index: &FileIndex, file: usize) -> u64 {
    let (bytes, deleted) = (index.size(file), index.deleted_rows(file).unwrap_or(0));
    match index.visible_rows(file) {
        Some(visible) if deleted > 0 => (bytes as f64 * visible as f64 / (visible as f64 + deleted as f64)) as u64,
        _ => bytes,
    }
}
