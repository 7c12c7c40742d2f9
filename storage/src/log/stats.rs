//! The statistics of many files, from JSON to one array per column and kind.
//!
//! Delta protocol, "Per-file Statistics". A value that is not of the column's type, does not fit it or contradicts another
//! (a minimum above the maximum, more NULLs than rows) is unknown: a query then reads the file. Statistics never make it fail.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Decimal128Builder, Int64Array, Int64Builder, StringBuilder, StructArray,
    },
    compute::{cast, kernels::cast_utils, kernels::cmp, nullif},
    datatypes::{DataType, Date32Type, Decimal128Type, Int64Type, TimeUnit},
    error::ArrowError,
};
use chrono::Utc;

use super::{
    json::{members, text},
    layout::{Column, Layout},
    shape::{Shape, Slot},
};

/// What writers say of one column, file by file; `None` where no file says anything.
#[derive(Debug, Default)]
pub(super) struct ColumnStats {
    pub(super) nulls: Option<Int64Array>,
    pub(super) min: Option<ArrayRef>,
    pub(super) max: Option<ArrayRef>,
}

/// Row counts, and the statistics of each column of a layout.
pub(super) struct Stats {
    pub(super) rows: Int64Array,
    pub(super) columns: Vec<ColumnStats>,
}

/// Which object of the statistics a member stands in.
#[derive(Clone, Copy)]
enum Group {
    Nulls,
    Min,
    Max,
}

/// Reads statistics as JSON, one file after the other.
pub(super) struct StatsReader<'a> {
    layout: &'a Layout,
    files: usize,
    rows: Int64Builder,
    columns: Vec<[Values; 3]>,
    /// The column of each member in the file before: files mostly have theirs in one order.
    order: [Vec<usize>; 3],
    /// Of the last text that was taken apart.
    shape: Option<Shape>,
    /// Texts that may have a shape of their own before none is looked for any more.
    shapes_left: usize,
    found: Vec<(Slot, Range<usize>)>,
}

/// Once so many texts had another shape than the one before, it is not worth looking at shapes.
const SHAPES_MAX: usize = 256;
/// The slot of the row count; those of a column's values follow, three a column.
const ROWS: Slot = 0;

fn slot(column: usize, group: Group) -> Slot {
    1 + 3 * column + group as usize
}

impl<'a> StatsReader<'a> {
    pub(super) fn new(layout: &'a Layout) -> Self {
        let columns = layout.columns.iter().map(|column| {
            let bound = || Values::of(&column.data_type);
            [Values::Number(DataType::Int64, Int64Builder::new()), bound(), bound()]
        });
        Self {
            layout,
            files: 0,
            rows: Int64Builder::new(),
            columns: columns.collect(),
            order: Default::default(),
            shape: None,
            shapes_left: SHAPES_MAX,
            found: Vec::new(),
        }
    }

    /// The next file's statistics.
    pub(super) fn push(&mut self, json: Option<&str>) {
        match json {
            Some(json) if self.shape.as_ref().is_some_and(|shape| shape.values(json, &mut self.found)) => {
                self.push_found(json);
            }
            json => self.push_parts(json),
        }
        self.files += 1;
    }

    /// Sets the values that were found in a text of a known shape.
    fn push_found(&mut self, json: &str) {
        let mut rows = None;
        for (slot, range) in &self.found {
            let Some(value) = json.get(range.clone()) else { continue };
            match slot.checked_sub(1) {
                None => rows = row_count(value),
                Some(at) => {
                    if let Some(column) = self.columns.get_mut(at / 3) {
                        column[at % 3].set(self.files, value);
                    }
                }
            }
        }
        self.rows.append_option(rows);
    }

    /// Takes a text apart.
    fn push_parts(&mut self, json: Option<&str>) {
        let (mut rows, mut groups) = (None, [None; 3]);
        let read = json.and_then(|json| {
            members(json, |name, value| match name {
                "numRecords" => rows = Some(value),
                "nullCount" => groups[Group::Nulls as usize] = Some(value),
                "minValues" => groups[Group::Min as usize] = Some(value),
                "maxValues" => groups[Group::Max as usize] = Some(value),
                _ => {}
            })
        });
        // Of statistics that are cut off nothing is believed.
        let whole = json.filter(|_| read.is_some());
        self.rows.append_option(rows.filter(|_| whole.is_some()).and_then(row_count));
        let Some(json) = whole else { return };
        let start = |part: &str| (part.as_ptr() as usize).wrapping_sub(json.as_ptr() as usize);
        let mut wanted: Vec<(usize, Slot)> = rows.map(|rows| (start(rows), ROWS)).into_iter().collect();
        for group in [Group::Nulls, Group::Min, Group::Max] {
            if let Some(values) = groups[group as usize] {
                self.push_group(group, values, |column, value| wanted.push((start(value), slot(column, group))));
            }
        }
        if let Some(left) = self.shapes_left.checked_sub(1) {
            self.shapes_left = left;
            self.shape = Shape::of(json, &wanted);
        }
    }

    fn push_group(&mut self, group: Group, values: &str, mut wanted: impl FnMut(usize, &str)) {
        let Self { layout, files, columns, order, .. } = self;
        let order = &mut order[group as usize];
        let mut at = 0;
        // An object that is cut off was refused with the whole; anything else has no members.
        let _ = members(values, |name, value| {
            let known = order.get(at).copied().filter(|c| layout.columns.get(*c).is_some_and(|c| c.stored == name));
            let found = known.or_else(|| {
                let name =
                    if name.contains('\\') { text(&format!("\"{name}\""))?.into_owned() } else { name.to_owned() };
                layout.stored.get(&name).copied()
            });
            let Some(column) = found else { return };
            if known.is_none() {
                order.resize(order.len().max(at + 1), usize::MAX);
                order[at] = column;
            }
            at += 1;
            if let Some(columns) = columns.get_mut(column) {
                columns[group as usize].set(*files, value);
                wanted(column, value);
            }
        });
    }

    pub(super) fn finish(mut self) -> Result<Stats, ArrowError> {
        let rows = self.rows.finish();
        let files = self.files;
        let columns = self.columns.into_iter().zip(&self.layout.columns).map(|([nulls, min, max], column)| {
            let nulls = nulls.finish(files)?.map(|a| a.as_primitive::<Int64Type>().clone());
            checked(&rows, nulls, bound(min.finish(files)?, column)?, bound(max.finish(files)?, column)?)
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        Ok(Stats { rows, columns })
    }
}

/// Statistics that a checkpoint has as a struct (`stats_parsed`).
pub(super) fn from_struct(layout: &Layout, parsed: &StructArray) -> Result<Stats, ArrowError> {
    let files = parsed.len();
    let rows = match child(parsed, "numRecords")? {
        Some(rows) => {
            let rows = cast(&rows, &DataType::Int64)?.as_primitive::<Int64Type>().clone();
            let negative: BooleanArray = rows.iter().map(|rows| rows.map(|rows| rows < 0)).collect();
            nullif(&rows, &negative)?.as_primitive::<Int64Type>().clone()
        }
        None => Int64Array::new_null(files),
    };
    let group = |name: &str| Ok::<_, ArrowError>(child(parsed, name)?.and_then(|a| a.as_struct_opt().cloned()));
    let (nulls, min, max) = (group("nullCount")?, group("minValues")?, group("maxValues")?);
    let of = |group: &Option<StructArray>, column: &Column, kind: &DataType| -> Result<Option<ArrayRef>, ArrowError> {
        let Some(values) = group.as_ref().map(|group| child(group, &column.stored)).transpose()?.flatten() else {
            return Ok(None);
        };
        // A type that cannot be had is unknown.
        Ok(cast(&values, kind).ok().filter(|values| values.null_count() < values.len()))
    };
    let columns = layout.columns.iter().map(|column| {
        let nulls = of(&nulls, column, &DataType::Int64)?.map(|a| a.as_primitive::<Int64Type>().clone());
        match Values::of(&column.data_type) {
            Values::None => checked(&rows, nulls, None, None),
            _ => checked(&rows, nulls, of(&min, column, &column.data_type)?, of(&max, column, &column.data_type)?),
        }
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    Ok(Stats { rows, columns })
}

/// A field of a struct; where the struct is NULL, so is its field.
pub(super) fn child(parent: &StructArray, name: &str) -> Result<Option<ArrayRef>, ArrowError> {
    let Some(field) = parent.column_by_name(name) else { return Ok(None) };
    match parent.nulls() {
        Some(nulls) if nulls.null_count() > 0 => Ok(Some(nullif(field, &BooleanArray::new(!nulls.inner(), None))?)),
        _ => Ok(Some(field.clone())),
    }
}

fn row_count(value: &str) -> Option<i64> {
    value.parse::<i64>().ok().filter(|rows| *rows >= 0)
}

fn bound(values: Option<ArrayRef>, column: &Column) -> Result<Option<ArrayRef>, ArrowError> {
    values.map(|values| cast(&values, &column.data_type)).transpose()
}

/// Drops what contradicts itself.
fn checked(
    rows: &Int64Array,
    nulls: Option<Int64Array>,
    min: Option<ArrayRef>,
    max: Option<ArrayRef>,
) -> Result<ColumnStats, ArrowError> {
    let is_sane = |nulls: i64, rows: Option<i64>| nulls >= 0 && rows.is_none_or(|rows| nulls <= rows);
    let nulls = nulls.map(|nulls| {
        let mut counts = nulls.iter().zip(rows);
        if counts.all(|(nulls, rows)| nulls.is_none_or(|nulls| is_sane(nulls, rows))) {
            return nulls;
        }
        nulls.iter().zip(rows).map(|(nulls, rows)| nulls.filter(|nulls| is_sane(*nulls, rows))).collect()
    });
    let (min, max) = match (min, max) {
        (Some(min), Some(max)) => {
            let absurd = cmp::gt(&min, &max)?;
            match absurd.true_count() {
                0 => (Some(min), Some(max)),
                _ => (Some(nullif(&min, &absurd)?), Some(nullif(&max, &absurd)?)),
            }
        }
        one => one,
    };
    Ok(ColumnStats { nulls, min, max })
}

/// Values of one column and kind, filled as they come: files before and between are NULL.
enum Values {
    /// Integers, days and microseconds. The type tells how they are read.
    Number(DataType, Int64Builder),
    Decimal(u8, i8, Decimal128Builder),
    Text(StringBuilder),
    /// Of these types no bounds are kept: booleans have two values, floats leave NaN out, binary is not JSON.
    None,
}

impl Values {
    fn of(kind: &DataType) -> Self {
        match kind {
            DataType::Utf8 => Self::Text(StringBuilder::new()),
            DataType::Decimal128(precision, scale) => {
                Self::Decimal(*precision, *scale, Decimal128Builder::new().with_data_type(kind.clone()))
            }
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Date32 => {
                Self::Number(kind.clone(), Int64Builder::new())
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => Self::Number(kind.clone(), Int64Builder::new()),
            _ => Self::None,
        }
    }

    /// Sets the value of a file that comes after all that are set; one that is set already stays.
    fn set(&mut self, file: usize, value: &str) {
        match self {
            Self::Number(kind, builder) => {
                if let Some(gap) = file.checked_sub(builder.values_slice().len())
                    && let Some(number) = number(value, kind)
                {
                    builder.append_nulls(gap);
                    builder.append_value(number);
                }
            }
            Self::Decimal(precision, scale, builder) => {
                if let Some(gap) = file.checked_sub(builder.values_slice().len())
                    && let Some(decimal) = decimal(value, *precision, *scale)
                {
                    builder.append_nulls(gap);
                    builder.append_value(decimal);
                }
            }
            Self::Text(builder) => {
                if let Some(gap) = file.checked_sub(builder.offsets_slice().len() - 1)
                    && let Some(text) = text(value)
                {
                    (0..gap).for_each(|_| builder.append_null());
                    builder.append_value(text);
                }
            }
            Self::None => {}
        }
    }

    /// The values of so many files, `None` when there is none.
    fn finish(self, files: usize) -> Result<Option<ArrayRef>, ArrowError> {
        let array: ArrayRef = match self {
            Self::Number(kind, mut builder) if !builder.values_slice().is_empty() => {
                builder.append_nulls(files - builder.values_slice().len());
                let values: ArrayRef = Arc::new(builder.finish());
                match kind {
                    DataType::Date32 => cast(&values, &DataType::Int32)?,
                    _ => values,
                }
            }
            Self::Decimal(.., mut builder) if !builder.values_slice().is_empty() => {
                builder.append_nulls(files - builder.values_slice().len());
                Arc::new(builder.finish())
            }
            Self::Text(mut builder) if builder.offsets_slice().len() > 1 => {
                (builder.offsets_slice().len() - 1..files).for_each(|_| builder.append_null());
                Arc::new(builder.finish())
            }
            _ => return Ok(None),
        };
        Ok(Some(array))
    }
}

fn number(value: &str, kind: &DataType) -> Option<i64> {
    match kind {
        DataType::Int8 => value.parse::<i8>().ok().map(i64::from),
        DataType::Int16 => value.parse::<i16>().ok().map(i64::from),
        DataType::Int32 => value.parse::<i32>().ok().map(i64::from),
        DataType::Int64 => value.parse().ok(),
        DataType::Date32 => <Date32Type as cast_utils::Parser>::parse(&text(value)?).map(i64::from),
        DataType::Timestamp(_, _) => Some(cast_utils::string_to_datetime(&Utc, &text(value)?).ok()?.timestamp_micros()),
        _ => None,
    }
}

/// A decimal as a number or as text. One with more digits behind the point than the column has is no value of it.
fn decimal(value: &str, precision: u8, scale: i8) -> Option<i128> {
    let digits = text(value);
    let digits = digits.as_deref().unwrap_or(value);
    let exponent = digits.contains(['e', 'E']);
    let fraction = digits.split_once('.').map_or("", |(_, fraction)| fraction).trim_end_matches('0');
    if !exponent && fraction.len() > usize::try_from(scale).unwrap_or(0) {
        return None;
    }
    cast_utils::parse_decimal::<Decimal128Type>(digits, precision, scale).ok()
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{Field, Schema};

    use super::*;

    fn layout() -> Layout {
        let fields = [
            ("tiny", DataType::Int8),
            ("big", DataType::Int64),
            ("day", DataType::Date32),
            ("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
            ("price", DataType::Decimal128(20, 2)),
            ("name", DataType::Utf8),
            ("float", DataType::Float64),
        ];
        let fields: Vec<Field> = fields.into_iter().map(|(name, kind)| Field::new(name, kind, true)).collect();
        Layout::try_new(&Schema::new(fields), &[]).unwrap()
    }

    /// Row count, and NULLs, minimum and maximum of each column as text; `-` is unknown.
    fn read(json: &str) -> (Option<i64>, Vec<String>) {
        let layout = layout();
        let mut reader = StatsReader::new(&layout);
        // The second of the two is read by the shape of the first.
        [None, Some(json), Some(json), None].into_iter().for_each(|json| reader.push(json));
        let stats = reader.finish().unwrap();
        assert_eq!((stats.rows.is_valid(1), stats.rows.value(1)), (stats.rows.is_valid(2), stats.rows.value(2)));
        let shown = |values: Option<ArrayRef>| match values {
            Some(values) => {
                assert_eq!((values.len(), values.is_null(0), values.is_null(3)), (4, true, true));
                assert_eq!(&values.slice(1, 1), &values.slice(2, 1));
                let text = cast(&values, &DataType::Utf8).unwrap();
                if text.is_valid(1) { text.as_string::<i32>().value(1).to_owned() } else { "-".to_owned() }
            }
            None => "-".to_owned(),
        };
        let columns = stats.columns.into_iter().map(|column| {
            let nulls = shown(column.nulls.map(|nulls| Arc::new(nulls) as ArrayRef));
            format!("{nulls} {} {}", shown(column.min), shown(column.max))
        });
        (stats.rows.is_valid(1).then(|| stats.rows.value(1)), columns.collect())
    }

    #[test]
    fn values_are_read_in_the_types_of_their_columns() {
        let (rows, columns) = read(concat!(
            r#"{"numRecords":9,"minValues":{"tiny":-3,"big":-9223372036854775808,"day":"1969-12-31","#,
            r#""at":"2024-01-02T03:04:05.678+01:00","price":-123456789012345678.91,"name":"a\u00fc\"","float":1.5},"#,
            r#""maxValues":{"name":"z","float":2.5,"tiny":4,"big":9223372036854775807,"day":"2024-02-29","#,
            r#""at":"2024-01-02T03:04:05Z","price":1.5e3},"nullCount":{"tiny":1,"big":9,"float":3},"tightBounds":true}"#,
        ));
        assert_eq!(rows, Some(9));
        assert_eq!(columns[0], "1 -3 4");
        assert_eq!(columns[1], "9 -9223372036854775808 9223372036854775807");
        assert_eq!(columns[2], "- 1969-12-31 2024-02-29");
        assert_eq!(columns[3], "- 2024-01-02T02:04:05.678Z 2024-01-02T03:04:05Z");
        assert_eq!(columns[4], "- -123456789012345678.91 1500.00");
        assert_eq!(columns[5], "- aü\" z");
        assert_eq!(columns[6], "3 - -");
    }

    #[test]
    fn what_cannot_be_is_unknown() {
        let unknown = vec!["- - -".to_owned(); 7];
        for absurd in [
            "",
            "nonsense",
            "[]",
            r#"{"numRecords":-1}"#,
            r#"{"numRecords":"7"}"#,
            r#"{"numRecords":1.5,"minValues":[1],"maxValues":"x","nullCount":7}"#,
            r#"{"minValues":{"tiny":"3","big":1.5,"day":20000,"at":12,"price":"x","name":7,"other":1}}"#,
            r#"{"maxValues":{"tiny":300,"big":9223372036854775808,"day":"yesterday","at":"","price":1.234,"name":null}}"#,
            r#"{"minValues":{"big":5,"name":"b","price":2},"maxValues":{"big":4,"name":"a","price":-2}}"#,
            r#"{"nullCount":{"tiny":-1,"big":"2","day":{"x":1}}}"#,
            r#"{"numRecords":5,"minValues":{"tiny":1},"maxValues":{"tiny":2}"#,
            r#"{"minValues":{"tiny":1"#,
        ] {
            let (rows, columns) = read(absurd);
            assert_eq!((rows, &columns), (None, &unknown), "{absurd}");
        }
        let (rows, columns) = read(r#"{"numRecords":5,"nullCount":{"tiny":6,"big":5}}"#);
        assert_eq!((rows, columns[0].as_str(), columns[1].as_str()), (Some(5), "- - -", "5 - -"));
    }
}
