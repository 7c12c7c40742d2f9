//! Columns of the type VARIANT, which are not read here.
//!
//! Other writers list the feature in tables that have no such column: it asks nothing of a reader there.

use deltalake::kernel::{DataType, StructType};

pub(crate) const FEATURE: &str = "variantType";

/// Whether a column, or a part of one, is a VARIANT.
pub(crate) fn has_variants(columns: &StructType) -> bool {
    columns.fields().any(|field| is_variant(field.data_type()))
}

fn is_variant(kind: &DataType) -> bool {
    match kind {
        DataType::Variant(_) => true,
        DataType::Struct(fields) => has_variants(fields),
        DataType::Array(array) => is_variant(array.element_type()),
        DataType::Map(map) => is_variant(map.key_type()) || is_variant(map.value_type()),
        DataType::Primitive(_) => false,
    }
}
