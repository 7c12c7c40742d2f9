//! INSERT ... REPLACE: the rows given take the place of others, in one commit: WHERE, of those that match a condition, USING,
//! of those that have the values of a row given in some columns.

use boathouse_storage::write::{self, Action, Actions, Altered, Check, RowChange};
use datafusion::{
    arrow::datatypes::{DataType, Schema},
    common::{
        Column, ScalarValue,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, lit},
    sql::sqlparser::ast::{self, TableFactor, TableWithJoins},
};

use super::{Evolution, Insert, evolve, under_names};
use crate::{
    EngineError,
    parser::replace::{Replace, Which},
    statement::{
        Context, Outcome,
        change::{Select, Target, column, outcome, plain_rows},
        name, parameter, rules,
    },
};

const NAME: &str = "INSERT";
/// What is done with a row.
const ACTION: &str = "__boathouse_action";

/// What the rows take the place of.
#[derive(Debug)]
pub(super) struct Replaced {
    ast: Replace,
    /// The condition as it is written.
    text: String,
    target: Target,
    /// The addresses of the rows that go.
    addresses: LogicalPlan,
    /// The condition, over the table's columns.
    condition: Expr,
}

impl Replaced {
    async fn plan(context: &Context, replace: Replace, written: ast::Expr) -> Result<Self, EngineError> {
        let ast::TableObject::TableName(object) = &replace.insert.table else {
            return Err(EngineError::unsupported("INSERT INTO other than a table is not supported"));
        };
        let table = TableFactor::Table {
            name: object.clone(),
            alias: None,
            args: None,
            with_hints: Vec::new(),
            version: None,
            with_ordinality: false,
            partitions: Vec::new(),
            json_path: None,
            sample: None,
            index_hints: Vec::new(),
        };
        let target = Target::open(context, &table, NAME).await?;
        let from = || TableWithJoins { relation: target.factor.clone(), joins: Vec::new() };
        let mut old = Select::addresses(&target).from([from()]);
        old.selection = Some(written.clone());
        let addresses = plain_rows(context, old.planned(context, "REPLACE WHERE").await?, &[])?;
        // As a value it cannot have subqueries, which could not be asked of the rows that come.
        let mut value = Select::default().from([from()]);
        value.item(written.clone(), "condition");
        value.item(column(&target.alias, target.addressed.row_column()), "row");
        let LogicalPlan::Projection(value) = plain_rows(context, value.planned(context, "REPLACE WHERE").await?, &[])?
        else {
            return Err(EngineError::internal("a condition that is no value"));
        };
        let condition = value.expr.into_iter().next().ok_or_else(|| EngineError::internal("no condition"))?.unalias();
        let plain = condition
            .exists(|part| {
                Ok(matches!(
                    part,
                    Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_)
                ))
            })
            .map_err(|error| context.error(error))?;
        if plain {
            let error = EngineError::unsupported("a subquery in REPLACE WHERE is not supported");
            return Err(error.with_hint("Write a condition on the row alone."));
        }
        let condition = condition.transform(|part| match part {
            Expr::Column(column) => Ok(Transformed::yes(Expr::Column(Column::new_unqualified(column.name)))),
            other => Ok(Transformed::no(other)),
        });
        let condition = condition.data().map_err(|error| context.error(error))?;
        Ok(Self { ast: replace, text: written.to_string(), target, addresses, condition })
    }
}

/// The columns in which rows that go are like one that comes.
#[derive(Debug)]
pub(super) struct Equal {
    pub ast: Replace,
    pub columns: Vec<String>,
}

impl Insert {
    /// Like [`Insert::plan`], for INSERT ... REPLACE WHERE and REPLACE USING.
    pub async fn plan_replace(context: &Context, replace: Replace) -> Result<Self, EngineError> {
        let replaced = match &replace.which {
            Which::Where(condition) => {
                let condition = condition.clone();
                Some(Box::new(Replaced::plan(context, replace.clone(), condition).await?))
            }
            Which::Using(_) => None,
        };
        let evolution = if replace.evolves { Evolution::Asked } else { Evolution::IfTheTableSays };
        let insert = Self::plan(context, replace.insert.clone(), evolution).await?;
        let equal = match &replace.which {
            Which::Where(_) => None,
            Which::Using(names) => {
                let columns = super::named_columns(context, &insert.name, &insert.planned, names)?;
                if let Some((column, written)) = columns.iter().zip(names).find(|(of, _)| of.data_type().is_nested()) {
                    let message =
                        format!("REPLACE USING column \"{}\", which is nested, is not supported", column.name());
                    return Err(EngineError::unsupported(message).at(&context.sql, name::place(written)));
                }
                let columns = columns.iter().map(|column| column.name().clone()).collect();
                Some(Box::new(Equal { ast: replace, columns }))
            }
        };
        Ok(Self { replaced, equal, ..insert })
    }

    /// Runs it on the newest tables, however long ago it was planned.
    pub(super) async fn replace_some(
        context: &Context,
        replaced: &Replaced,
        parameters: &[ScalarValue],
    ) -> Result<Outcome, EngineError> {
        let context = &context.again();
        let insert = Self::plan_replace(context, replaced.ast.clone()).await?;
        let Some(Replaced { target, addresses, condition, text, .. }) = insert.replaced.as_deref() else {
            return Err(EngineError::internal("REPLACE WHERE without a condition"));
        };
        super::check_parameters(&insert.rows, parameters)?;
        let rows = under_names(parameter::bind(&insert.rows, parameters)?, &insert.columns)?;
        let rules = rules::of(context, target.snapshot())?;
        let mut all_rules = rules.clone();
        all_rules.checks.push(Check {
            rule: "condition of REPLACE WHERE".into(),
            sql: text.clone(),
            expr: condition.clone(),
        });
        let table = target.name.to_string();
        let evolved = evolve::altered(target.snapshot(), &insert.new_columns)?;
        let schema = evolved.as_ref().map(Altered::schema).transpose()?.unwrap_or_else(|| target.schema());
        let rows = evolve::shaped(rows, &schema, &insert.new_columns)?;
        let rows = write::conform(&table, &schema, &all_rules, rows)?;
        let plan = both(target, &schema, addresses.clone(), rows).map_err(|error| context.error(error))?;
        let change = RowChange {
            operation: "WRITE",
            parameters: [("mode".to_owned(), "Overwrite".to_owned()), ("predicate".to_owned(), text.clone())].into(),
            target: &target.addressed,
            plan,
            actions: Actions::Column(ACTION),
            sets: None,
            rules: Some(&rules),
            replaces: None,
            evolved,
        };
        let info = name::commit_info(context);
        Ok(outcome(write::change(context.engine.lake(), change, context.state.clone(), &info).await?))
    }
}

/// The rows that go and those that come, in one query.
fn both(
    target: &Target,
    schema: &Schema,
    addresses: LogicalPlan,
    rows: LogicalPlan,
) -> datafusion::error::Result<LogicalPlan> {
    let (file, row) = (target.addressed.file_column(), target.addressed.row_column());
    let null = |kind: &DataType| cast(lit(ScalarValue::Null), kind.clone());
    let of = |name: &str| Expr::Column(Column::new_unqualified(name));
    let number = DataType::Int64;
    let columns = schema.fields().iter().map(|field| null(field.data_type()).alias(field.name()));
    let places = [of(file), of(row), lit(Action::Delete as i8).alias(ACTION)];
    let gone = LogicalPlanBuilder::from(addresses).project(columns.chain(places))?.build()?;
    let columns = schema.fields().iter().map(|field| of(field.name()));
    let places = [null(&number).alias(file), null(&number).alias(row), lit(Action::Insert as i8).alias(ACTION)];
    let come = LogicalPlanBuilder::from(rows).project(columns.chain(places))?.build()?;
    LogicalPlanBuilder::from(gone).union(come)?.build()
}
