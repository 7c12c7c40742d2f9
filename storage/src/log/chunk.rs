//! What the log says of some files: typed arrays, one row a file.
//!
//! The bounds kept here always hold: where a writer may have shortened or rounded them, they are widened first, and where
//! they cannot be trusted, they are left out. Columns of which no file says anything take no memory.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, StringArray, StringViewArray, StructArray,
        UInt32Array, new_null_array,
    },
    compute::{cast, concat, take},
    datatypes::{Int32Type, Int64Type, UInt32Type},
    error::ArrowError,
};

use super::{
    action::{COLD, DeletionVector},
    bounds,
    layout::{Column, Layout},
    stats::{self, ColumnStats, StatsReader},
};

/// Add actions as the log has them, column by column.
pub(super) struct RawAdds {
    pub(super) paths: StringArray,
    pub(super) sizes: Int64Array,
    pub(super) modified_ms: Int64Array,
    /// Absent when no file has a deletion vector.
    pub(super) vectors: Option<Vectors>,
    /// The partition values of each partition column of the layout, as text.
    pub(super) partitions: Vec<StringArray>,
    /// The stored name of the column by which the rows lie in order. Absent when no file says so.
    pub(super) sorted_by: Option<StringArray>,
    /// The tier for which the file was written. Absent when no file says so.
    pub(super) tier: Option<StringArray>,
    /// The storage class under which the file was put. Absent when no file says so.
    pub(super) class: Option<StringArray>,
    pub(super) stats: RawStats,
}

/// Statistics in one of the forms in which the log has them.
pub(super) enum RawStats {
    Json(StringViewArray),
    Struct(StructArray),
}

/// Deletion vectors; NULL for a file without one.
#[derive(Debug, Clone)]
pub(super) struct Vectors {
    pub(super) storage_type: StringArray,
    pub(super) path_or_inline: StringArray,
    pub(super) offset: Int32Array,
    pub(super) size_in_bytes: Int32Array,
    pub(super) cardinality: Int64Array,
}

/// What the log says about one column, file by file.
#[derive(Debug, Default, Clone)]
pub(crate) struct ColumnBounds {
    pub(crate) nulls: Option<Int64Array>,
    pub(crate) min: Option<ArrayRef>,
    pub(crate) max: Option<ArrayRef>,
    /// The bounds are values that occur, not merely bounds. Never so in a table whose files may hide deleted rows.
    pub(crate) exact: bool,
}

/// Some files of a table. Immutable, shared by the versions in which they are alive.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    pub(super) paths: StringArray,
    pub(super) sizes: Int64Array,
    pub(super) modified_ms: Int64Array,
    /// Rows in the file, those that its deletion vector hides included.
    pub(super) rows: Int64Array,
    pub(super) vectors: Option<Vectors>,
    /// In the order of the layout.
    pub(super) partitions: Vec<ArrayRef>,
    /// In the order of the layout.
    pub(super) columns: Vec<ColumnBounds>,
    /// The position in the layout of the column by which the rows lie in order. Absent when there is none for any file.
    pub(super) sorted_by: Option<UInt32Array>,
    /// Whether the file was written for the cold tier; not so where it is NULL. Absent when none was.
    pub(super) cold: Option<BooleanArray>,
    /// The storage class under which the file was put, NULL where it is not said. Absent when it is of none.
    pub(super) class: Option<StringArray>,
}

impl Chunk {
    /// Types what the log says. The text of an error names the file and the column.
    pub(super) fn try_new(layout: &Layout, raw: RawAdds) -> Result<Self, String> {
        let mut partitions = Vec::with_capacity(layout.partitions.len());
        for (column, values) in layout.partitions.iter().zip(&raw.partitions) {
            partitions.push(partition_values(column, values, &raw.paths)?);
        }
        let stats = match &raw.stats {
            RawStats::Json(json) => {
                let mut reader = StatsReader::new(layout);
                json.iter().for_each(|json| reader.push(json));
                reader.finish()
            }
            RawStats::Struct(parsed) => stats::from_struct(layout, parsed),
        };
        let stats = stats.map_err(|error| format!("its statistics: {error}"))?;
        let position = |name: &str| u32::try_from(*layout.stored.get(name)?).ok();
        let sorted_by: Option<UInt32Array> =
            raw.sorted_by.map(|names| names.iter().map(|name| name.and_then(position)).collect());
        let cold: Option<BooleanArray> =
            raw.tier.map(|tiers| tiers.iter().map(|tier| Some(tier == Some(COLD))).collect());
        Ok(Self {
            paths: raw.paths,
            sizes: raw.sizes,
            modified_ms: raw.modified_ms,
            rows: stats.rows,
            vectors: raw.vectors,
            partitions,
            columns: stats.columns.into_iter().map(ColumnBounds::new).collect(),
            sorted_by: sorted_by.filter(|columns| columns.null_count() < columns.len()),
            cold: cold.filter(|cold| cold.true_count() > 0),
            class: raw.class.filter(|classes| classes.null_count() < classes.len()),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.paths.len()
    }

    /// The deletion vector of a file, `None` when it has none.
    pub(super) fn vector(&self, file: usize) -> Option<DeletionVector> {
        let vectors = self.vectors.as_ref().filter(|vectors| vectors.storage_type.is_valid(file))?;
        Some(DeletionVector {
            storage_type: vectors.storage_type.value(file).to_owned(),
            path_or_inline_dv: vectors.path_or_inline.value(file).to_owned(),
            offset: vectors.offset.is_valid(file).then(|| vectors.offset.value(file)),
            size_in_bytes: vectors.size_in_bytes.value(file),
            cardinality: vectors.cardinality.value(file),
        })
    }

    /// Some of the files.
    pub(super) fn take(&self, files: &UInt32Array) -> Result<Self, ArrowError> {
        let option = |array: &Option<ArrayRef>| array.as_ref().map(|array| take(array, files, None)).transpose();
        let columns = self.columns.iter().map(|column| {
            let nulls = column.nulls.as_ref().map(|nulls| take_numbers(nulls, files)).transpose()?;
            Ok(ColumnBounds { nulls, min: option(&column.min)?, max: option(&column.max)?, exact: column.exact })
        });
        let partitions = self.partitions.iter().map(|values| take(values, files, None));
        Ok(Self {
            paths: take_text(&self.paths, files)?,
            sizes: take_numbers(&self.sizes, files)?,
            modified_ms: take_numbers(&self.modified_ms, files)?,
            rows: take_numbers(&self.rows, files)?,
            vectors: self.vectors.as_ref().map(|vectors| vectors.take(files)).transpose()?,
            partitions: partitions.collect::<Result<_, _>>()?,
            columns: columns.collect::<Result<_, ArrowError>>()?,
            sorted_by: self.sorted_by.as_ref().map(|columns| take_positions(columns, files)).transpose()?,
            cold: self.cold.as_ref().map(|cold| take(cold, files, None)).transpose()?.map(|a| a.as_boolean().clone()),
            class: self.class.as_ref().map(|classes| take_text(classes, files)).transpose()?,
        })
    }

    /// The files of some chunks of one layout, in their order. What the chunks say of a column goes as soon as it is copied.
    pub(super) fn join(mut chunks: Vec<Self>) -> Result<Self, ArrowError> {
        if chunks.len() == 1
            && let Some(one) = chunks.pop()
        {
            return Ok(one);
        }
        let lens: Vec<usize> = chunks.iter().map(Self::len).collect();
        let mut parts = Parts::default();
        chunks.into_iter().for_each(|chunk| parts.push(chunk));
        let columns = parts.columns.into_iter().map(|parts| ColumnBounds::join(parts, &lens));
        let partitions = parts.partitions.into_iter().map(|values| joined(&values));
        Ok(Self {
            paths: joined(&parts.paths)?.as_string::<i32>().clone(),
            sizes: joined_numbers(&parts.sizes)?,
            modified_ms: joined_numbers(&parts.modified_ms)?,
            rows: joined_numbers(&parts.rows)?,
            vectors: Vectors::join(parts.vectors, &lens)?,
            partitions: partitions.collect::<Result<_, _>>()?,
            columns: columns.collect::<Result<_, ArrowError>>()?,
            sorted_by: joined_known(parts.sorted_by, &lens)?.map(|a| a.as_primitive::<UInt32Type>().clone()),
            cold: joined_known(parts.cold, &lens)?.map(|cold| cold.as_boolean().clone()),
            class: joined_known(parts.class, &lens)?.map(|classes| classes.as_string::<i32>().clone()),
        })
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        let fixed: [&dyn Array; 4] = [&self.paths, &self.sizes, &self.modified_ms, &self.rows];
        let vectors = self.vectors.iter().flat_map(Vectors::arrays);
        let fixed: usize = fixed.into_iter().chain(vectors).map(|array| array.get_array_memory_size()).sum();
        let partitions: usize = self.partitions.iter().map(|values| values.get_array_memory_size()).sum();
        let sorted_by = self.sorted_by.as_ref().map_or(0, |columns| columns.get_array_memory_size());
        let cold = self.cold.as_ref().map_or(0, |cold| cold.get_array_memory_size());
        let class = self.class.as_ref().map_or(0, |classes| classes.get_array_memory_size());
        fixed + partitions + sorted_by + cold + class + self.columns.iter().map(ColumnBounds::bytes).sum::<usize>()
    }
}

/// What some chunks hold, column by column.
#[derive(Default)]
struct Parts {
    paths: Vec<ArrayRef>,
    sizes: Vec<ArrayRef>,
    modified_ms: Vec<ArrayRef>,
    rows: Vec<ArrayRef>,
    vectors: Vec<Option<Vectors>>,
    partitions: Vec<Vec<ArrayRef>>,
    columns: Vec<Vec<ColumnBounds>>,
    sorted_by: Vec<Option<ArrayRef>>,
    cold: Vec<Option<ArrayRef>>,
    class: Vec<Option<ArrayRef>>,
}

impl Parts {
    fn push(&mut self, chunk: Chunk) {
        self.paths.push(Arc::new(chunk.paths));
        self.sizes.push(Arc::new(chunk.sizes));
        self.modified_ms.push(Arc::new(chunk.modified_ms));
        self.rows.push(Arc::new(chunk.rows));
        self.vectors.push(chunk.vectors);
        self.partitions.resize_with(chunk.partitions.len(), Vec::new);
        self.partitions.iter_mut().zip(chunk.partitions).for_each(|(parts, values)| parts.push(values));
        self.columns.resize_with(chunk.columns.len(), Vec::new);
        self.columns.iter_mut().zip(chunk.columns).for_each(|(parts, column)| parts.push(column));
        self.sorted_by.push(chunk.sorted_by.map(|columns| Arc::new(columns) as ArrayRef));
        self.cold.push(chunk.cold.map(|cold| Arc::new(cold) as ArrayRef));
        self.class.push(chunk.class.map(|classes| Arc::new(classes) as ArrayRef));
    }
}

impl ColumnBounds {
    /// Of some chunks, which have so many files.
    fn join(parts: Vec<Self>, lens: &[usize]) -> Result<Self, ArrowError> {
        let exact = parts.iter().all(|part| part.exact);
        let (mut nulls, mut min, mut max) = (vec![], vec![], vec![]);
        for part in parts {
            nulls.push(part.nulls.map(|nulls| Arc::new(nulls) as ArrayRef));
            min.push(part.min);
            max.push(part.max);
        }
        let nulls = joined_known(nulls, lens)?.map(|nulls| nulls.as_primitive::<Int64Type>().clone());
        Ok(Self { nulls, min: joined_known(min, lens)?, max: joined_known(max, lens)?, exact })
    }

    fn new(stats: ColumnStats) -> Self {
        Self {
            exact: bounds::are_exact(stats.min.as_ref(), stats.max.as_ref()),
            nulls: stats.nulls,
            min: stats.min.as_ref().and_then(bounds::lower),
            max: stats.max.as_ref().and_then(bounds::upper),
        }
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        let bounds = [&self.min, &self.max].into_iter().flatten();
        self.nulls.as_ref().map_or(0, |nulls| nulls.get_array_memory_size())
            + bounds.map(|values| values.get_array_memory_size()).sum::<usize>()
    }
}

impl Vectors {
    fn arrays(&self) -> [&dyn Array; 5] {
        [&self.storage_type, &self.path_or_inline, &self.offset, &self.size_in_bytes, &self.cardinality]
    }

    fn take(&self, files: &UInt32Array) -> Result<Self, ArrowError> {
        Ok(Self {
            storage_type: take_text(&self.storage_type, files)?,
            path_or_inline: take_text(&self.path_or_inline, files)?,
            offset: take(&self.offset, files, None)?.as_primitive::<Int32Type>().clone(),
            size_in_bytes: take(&self.size_in_bytes, files, None)?.as_primitive::<Int32Type>().clone(),
            cardinality: take_numbers(&self.cardinality, files)?,
        })
    }

    fn join(parts: Vec<Option<Self>>, lens: &[usize]) -> Result<Option<Self>, ArrowError> {
        if parts.iter().all(Option::is_none) {
            return Ok(None);
        }
        let parts = parts.into_iter().zip(lens).map(|(part, len)| part.unwrap_or_else(|| Self::none(*len)));
        let parts: Vec<Self> = parts.collect();
        let column = |at: usize| concat(&parts.iter().map(|part| part.arrays()[at]).collect::<Vec<_>>());
        Ok(Some(Self {
            storage_type: column(0)?.as_string::<i32>().clone(),
            path_or_inline: column(1)?.as_string::<i32>().clone(),
            offset: column(2)?.as_primitive::<Int32Type>().clone(),
            size_in_bytes: column(3)?.as_primitive::<Int32Type>().clone(),
            cardinality: column(4)?.as_primitive::<Int64Type>().clone(),
        }))
    }

    fn none(files: usize) -> Self {
        Self {
            storage_type: StringArray::new_null(files),
            path_or_inline: StringArray::new_null(files),
            offset: Int32Array::new_null(files),
            size_in_bytes: Int32Array::new_null(files),
            cardinality: Int64Array::new_null(files),
        }
    }
}

/// The unique id of a deletion vector (Delta protocol, "Deletion Vector Descriptor Schema").
pub(super) fn vector_id(storage_type: &str, path_or_inline: &str, offset: Option<i32>) -> String {
    match offset {
        Some(offset) => format!("{storage_type}{path_or_inline}@{offset}"),
        None => format!("{storage_type}{path_or_inline}"),
    }
}

/// Delta protocol, "Partition Value Serialization": an empty text is NULL.
fn partition_values(column: &Column, values: &StringArray, paths: &StringArray) -> Result<ArrayRef, String> {
    let text: StringArray = values.iter().map(|value| value.filter(|value| !value.is_empty())).collect();
    let typed = cast(&text, &column.data_type)
        .map_err(|error| format!("the values of partition column \"{}\": {error}", column.name))?;
    if typed.null_count() > text.null_count()
        && let Some(file) = (0..text.len()).find(|file| typed.is_null(*file) && text.is_valid(*file))
    {
        return Err(format!(
            "the file \"{}\" has \"{}\" in partition column \"{}\", which is {}",
            paths.value(file),
            text.value(file),
            column.name,
            column.data_type
        ));
    }
    Ok(typed)
}

fn take_text(values: &StringArray, files: &UInt32Array) -> Result<StringArray, ArrowError> {
    Ok(take(values, files, None)?.as_string::<i32>().clone())
}

fn take_numbers(values: &Int64Array, files: &UInt32Array) -> Result<Int64Array, ArrowError> {
    Ok(take(values, files, None)?.as_primitive::<Int64Type>().clone())
}

fn take_positions(values: &UInt32Array, files: &UInt32Array) -> Result<UInt32Array, ArrowError> {
    Ok(take(values, files, None)?.as_primitive::<UInt32Type>().clone())
}

fn joined(parts: &[ArrayRef]) -> Result<ArrayRef, ArrowError> {
    concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>())
}

fn joined_numbers(parts: &[ArrayRef]) -> Result<Int64Array, ArrowError> {
    Ok(joined(parts)?.as_primitive::<Int64Type>().clone())
}

/// One array of all; where one is absent, its files are NULL.
fn joined_known(parts: Vec<Option<ArrayRef>>, lens: &[usize]) -> Result<Option<ArrayRef>, ArrowError> {
    let Some(kind) = parts.iter().flatten().next().map(|array| array.data_type().clone()) else { return Ok(None) };
    let parts = parts.into_iter().zip(lens);
    let parts: Vec<ArrayRef> = parts.map(|(part, len)| part.unwrap_or_else(|| new_null_array(&kind, *len))).collect();
    joined(&parts).map(Some)
}
