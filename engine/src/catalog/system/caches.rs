//! `system.caches`: what each cache of the process holds, and how well it serves. Counts start with the process.

use std::sync::Arc;

use boathouse_storage::CacheUsage;
use datafusion::arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
};

/// A column of numbers, and where they come from. NULL is not known.
type Number = (&'static str, fn(&CacheUsage) -> Option<u64>);

const NUMBERS: [Number; 6] = [
    ("entries", |cache| cache.entries),
    ("bytes", |cache| Some(cache.bytes)),
    ("bytes_max", |cache| Some(cache.bytes_max)),
    ("hits", |cache| Some(cache.hits)),
    ("misses", |cache| Some(cache.misses)),
    ("evictions", |cache| Some(cache.evictions)),
];

pub(super) fn schema() -> SchemaRef {
    let texts = ["name", "place"].map(|name| Field::new(name, DataType::Utf8, false));
    let numbers = NUMBERS.map(|(name, _)| Field::new(name, DataType::Int64, name == "entries"));
    Arc::new(Schema::new(texts.into_iter().chain(numbers).collect::<Vec<_>>()))
}

/// A row per cache.
pub(super) fn rows(schema: &SchemaRef, caches: &[CacheUsage]) -> Result<RecordBatch, ArrowError> {
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(caches.iter().map(|cache| cache.name)));
    let places: ArrayRef = Arc::new(StringArray::from_iter_values(caches.iter().map(|cache| &cache.place)));
    let numbers = NUMBERS.iter().map(|(_, number)| {
        let values = caches.iter().map(|cache| number(cache).map(|number| i64::try_from(number).unwrap_or(i64::MAX)));
        Arc::new(Int64Array::from_iter(values)) as ArrayRef
    });
    RecordBatch::try_new(schema.clone(), [names, places].into_iter().chain(numbers).collect())
}
