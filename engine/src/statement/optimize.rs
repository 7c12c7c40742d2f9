//! ```text
//! OPTIMIZE [TABLE] name [WHERE predicate over partition columns] [ZORDER BY (column, ...)]
//! ```
//! Small files become large ones and deleted rows leave the files. With ZORDER BY all files are written anew, rows with near
//! values in these columns next to each other. No row changes: queries and appends go on meanwhile.

use boathouse_storage::{
    Snapshot,
    maintain::{self, Optimize as Request},
};
use datafusion::{
    common::{DFSchema, ScalarValue, tree_node::TreeNode},
    logical_expr::{Expr, utils::split_conjunction_owned},
    sql::sqlparser::ast::{self, ExprWithAlias},
};

use super::{Context, Outcome, name, restore::table_of_lake};
use crate::{
    EngineError,
    catalog::TableName,
    error::{Place, did_you_mean},
};

#[derive(Debug)]
pub(crate) struct Optimize {
    name: TableName,
    request: Request,
}

impl Optimize {
    pub async fn plan(context: &Context, statement: ast::Statement) -> Result<Self, EngineError> {
        let ast::Statement::OptimizeTable {
            name: object,
            on_cluster: None,
            partition: None,
            include_final: false,
            deduplicate: None,
            predicate,
            zorder,
            ..
        } = statement
        else {
            return Err(EngineError::unsupported(
                "OPTIMIZE ... ON CLUSTER, PARTITION, FINAL or DEDUPLICATE is not supported",
            )
            .with_hint("Write OPTIMIZE t WHERE predicate over partition columns."));
        };
        let name = name::target(context, &object)?;
        let table = table_of_lake(context, &name, "OPTIMIZE")
            .await
            .map_err(|error| error.at(&context.sql, name::place(&object)))?;
        let mut request = Request { zorder: zorder_columns(context, &table, zorder)?, ..Request::default() };
        if let Some(predicate) = predicate {
            request.predicate = predicate.to_string();
            request.filters = filters(context, &table, predicate)?;
        }
        Ok(Self { name, request })
    }

    pub async fn run(&self, context: &Context, _: &[ScalarValue]) -> Result<Outcome, EngineError> {
        let lake = context.engine.lake();
        let table = lake.table(&self.name.schema, &self.name.name).await?;
        let info = name::commit_info(context);
        maintain::optimize(lake, &table, &self.request, context.state.clone(), &info).await?;
        Ok(Outcome::Done("OPTIMIZE"))
    }
}

fn zorder_columns(
    context: &Context,
    table: &Snapshot,
    columns: Option<Vec<ast::Expr>>,
) -> Result<Vec<String>, EngineError> {
    let mut names: Vec<String> = Vec::new();
    for column in columns.unwrap_or_default() {
        let ast::Expr::Identifier(ident) = &column else {
            return Err(EngineError::invalid(format!("ZORDER BY takes columns, and \"{column}\" is none")));
        };
        let at = |error: EngineError| error.at(&context.sql, Place::of_token_span(ident.span));
        let name = super::view::folded(ident);
        let schema = table.schema();
        let Some((_, field)) = schema.fields().find(&name) else {
            let message = format!("column \"{name}\" does not exist in table \"{}\"", table.name());
            let mut error = EngineError::not_found(message);
            error.hint = did_you_mean(&name, schema.fields().iter().map(|field| field.name().as_str()));
            return Err(at(error));
        };
        if table.partition_columns().contains(&name) {
            let message = format!("column \"{name}\" is a partition column: it is the same in all rows of a file");
            return Err(at(EngineError::invalid(message).with_hint("Leave it out of ZORDER BY.")));
        }
        if field.data_type().is_nested() {
            return Err(at(EngineError::invalid(format!("ZORDER BY needs plain values, and \"{name}\" is nested"))));
        }
        if names.contains(&name) {
            return Err(at(EngineError::invalid(format!("column \"{name}\" is named twice"))));
        }
        names.push(name);
    }
    Ok(names)
}

/// The predicate's conjuncts, which must be about partition columns alone.
fn filters(context: &Context, table: &Snapshot, predicate: ast::Expr) -> Result<Vec<Expr>, EngineError> {
    let schema = DFSchema::try_from(table.schema().as_ref().clone()).map_err(|error| context.error(error))?;
    let planned =
        context.state.create_logical_expr_from_sql_expr(ExprWithAlias { expr: predicate, alias: None }, &schema);
    let planned = planned.map_err(|error| context.error(error))?;
    let of_rows = planned.column_refs().into_iter().find(|column| !table.partition_columns().contains(&column.name));
    if let Some(column) = of_rows {
        let message = format!("OPTIMIZE ... WHERE needs partition columns, and \"{}\" is none", column.name);
        let error = EngineError::invalid(message);
        return Err(match table.partition_columns() {
            [] => error.with_hint("The table has no partitions: leave WHERE out."),
            columns => error.with_hint(format!("The partition columns are {}.", columns.join(", "))),
        });
    }
    let volatile = planned.exists(|part| Ok(matches!(part, Expr::ScalarFunction(call) if call.func.signature().volatility != datafusion::logical_expr::Volatility::Immutable)));
    if planned.column_refs().is_empty() || volatile.map_err(|error| context.error(error))? {
        let message = "OPTIMIZE ... WHERE takes comparisons of partition columns with constants";
        return Err(EngineError::invalid(message));
    }
    Ok(split_conjunction_owned(planned))
}
