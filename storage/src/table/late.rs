//! What the log says of a file, told when the reader comes to the file.
//!
//! Statistics as the reader wants them take memory for every column of the table. Of a few thousand files they are made when
//! the query is planned; of more, each file's are made when it is opened and forgotten with it, so that filters found while
//! the query runs leave out files however many there are.

use std::{cmp::Ordering, sync::Arc};

use arrow::{
    array::ArrayRef,
    datatypes::SchemaRef,
    row::{RowConverter, SortField},
};
use datafusion::{
    common::Result,
    datasource::listing::PartitionedFile,
    physical_expr::{PhysicalSortExpr, expressions::Column},
};
use datafusion_datasource::morsel::{MorselPlanner, Morselizer};

use super::{Snapshot, files::FileIndex, statistics::StatisticsBuilder};

/// A part's file, by its position in the index.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbered(pub(super) usize);

/// What the log says of the files of a scan.
#[derive(Debug)]
pub(super) struct LateStatistics {
    pub(super) snapshot: Arc<Snapshot>,
    /// The scan's own order of columns.
    pub(super) schema: SchemaRef,
    /// Positions in it of the columns that the query names.
    pub(super) columns: Vec<usize>,
}

/// The smallest or the largest values of a column come first.
#[derive(Debug, Clone)]
pub(super) struct Towards {
    column: String,
    largest: bool,
}

impl Towards {
    /// `None` where the first key is no column.
    pub(super) fn of(order: &[PhysicalSortExpr]) -> Option<Self> {
        let key = order.first()?;
        let column = key.expr.downcast_ref::<Column>()?.name().to_owned();
        Some(Self { column, largest: key.options.descending })
    }
}

impl LateStatistics {
    /// What opens files with `inner`, which then knows what the log says of each.
    pub(super) fn told_to(self: &Arc<Self>, inner: Box<dyn Morselizer>) -> Box<dyn Morselizer> {
        Box::new(Telling { inner, late: self.clone() })
    }

    /// Files with the first values first; those of which nothing is known are last. Where nothing can be said, as they are.
    pub(super) fn in_order(&self, files: Vec<PartitionedFile>, first: &Towards) -> Vec<PartitionedFile> {
        let sorted = self.snapshot.files().ok().and_then(|index| in_order(index, &files, first));
        let Some(order) = sorted else { return files };
        let mut files: Vec<Option<PartitionedFile>> = files.into_iter().map(Some).collect();
        order.into_iter().filter_map(|at| files.get_mut(at)?.take()).collect()
    }

    fn tell(&self, mut file: PartitionedFile) -> Result<PartitionedFile> {
        if let (Some(Numbered(number)), Ok(index)) = (file.extension::<Numbered>().copied(), self.snapshot.files()) {
            let builder = StatisticsBuilder { index, schema: &self.schema, columns: self.columns.clone() };
            file.statistics = Some(Arc::new(builder.file(number)?));
        }
        Ok(file)
    }
}

/// Positions in `files`, which all have numbers.
fn in_order(index: &FileIndex, files: &[PartitionedFile], first: &Towards) -> Option<Vec<usize>> {
    let bound: ArrayRef = match (index.partition(&first.column), index.column(&first.column)) {
        (Some(values), _) => values.clone(),
        (None, Some(bounds)) if first.largest => bounds.max.clone()?,
        (None, bounds) => bounds?.min.clone()?,
    };
    let numbers = files.iter().map(|file| file.extension::<Numbered>().map(|number| number.0));
    let numbers: Vec<usize> = numbers.collect::<Option<_>>()?;
    let keys = RowConverter::new(vec![SortField::new(bound.data_type().clone())]).ok()?;
    let keys = keys.convert_columns(std::slice::from_ref(&bound)).ok()?;
    let mut order: Vec<usize> = (0..files.len()).collect();
    order.sort_by(|a, b| {
        let (a, b) = (numbers[*a], numbers[*b]);
        match (bound.is_null(a), bound.is_null(b)) {
            (false, false) if first.largest => keys.row(b).cmp(&keys.row(a)),
            (false, false) => keys.row(a).cmp(&keys.row(b)),
            (true, true) => Ordering::Equal,
            (a, b) => a.cmp(&b),
        }
    });
    Some(order)
}

/// Tells of each file before it is opened.
#[derive(Debug)]
struct Telling {
    inner: Box<dyn Morselizer>,
    late: Arc<LateStatistics>,
}

impl Morselizer for Telling {
    fn plan_file(&self, file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        self.inner.plan_file(self.late.tell(file)?)
    }
}
