//! ```text
//! PREPARE name [(type, ...)] AS { query | INSERT ... | UPDATE ... | DELETE ... | MERGE ... }
//! EXECUTE name [(value, ...)]
//! DEALLOCATE { name | ALL }
//! ```
//!
//! The text is kept in the session. Each EXECUTE looks its names up again, and plans it again unless all of them stand for
//! what they stood for, so it always reads the newest tables.

use std::{ops::ControlFlow, sync::Arc};

use datafusion::{
    arrow::datatypes::{DataType, SchemaRef},
    common::{DFSchema, ScalarValue},
    logical_expr::LogicalPlan,
    logical_expr::{Expr, simplify::SimplifyContext},
    optimizer::simplify_expressions::ExprSimplifier,
    sql::sqlparser::ast::{self, ExprWithAlias, Ident, Visit, Visitor},
};

use super::{Context, Effect, Outcome, Statement, data_type, once, parameter::counted, query::Query};
use crate::{EngineError, ErrorKind, cache::Form, error::did_you_mean, parser::Ast};

/// Statements that a session may keep.
const PREPARED_MAX: usize = 1_000;
/// Their texts together: sessions are many, and a client may forget its statements.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// A statement kept by PREPARE.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    statement: Box<ast::Statement>,
    /// The PREPARE's text, for error places.
    sql: Arc<str>,
    types: Vec<DataType>,
}

impl Kept {
    /// On the newest tables; planned anew unless an earlier plan still holds.
    async fn plan(self, context: &Context) -> Result<Statement, EngineError> {
        let inner = context.with_sql(&self.sql);
        if !matches!(*self.statement, ast::Statement::Query(_)) {
            return Statement::plan(&inner.of_no_query(), Ast::Sql(self.statement)).await;
        }
        let inner = inner.of_query(Form::Prepare, &self.sql);
        if let Some(query) = Query::recall(&inner).await {
            return Ok(Statement::Query(query));
        }
        let statement = Statement::plan(&inner, Ast::Sql(self.statement)).await?;
        if let Statement::Query(query) = &statement {
            query.keep(&inner)?;
        }
        Ok(statement)
    }
}

#[derive(Debug)]
pub(crate) struct Prepare {
    name: String,
    kept: Kept,
}

impl Prepare {
    pub async fn plan(
        context: &Context,
        name: Ident,
        types: Vec<ast::DataType>,
        statement: ast::Statement,
    ) -> Result<Self, EngineError> {
        use ast::Statement::{Delete, Insert, Merge, Query, Update};
        if !matches!(statement, Query(_) | Insert(_) | Delete(_) | Update(_) | Merge(_)) {
            return Err(EngineError::unsupported("only queries, INSERT, UPDATE, DELETE and MERGE can be prepared"));
        }
        let types: Vec<DataType> = types.iter().map(data_type::arrow_type).collect::<Result<_, _>>()?;
        let planned = Statement::plan(context, Ast::Sql(Box::new(statement.clone()))).await?;
        let parameters = planned.parameters().fields().len();
        if !types.is_empty() && types.len() != parameters {
            let message =
                format!("\"{}\" has {}, but {} types were given", key(&name), counted(parameters), types.len());
            return Err(EngineError::invalid(message));
        }
        Ok(Self { name: key(&name), kept: Kept { statement: Box::new(statement), sql: context.sql.clone(), types } })
    }

    pub async fn run(&self, context: &Context, _: &[ScalarValue]) -> Result<Outcome, EngineError> {
        context.session.change_prepared(|prepared| {
            if prepared.contains_key(&self.name) {
                let message = format!("prepared statement \"{}\" already exists", self.name);
                return Err(EngineError::new(ErrorKind::AlreadyExists, message)
                    .with_hint(format!("DEALLOCATE {} forgets it.", self.name)));
            }
            if prepared.len() >= PREPARED_MAX {
                let message = format!("the session keeps {PREPARED_MAX} prepared statements already");
                return Err(EngineError::new(ErrorKind::Exhausted, message).with_hint("DEALLOCATE ALL forgets them."));
            }
            let bytes = prepared.values().map(|kept| kept.sql.len()).sum::<usize>() + self.kept.sql.len();
            if bytes > TEXT_BYTES_MAX {
                let message = format!("the prepared statements of the session would have {bytes} bytes of text");
                let hint = format!("{TEXT_BYTES_MAX} are allowed; DEALLOCATE ALL forgets those that are there.");
                return Err(EngineError::new(ErrorKind::Exhausted, message).with_hint(hint));
            }
            prepared.insert(self.name.clone(), self.kept.clone());
            Ok(())
        })?;
        Ok(Outcome::Done("PREPARE"))
    }
}

#[derive(Debug)]
pub(crate) struct Execute {
    statement: Box<Statement>,
    values: Vec<ScalarValue>,
    /// The text that the kept statement came from.
    sql: Arc<str>,
}

impl Execute {
    pub async fn plan(context: &Context, execute: ast::Statement) -> Result<Self, EngineError> {
        let ast::Statement::Execute { name: Some(name), parameters, immediate: false, into, using, .. } = execute
        else {
            return Err(
                EngineError::unsupported("EXECUTE IMMEDIATE is not supported").with_hint("Send the statement itself.")
            );
        };
        if !into.is_empty() {
            return Err(EngineError::unsupported("EXECUTE ... INTO is not supported"));
        }
        let name = context.table_name(&name)?.name;
        let kept = find(context, &name)?;
        let exprs: Vec<ast::Expr> = parameters.into_iter().chain(using.into_iter().map(|value| value.expr)).collect();
        let values = exprs
            .into_iter()
            .enumerate()
            .map(|(at, expr)| {
                let value = constant(context, expr)?;
                match kept.types.get(at) {
                    Some(wanted) => value.cast_to(wanted).map_err(|error| context.error(error)),
                    None => Ok(value),
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        let sql = kept.sql.clone();
        let statement = Box::new(kept.plan(context).await?);
        let expected = statement.parameters().fields().len();
        if expected != values.len() {
            let message = format!("\"{name}\" has {}, but {} were given", counted(expected), values.len());
            return Err(EngineError::invalid(message));
        }
        Ok(Self { statement, values, sql })
    }

    pub async fn run(&self, context: &Context, _: &[ScalarValue]) -> Result<Outcome, EngineError> {
        let mut context = context.with_sql(&self.sql);
        if context.idempotency_key.is_some() {
            context.values = Some(once::of_row(&self.values)?);
        }
        self.statement.run(&context, &self.values).await
    }

    /// The query that runs, with its values.
    pub fn query(&self) -> Option<(&Query, &[ScalarValue])> {
        self.statement.query(&self.values)
    }

    pub fn effect(&self) -> Effect {
        self.statement.effect()
    }

    /// What runs.
    pub fn inner(&self) -> &Statement {
        &self.statement
    }

    pub fn schema(&self) -> SchemaRef {
        self.statement.schema()
    }

    pub fn source(&self) -> Option<&LogicalPlan> {
        self.statement.source()
    }
}

#[derive(Debug)]
pub(crate) struct Deallocate {
    /// `None` is ALL.
    name: Option<String>,
}

impl Deallocate {
    pub fn plan(context: &Context, name: Ident) -> Result<Self, EngineError> {
        if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all") {
            return Ok(Self { name: None });
        }
        let name = key(&name);
        find(context, &name)?;
        Ok(Self { name: Some(name) })
    }

    pub async fn run(&self, context: &Context, _: &[ScalarValue]) -> Result<Outcome, EngineError> {
        context.session.change_prepared(|prepared| {
            match &self.name {
                None => prepared.clear(),
                Some(name) => drop(prepared.remove(name)),
            }
            Ok(())
        })?;
        Ok(Outcome::Done("DEALLOCATE"))
    }
}

fn find(context: &Context, name: &str) -> Result<Kept, EngineError> {
    context.session.change_prepared(|prepared| {
        prepared.get(name).cloned().ok_or_else(|| {
            let mut error = EngineError::not_found(format!("prepared statement \"{name}\" does not exist"));
            error.hint = did_you_mean(name, prepared.keys().map(String::as_str));
            error
        })
    })
}

fn key(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

/// The value of an expression without columns, which is known before anything is read.
pub(crate) fn constant(context: &Context, expr: ast::Expr) -> Result<ScalarValue, EngineError> {
    let text = expr.to_string();
    if Visit::visit(&expr, &mut AnyQuery).is_break() {
        let message = format!("a constant expression is needed here: {text} is computed by a query");
        return Err(
            EngineError::unsupported(message).with_hint("Run the query first, and write the value that it gives.")
        );
    }
    let schema = DFSchema::empty();
    let expr = ExprWithAlias { expr, alias: None };
    let expr = context.state.create_logical_expr_from_sql_expr(expr, &schema).map_err(|error| context.error(error))?;
    let simplify = SimplifyContext::builder()
        .with_config_options(context.state.config_options().clone())
        .with_query_execution_start_time(context.state.execution_props().query_execution_start_time)
        .build();
    let simplifier = ExprSimplifier::new(simplify);
    let expr = simplifier
        .coerce(expr, &schema)
        .and_then(|expr| simplifier.simplify(expr))
        .map_err(|error| context.error(error))?;
    match expr {
        Expr::Literal(value, _) => Ok(value),
        _ => Err(EngineError::invalid(format!("the value {text} is not a constant"))),
    }
}

/// Breaks at a query.
struct AnyQuery;

impl Visitor for AnyQuery {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &ast::Query) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
}
