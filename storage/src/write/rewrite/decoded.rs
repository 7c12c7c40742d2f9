//! Files that are not laid out as we would do it: their rows are read as a query reads them, and written like any others.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::interleave,
    datatypes::{Int64Type, SchemaRef},
    record_batch::RecordBatch,
};
use datafusion::{
    catalog::Session,
    common::{Result, exec_datafusion_err},
};
use deltalake::kernel::Add;
use object_store::ObjectStore;

use super::{file::FileChange, patches::RowPatches};
use crate::{
    Snapshot, StorageError,
    table::relabel,
    task_context,
    write::{
        conform::query_error,
        data::{FileLayout, write_rows},
        rows::Rows,
    },
};

/// Writes what is left of some files. Their changed values are held in memory meanwhile.
pub(in crate::write) async fn write_decoded(
    table: &Arc<Snapshot>,
    changes: Vec<FileChange>,
    store: &Arc<dyn ObjectStore>,
    session: &dyn Session,
) -> Result<Vec<Add>, StorageError> {
    let (mut gone, mut patches, mut columns) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for change in changes {
        if let Some(changed) = &change.patches {
            let rows = changed.among(change.file, 0..u32::MAX).await;
            patches.insert(change.file, rows.map_err(|error| query_error(table.name(), error))?);
            columns = changed.columns().to_vec();
        }
        gone.insert(change.file, change.gone);
    }
    let plan = table.addressed_survivors(session, &gone).await?;
    let (schema, declared) = (table.schema(), table.schema());
    let rows = Rows::mapped(plan, schema, move |batch| patched(&batch, &declared, &patches, &columns));
    write_rows(&FileLayout::of_table(table), &rows, store, &task_context(session)).await
}

/// The table's columns of a batch with addresses behind them, with the changed values in their places.
fn patched(
    batch: &RecordBatch,
    table: &SchemaRef,
    patches: &BTreeMap<usize, RowPatches>,
    columns: &[usize],
) -> Result<RecordBatch> {
    let width = table.fields().len();
    let mut values: Vec<ArrayRef> = batch.columns().iter().take(width).cloned().collect();
    let address = |at: usize| {
        let column = batch.columns().get(width + at).and_then(|column| column.as_primitive_opt::<Int64Type>());
        column.ok_or_else(|| exec_datafusion_err!("a row without an address"))
    };
    let (files, rows) = (address(0)?, address(1)?);
    // The pieces of all files stand behind the old values.
    let mut firsts = BTreeMap::new();
    let mut next = 1;
    for (file, patches) in patches {
        firsts.insert(*file, next);
        next += patches.pieces();
    }
    let place = |at: usize| {
        let file = usize::try_from(files.value(at)).ok()?;
        let row = u32::try_from(rows.value(at)).ok()?;
        let (_, piece, place) = patches.get(&file)?.within(row..row.checked_add(1)?).next()?;
        Some((firsts.get(&file)? + piece, place))
    };
    let places: Vec<(usize, usize)> = (0..batch.num_rows()).map(|at| place(at).unwrap_or((0, at))).collect();
    if places.iter().any(|(array, _)| *array > 0) {
        for (at, column) in columns.iter().enumerate() {
            let Some(old) = values.get(*column).cloned() else { continue };
            let new = patches.values().flat_map(|patches| patches.values(at));
            let new = new.map(|new| relabel(new, old.data_type())).collect::<Result<Vec<_>, _>>()?;
            let arrays: Vec<&dyn Array> =
                std::iter::once(old.as_ref()).chain(new.iter().map(|values| values.as_ref())).collect();
            values[*column] = interleave(&arrays, &places)?;
        }
    }
    Ok(RecordBatch::try_new(table.clone(), values)?)
}
