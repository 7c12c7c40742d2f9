//! The rules of a table, from their text to expressions: CHECK constraints, invariants, generated columns, defaults.
//!
//! Every statement that writes rows asks here once for each table and gives what it gets to [`boathouse_storage::write`],
//! which holds every row to it. A rule that is not understood to the letter refuses the write: rows that nobody checked
//! must not get in.

use boathouse_storage::{
    Snapshot,
    write::{Check, Generated, Numbers, RuleTexts, Rules},
};
use datafusion::{
    arrow::datatypes::{DataType, Schema, SchemaRef},
    common::{
        DFSchema, DataFusionError,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    logical_expr::{BinaryExpr, EmptyRelation, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator},
    sql::sqlparser::ast::{self, ExprWithAlias},
};

use super::Context;
use crate::{EngineError, parser::rule};

/// The rules that rows for `table` must keep. Identity columns number the rows of one statement: each asks anew.
pub(crate) fn of(context: &Context, table: &Snapshot) -> Result<Rules, EngineError> {
    of_texts(context, table.name(), &table.schema(), &table.rule_texts())
}

/// The same for rows that are there already, and keep the numbers that they have.
pub(super) fn of_changed(context: &Context, table: &Snapshot) -> Result<Rules, EngineError> {
    Ok(Rules { keeps_identities: true, ..of(context, table)? })
}

/// The rules of a table with these columns.
pub(super) fn of_texts(
    context: &Context,
    table: &str,
    columns: &SchemaRef,
    texts: &RuleTexts,
) -> Result<Rules, EngineError> {
    if texts.is_empty() {
        return Ok(Rules::default());
    }
    let refused = |what: &str, sql: &str, reason: String| {
        EngineError::unsupported(format!("the {what} of table \"{table}\" cannot be checked here: {sql}"))
            .with_detail(format!("In this rule, {reason}."))
            .with_hint("Write to the table with the product that made the rule, or drop the rule.")
    };
    let identities = texts.identities.iter().cloned().map(Numbers::new).collect();
    let mut rules = Rules { identities, ..Rules::default() };
    for (what, sql) in &texts.checks {
        let expr = condition(context, sql, columns).map_err(|reason| refused(what, sql, reason))?;
        rules.checks.push(Check { rule: what.clone(), sql: sql.clone(), expr });
    }
    for (column, sql) in &texts.generated {
        let what = format!("generated column \"{column}\"");
        let expr = expression(context, sql, columns).map_err(|reason| refused(&what, sql, reason))?;
        rules.generated.push(Generated { column: column.clone(), sql: sql.clone(), expr });
    }
    let none = SchemaRef::new(Schema::empty());
    for (column, sql) in &texts.defaults {
        let what = format!("default of column \"{column}\"");
        let expr = expression(context, sql, &none).map_err(|reason| refused(&what, sql, reason))?;
        rules.defaults.push((column.clone(), expr));
    }
    Ok(rules)
}

/// A rule's text as an expression that is a condition, or why not.
pub(super) fn condition(context: &Context, sql: &str, columns: &SchemaRef) -> Result<Expr, String> {
    let expr = expression(context, sql, columns)?;
    let schema = DFSchema::try_from(columns.clone()).map_err(reason)?;
    match expr.get_type(&schema).map_err(reason)? {
        DataType::Boolean => Ok(expr),
        other => Err(format!("the value is {}, not a condition", super::data_type::sql_type(&other))),
    }
}

/// A rule's text as an expression over columns without a qualifier, types coerced, or why not.
pub(super) fn expression(context: &Context, sql: &str, columns: &SchemaRef) -> Result<Expr, String> {
    let tree = rule::read(sql, columns.fields()).map_err(|refused| refused.reason)?;
    planned(context, tree, columns)
}

fn planned(context: &Context, tree: ast::Expr, columns: &SchemaRef) -> Result<Expr, String> {
    let schema = DFSchema::try_from(columns.clone()).map_err(reason)?;
    let tree = ExprWithAlias { expr: tree, alias: None };
    let expr = context.state.create_logical_expr_from_sql_expr(tree, &schema).map_err(reason)?;
    // Types are coerced in a plan only.
    let rows = LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema: schema.clone().into() });
    let plan = LogicalPlanBuilder::from(rows).project([expr.alias("rule")]).and_then(LogicalPlanBuilder::build);
    let plan = context.analyze(plan.map_err(reason)?).map_err(|error| sentence(&error.message))?;
    let expr = match plan {
        LogicalPlan::Projection(projection) => projection.expr.into_iter().next(),
        _ => None,
    };
    let expr = expr.ok_or("the expression was lost while it was planned")?.unalias();
    whole_division(&expr, &schema).map_err(reason)?.map_or(Ok(expr), Err)
}

/// `1 / 2` is 0 here and 0.5 in Spark.
fn whole_division(expr: &Expr, schema: &DFSchema) -> Result<Option<String>, DataFusionError> {
    let mut found = None;
    expr.apply(|part| {
        if let Expr::BinaryExpr(BinaryExpr { op: Operator::Divide, .. }) = part
            && part.get_type(schema)?.is_integer()
        {
            found = Some(
                "whole numbers are divided, which other writers of the table do with fractions: CAST one of \
                          them AS DOUBLE"
                    .to_owned(),
            );
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// The default of a column as the statement's own text could have it, for the keyword DEFAULT.
pub(super) fn default_value(table: &Snapshot, column: &str) -> Result<Option<ast::Expr>, EngineError> {
    let texts = table.rule_texts();
    let Some((_, sql)) = texts.defaults.iter().find(|(of, _)| of == column) else { return Ok(None) };
    rule::read(sql, Schema::empty().fields()).map(Some).map_err(|refused| {
        let message =
            format!("the default of column \"{column}\" of table \"{}\" is not understood: {sql}", table.name());
        EngineError::unsupported(message).with_detail(format!("In this rule, {}.", refused.reason))
    })
}

fn reason(error: DataFusionError) -> String {
    sentence(&crate::error::convert(error, None).message)
}

fn sentence(message: &str) -> String {
    message.lines().next().unwrap_or_default().trim_end_matches('.').to_owned()
}
