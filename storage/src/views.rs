//! Texts and bytes as views while a query runs.
//!
//! A view is 16 bytes that point into what the reader decoded. Filters, joins and groups hand views on, where they would
//! copy plain texts at every step; both Parquet's pages and hot copies give views without a copy. Scans for queries yield
//! them for columns of the files; inside lists, maps and structs, and in partition columns, texts stay as they are. What
//! a client or a file gets is made plain at the engine's edge, and scans for writes never have them.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::ScalarValue;

/// A column of the files as a query reads it.
pub(crate) fn viewed(field: &FieldRef) -> FieldRef {
    let kind = match field.data_type() {
        DataType::Utf8 => DataType::Utf8View,
        DataType::Binary => DataType::BinaryView,
        _ => return field.clone(),
    };
    Arc::new(field.as_ref().clone().with_data_type(kind))
}

/// A value that the log has for a column, as a scan has it where the column is of type `kind`.
pub(crate) fn viewed_value(value: ScalarValue, kind: &DataType) -> ScalarValue {
    match (kind, value) {
        (DataType::Utf8View, ScalarValue::Utf8(text)) => ScalarValue::Utf8View(text),
        (DataType::BinaryView, ScalarValue::Binary(bytes)) => ScalarValue::BinaryView(bytes),
        (_, value) => value,
    }
}
