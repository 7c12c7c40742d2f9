//! Where a floating point number meets a decimal, both become `DOUBLE`.
//!
//! `0.5` is a decimal, and DataFusion compares `DOUBLE` with `DECIMAL` as `DECIMAL(30, 15)`: `ratio = 0.0` would hold for
//! 1e-20, and 1e300 would be an error. Every other system compares them as floating point numbers, and so does this
//! rule, which runs before types are made equal.

use datafusion::{
    arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, DecimalType},
    common::{DFSchema, Result, ScalarValue, config::ConfigOptions, tree_node::Transformed},
    logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Union, cast, expr_schema::cast_subquery},
    optimizer::AnalyzerRule,
};

use super::typed::{is_comparison, mend_node};

/// Functions that yield, or compare, one of their arguments.
const CHOOSING: [&str; 8] = ["coalesce", "nullif", "nvl", "ifnull", "nvl2", "greatest", "least", "make_array"];

#[derive(Debug)]
pub(crate) struct DecimalsToFloats;

impl AnalyzerRule for DecimalsToFloats {
    fn name(&self) -> &str {
        "decimals_to_floats"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(node)?.data)
    }
}

fn node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if let LogicalPlan::Union(union) = plan {
        return inputs(union);
    }
    mend_node(plan, mend)
}

/// The same column of all inputs of a UNION.
fn inputs(mut union: Union) -> Result<Transformed<LogicalPlan>> {
    let width = union.inputs.iter().map(|input| input.schema().fields().len()).min().unwrap_or_default();
    let kinds = |place: usize| union.inputs.iter().map(move |input| input.schema().field(place).data_type());
    let mixed = |place: &usize| kinds(*place).any(DataType::is_floating) && kinds(*place).any(DataType::is_decimal);
    let mixed: Vec<usize> = (0..width).filter(mixed).collect();
    if mixed.is_empty() {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    for input in &mut union.inputs {
        let columns = input.schema().iter().enumerate().map(|(place, (qualifier, field))| {
            let column = Expr::from((qualifier, field));
            match mixed.contains(&place) && field.data_type().is_decimal() {
                true => cast(column, DataType::Float64).alias_qualified(qualifier.cloned(), field.name()),
                false => column,
            }
        });
        let columns: Vec<Expr> = columns.collect();
        *input = LogicalPlanBuilder::from(input.as_ref().clone()).project(columns)?.build()?.into();
    }
    Ok(Transformed::yes(LogicalPlan::Union(Union::try_new_with_loose_types(union.inputs)?)))
}

fn mend(mut expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let changed = match &mut expr {
        Expr::BinaryExpr(binary) if is_comparison(binary.op) => meet(vec![&mut binary.left, &mut binary.right], schema),
        Expr::Between(between) => meet(vec![&mut between.expr, &mut between.low, &mut between.high], schema),
        Expr::InList(list) => meet(std::iter::once(list.expr.as_mut()).chain(&mut list.list).collect(), schema),
        Expr::Case(case) => {
            let (whens, thens): (Vec<_>, Vec<_>) =
                case.when_then_expr.iter_mut().map(|(when, then)| (when.as_mut(), then.as_mut())).unzip();
            let results = meet(thens.into_iter().chain(case.else_expr.as_deref_mut()).collect(), schema);
            let operand = case.expr.as_deref_mut();
            operand.is_some_and(|operand| meet(std::iter::once(operand).chain(whens).collect(), schema)) | results
        }
        Expr::ScalarFunction(call) if CHOOSING.contains(&call.name()) => meet(call.args.iter_mut().collect(), schema),
        Expr::InSubquery(within) => {
            let kind = within.expr.get_type(schema)?;
            let given = within.subquery.subquery.schema().field(0).data_type().clone();
            if kind.is_floating() && given.is_decimal() {
                within.subquery = cast_subquery(within.subquery.clone(), &DataType::Float64)?;
                true
            } else if kind.is_decimal() && given.is_floating() {
                to_float(&mut within.expr);
                true
            } else {
                false
            }
        }
        _ => false,
    };
    Ok(if changed { Transformed::yes(expr) } else { Transformed::no(expr) })
}

/// Makes the decimals among `exprs` floating point numbers when there is one among them.
fn meet(exprs: Vec<&mut Expr>, schema: &DFSchema) -> bool {
    // What has no type is refused later, with a better error.
    let kinds: Vec<_> = exprs.iter().map(|expr| expr.get_type(schema).unwrap_or(DataType::Null)).collect();
    if !kinds.iter().any(DataType::is_floating) || !kinds.iter().any(DataType::is_decimal) {
        return false;
    }
    exprs.into_iter().zip(kinds).filter(|(_, kind)| kind.is_decimal()).for_each(|(expr, _)| to_float(expr));
    true
}

fn to_float(expr: &mut Expr) {
    let inner = std::mem::take(expr);
    *expr = match &inner {
        Expr::Literal(value, metadata) => match float(value) {
            Some(value) => Expr::Literal(ScalarValue::Float64(Some(value)), metadata.clone()),
            None => cast(inner, DataType::Float64),
        },
        _ => cast(inner, DataType::Float64),
    };
}

/// The nearest floating point number. Through its text: a division would round twice.
fn float(value: &ScalarValue) -> Option<f64> {
    let text = match value {
        ScalarValue::Decimal128(Some(value), precision, scale) => {
            Decimal128Type::format_decimal(*value, *precision, *scale)
        }
        ScalarValue::Decimal256(Some(value), precision, scale) => {
            Decimal256Type::format_decimal(*value, *precision, *scale)
        }
        _ => return None,
    };
    text.parse().ok()
}
