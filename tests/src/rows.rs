//! Rows as text, so that the same value in another type or precision is the same.

use std::collections::HashSet;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, RecordBatch},
        compute::cast,
        datatypes::{DataType, Float64Type, TimeUnit, TimestampMicrosecondType},
        util::display::{ArrayFormatter, FormatOptions},
    },
    common::ScalarValue,
};

/// All rows, sorted, columns sorted by name.
pub fn multiset(batches: &[RecordBatch]) -> Vec<String> {
    let mut rows = vec![];
    for batch in batches {
        let schema = batch.schema();
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        rows.extend(structs(&names, batch.columns(), batch.num_rows()));
    }
    rows.sort();
    rows
}

pub fn column_names(batches: &[RecordBatch]) -> Vec<String> {
    let mut names: Vec<String> = batches
        .iter()
        .take(1)
        .flat_map(|batch| batch.schema().fields().clone().iter().map(|f| f.name().clone()).collect::<Vec<_>>())
        .collect();
    names.sort();
    names
}

/// A few different values of every column that can be compared.
pub fn first_values(batches: &[RecordBatch], count: usize) -> Vec<(String, ScalarValue)> {
    let mut values = vec![];
    let Some(first) = batches.first() else { return values };
    for (at, field) in first.schema().fields().iter().enumerate().filter(|(_, field)| !field.data_type().is_nested()) {
        let mut seen = HashSet::new();
        for column in batches.iter().map(|batch| batch.column(at)) {
            for (row, text) in texts(column).into_iter().enumerate() {
                if seen.len() < count && column.is_valid(row) && seen.insert(text) {
                    values.push((field.name().clone(), ScalarValue::try_from_array(column, row).unwrap()));
                }
            }
        }
    }
    values
}

fn structs(names: &[&str], columns: &[ArrayRef], count: usize) -> Vec<String> {
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by_key(|column| names[*column]);
    let columns: Vec<Vec<String>> = columns.iter().map(texts).collect();
    let row = |row: usize| {
        let pairs: Vec<String> = order.iter().map(|at| format!("{}={}", names[*at], columns[*at][row])).collect();
        format!("{{{}}}", pairs.join(", "))
    };
    (0..count).map(row).collect()
}

/// Every value of a column.
fn texts(column: &ArrayRef) -> Vec<String> {
    let mut texts: Vec<String> = match column.data_type() {
        DataType::Timestamp(_, _) => {
            let micros = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, None)).unwrap();
            micros.as_primitive::<TimestampMicrosecondType>().values().iter().map(i64::to_string).collect()
        }
        DataType::Decimal128(_, _) => plain(column).into_iter().map(without_zeros).collect(),
        kind if kind.is_floating() => {
            let numbers = cast(column, &DataType::Float64).unwrap();
            numbers.as_primitive::<Float64Type>().values().iter().map(|number| format!("{number:?}")).collect()
        }
        DataType::Struct(fields) => {
            let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
            structs(&names, column.as_struct().columns(), column.len())
        }
        DataType::List(_) => {
            let items = texts(column.as_list::<i32>().values());
            let offsets = column.as_list::<i32>().value_offsets();
            offsets.windows(2).map(|w| format!("[{}]", items[w[0] as usize..w[1] as usize].join(", "))).collect()
        }
        DataType::Map(_, _) => {
            let (keys, values) = (texts(column.as_map().keys()), texts(column.as_map().values()));
            let pairs: Vec<String> = keys.iter().zip(values).map(|(key, value)| format!("{key}: {value}")).collect();
            let sorted = |window: &[i32]| {
                let mut pairs = pairs[window[0] as usize..window[1] as usize].to_vec();
                pairs.sort();
                format!("<{}>", pairs.join(", "))
            };
            column.as_map().value_offsets().windows(2).map(sorted).collect()
        }
        _ => plain(column),
    };
    texts.iter_mut().enumerate().filter(|(row, _)| column.is_null(*row)).for_each(|(_, text)| *text = "NULL".into());
    texts
}

fn plain(column: &ArrayRef) -> Vec<String> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column, &options).unwrap();
    (0..column.len()).map(|row| formatter.value(row).to_string()).collect()
}

fn without_zeros(number: String) -> String {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.').into() } else { number }
}
