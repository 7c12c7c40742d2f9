//! The rules in a definition: DEFAULT, GENERATED and CHECK of CREATE TABLE and ALTER TABLE, checked and put into the words
//! in which the table keeps them.

use std::collections::BTreeMap;

use boathouse_storage::write::{
    self, CONSTRAINT_PREFIX, DEFAULT_KEY, GENERATED_KEY, IDENTITY_BY_DEFAULT, IDENTITY_START, IDENTITY_STEP, Identity,
    RuleTexts, Rules,
};
use datafusion::{
    arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
    common::tree_node::TreeNode,
    logical_expr::{EmptyRelation, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder},
    sql::sqlparser::ast::{self, Spanned},
};

use super::{Context, insert, rules, view::folded};
use crate::{
    EngineError,
    error::Place,
    parser::{
        create,
        rule::{self, Refused},
    },
};

/// Functions that tell the time of the statement.
const CLOCKS: [&str; 2] = ["now", "current_date"];

/// The columns of a new table with their rules, and its constraints.
#[derive(Debug, Clone, Default)]
pub(super) struct Definition {
    pub fields: Vec<FieldRef>,
    /// Constraints under the names of their properties.
    pub constraints: BTreeMap<String, String>,
    pub rules: Rules,
}

/// Checks the rules of a new table called `table`.
pub(super) fn define(
    context: &Context,
    table: &str,
    fields: Vec<FieldRef>,
    columns: &[create::Column],
    checks: &[create::Check],
) -> Result<Definition, EngineError> {
    let schema = kept_schema(&fields);
    let mut texts = RuleTexts::default();
    let mut kept = fields.clone();
    for (column, field) in columns.iter().zip(kept.iter_mut()) {
        if let Some(default) = &column.default {
            if column.generated.is_some() {
                let message = format!("column \"{}\" cannot be computed and have a default", field.name());
                return Err(at(context, EngineError::invalid(message), default));
            }
            let text = self::default(context, table, field, default)?;
            texts.defaults.push((field.name().clone(), text.clone()));
            *field = with(field, DEFAULT_KEY, &text);
        }
        if let Some(identity) = &column.identity {
            self::identity(field, column, identity)
                .map_err(|error| error.at(&context.sql, Place::of_token_span(column.name.span)))?;
            let text = |key, value: &dyn ToString, field: &FieldRef| with(field, key, &value.to_string());
            *field = text(IDENTITY_START, &identity.start, field);
            *field = text(IDENTITY_STEP, &identity.step, field);
            *field = text(IDENTITY_BY_DEFAULT, &identity.by_default, field);
            let create::Identity { by_default, start, step } = *identity;
            texts.identities.push(Identity::new(field.name(), start, step, by_default));
        }
        if let Some(expr) = &column.generated {
            let others =
                |name: &str| columns.iter().zip(&fields).any(|(c, f)| f.name() == name && c.generated.is_some());
            let text = generated(context, table, field, expr, &schema, &others)?;
            texts.generated.push((field.name().clone(), text.clone()));
            *field = with(field, GENERATED_KEY, &text);
        }
    }
    let mut constraints = BTreeMap::new();
    let of_columns = columns.iter().flat_map(|column| {
        let name = format!("{}_check", folded(&column.name));
        column.checks.iter().map(move |check| (name.clone(), check))
    });
    let of_table = checks.iter().map(|check| (String::from("check"), check));
    for (base, check) in of_columns.chain(of_table) {
        let name = match &check.name {
            Some(name) => constraint_name(context, name)?,
            None => free_name(&constraints, &base),
        };
        let text = self::check(context, &schema, &check.condition)?;
        if constraints.insert(format!("{CONSTRAINT_PREFIX}{name}"), text.clone()).is_some() {
            let error = EngineError::invalid(format!("constraint \"{name}\" is there twice"));
            return Err(at(context, error, &check.condition));
        }
        texts.checks.push((format!("constraint \"{name}\""), text));
    }
    let rules = rules::of_texts(context, table, &schema, &texts)?;
    Ok(Definition { fields: kept, constraints, rules })
}

/// Refuses what contradicts an identity column.
fn identity(field: &Field, column: &create::Column, identity: &create::Identity) -> Result<(), EngineError> {
    let name = field.name();
    if *field.data_type() != DataType::Int64 {
        let given = super::data_type::sql_type(field.data_type());
        let error = EngineError::invalid(format!("identity column \"{name}\" is {given}"));
        return Err(error.with_hint("Make it BIGINT: so all writers of the table have it."));
    }
    if column.default.is_some() || column.generated.is_some() {
        return Err(EngineError::invalid(format!("column \"{name}\" cannot number the rows and have another value")));
    }
    if identity.step == 0 {
        return Err(EngineError::invalid(format!("the numbers of column \"{name}\" do not move: INCREMENT BY 0")));
    }
    Ok(())
}

/// The name as tables keep it: other writers know constraints in lower case only.
pub(super) fn constraint_name(context: &Context, name: &ast::Ident) -> Result<String, EngineError> {
    let lower = name.value.to_lowercase();
    if lower.chars().all(|c| c.is_alphanumeric() || c == '_') && !lower.is_empty() {
        return Ok(lower);
    }
    let error = EngineError::invalid(format!("\"{}\" cannot be the name of a constraint", name.value));
    Err(error.with_hint("Use letters, digits and underscores.").at(&context.sql, Place::of_token_span(name.span)))
}

fn free_name(taken: &BTreeMap<String, String>, base: &str) -> String {
    let is_free = |name: &String| !taken.contains_key(&format!("{CONSTRAINT_PREFIX}{name}"));
    let numbered = (2..).map(|n| format!("{base}{n}"));
    std::iter::once(base.to_owned()).chain(numbered).find(is_free).unwrap_or_default()
}

/// The text of a condition over these columns.
pub(super) fn check(context: &Context, schema: &SchemaRef, condition: &ast::Expr) -> Result<String, EngineError> {
    let text = text(context, condition, schema)?;
    rules::condition(context, &text, schema)
        .map_err(|reason| at(context, refusal("the condition cannot be kept", reason), condition))?;
    Ok(text)
}

/// The text of a default for this column.
pub(super) fn default(context: &Context, table: &str, field: &Field, value: &ast::Expr) -> Result<String, EngineError> {
    let none = SchemaRef::new(Schema::empty());
    let text = text(context, value, &none)?;
    let expr = rules::expression(context, &text, &none)
        .map_err(|reason| at(context, refusal("the default cannot be kept", reason), value))?;
    // The time of the statement goes into a column without a zone, too.
    let is_time = matches!(field.data_type(), DataType::Timestamp(..)) && has_clock(&expr);
    if !is_time {
        fits(table, field, expr, &none).map_err(|error| at(context, error, value))?;
    }
    Ok(text)
}

/// Whether the expression asks for the time of the statement.
fn has_clock(expr: &Expr) -> bool {
    let clock = |part: &Expr| matches!(part, Expr::ScalarFunction(call) if CLOCKS.contains(&call.name()));
    expr.exists(|part| Ok(clock(part))).unwrap_or(true)
}

/// The text of a generated column, which computes its type from columns that are not computed.
fn generated(
    context: &Context,
    table: &str,
    field: &Field,
    value: &ast::Expr,
    schema: &SchemaRef,
    is_generated: &dyn Fn(&str) -> bool,
) -> Result<String, EngineError> {
    let refused = |reason: String| at(context, refusal("the generated column cannot be kept", reason), value);
    let mut text = text(context, value, schema)?;
    let expr = rules::expression(context, &text, schema).map_err(refused)?;
    if let Some(column) = expr.column_refs().iter().find(|column| is_generated(column.name())) {
        return Err(refused(format!("\"{}\" is computed itself", column.name())));
    }
    if has_clock(&expr) {
        return Err(refused("the time of the statement is another for every row that is checked later".into()));
    }
    // Literals make sums of integers wider than their columns: the cast fails for a row whose number does not fit.
    let columns = datafusion::common::DFSchema::try_from(schema.clone())?;
    let is_integer = expr.get_type(&columns).is_ok_and(|kind| kind.is_integer());
    if !(is_integer && field.data_type().is_integer()) {
        fits(table, field, expr, schema).map_err(|error| at(context, error, value))?;
    }
    // Types of sums and literals differ among writers, so the column's own is said.
    if !matches!(value, ast::Expr::Cast { .. }) {
        text = format!("CAST({text} AS {})", spark_type(field));
        rules::expression(context, &text, schema).map_err(refused)?;
    }
    Ok(text)
}

/// An error when the values of the expression may not fit the column.
fn fits(table: &str, field: &Field, expr: Expr, columns: &SchemaRef) -> Result<(), EngineError> {
    let schema = datafusion::common::DFSchema::try_from(columns.clone())?;
    let rows = LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: true, schema: schema.into() });
    let plan = LogicalPlanBuilder::from(rows).project([expr.alias(field.name())])?.build()?;
    let target = Schema::new(vec![field.clone().with_nullable(true)]);
    write::conform(table, &target, &Rules::default(), plan).map_err(insert::unfit)?;
    Ok(())
}

fn text(context: &Context, expr: &ast::Expr, schema: &SchemaRef) -> Result<String, EngineError> {
    rule::write(expr, schema.fields()).map_err(|Refused { reason, span }| {
        let error = refusal("a rule of the table cannot say this", reason);
        match span.and_then(Place::of_token_span) {
            Some(place) => error.at(&context.sql, place),
            None => at(context, error, expr),
        }
    })
}

fn refusal(what: &str, reason: String) -> EngineError {
    EngineError::unsupported(format!("{what}: {reason}"))
        .with_hint("Rules are kept in words that every writer of Delta understands: see the README.")
}

fn at(context: &Context, error: EngineError, expr: &ast::Expr) -> EngineError {
    error.at(&context.sql, Place::of_token_span(expr.span()))
}

fn with(field: &Field, key: &str, text: &str) -> FieldRef {
    let mut metadata = field.metadata().clone();
    metadata.insert(key.to_owned(), text.to_owned());
    field.clone().with_metadata(metadata).into()
}

/// The columns in the types in which the table will keep them.
fn kept_schema(fields: &[FieldRef]) -> SchemaRef {
    let kept = fields.iter().map(|field| {
        let data_type = write::kept_type(field.data_type()).unwrap_or_else(|_| field.data_type().clone());
        Field::new(field.name(), data_type, field.is_nullable())
    });
    SchemaRef::new(Schema::new(kept.collect::<Vec<_>>()))
}

/// A plain type in Spark's words.
fn spark_type(field: &Field) -> String {
    let sql = super::data_type::sql_type(field.data_type());
    match sql.as_str() {
        "REAL" => "FLOAT".into(),
        "VARCHAR" => "STRING".into(),
        "TIMESTAMP" => "TIMESTAMP_NTZ".into(),
        "TIMESTAMP WITH TIME ZONE" => "TIMESTAMP".into(),
        _ => sql,
    }
}
