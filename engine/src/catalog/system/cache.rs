//! `system.cache`: what the near tiers of the lake have of each table that was read or brought near in this process, and how well
//! it serves. Counts start with the process; what lies there since before is counted once it was read.

use std::sync::Arc;

use boathouse_storage::TableCacheUsage;
use datafusion::arrow::{
    array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
};

type Number = (&'static str, fn(&TableCacheUsage) -> u64);

const NUMBERS: [Number; 5] = [
    ("entries", |cache| cache.entries),
    ("bytes", |cache| cache.bytes),
    ("hits", |cache| cache.hits),
    ("misses", |cache| cache.misses),
    ("evictions", |cache| cache.evictions),
];

pub(super) fn schema() -> SchemaRef {
    let texts = ["tier", "table_name"].map(|name| Field::new(name, DataType::Utf8, false));
    let pinned = Field::new("pinned", DataType::Boolean, false);
    let numbers = NUMBERS.map(|(name, _)| Field::new(name, DataType::Int64, false));
    let trouble = Field::new("trouble", DataType::Utf8, true);
    Arc::new(Schema::new(texts.into_iter().chain([pinned]).chain(numbers).chain([trouble]).collect::<Vec<_>>()))
}

/// A row per tier and table.
pub(super) fn rows(schema: &SchemaRef, tables: &[TableCacheUsage]) -> Result<RecordBatch, ArrowError> {
    let tiers: ArrayRef = Arc::new(StringArray::from_iter_values(tables.iter().map(|cache| cache.tier.word())));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(tables.iter().map(|cache| &cache.table)));
    let pinned: ArrayRef = Arc::new(tables.iter().map(|cache| Some(cache.pinned)).collect::<BooleanArray>());
    let numbers = NUMBERS.iter().map(|(_, number)| {
        let values = tables.iter().map(|cache| i64::try_from(number(cache)).unwrap_or(i64::MAX));
        Arc::new(Int64Array::from_iter_values(values)) as ArrayRef
    });
    let trouble: ArrayRef = Arc::new(tables.iter().map(|cache| cache.trouble.as_deref()).collect::<StringArray>());
    let columns = [tiers, names, pinned].into_iter().chain(numbers).chain([trouble]);
    RecordBatch::try_new(schema.clone(), columns.collect())
}
