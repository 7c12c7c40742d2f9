//! The statistics of a file for the log, taken from its footer.
//!
//! Delta protocol, "Per-file Statistics". Of columns in lists and maps nothing is said.

use arrow::{
    array::{Array, ArrayRef},
    datatypes::{DataType, Date32Type, Decimal128Type, DecimalType, FieldRef},
};
use chrono::{DateTime, Utc};
use datafusion::common::ScalarValue;
use parquet::{
    arrow::{arrow_reader::statistics::StatisticsConverter, parquet_to_arrow_schema},
    file::metadata::ParquetMetaData,
};

use crate::write::data::Counted;

/// As JSON, for the columns that the table counts.
pub(in crate::write) fn statistics(footer: &ParquetMetaData, counted: &Counted) -> String {
    let mut all = Groups { footer, next: 0 };
    let mut found = Found::default();
    // The types that the file has, which may be narrower than the table's. What has none of Arrow's types has no bounds.
    let columns = parquet_to_arrow_schema(footer.file_metadata().schema_descr(), None);
    let fields = columns.map(|columns| columns.fields().clone()).unwrap_or_default();
    for (at, field) in fields.iter().enumerate() {
        // Leaves are numbered through all columns.
        let of_field = all.look(field);
        if counted.counts(at, field.name()) {
            found.add(field.name(), of_field);
        }
    }
    let rows = footer.file_metadata().num_rows();
    let [min, max, nulls] = found.groups.map(|members| format!("{{{}}}", members.join(",")));
    format!("{{\"numRecords\":{rows},\"minValues\":{min},\"maxValues\":{max},\"nullCount\":{nulls}}}")
}

/// Members of `minValues`, `maxValues` and `nullCount`.
#[derive(Default)]
struct Found {
    groups: [Vec<String>; 3],
}

impl Found {
    fn add(&mut self, name: &str, values: [Option<String>; 3]) {
        for (group, value) in self.groups.iter_mut().zip(values) {
            if let Some(value) = value {
                group.push(format!("{}:{value}", serde_json::Value::from(name)));
            }
        }
    }
}

/// The leaves of a file, looked at in their order.
struct Groups<'a> {
    footer: &'a ParquetMetaData,
    next: usize,
}

impl Groups<'_> {
    fn look(&mut self, field: &FieldRef) -> [Option<String>; 3] {
        match field.data_type() {
            DataType::Struct(fields) => {
                let mut found = Found::default();
                fields.iter().for_each(|field| found.add(field.name(), self.look(field)));
                found.groups.map(|members| (!members.is_empty()).then(|| format!("{{{}}}", members.join(","))))
            }
            kind if kind.is_nested() => {
                self.next += leaves(kind);
                [None, None, None]
            }
            _ => {
                self.next += 1;
                self.leaf(self.next - 1, field).unwrap_or([None, None, None])
            }
        }
    }

    fn leaf(&self, leaf: usize, field: &FieldRef) -> Option<[Option<String>; 3]> {
        let groups = self.footer.row_groups();
        let schema = self.footer.file_metadata().schema_descr();
        let converter = StatisticsConverter::from_column_index(leaf, field, schema).ok()?;
        let converter = converter.with_missing_null_counts_as_zero(false);
        let nulls = converter.row_group_null_counts(groups).ok()?;
        if nulls.null_count() > 0 {
            return None;
        }
        let full: Vec<usize> = (0..groups.len())
            .filter(|group| groups.get(*group).is_some_and(|g| nulls.value(*group) < g.num_rows().unsigned_abs()))
            .collect();
        let bound = |values: ArrayRef, least: bool| bound(&values, &full, least).as_ref().and_then(text);
        let min = bound(converter.row_group_mins(groups).ok()?, true);
        let max = bound(converter.row_group_maxes(groups).ok()?, false);
        let count: u64 = nulls.values().iter().sum();
        // Half a range says less than none.
        let (min, max) = if min.is_some() && max.is_some() { (min, max) } else { (None, None) };
        Some([min, max, Some(count.to_string())])
    }
}

fn leaves(kind: &DataType) -> usize {
    match kind {
        DataType::Struct(fields) => fields.iter().map(|field| leaves(field.data_type())).sum(),
        DataType::List(item) | DataType::LargeList(item) | DataType::Map(item, _) => leaves(item.data_type()),
        _ => 1,
    }
}

/// The least or the greatest of the values of some row groups; `None` when one is unknown.
fn bound(values: &ArrayRef, groups: &[usize], least: bool) -> Option<ScalarValue> {
    let mut found: Option<ScalarValue> = None;
    for group in groups {
        let value = ScalarValue::try_from_array(values, *group).ok().filter(|value| !value.is_null())?;
        let replaces = match &found {
            None => true,
            Some(found) => {
                value.partial_cmp(found)? == if least { std::cmp::Ordering::Less } else { std::cmp::Ordering::Greater }
            }
        };
        if replaces {
            found = Some(value);
        }
    }
    found
}

/// A bound as JSON; `None` for types whose bounds the log does not keep.
fn text(value: &ScalarValue) -> Option<String> {
    let quoted = |text: &str| Some(serde_json::Value::from(text).to_string());
    match value {
        ScalarValue::Boolean(Some(value)) => Some(value.to_string()),
        ScalarValue::Int8(Some(value)) => Some(value.to_string()),
        ScalarValue::Int16(Some(value)) => Some(value.to_string()),
        ScalarValue::Int32(Some(value)) => Some(value.to_string()),
        ScalarValue::Int64(Some(value)) => Some(value.to_string()),
        ScalarValue::Float32(Some(value)) if value.is_finite() => Some(serde_json::Value::from(*value).to_string()),
        ScalarValue::Float64(Some(value)) if value.is_finite() => Some(serde_json::Value::from(*value).to_string()),
        ScalarValue::Decimal128(Some(value), precision, scale) => {
            Some(Decimal128Type::format_decimal(*value, *precision, *scale))
        }
        ScalarValue::Utf8(Some(value)) => quoted(value),
        ScalarValue::Date32(Some(days)) => {
            quoted(&Date32Type::to_naive_date_opt(*days)?.format("%Y-%m-%d").to_string())
        }
        ScalarValue::TimestampMicrosecond(Some(micros), zone) => {
            let time = DateTime::<Utc>::from_timestamp_micros(*micros)?;
            let pattern = match (zone.is_some(), time.timestamp_subsec_micros() == 0) {
                (true, true) => "%Y-%m-%dT%H:%M:%SZ",
                (true, false) => "%Y-%m-%dT%H:%M:%S%.3fZ",
                (false, true) => "%Y-%m-%d %H:%M:%S",
                (false, false) => "%Y-%m-%d %H:%M:%S%.3f",
            };
            quoted(&time.format(pattern).to_string())
        }
        _ => None,
    }
}
