//! How data files are written: chosen once, the same for every write.

use std::num::NonZeroU64;

use arrow::datatypes::Schema;
use parquet::{
    arrow::ArrowSchemaConverter,
    basic::{Compression, Encoding, Type, ZstdLevel},
    file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder},
    schema::types::SchemaDescriptor,
};

/// A file is closed when it reaches this size: few enough to list, small enough to read in parallel.
const FILE_BYTES: u64 = 128 * 1024 * 1024;
/// Rows that one task reads; small groups cost requests, large ones memory and parallelism.
const ROW_GROUP_ROWS: usize = 1024 * 1024;
const PAGE_BYTES: usize = 1024 * 1024;
/// The unit that a selective filter skips inside a row group.
const PAGE_ROWS: usize = 20_000;
/// Numbers with more distinct values in a row group than fit in are no matter for a dictionary: it would stand in the file
/// beside them and take as many bits of each row as a difference does. With the usual megabyte `lineitem` takes 183 MB instead
/// of 170, and 9 queries 1.10 of the CPU time.
const NUMBERS_DICTIONARY_BYTES: usize = 64 * 1024;
/// Of cold files: written once and read seldom, they may take their time.
const COLD_ZSTD_LEVEL: i32 = 12;
const COLD_ROW_GROUP_ROWS: usize = 4 * 1024 * 1024;
const COLD_ROW_GROUP_BYTES: usize = 128 * 1024 * 1024;
const CREATED_BY: &str = concat!("boathouse version ", env!("CARGO_PKG_VERSION"));

/// What files are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    /// To be read again and again.
    Warm,
    /// To lie about: read seldom, paid by the byte and by the request.
    Cold,
}

/// For files of these columns.
pub(super) fn properties_for(tier: Tier, columns: &Schema) -> WriterPropertiesBuilder {
    let properties = properties(columns);
    match tier {
        Tier::Warm => properties,
        Tier::Cold => properties
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(COLD_ZSTD_LEVEL).unwrap_or_default()))
            .set_max_row_group_row_count(Some(COLD_ROW_GROUP_ROWS))
            // A row group is in memory until it is whole.
            .set_max_row_group_bytes(Some(COLD_ROW_GROUP_BYTES)),
    }
}

/// For files of these columns that are read again and again.
pub(super) fn properties(columns: &Schema) -> WriterPropertiesBuilder {
    match ArrowSchemaConverter::new().convert(columns) {
        Ok(leaves) => properties_of(&leaves),
        // The writer tells what is wrong with them.
        Err(_) => common(),
    }
}

/// The same for columns as Parquet has them.
///
/// Whole numbers, decimals, days and times that are too many for a dictionary are written as differences from the one
/// before in as few bits as they take (the format's `DELTA_BINARY_PACKED`): their files are smaller than what snappy makes
/// of plain values, and there is next to nothing left to decompress. `lineitem` of TPC-H at scale 1 took 183 MB instead of
/// 208, and 13 queries over it took 0.79 of the CPU time. LZ4 instead of snappy, with plain values: 0.90, and 211 MB.
pub(super) fn properties_of(leaves: &SchemaDescriptor) -> WriterPropertiesBuilder {
    let numbers = leaves.columns().iter().filter(|leaf| matches!(leaf.physical_type(), Type::INT32 | Type::INT64));
    numbers.fold(common(), |properties, leaf| {
        properties
            .set_column_encoding(leaf.path().clone(), Encoding::DELTA_BINARY_PACKED)
            .set_column_dictionary_page_size_limit(leaf.path().clone(), NUMBERS_DICTIONARY_BYTES)
    })
}

/// Snappy: half of zstd's ratio gain is not worth twice the time of every scan of hot data.
fn common() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(CREATED_BY.to_owned())
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_size_limit(PAGE_BYTES)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Page)
}

/// The size at which a file is closed.
pub(super) fn target_file_size() -> Option<NonZeroU64> {
    NonZeroU64::new(FILE_BYTES)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray},
        compute::concat_batches,
    };
    use bytes::Bytes;
    use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};

    use super::*;

    #[test]
    fn numbers_too_many_for_a_dictionary_are_written_as_differences() {
        let mixed = (0..300_000_i64).map(|n| n.wrapping_mul(0x5851_f42d_4c95_7f2d) >> (n % 60));
        let mixed: Int64Array = mixed.map(|n| (n % 11 != 0).then_some(n)).collect();
        let prices = Decimal128Array::from_iter_values((0..300_000).map(|n| i128::from(n) * 7919 % 1_000_003));
        let columns: [(&str, ArrayRef); 4] = [
            ("mixed", Arc::new(mixed)),
            ("price", Arc::new(prices.with_precision_and_scale(15, 2).unwrap())),
            ("few", Arc::new(Int64Array::from_iter_values((0..300_000).map(|n| n % 7)))),
            ("text", Arc::new(StringArray::from_iter_values((0..300_000).map(|n| format!("text {n}"))))),
        ];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let mut bytes = Vec::new();
        let properties = properties(rows.schema_ref()).build();
        let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), Some(properties)).unwrap();
        writer.write(&rows).unwrap();
        let footer = writer.close().unwrap();
        let is_delta =
            |at: usize| footer.row_group(0).column(at).encodings().any(|e| e == Encoding::DELTA_BINARY_PACKED);
        assert_eq!([0, 1, 2, 3].map(is_delta), [true, true, false, false]);
        let read = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap().build().unwrap();
        let read: Vec<RecordBatch> = read.map(Result::unwrap).collect();
        assert_eq!(concat_batches(rows.schema_ref(), &read).unwrap(), rows);
    }
}
