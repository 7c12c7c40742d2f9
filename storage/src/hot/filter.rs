//! Which filters Vortex decides while it reads a copy.
//!
//! A filter goes down only where its answer is known to be DataFusion's for every row: comparisons of a column without
//! NULLs with values of its own type, and AND and OR of them. Not floats (NaN, -0.0), not arithmetic (overflow), not
//! casts, not NOT, nothing inside a struct. Every filter is looked at once more by DataFusion, here or above the scan, so
//! that all that counts is that no row is missing.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::{
    common::ScalarValue,
    logical_expr::Operator,
    physical_expr::{
        PhysicalExpr,
        expressions::{BinaryExpr, Column, InListExpr, LikeExpr, Literal},
        split_conjunction,
    },
};
use vortex::{
    dtype::{DecimalDType, Nullability},
    expr::{Expression, and, and_collect, eq, get_item, gt, gt_eq, like, lit, lt, lt_eq, not_eq, not_like, or, root},
    scalar::{DecimalValue, Scalar, ScalarValue as StoredValue},
};
use vortex_arrow::ArrowSessionExt;

use super::file::VORTEX;

/// Longer lists of `IN` are left to a hash table.
const LIST_VALUES_MAX: usize = 16;

/// The part of a filter over the columns of `schema` that Vortex decides. Rows that match `filter` match it.
pub(super) fn native(filter: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<Expression> {
    and_collect(split_conjunction(filter).into_iter().filter_map(|part| whole(part, schema)))
}

/// All of a filter, or nothing.
fn whole(filter: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<Expression> {
    if let Some(binary) = filter.downcast_ref::<BinaryExpr>() {
        let (left, right) = (binary.left(), binary.right());
        return match binary.op() {
            Operator::And => Some(and(whole(left, schema)?, whole(right, schema)?)),
            Operator::Or => Some(or(whole(left, schema)?, whole(right, schema)?)),
            op => comparison(left, *op, right, schema),
        };
    }
    if let Some(list) = filter.downcast_ref::<InListExpr>() {
        let field = column(list.expr(), schema)?;
        if list.negated() || list.list().len() > LIST_VALUES_MAX {
            return None;
        }
        let values = list.list().iter().map(|item| Some(eq(stored(field), value(item, field)?)));
        return values.collect::<Option<Vec<_>>>()?.into_iter().reduce(or);
    }
    if let Some(pattern) = filter.downcast_ref::<LikeExpr>() {
        let field = column(pattern.expr(), schema)?;
        let text = pattern.pattern().downcast_ref::<Literal>()?.value().try_as_str().flatten()?;
        // Escapes are read differently from one library to the next.
        if !field.data_type().is_string() || pattern.case_insensitive() || text.contains('\\') {
            return None;
        }
        let is = if pattern.negated() { not_like } else { like };
        return Some(is(stored(field), lit(text)));
    }
    None
}

/// A comparison of a column with a value, on whichever side it stands, or with a column of the same type.
fn comparison(
    left: &Arc<dyn PhysicalExpr>,
    op: Operator,
    right: &Arc<dyn PhysicalExpr>,
    schema: &Schema,
) -> Option<Expression> {
    let (left, right) = match (column(left, schema), column(right, schema)) {
        (Some(left), Some(right)) if left.data_type() == right.data_type() => (stored(left), stored(right)),
        (Some(field), None) => (stored(field), value(right, field)?),
        (None, Some(field)) => (value(left, field)?, stored(field)),
        _ => return None,
    };
    let compare = match op {
        Operator::Eq => eq,
        Operator::NotEq => not_eq,
        Operator::Lt => lt,
        Operator::LtEq => lt_eq,
        Operator::Gt => gt,
        Operator::GtEq => gt_eq,
        _ => return None,
    };
    Some(compare(left, right))
}

fn stored(field: &Field) -> Expression {
    get_item(field.name().as_str(), root())
}

/// A column that has no NULL in this copy and whose values Vortex orders as DataFusion does.
fn column<'a>(expr: &Arc<dyn PhysicalExpr>, schema: &'a Schema) -> Option<&'a Field> {
    use DataType::*;
    let column = expr.downcast_ref::<Column>()?;
    let field = schema.fields().get(column.index())?;
    let kind = field.data_type();
    let compares = kind.is_integer()
        || kind.is_string()
        || matches!(kind, Date32 | Timestamp(_, _) | Decimal128(_, _) | Binary | LargeBinary | BinaryView);
    (field.name() == column.name() && !field.is_nullable() && compares).then_some(field.as_ref())
}

/// A constant of the column's own type.
fn value(expr: &Arc<dyn PhysicalExpr>, field: &Field) -> Option<Expression> {
    use ScalarValue::*;
    let value = expr.downcast_ref::<Literal>()?.value();
    if value.is_null() || value.data_type() != *field.data_type() {
        return None;
    }
    let dtype = || VORTEX.arrow().from_arrow_datatype(field.data_type(), Nullability::NonNullable).ok();
    let stored: StoredValue = match value {
        Decimal128(Some(digits), precision, scale) => {
            let dtype = DecimalDType::new(*precision, *scale);
            return Some(lit(Scalar::decimal(DecimalValue::I128(*digits), dtype, Nullability::NonNullable)));
        }
        Utf8(Some(text)) | LargeUtf8(Some(text)) | Utf8View(Some(text)) => return Some(lit(text.as_str())),
        Binary(Some(bytes)) | LargeBinary(Some(bytes)) | BinaryView(Some(bytes)) => {
            return Some(lit(Scalar::binary(bytes.clone(), Nullability::NonNullable)));
        }
        Int8(Some(number)) => (*number).into(),
        Int16(Some(number)) => (*number).into(),
        Int32(Some(number)) | Date32(Some(number)) => (*number).into(),
        Int64(Some(number)) => (*number).into(),
        UInt8(Some(number)) => (*number).into(),
        UInt16(Some(number)) => (*number).into(),
        UInt32(Some(number)) => (*number).into(),
        UInt64(Some(number)) => (*number).into(),
        TimestampSecond(Some(time), _)
        | TimestampMillisecond(Some(time), _)
        | TimestampMicrosecond(Some(time), _)
        | TimestampNanosecond(Some(time), _) => (*time).into(),
        _ => return None,
    };
    Some(lit(Scalar::try_new(dtype()?, Some(stored)).ok()?))
}

#[cfg(test)]
mod tests {
    use datafusion::physical_expr::expressions::{binary, col, in_list, like as like_expr, lit as value_of, not};

    use super::*;

    fn schema(nullable: bool) -> Schema {
        let field = |name: &str, kind| Field::new(name, kind, nullable);
        Schema::new(vec![
            field("number", DataType::Int64),
            field("other", DataType::Int64),
            field("text", DataType::Utf8),
            field("float", DataType::Float64),
        ])
    }

    fn compare(column: &str, op: Operator, with: impl Into<ScalarValue>, schema: &Schema) -> Arc<dyn PhysicalExpr> {
        binary(col(column, schema).unwrap(), op, value_of(with.into()), schema).unwrap()
    }

    #[test]
    fn comparisons_of_full_columns_go_down_and_nothing_else_does() {
        let full = schema(false);
        let few = compare("number", Operator::Lt, 5_i64, &full);
        let text = compare("text", Operator::Eq, "a", &full);
        let float = compare("float", Operator::Lt, 5.0, &full);
        let columns = binary(col("number", &full).unwrap(), Operator::Gt, col("other", &full).unwrap(), &full).unwrap();
        let list = |negated| in_list(col("text", &full).unwrap(), vec![value_of("a")], &negated, &full).unwrap();
        let pattern = |text: &str| {
            let text = value_of(ScalarValue::from(text));
            like_expr(false, false, col("text", &full).unwrap(), text, &full).unwrap()
        };
        let either = binary(few.clone(), Operator::Or, text.clone(), &full).unwrap();
        for goes in [&few, &text, &columns, &list(false), &pattern("a%"), &either] {
            assert!(native(goes, &full).is_some(), "{goes}");
        }
        let half = binary(few.clone(), Operator::Or, float.clone(), &full).unwrap();
        for stays in [&float, &list(true), &pattern("a\\%"), &half, &not(few.clone()).unwrap()] {
            assert!(native(stays, &full).is_none(), "{stays}");
        }
        // Of an AND, the part that can.
        let both = binary(few, Operator::And, float, &full).unwrap();
        assert_eq!(native(&both, &full).unwrap().to_string(), "($.number < 5i64)");
        let with_nulls = schema(true);
        assert!(native(&compare("number", Operator::Lt, 5_i64, &with_nulls), &with_nulls).is_none());
    }
}
