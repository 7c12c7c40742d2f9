//! Comparisons of numbers in a filter are carried out for all rows, one after the other.
//!
//! DataFusion evaluates `a AND b` for all rows only while `a` holds for more than a fifth of them. Below that it copies the
//! rows that are left, evaluates `b` for these and scatters the answers. For a text that pays; for numbers the copies cost
//! more than the comparisons: a quarter of TPC-H q06 from Parquet. So the comparisons of a filter that stand together
//! become one condition, behind which DataFusion's own way goes on with what is dearer (CPU time from Parquet: q06 0.82 of
//! what it was, q12 0.87, the others as they were).
//!
//! Only for order, not for equality: an equality is what later operators may know of a filter's rows. The last rule of all,
//! since no other understands the condition.

use std::{fmt, hash::Hash, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, AsArray, BooleanArray, RecordBatch},
        compute::and_kleene,
        datatypes::{DataType, Field, FieldRef, Schema},
    },
    common::{Result, ScalarValue, config::ConfigOptions},
    logical_expr::{ColumnarValue, Operator},
    physical_expr::{
        PhysicalExpr, conjunction,
        expressions::{BinaryExpr, Column, Literal},
        split_conjunction,
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::ExecutionPlan,
};

use super::predicate::with_predicates;

/// Joins the comparisons of numbers in every filter to one condition.
#[derive(Debug)]
pub(crate) struct QuickConjuncts;

impl PhysicalOptimizerRule for QuickConjuncts {
    fn name(&self) -> &str {
        "quick_conjuncts"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        with_predicates(plan, joined)
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The same filter with its first two or more comparisons that stand together as one condition; `None` without such.
fn joined(predicate: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<Arc<dyn PhysicalExpr>> {
    let parts: Vec<Arc<dyn PhysicalExpr>> = split_conjunction(predicate).into_iter().cloned().collect();
    let first = parts.windows(2).position(|pair| pair.iter().all(|part| is_quick(part, schema)))?;
    let end = parts.iter().skip(first).position(|part| !is_quick(part, schema)).map_or(parts.len(), |n| first + n);
    let quick: Arc<dyn PhysicalExpr> = Arc::new(AllOf { parts: parts.get(first..end)?.to_vec() });
    let before = parts.iter().take(first).cloned();
    Some(conjunction(before.chain([quick]).chain(parts.iter().skip(end).cloned())))
}

/// A comparison for order of numbers or times of one type, which cannot fail.
fn is_quick(part: &Arc<dyn PhysicalExpr>, schema: &Schema) -> bool {
    let Some(binary) = part.downcast_ref::<BinaryExpr>() else { return false };
    let for_order = matches!(binary.op(), Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq);
    let (left, right) = (operand(binary.left(), schema), operand(binary.right(), schema));
    for_order && left.zip(right).is_some_and(|(left, right)| left == right && left.is_primitive())
}

/// The type of a column or a value.
fn operand(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<DataType> {
    match expr.downcast_ref::<Column>() {
        Some(column) => schema.fields().get(column.index()).map(|field| field.data_type().clone()),
        None => expr.downcast_ref::<Literal>().map(|literal| literal.value().data_type()),
    }
}

/// Do all of these hold? Each is evaluated for every row; shown as they would be without this.
#[derive(Debug, PartialEq, Eq, Hash)]
struct AllOf {
    parts: Vec<Arc<dyn PhysicalExpr>>,
}

impl fmt::Display for AllOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.parts.iter().enumerate() {
            write!(f, "{}{part}", if at > 0 { " AND " } else { "" })?;
        }
        Ok(())
    }
}

impl PhysicalExpr for AllOf {
    fn return_field(&self, input: &Schema) -> Result<FieldRef> {
        let nullable = self.parts.iter().map(|part| part.nullable(input)).collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(Field::new(self.to_string(), DataType::Boolean, nullable.contains(&true))))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let mut all: Option<BooleanArray> = None;
        for part in &self.parts {
            let holds = part.evaluate(batch)?.into_array(batch.num_rows())?;
            let both = match all {
                Some(all) => and_kleene(&all, holds.as_boolean())?,
                None => holds.as_boolean().clone(),
            };
            if both.null_count() == 0 && !both.has_true() {
                return Ok(ColumnarValue::Array(Arc::new(both)));
            }
            all = Some(both);
        }
        Ok(match all {
            Some(all) => ColumnarValue::Array(Arc::new(all)),
            None => ColumnarValue::Scalar(ScalarValue::from(true)),
        })
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.parts.iter().collect()
    }

    fn with_new_children(self: Arc<Self>, parts: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Self { parts }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.parts.iter().enumerate() {
            f.write_str(if at > 0 { " AND " } else { "" })?;
            part.fmt_sql(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::{
        arrow::array::{ArrayRef, Date32Array, Int64Array, StringArray},
        logical_expr::{Expr, col, lit},
        physical_expr::planner::logical2physical,
    };

    use super::*;

    /// 1,000 rows, of which some have NULL for each of the numbers.
    fn rows() -> RecordBatch {
        let numbers =
            |factor: i64| -> Int64Array { (0..1000).map(|n| (n % 13 != factor).then_some(n * factor % 101)).collect() };
        let days: Date32Array = (0..1000).map(|n| (n % 7 > 0).then_some(n % 365)).collect();
        let columns: [(&str, ArrayRef); 4] = [
            ("a", Arc::new(numbers(7))),
            ("b", Arc::new(numbers(11))),
            ("day", Arc::new(days)),
            ("t", Arc::new(StringArray::from_iter_values((0..1000).map(|n| format!("text {}", n % 9))))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn day(day: i32) -> Expr {
        lit(ScalarValue::Date32(Some(day)))
    }

    #[test]
    fn the_same_rows_are_left_and_the_same_is_shown() {
        let rows = rows();
        let filters = [
            col("a").lt(lit(90_i64)).and(col("b").gt(col("a"))),
            col("a").lt(lit(10_i64)).and(col("b").lt_eq(lit(20_i64))).and(col("t").eq(lit("text 3"))),
            col("a").eq(lit(7_i64)).and(col("day").gt_eq(day(10))).and(col("day").lt(day(300))),
            col("a").lt(lit(-1_i64)).and(col("b").lt(lit(0_i64))),
            col("a").lt(lit(ScalarValue::Int64(None))).and(col("b").lt(lit(50_i64))),
            col("a").gt(lit(-1_i64)).and(col("b").gt(lit(-1_i64))).and(col("day").gt(day(-1))),
        ];
        for filter in filters {
            let plain = logical2physical(&filter, rows.schema_ref());
            let joined = joined(&plain, rows.schema_ref()).unwrap();
            let answer = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(&rows).unwrap().into_array(1000).unwrap();
            assert_eq!(&answer(&joined), &answer(&plain), "{filter}");
            assert_eq!(joined.to_string(), plain.to_string());
            assert_eq!(joined.nullable(rows.schema_ref()).unwrap(), plain.nullable(rows.schema_ref()).unwrap());
        }
    }

    #[test]
    fn what_is_dear_or_can_fail_or_says_more_stays_alone() {
        let rows = rows();
        let fails = (lit(10_i64) / col("a")).gt(lit(1_i64));
        for filter in [
            col("a").lt(lit(90_i64)),
            col("a").lt(lit(90_i64)).and(fails),
            col("a").lt(lit(90_i64)).and(col("t").lt(lit("x"))),
            col("a").eq(lit(90_i64)).and(col("b").eq(lit(1_i64))),
            col("a").lt(lit(90_i64)).or(col("b").lt(lit(1_i64))),
        ] {
            let plain = logical2physical(&filter, rows.schema_ref());
            assert!(joined(&plain, rows.schema_ref()).is_none(), "{filter}");
        }
    }
}
