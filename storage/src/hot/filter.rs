//! Which filters Vortex may decide.
//!
//! A filter goes down only where its answer is known to be DataFusion's for every value: comparisons of a column with
//! a value of its own type. Not floats (NaN, -0.0), not arithmetic (overflow), not casts, not what is inside a struct
//! (a NULL struct), not NOT. Rows that come up are looked at once more by DataFusion, so the only thing that counts is
//! that no row is missing.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::{
    logical_expr::Operator,
    physical_expr::{
        PhysicalExpr,
        expressions::{BinaryExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal},
    },
};
use vortex::expr::Expression;
use vortex_datafusion::convert::{DefaultExpressionConverter, ExpressionConverter};

use super::file::VORTEX;

/// The filter over the columns of `schema` in Vortex's words; `None` when DataFusion must decide it.
pub(super) fn native(filter: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<Expression> {
    if !is_exact(filter, schema) {
        return None;
    }
    DefaultExpressionConverter::new(VORTEX.clone()).try_convert(filter, schema).ok().flatten()
}

fn is_exact(filter: &Arc<dyn PhysicalExpr>, schema: &Schema) -> bool {
    if let Some(binary) = filter.downcast_ref::<BinaryExpr>() {
        let (left, right) = (binary.left(), binary.right());
        return match binary.op() {
            Operator::And | Operator::Or => is_exact(left, schema) && is_exact(right, schema),
            Operator::Eq | Operator::NotEq => is_comparison(left, right, schema, |_| true),
            Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => {
                is_comparison(left, right, schema, |kind| *kind != DataType::Boolean)
            }
            _ => false,
        };
    }
    if let Some(is_null) = filter.downcast_ref::<IsNullExpr>() {
        return column(is_null.arg(), schema).is_some();
    }
    if let Some(is_not_null) = filter.downcast_ref::<IsNotNullExpr>() {
        return column(is_not_null.arg(), schema).is_some();
    }
    if let Some(list) = filter.downcast_ref::<InListExpr>() {
        let Some(kind) = column(list.expr(), schema) else { return false };
        return compares(kind) && !list.is_empty() && list.list().iter().all(|value| is_value(value, kind));
    }
    if let Some(like) = filter.downcast_ref::<LikeExpr>() {
        let Some(kind) = column(like.expr(), schema) else { return false };
        let plain = text(like.pattern()).is_some_and(|pattern| !pattern.contains('\\'));
        return kind.is_string() && plain && !like.case_insensitive();
    }
    column(filter, schema) == Some(&DataType::Boolean)
}

/// A column on one side, and on the other a column or a value of the same type.
fn is_comparison(
    left: &Arc<dyn PhysicalExpr>,
    right: &Arc<dyn PhysicalExpr>,
    schema: &Schema,
    has_order: impl Fn(&DataType) -> bool,
) -> bool {
    let kind = match (column(left, schema), column(right, schema)) {
        (Some(left), Some(right)) if left == right => left,
        (Some(kind), None) if is_value(right, kind) => kind,
        (None, Some(kind)) if is_value(left, kind) => kind,
        _ => return false,
    };
    compares(kind) && has_order(kind)
}

fn compares(kind: &DataType) -> bool {
    use DataType::*;
    kind.is_integer()
        || kind.is_string()
        || matches!(kind, Boolean | Date32 | Timestamp(_, _) | Decimal128(_, _) | Binary | LargeBinary | BinaryView)
}

fn column<'a>(expr: &Arc<dyn PhysicalExpr>, schema: &'a Schema) -> Option<&'a DataType> {
    let column = expr.downcast_ref::<Column>()?;
    let field = schema.fields().get(column.index())?;
    (field.name() == column.name()).then(|| field.data_type())
}

fn is_value(expr: &Arc<dyn PhysicalExpr>, kind: &DataType) -> bool {
    let value = expr.downcast_ref::<Literal>().map(Literal::value);
    value.is_some_and(|value| !value.is_null() && value.data_type() == *kind)
}

fn text(expr: &Arc<dyn PhysicalExpr>) -> Option<&str> {
    expr.downcast_ref::<Literal>()?.value().try_as_str().flatten()
}
