//! Rows of the TPC-H tables, made batch by batch.
//!
//! The generator gives string views and no year; what leaves here has the columns and types of `sql/tpch/schema.sql`.

use std::sync::Arc;

use arrow::{
    array::{RecordBatch, RecordBatchReader},
    compute::{DatePart, cast, date_part},
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
};
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow, SupplierArrow,
};

/// One of the eight tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    pub name: &'static str,
    /// Rows at scale 1; for `lineitem`, about.
    base: u64,
    /// Nation and region have as many rows at every scale.
    fixed: bool,
    /// The date, and the column for its year, by which the table is partitioned.
    year: Option<(&'static str, &'static str)>,
}

/// In the order of loading: small ones first.
pub const TABLES: [Table; 8] = [
    Table { name: "region", base: 5, fixed: true, year: None },
    Table { name: "nation", base: 25, fixed: true, year: None },
    Table { name: "supplier", base: 10_000, fixed: false, year: None },
    Table { name: "part", base: 200_000, fixed: false, year: None },
    Table { name: "partsupp", base: 800_000, fixed: false, year: None },
    Table { name: "customer", base: 150_000, fixed: false, year: None },
    Table { name: "orders", base: 1_500_000, fixed: false, year: Some(("o_orderdate", "o_orderyear")) },
    Table { name: "lineitem", base: 6_001_215, fixed: false, year: Some(("l_shipdate", "l_shipyear")) },
];

impl Table {
    /// How many rows the table has at a scale, about: enough for a progress bar.
    pub fn rows_about(&self, scale: f64) -> u64 {
        if self.fixed { self.base } else { (self.base as f64 * scale) as u64 }
    }
}

/// The rows of a table at a scale: part `part` (from 1) of `parts` equal ones.
pub fn rows(table: &Table, scale: f64, part: i32, parts: i32) -> impl RecordBatchReader + Send + use<> {
    let inner: Box<dyn RecordBatchReader + Send> = match table.name {
        "region" => Box::new(RegionArrow::new(RegionGenerator::new(scale, part, parts))),
        "nation" => Box::new(NationArrow::new(NationGenerator::new(scale, part, parts))),
        "supplier" => Box::new(SupplierArrow::new(SupplierGenerator::new(scale, part, parts))),
        "part" => Box::new(PartArrow::new(PartGenerator::new(scale, part, parts))),
        "partsupp" => Box::new(PartSuppArrow::new(PartSuppGenerator::new(scale, part, parts))),
        "customer" => Box::new(CustomerArrow::new(CustomerGenerator::new(scale, part, parts))),
        "orders" => Box::new(OrderArrow::new(OrderGenerator::new(scale, part, parts))),
        _ => Box::new(LineItemArrow::new(LineItemGenerator::new(scale, part, parts))),
    };
    let mut fields: Vec<Field> = inner.schema().fields().iter().map(|field| plain(field)).collect();
    fields.extend(table.year.map(|(_, year)| Field::new(year, DataType::Int32, false)));
    Rows { inner, schema: Arc::new(Schema::new(fields)), date: table.year.map(|(date, _)| date) }
}

fn plain(field: &Field) -> Field {
    match field.data_type() {
        DataType::Utf8View => Field::new(field.name(), DataType::Utf8, field.is_nullable()),
        _ => field.clone(),
    }
}

struct Rows {
    inner: Box<dyn RecordBatchReader + Send>,
    schema: SchemaRef,
    date: Option<&'static str>,
}

impl Rows {
    fn shaped(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let mut columns = batch.columns().to_vec();
        if let Some(date) = self.date {
            columns.push(date_part(&columns[batch.schema_ref().index_of(date)?], DatePart::Year)?);
        }
        for (column, field) in columns.iter_mut().zip(self.schema.fields()) {
            *column = cast(column, field.data_type())?;
        }
        RecordBatch::try_new(self.schema.clone(), columns)
    }
}

impl Iterator for Rows {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.inner.next().map(|batch| self.shaped(&batch?))
    }
}

impl RecordBatchReader for Rows {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_up_the_whole_and_years_come_from_dates() {
        for table in &TABLES {
            let whole: usize = rows(table, 0.001, 1, 1).map(|batch| batch.unwrap().num_rows()).sum();
            assert!(whole.abs_diff(table.rows_about(0.001) as usize) < 100, "{}: {whole}", table.name);
            if !table.fixed {
                let parts =
                    [1, 2].map(|part| rows(table, 0.001, part, 2).map(|b| b.unwrap().num_rows()).sum::<usize>());
                assert_eq!(parts[0] + parts[1], whole, "{}", table.name);
            }
        }
        let batch = rows(&TABLES[6], 0.001, 1, 1).next().unwrap().unwrap();
        let years = date_part(batch.column_by_name("o_orderdate").unwrap(), DatePart::Year).unwrap();
        assert_eq!(batch.column_by_name("o_orderyear").unwrap(), &years);
    }
}
