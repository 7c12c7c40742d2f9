//! `system.tiers`: where the files of each table lie, partition by partition, and what that costs a month.

use std::sync::Arc;

use boathouse_storage::maintain::{PartitionTiers, TierSize};
use datafusion::arrow::{
    array::{ArrayRef, Float64Builder, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder},
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    error::ArrowError,
};

use crate::tier::{LOCAL_CLASS, Prices, TableTiers};

const ZONE: &str = "UTC";

pub(super) fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some(ZONE.into()));
    Arc::new(Schema::new(vec![
        Field::new("table_name", DataType::Utf8, false),
        Field::new("partition_values", DataType::Utf8, true),
        Field::new("tier", DataType::Utf8, false),
        Field::new("storage_class", DataType::Utf8, false),
        Field::new("files", DataType::Int64, false),
        Field::new("bytes", DataType::Int64, false),
        Field::new("files_due", DataType::Int64, false),
        Field::new("bytes_due", DataType::Int64, false),
        Field::new("last_read", time, true),
        Field::new("cost_month", DataType::Float64, true),
    ]))
}

/// A row per table, partition and tier that has files.
pub(super) fn rows(schema: &SchemaRef, tables: &[TableTiers], prices: &Prices) -> Result<RecordBatch, ArrowError> {
    let mut rows = Rows::new();
    for table in tables {
        for tiers in &table.partitions {
            let young_left = if table.has_hot { tiers.young_left } else { TierSize::default() };
            rows.push(prices, table, tiers, ("hot", LOCAL_CLASS), (tiers.hot, young_left));
            rows.push(prices, table, tiers, ("warm", &table.warm_class), (tiers.warm, tiers.old));
            for (class, size) in &tiers.cold_classes {
                let class = class.as_deref().unwrap_or(&table.cold_class);
                rows.push(prices, table, tiers, ("cold", class), (*size, TierSize::default()));
            }
        }
    }
    RecordBatch::try_new(schema.clone(), rows.finish())
}

struct Rows {
    texts: [StringBuilder; 4],
    numbers: [Int64Builder; 4],
    last_read: TimestampMicrosecondBuilder,
    cost_month: Float64Builder,
}

impl Rows {
    fn new() -> Self {
        Self {
            texts: Default::default(),
            numbers: Default::default(),
            last_read: TimestampMicrosecondBuilder::new().with_timezone(ZONE),
            cost_month: Float64Builder::new(),
        }
    }

    /// `due`: what of it the table's policy would have elsewhere; of the hot tier, what it would have there.
    fn push(
        &mut self,
        prices: &Prices,
        table: &TableTiers,
        tiers: &PartitionTiers,
        (tier, class): (&str, &str),
        (size, due): (TierSize, TierSize),
    ) {
        if size.files == 0 && due.files == 0 {
            return;
        }
        let partition = tiers.partition.to_string();
        let texts = [Some(table.table.as_str()), Some(partition.as_str()), Some(tier), Some(class)];
        for (builder, text) in self.texts.iter_mut().zip(texts) {
            // A table without partitions has no values of any.
            builder.append_option(text.filter(|text| !text.is_empty()));
        }
        for (builder, number) in self.numbers.iter_mut().zip([size.files, size.bytes, due.files, due.bytes]) {
            builder.append_value(i64::try_from(number).unwrap_or(i64::MAX));
        }
        let read_ms = tiers.hot_read_ms.filter(|_| tier == "hot");
        self.last_read.append_option(read_ms.map(|ms| ms.saturating_mul(1000)));
        self.cost_month.append_option(prices.month(class, size.files, size.bytes));
    }

    fn finish(self) -> Vec<ArrayRef> {
        let Self { texts, numbers, mut last_read, mut cost_month } = self;
        let texts = texts.into_iter().map(|mut builder| Arc::new(builder.finish()) as ArrayRef);
        let numbers = numbers.into_iter().map(|mut builder| Arc::new(builder.finish()) as ArrayRef);
        let rest: [ArrayRef; 2] = [Arc::new(last_read.finish()), Arc::new(cost_month.finish())];
        texts.chain(numbers).chain(rest).collect()
    }
}
