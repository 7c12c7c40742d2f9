//! Whether the reader should apply a query's filters to every row before it decodes the other columns.
//!
//! It pays where few rows are left: whole pages of the other columns are then not decoded. Where many are left it costs
//! more than the plain way, decode and filter (on TPC-H as a whole a fifth). So it is decided for each scan, from the
//! statistics of the files that are left, and only where these say enough: what is not known counts as "all rows".

use std::collections::HashMap;

use arrow::datatypes::{DataType, Schema};
use datafusion::{
    common::{ColumnStatistics, ScalarValue, Statistics},
    logical_expr::{BinaryExpr, Expr, Operator, expr::InList, utils::split_conjunction},
};

/// The largest part of the rows for which decoding late pays.
const LATE_FRACTION_MAX: f64 = 0.02;
/// Below this many rows the pages are as few as the columns.
const LATE_ROWS_MIN: f64 = 100_000.0;

/// Decides for a scan of the columns `projection` of `schema` whose rows must pass all `filters`.
pub(super) fn is_worth_decoding_late(
    filters: &[Expr],
    schema: &Schema,
    statistics: &Statistics,
    projection: &[usize],
) -> bool {
    let Some(rows) = statistics.num_rows.get_value().map(|rows| *rows as f64) else { return false };
    let is_filtered = |column: &usize| {
        let name = schema.field(*column).name();
        filters.iter().any(|filter| filter.column_refs().iter().any(|column| column.name() == name))
    };
    // Columns of the filters are decoded for every row in any case.
    if rows < LATE_ROWS_MIN || projection.iter().all(is_filtered) {
        return false;
    }
    Table { schema, statistics, rows }.fraction_of_all(filters) <= LATE_FRACTION_MAX
}

struct Table<'a> {
    schema: &'a Schema,
    statistics: &'a Statistics,
    rows: f64,
}

impl Table<'_> {
    /// About the part of the rows for which all `filters` hold. Filters on several columns often go together, so that
    /// the sharpest one alone counts; those on one column are a range.
    fn fraction_of_all(&self, filters: &[Expr]) -> f64 {
        let mut sharpest: f64 = 1.0;
        let mut cut_off: HashMap<&str, f64> = HashMap::new();
        for filter in filters.iter().flat_map(split_conjunction) {
            let part = self.fraction(filter);
            sharpest = sharpest.min(part);
            if let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter
                && matches!(op, Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq)
                && let Some(column) = left.try_as_col().or_else(|| right.try_as_col())
            {
                *cut_off.entry(&column.name).or_default() += 1.0 - part;
            }
        }
        cut_off.into_values().map(|cut| (1.0 - cut).max(0.0)).fold(sharpest, f64::min)
    }

    /// About the part of the rows for which `filter` holds; 1 where nothing is known.
    fn fraction(&self, filter: &Expr) -> f64 {
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
                self.fraction(left).min(self.fraction(right))
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
                (self.fraction(left) + self.fraction(right)).min(1.0)
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (left.as_ref(), right.as_ref()) {
                (Expr::Column(column), Expr::Literal(value, _)) => self.compared(&column.name, *op, value),
                (Expr::Literal(value, _), Expr::Column(column)) => {
                    op.swap().map_or(1.0, |op| self.compared(&column.name, op, value))
                }
                _ => 1.0,
            },
            Expr::Between(between) if !between.negated => {
                match (between.expr.as_ref(), between.low.as_ref(), between.high.as_ref()) {
                    (Expr::Column(column), Expr::Literal(low, _), Expr::Literal(high, _)) => {
                        let below_high = self.compared(&column.name, Operator::LtEq, high);
                        let above_low = self.compared(&column.name, Operator::GtEq, low);
                        (below_high + above_low - 1.0).max(self.compared(&column.name, Operator::Eq, low))
                    }
                    _ => 1.0,
                }
            }
            Expr::InList(InList { expr, list, negated: false }) => match expr.as_ref() {
                Expr::Column(column) => {
                    let one = |value: &Expr| match value {
                        Expr::Literal(value, _) => self.compared(&column.name, Operator::Eq, value),
                        _ => 1.0,
                    };
                    list.iter().map(one).sum::<f64>().min(1.0)
                }
                _ => 1.0,
            },
            Expr::IsNull(expr) => match expr.as_ref() {
                Expr::Column(column) => self.column(&column.name).map_or(1.0, |(_, known)| {
                    known.null_count.get_value().map_or(1.0, |nulls| *nulls as f64 / self.rows)
                }),
                _ => 1.0,
            },
            _ => 1.0,
        }
    }

    fn compared(&self, name: &str, op: Operator, value: &ScalarValue) -> f64 {
        let Some((kind, known)) = self.column(name) else { return 1.0 };
        let (min, max) = (known.min_value.get_value(), known.max_value.get_value());
        let known = min.and_then(number).zip(max.and_then(number)).zip(number(value));
        let Some(((min, max), value)) = known else { return 1.0 };
        let width = max - min;
        let part = match op {
            Operator::Eq if value < min || value > max => 0.0,
            // Only whole numbers tell how many values there can be.
            Operator::Eq if kind.is_integer() || kind == &DataType::Date32 => 1.0 / (width + 1.0).min(self.rows),
            Operator::Lt | Operator::LtEq if width > 0.0 => (value - min) / width,
            Operator::Gt | Operator::GtEq if width > 0.0 => (max - value) / width,
            _ => 1.0,
        };
        part.clamp(0.0, 1.0)
    }

    fn column(&self, name: &str) -> Option<(&DataType, &ColumnStatistics)> {
        let at = self.schema.index_of(name).ok()?;
        Some((self.schema.field(at).data_type(), self.statistics.column_statistics.get(at)?))
    }
}

/// A value on a line, for kinds whose values lie about evenly on one.
fn number(value: &ScalarValue) -> Option<f64> {
    match value {
        ScalarValue::Int8(value) => value.map(f64::from),
        ScalarValue::Int16(value) => value.map(f64::from),
        ScalarValue::Int32(value) | ScalarValue::Date32(value) => value.map(f64::from),
        ScalarValue::Int64(value) | ScalarValue::TimestampMicrosecond(value, _) => value.map(|value| value as f64),
        ScalarValue::Decimal128(value, _, scale) => value.map(|value| value as f64 / 10f64.powi(i32::from(*scale))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;
    use datafusion::{
        common::stats::Precision,
        logical_expr::{col, lit},
    };

    use super::*;

    /// A million rows: `id` from 0 to 999,999, `day` of a year, `name` of which nothing is known.
    fn table() -> (Schema, Statistics) {
        let fields = [("id", DataType::Int64), ("day", DataType::Date32), ("name", DataType::Utf8)];
        let schema = Schema::new(fields.map(|(name, kind)| Field::new(name, kind, true)).to_vec());
        let mut statistics = Statistics::new_unknown(&schema);
        statistics.num_rows = Precision::Exact(1_000_000);
        let bounds = [
            (ScalarValue::Int64(Some(0)), ScalarValue::Int64(Some(999_999))),
            (ScalarValue::Date32(Some(0)), ScalarValue::Date32(Some(364))),
        ];
        for (column, (min, max)) in statistics.column_statistics.iter_mut().zip(bounds) {
            column.min_value = Precision::Inexact(min);
            column.max_value = Precision::Inexact(max);
            column.null_count = Precision::Exact(1_000);
        }
        (schema, statistics)
    }

    #[test]
    fn few_rows_of_many_are_decoded_late() {
        let (schema, mut statistics) = table();
        let day = |n| lit(ScalarValue::Date32(Some(n)));
        let cases = [
            (col("id").eq(lit(7_i64)), true),
            (lit(7_i64).eq(col("id")), true),
            (col("id").lt(lit(10_000_i64)), true),
            (col("id").lt(lit(500_000_i64)), false),
            (col("id").gt(lit(10_000_i64)), false),
            (col("id").between(lit(500_000_i64), lit(505_000_i64)), true),
            (col("id").gt_eq(lit(500_000_i64)).and(col("id").lt(lit(505_000_i64))), true),
            (col("id").in_list(vec![lit(1_i64), lit(2_i64)], false), true),
            (col("id").in_list(vec![lit(1_i64), lit(2_i64)], true), false),
            (col("id").is_null(), true),
            (col("id").eq(lit(7_i64)).or(col("name").eq(lit("x"))), false),
            (col("id").eq(lit(7_i64)).and(col("name").eq(lit("x"))), true),
            (col("day").eq(day(7)), true),
            (col("day").lt(day(100)), false),
            (col("name").eq(lit("x")), false),
        ];
        for (filter, expected) in cases {
            let filters = [filter];
            assert_eq!(is_worth_decoding_late(&filters, &schema, &statistics, &[0, 1, 2]), expected, "{filters:?}");
        }
        let sharp = [col("id").eq(lit(7_i64)), col("name").eq(lit("x"))];
        assert!(is_worth_decoding_late(&sharp, &schema, &statistics, &[0, 1]));
        assert!(!is_worth_decoding_late(&sharp, &schema, &statistics, &[0, 2]), "no other column");
        statistics.num_rows = Precision::Inexact(1_000);
        assert!(!is_worth_decoding_late(&sharp, &schema, &statistics, &[0, 1]), "few rows");
        statistics.num_rows = Precision::Absent;
        assert!(!is_worth_decoding_late(&sharp, &schema, &statistics, &[0, 1]), "who knows");
    }
}
