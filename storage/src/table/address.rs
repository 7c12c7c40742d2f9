//! Rows together with where they lie, for statements that change them in place.
//!
//! ```text
//!   table's columns | file: position in the index | row: number in the file
//! ```
//! The file is a partition value of the scan, the row a column that the Parquet reader makes up from the row groups'
//! places in the file: whatever is left out (files, row groups, pages, rows that a deletion vector hides), a row keeps
//! its number. Such scans read Parquet always, never a hot copy. What they looked at is kept for the check of conflicts.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::Array,
    datatypes::{DataType, Field, FieldRef},
    util::display::array_value_to_string,
};
use datafusion::{
    catalog::{Session, TableProvider},
    common::Result,
    logical_expr::Expr,
    physical_plan::{ExecutionPlan, execute_stream},
};
use futures::StreamExt;
use parking_lot::Mutex;
use parquet::arrow::RowNumber;
use roaring::RoaringBitmap;

use super::{Snapshot, prune::is_partition_filter, scan::TableScan};
use crate::{StorageError, task_context};

/// The names of the two columns begin with it.
pub const ADDRESS_PREFIX: &str = "__boathouse_";
/// Of a row in a message.
const VALUES_SHOWN_MAX: usize = 4;
const VALUE_CHARS_MAX: usize = 40;

/// The two columns, both BIGINT and never NULL.
#[derive(Debug, Clone)]
pub(super) struct AddressColumns {
    pub(super) file: FieldRef,
    pub(super) row: FieldRef,
}

/// What makes a scan yield addresses.
#[derive(Debug, Clone)]
pub(super) struct Addresses {
    pub(super) columns: AddressColumns,
    pub(super) seen: Arc<Seen>,
}

/// What the scans of one statement looked at.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<Option<SeenRows>>);

/// Rows that match all `filters` (none: all rows) in `files`, by their positions in the index, rising.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SeenRows {
    pub(crate) filters: Vec<Expr>,
    pub(crate) files: Vec<usize>,
}

impl Seen {
    pub(super) fn add(&self, filters: &[Expr], files: &[usize]) {
        let mut seen = self.0.lock();
        let mut all = SeenRows { filters: filters.to_vec(), files: files.to_vec() };
        if let Some(before) = seen.take().filter(|before| *before != all) {
            // Of several scans only what holds for each.
            all.filters.retain(|filter| before.filters.contains(filter));
            all.files.extend(before.files);
            all.files.sort_unstable();
            all.files.dedup();
        }
        *seen = Some(all);
    }
}

/// A snapshot whose rows are scanned with their addresses, for one run of one statement.
#[derive(Debug, Clone)]
pub struct Addressed {
    snapshot: Arc<Snapshot>,
    scan: Arc<TableScan>,
    addresses: Addresses,
}

impl Snapshot {
    /// This table with the addresses of its rows. `UnsupportedFeature` when the table cannot be read right.
    pub fn addressed(self: &Arc<Self>) -> Result<Addressed, StorageError> {
        let schema = self.schema();
        let free = |name: &str| {
            let mut name = name.to_owned();
            while schema.fields().iter().any(|field| field.name().eq_ignore_ascii_case(&name)) {
                name.push('_');
            }
            name
        };
        let columns = AddressColumns {
            file: Arc::new(Field::new(free(&format!("{ADDRESS_PREFIX}file")), DataType::Int64, false)),
            row: Arc::new(
                Field::new(free(&format!("{ADDRESS_PREFIX}row")), DataType::Int64, false)
                    .with_extension_type(RowNumber),
            ),
        };
        let addresses = Addresses { columns, seen: Arc::default() };
        let scan = Arc::new(TableScan::new(self, Some(addresses.clone()))?);
        Ok(Addressed { snapshot: self.clone(), scan, addresses })
    }

    /// The rows of some files that are left when those in `gone` (by file) are taken away: all columns of the table in
    /// their declared order. Rows that a deletion vector hides are not among them.
    pub(crate) async fn survivors(
        self: &Arc<Self>,
        session: &dyn Session,
        gone: &BTreeMap<usize, RoaringBitmap>,
    ) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
        let failed = |source| StorageError::Query { table: self.name().to_owned(), source: Box::new(source) };
        TableScan::new(self, None)?.plain().survivors(session, gone).await.map_err(failed)
    }

    /// These rows of some files, all of which a reader sees: all columns of the table in their declared order.
    pub(crate) async fn rows_at(
        self: &Arc<Self>,
        session: &dyn Session,
        rows: &BTreeMap<usize, RoaringBitmap>,
    ) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
        let failed = |source| StorageError::Query { table: self.name().to_owned(), source: Box::new(source) };
        TableScan::new(self, None)?.plain().rows_at(session, rows).await.map_err(failed)
    }

    /// The survivors with the addresses of the rows: behind the columns of the table come the file and the row.
    pub(crate) async fn addressed_survivors(
        self: &Arc<Self>,
        session: &dyn Session,
        gone: &BTreeMap<usize, RoaringBitmap>,
    ) -> Result<Arc<dyn ExecutionPlan>, StorageError> {
        let failed = |source| StorageError::Query { table: self.name().to_owned(), source: Box::new(source) };
        self.addressed()?.scan.survivors(session, gone).await.map_err(failed)
    }

    /// Adds to the rows of some files those that their deletion vectors hide already.
    pub(crate) async fn add_hidden(
        self: &Arc<Self>,
        session: &dyn Session,
        rows: &mut BTreeMap<usize, RoaringBitmap>,
    ) -> Result<(), StorageError> {
        let failed = |source| StorageError::Query { table: self.name().to_owned(), source: Box::new(source) };
        TableScan::new(self, None)?.add_hidden(session, rows).await.map_err(failed)
    }

    /// The visible rows of a file of which the log does not say how many it has.
    pub(crate) async fn count_rows(self: &Arc<Self>, session: &dyn Session, file: usize) -> Result<u64, StorageError> {
        let plan = self.survivors(session, &BTreeMap::from([(file, RoaringBitmap::new())])).await?;
        let failed = |source| StorageError::Query { table: self.name().to_owned(), source: Box::new(source) };
        let mut rows = execute_stream(plan, task_context(session)).map_err(failed)?;
        let mut count = 0;
        while let Some(batch) = rows.next().await {
            count += batch.map_err(failed)?.num_rows() as u64;
        }
        Ok(count)
    }

    /// The values of one row as a message shows them: `id = 7, name = Ada`.
    pub(crate) async fn describe_row(
        self: &Arc<Self>,
        session: &dyn Session,
        file: usize,
        row: u32,
    ) -> Result<String, StorageError> {
        let mut others = RoaringBitmap::full();
        others.remove(row);
        let plan = self.survivors(session, &BTreeMap::from([(file, others)])).await?;
        let failed = |source| StorageError::Query { table: self.name().to_owned(), source: Box::new(source) };
        let mut rows = execute_stream(plan, task_context(session)).map_err(failed)?;
        let mut shown = Vec::new();
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(failed)?;
            for (field, column) in batch.schema().fields().iter().zip(batch.columns()).take(VALUES_SHOWN_MAX) {
                if batch.num_rows() > 0
                    && let Ok(value) = array_value_to_string(column, 0)
                {
                    let value = if column.is_null(0) { "NULL".to_owned() } else { value };
                    let value: String = value.chars().take(VALUE_CHARS_MAX).collect();
                    shown.push(format!("{} = {value}", field.name()));
                }
            }
        }
        Ok(shown.join(", "))
    }
}

impl Addressed {
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The table's columns in their declared order, then file and row.
    pub fn provider(&self) -> Arc<dyn TableProvider> {
        self.scan.clone()
    }

    /// The name of the column with a row's file. No column of the table has it.
    pub fn file_column(&self) -> &str {
        self.addresses.columns.file.name()
    }

    /// The name of the column with a row's number in its file. No column of the table has it.
    pub fn row_column(&self) -> &str {
        self.addresses.columns.row.name()
    }

    /// Whether `filters` say of whole files, from their partition values, which rows match: all of a file or none.
    pub fn decides(&self, filters: &[Expr]) -> bool {
        filters.iter().all(|filter| is_partition_filter(filter, self.snapshot.partition_columns()))
    }

    /// What the scans that were planned so far look at; `None` before the first.
    pub(crate) fn seen(&self) -> Option<SeenRows> {
        self.addresses.seen.0.lock().clone()
    }
}
