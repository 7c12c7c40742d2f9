//! `$1`, `$2`, ...: their types, and their values put in.

use std::sync::Arc;

use boathouse_storage::{table::nullable_parts, write::survives};
use datafusion::{
    arrow::datatypes::{DataType, Field, FieldRef, Schema},
    common::{
        ParamValues, ScalarValue,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{Expr, LogicalPlan},
};

use super::data_type::sql_type;
use crate::{EngineError, exec::plain_field};

/// Highest number of a parameter.
const PARAMETERS_MAX: usize = 10_000;

/// Gives Utf8 to each parameter whose type planning did not find, and refuses names such as `$name` and `?`.
pub(super) fn settle(plan: LogicalPlan) -> Result<LogicalPlan, EngineError> {
    let names = plan.get_parameter_names()?;
    if names.is_empty() {
        return Ok(plan);
    }
    let known: Vec<usize> = names.iter().map(|name| number(name)).collect::<Result<_, _>>()?;
    let count = known.iter().copied().max().unwrap_or_default();
    if let Some(gap) = (1..=count).find(|number| !known.contains(number)) {
        return Err(EngineError::invalid(format!("parameter ${gap} is missing"))
            .with_hint("Parameters are numbered from $1 without gaps."));
    }
    let found = plan.get_parameter_fields()?;
    let settled = plan.transform_up_with_subqueries(|node| {
        let node = node.map_expressions(|expr| {
            expr.transform_up(|expr| match expr {
                Expr::Placeholder(mut placeholder) if unknown(placeholder.field.as_ref()) => {
                    // Another use of the same parameter may know more.
                    let field = found.get(&placeholder.id).cloned().flatten();
                    let field = field.filter(|field| !unknown(Some(field)));
                    placeholder.field = Some(field.unwrap_or_else(|| text(&placeholder.id)));
                    Ok(Transformed::yes(Expr::Placeholder(placeholder)))
                }
                other => Ok(Transformed::no(other)),
            })
        })?;
        node.map_data(|node| node.recompute_schema())
    })?;
    Ok(settled.data)
}

fn unknown(field: Option<&FieldRef>) -> bool {
    field.is_none_or(|field| field.data_type().is_null())
}

fn text(id: &str) -> FieldRef {
    Arc::new(Field::new(id, DataType::Utf8, true))
}

/// The field of a parameter that is a whole value of a column. Whether it is NULL shows when it is written.
pub(super) fn of_column(column: &FieldRef) -> FieldRef {
    let kind = nullable_parts(column.data_type());
    Arc::new(column.as_ref().clone().with_data_type(kind).with_nullable(true).with_metadata(Default::default()))
}

/// One field per parameter, named `1`, `2`, ... in order, as clients are told of them.
pub(super) fn schema(plan: &LogicalPlan) -> Schema {
    Schema::new(fields(plan).iter().map(plain_field).collect::<Vec<_>>())
}

/// The same with the types that the plan compares with.
fn fields(plan: &LogicalPlan) -> Vec<Field> {
    let mut fields: Vec<(usize, Field)> = plan
        .get_parameter_fields()
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(name, field)| {
            let number = number(&name).ok()?;
            let data_type =
                field.filter(|field| !unknown(Some(field))).map_or(DataType::Utf8, |f| f.data_type().clone());
            Some((number, Field::new(number.to_string(), data_type, true)))
        })
        .collect();
    fields.sort_by_key(|(number, _)| *number);
    fields.into_iter().map(|(_, field)| field).collect()
}

/// Puts values in, cast to the types that planning found.
pub(super) fn bind(plan: &LogicalPlan, values: &[ScalarValue]) -> Result<LogicalPlan, EngineError> {
    let fields = fields(plan);
    if fields.len() != values.len() {
        let (expected, given) = (fields.len(), values.len());
        return Err(EngineError::invalid(format!("the statement has {}, but {given} were given", counted(expected))));
    }
    if values.is_empty() {
        return Ok(plan.clone());
    }
    let values: Vec<ScalarValue> = values
        .iter()
        .zip(&fields)
        .map(|(value, field)| {
            if value.data_type() == *field.data_type() {
                return Ok(value.clone());
            }
            let (name, wanted) = (field.name(), sql_type(field.data_type()));
            let cast = value.cast_to(field.data_type()).map_err(|error| {
                let given = sql_type(&value.data_type());
                EngineError::invalid(format!("parameter ${name} is {wanted}, but the value given is {given}"))
                    .with_source(error)
            })?;
            if loses(value, &cast) {
                let message = format!("parameter ${name} is {wanted}, which cannot hold the value {value}");
                let hint = match value.data_type().is_string() {
                    true => "Give one that needs no rounding.".to_owned(),
                    false => {
                        format!("Write CAST(${name} AS {}) to compare with such values.", sql_type(&value.data_type()))
                    }
                };
                return Err(EngineError::invalid(message).with_hint(hint));
            }
            Ok(cast)
        })
        .collect::<Result<_, _>>()?;
    Ok(plan.clone().with_param_values(ParamValues::from(values))?)
}

/// Whether something of a value is gone after the cast: `a < 1.5` must not become `a < 1`. Text is parsed, which rounds to
/// digits and to days without a word; what becomes text loses nothing, of a floating point number only digits go.
fn loses(value: &ScalarValue, cast: &ScalarValue) -> bool {
    let (from, to) = (value.data_type(), cast.data_type());
    if from.is_string() && matches!(to, DataType::Decimal128(..) | DataType::Date32) {
        return !survives(value, &to);
    }
    let exempt = value.is_null() || from.is_string() || to.is_string() || (from.is_floating() && to.is_floating());
    !exempt && !cast.cast_to(&from).is_ok_and(|back| back == *value)
}

/// `1 parameter`, `2 parameters`
pub(super) fn counted(parameters: usize) -> String {
    if parameters == 1 { "1 parameter".to_owned() } else { format!("{parameters} parameters") }
}

/// `$3` -> 3.
fn number(name: &str) -> Result<usize, EngineError> {
    name.strip_prefix('$')
        .and_then(|digits| digits.parse().ok())
        .filter(|number| (1..=PARAMETERS_MAX).contains(number))
        .ok_or_else(|| {
            EngineError::unsupported(format!("parameter \"{name}\" is not supported")).with_hint("Write $1, $2, ...")
        })
}
