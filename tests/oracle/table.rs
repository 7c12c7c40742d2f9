//! A random table: its columns, its files' rows, and what Delta features it has.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch},
    compute::filter_record_batch,
    datatypes::{DataType, Field, Schema, SchemaRef},
    util::display::array_value_to_string,
};
use datafusion::common::ScalarValue;

use crate::{
    chance::Chance,
    kind::{KINDS, Kind},
};

const FILES: usize = 5;
const ROWS_PER_FILE_MAX: usize = 9;
const COLUMNS_MAX: usize = 8;

/// Names that SQL must quote, that a path must escape, that differ from another only in case or hide in a file.
const NAMES: [&str; 14] =
    ["a", "b", "c", "d", "e", "f", "g", "h", "Name", "two words", "order", "ü", "dot.ted", "percent%20"];

/// How columns are called in the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapping {
    None,
    Name,
    Id,
}

#[derive(Debug)]
pub struct RandomTable {
    pub columns: Vec<(String, Kind)>,
    pub partition_columns: Vec<String>,
    pub mapping: Mapping,
    /// The rows of each file as they were written.
    pub files: Vec<RecordBatch>,
    /// Of each file, the positions that a deletion vector hides.
    pub hidden: Vec<Vec<u32>>,
}

impl RandomTable {
    /// `id` counts the rows through all files; the other columns and features are up to chance.
    pub fn new(chance: &mut Chance) -> Self {
        let mut names: Vec<&str> = NAMES.to_vec();
        let count = 2 + chance.below(COLUMNS_MAX - 1);
        let columns: Vec<(String, Kind)> =
            (0..count).map(|_| (names.remove(chance.below(names.len())).to_owned(), *chance.pick(&KINDS))).collect();
        let mapping = *chance.pick(&[Mapping::None, Mapping::None, Mapping::Name, Mapping::Id]);
        let partition_columns = match chance.below(3) {
            0 => vec![],
            partitions => {
                columns.iter().filter(|(_, kind)| in_paths(*kind)).take(partitions).map(|c| c.0.clone()).collect()
            }
        };
        let mut table = Self { columns, partition_columns, mapping, files: vec![], hidden: vec![] };
        // Deletion vectors are made for files that hold what was appended in one piece: one file a commit.
        let with_vectors = table.partition_columns.is_empty() && chance.once_in(2);
        let mut first = 0;
        for base in 0..FILES {
            let rows = table.rows(chance, first, base as i64);
            first += rows.num_rows();
            let hides = |chance: &mut Chance| with_vectors && chance.once_in(3);
            table.hidden.push((0..rows.num_rows() as u32).filter(|_| hides(chance)).collect());
            table.files.push(rows);
        }
        table
    }

    pub fn schema(&self) -> SchemaRef {
        let id = Field::new("id", DataType::Int64, true);
        let fields = self.columns.iter().map(|(name, kind)| kind.field(name));
        Arc::new(Schema::new(std::iter::once(id).chain(fields).collect::<Vec<_>>()))
    }

    /// The rows that a reader must see.
    pub fn visible(&self) -> Vec<RecordBatch> {
        let shown = |(rows, hidden): (&RecordBatch, &Vec<u32>)| {
            let keep = BooleanArray::from_iter((0..rows.num_rows() as u32).map(|row| Some(!hidden.contains(&row))));
            filter_record_batch(rows, &keep).unwrap()
        };
        self.files.iter().zip(&self.hidden).map(shown).collect()
    }

    /// What a failure says of the table.
    pub fn about(&self) -> String {
        let Self { columns, partition_columns, mapping, hidden, .. } = self;
        format!(
            "columns {columns:?}, partitioned by {partition_columns:?}, mapping {mapping:?}, hidden rows {hidden:?}"
        )
    }

    pub fn has_vectors(&self) -> bool {
        self.hidden.iter().any(|hidden| !hidden.is_empty())
    }

    fn rows(&self, chance: &mut Chance, first: usize, base: i64) -> RecordBatch {
        let count = 1 + chance.below(ROWS_PER_FILE_MAX);
        let ids = Int64Array::from_iter_values((first..first + count).map(|id| id as i64));
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(ids)];
        for (name, kind) in &self.columns {
            let partitioned = self.partition_columns.contains(name);
            // Now and then a file in which a column holds nothing.
            let empty = chance.once_in(12);
            // The log has one text for the empty value and for NULL of a partition column.
            let not_null = |value: ScalarValue| match partitioned && value == ScalarValue::from("") {
                true => ScalarValue::from("x"),
                false => value,
            };
            let value = |chance: &mut Chance| match empty {
                true => ScalarValue::try_from(&kind.arrow()).unwrap(),
                false => not_null(kind.value_or_null(chance, base)),
            };
            let values: Vec<ScalarValue> = (0..count).map(|_| value(chance)).collect();
            arrays.push(ScalarValue::iter_to_array(values).unwrap());
        }
        RecordBatch::try_new(self.schema(), arrays).unwrap()
    }
}

/// Whether tables are partitioned by this type: the library writes neither floats nor bytes into a path so that they
/// can be read back.
fn in_paths(kind: Kind) -> bool {
    !kind.is_float() && kind != Kind::Binary
}

/// Rows as text, sorted.
pub fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let mut lines = vec![];
    for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
        let columns: Vec<Vec<String>> = batch
            .columns()
            .iter()
            .map(|column| {
                let text = |row| match column.is_null(row) {
                    true => "NULL".to_owned(),
                    false => format!("{:?}", array_value_to_string(column, row).unwrap()),
                };
                (0..column.len()).map(text).collect()
            })
            .collect();
        lines.extend(
            (0..batch.num_rows())
                .map(|row| columns.iter().map(|column| column[row].as_str()).collect::<Vec<_>>().join(" ")),
        );
    }
    lines.sort();
    lines
}
