//! ```text
//! [WITH name AS (query), ...] INSERT [WITH SCHEMA EVOLUTION] { INTO | OVERWRITE } [TABLE] table [WITH SCHEMA EVOLUTION]
//!   { [(column, ...)] { VALUES (value, ...), ... | query } | BY NAME query | DEFAULT VALUES }
//! INSERT [WITH SCHEMA EVOLUTION] INTO [TABLE] table [(column, ...)] REPLACE { WHERE condition | USING (column, ...) }
//!   { VALUES (value, ...), ... | query }
//! ```
//! Values belong to the columns named, or to all columns in their order, BY NAME to those that the query's are called. A
//! column that is not named gets its default, or NULL; DEFAULT as a value says the same. The table computes generated
//! columns. A value goes in only when nothing of it is lost: numbers into wider numbers, constants that the column's type
//! can hold. All rows are committed at once; with OVERWRITE the rows that were there go in the same commit, with REPLACE
//! WHERE those that match the condition, which all rows given must match, too, with REPLACE USING those that have in these
//! columns the values of a row given (NULL is a value like any other; all rows given come). Schema evolution: see `evolve`.

mod default;
pub(super) mod evolve;
mod given;
mod many;
mod mixed;
mod names;
mod replace;

use std::{collections::BTreeMap, sync::Arc};

use boathouse_storage::{
    Snapshot, StorageError,
    write::{self, Action, Actions, Altered, Replaces, RowChange, Rules},
};
use datafusion::{
    arrow::datatypes::{Field, FieldRef, SchemaRef},
    common::ScalarValue,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection, Values, expr::Placeholder},
    sql::sqlparser::ast,
};

use self::{
    names::name_values,
    replace::{Equal, Replaced},
};
use super::{
    Context, Outcome,
    change::{inserted, outcome},
    name, parameter, property,
    refused::{Clause, refuse},
    rules,
    view::folded,
};
use crate::{
    EngineError,
    catalog::{Relation, TableName},
    error::{Place, did_you_mean},
    locate::row_value,
};

/// Whether columns that the table does not have are added to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evolution {
    /// `WITH SCHEMA EVOLUTION`.
    Asked,
    /// By the table's property.
    IfTheTableSays,
    /// The same; values belong to the columns that the query's are called.
    ByName,
}

#[derive(Debug)]
pub(crate) struct Insert {
    name: TableName,
    columns: Vec<FieldRef>,
    /// The table's columns when the statement was planned.
    planned: SchemaRef,
    /// Columns that the table did not have when the statement was planned.
    new_columns: Vec<Field>,
    /// The rows as the statement gives them.
    rows: LogicalPlan,
    /// The rows under the table's names and types.
    plan: LogicalPlan,
    /// Of INSERT OVERWRITE, the statement.
    overwrite: Option<(Box<ast::Insert>, Evolution)>,
    /// Of INSERT ... REPLACE WHERE.
    replaced: Option<Box<Replaced>>,
    /// Of INSERT ... REPLACE USING.
    equal: Option<Box<Equal>>,
}

impl Insert {
    pub async fn plan(context: &Context, insert: ast::Insert, evolution: Evolution) -> Result<Self, EngineError> {
        refuse(context, refused(&insert), Place::of_token_span(insert.insert_token.0.span))?;
        let overwrite = insert.overwrite.then(|| (Box::new(insert.clone()), evolution));
        let ast::TableObject::TableName(object) = &insert.table else {
            return Err(EngineError::unsupported("INSERT INTO other than a table is not supported"));
        };
        let name = name::target(context, object)?;
        let target = table(context, &name).await.map_err(|error| error.at(&context.sql, name::place(object)))?;
        let is_default = insert.source.is_none();
        let mut source = match insert.source {
            Some(source) => *source,
            None => default::row(target.schema().fields().len())?,
        };
        let evolved = match evolution {
            Evolution::Asked if is_default => None,
            Evolution::ByName if !insert.columns.is_empty() => {
                let error = EngineError::invalid("BY NAME and a list of columns say two things");
                let place = insert.columns.first().and_then(name::place);
                return Err(error.with_hint("Leave one of them out.").at(&context.sql, place));
            }
            Evolution::ByName if !property::evolves(&target) => {
                Some((evolve::names(context, &name, &target, &source).await?, Vec::new()))
            }
            Evolution::Asked | Evolution::ByName => {
                Some(evolve::columns(context, &name, &target, &insert.columns, &source).await?)
            }
            Evolution::IfTheTableSays if property::evolves(&target) => {
                evolve::further_columns(context, &name, &target, &insert.columns, &source).await?
            }
            Evolution::IfTheTableSays => None,
        };
        let (mut columns, new_columns) = match evolved {
            Some(evolved) => evolved,
            None => (named_columns(context, &name, &target.schema(), &insert.columns)?, Vec::new()),
        };
        let planned = target.schema();
        let schema = match evolve::altered(&target, &new_columns)? {
            Some(altered) => altered.schema()?,
            None => planned.clone(),
        };
        let evolved = |column: &FieldRef| match schema.fields().find(column.name()) {
            Some((_, evolved)) if !new_columns.is_empty() => evolved.clone(),
            _ => column.clone(),
        };
        columns = columns.iter().map(evolved).collect();
        name_values(&mut source.body, usize::MAX);
        default::put_in(context, &target, &mut source, &mut columns)?;
        let rules = rules::of(context, &target)?;
        let new = new_columns.as_slice();
        let target = Target { name: &name, schema: &schema, columns: &columns, new, rules: &rules };
        match target.plan(context, source.clone()).await {
            Ok((rows, plan)) => {
                let (replaced, equal) = (None, None);
                Ok(Self { rows, plan, columns, planned, new_columns, name, overwrite, replaced, equal })
            }
            Err(Misfit { mut error, column, fails }) => {
                let Some(column) = column else {
                    let place = row_value(&source, &error.message);
                    return Err(error.at(&context.sql, place));
                };
                let given = given::value(context, &target, source, column).await;
                if let Some(given) = given.as_ref().filter(|_| fails) {
                    error.message = format!("{}: {}", error.message, given.sql);
                }
                Err(error.at(&context.sql, given.and_then(|given| given.place)))
            }
        }
    }

    pub async fn run(&self, context: &Context, parameters: &[ScalarValue]) -> Result<Outcome, EngineError> {
        if let Some(equal) = &self.equal {
            let context = context.again();
            let insert = Self::plan_replace(&context, equal.ast.clone()).await?;
            return insert.run_planned(&context, parameters).await;
        }
        if let Some((insert, evolution)) = &self.overwrite {
            // On the newest tables, however long ago it was planned.
            let context = context.again();
            let insert = Self::plan(&context, insert.as_ref().clone(), *evolution).await?;
            return insert.run_planned(&context, parameters).await;
        }
        self.run_planned(context, parameters).await
    }

    /// On the tables as they were when it was planned, in the same context.
    pub async fn run_planned(&self, context: &Context, parameters: &[ScalarValue]) -> Result<Outcome, EngineError> {
        if let Some(replaced) = &self.replaced {
            return Self::replace_some(context, replaced, parameters).await;
        }
        if self.replaces() {
            return self.replace_files(context, parameters).await;
        }
        check_parameters(&self.rows, parameters)?;
        // Values are put in before names and types, so that each is judged as the constant that it is.
        self.append(context, parameter::bind(&self.rows, parameters)?).await
    }

    /// Adds what `rows` yields, which are the statement's rows with their parameters put in.
    async fn append(&self, context: &Context, rows: LogicalPlan) -> Result<Outcome, EngineError> {
        let lake = context.engine.lake();
        let target = lake.table(&self.name.schema, &self.name.name).await?;
        // Columns that it adds itself were added by an earlier run of the same plan.
        if self.new_columns.is_empty() && !same_columns(&target.schema(), &self.planned) {
            let table = self.name.to_string();
            return Err(StorageError::Conflict { table, source: "its columns were changed".into() }.into());
        }
        let info = name::commit_info(context);
        let rules = rules::of(context, &target)?;
        let altered = evolve::altered(&target, &self.new_columns)?;
        let schema = altered.as_ref().map(Altered::schema).transpose()?.unwrap_or_else(|| target.schema());
        let plan = evolve::shaped(under_names(rows, &self.columns)?, &schema, &self.new_columns)?;
        let committed = match altered {
            Some(altered) => write::append_evolved(lake, altered, plan, &rules, context.state.clone(), &info).await?,
            None => write::append(lake, &target, plan, &rules, context.state.clone(), &info).await?,
        };
        let version = Some(committed.version);
        Ok(inserted(committed.rows_inserted, version))
    }

    /// Whether it means the same however long ago it was planned: it reads nothing, and finds out by itself when its table's
    /// columns are others.
    pub fn is_lasting(&self) -> bool {
        !self.replaces() && matches!(self.rows, LogicalPlan::Values(_))
    }

    /// Whether its rows take the place of others.
    pub fn replaces(&self) -> bool {
        self.overwrite.is_some() || self.replaced.is_some() || self.equal.is_some()
    }

    /// INSERT OVERWRITE: every file of the version that was read goes. REPLACE USING: what is like a row that comes.
    async fn replace_files(&self, context: &Context, parameters: &[ScalarValue]) -> Result<Outcome, EngineError> {
        check_parameters(&self.rows, parameters)?;
        let plan = under_names(parameter::bind(&self.rows, parameters)?, &self.columns)?;
        let target = table(context, &self.name).await?;
        let rules = rules::of(context, &target)?;
        let evolved = evolve::altered(&target, &self.new_columns)?;
        let schema = evolved.as_ref().map(Altered::schema).transpose()?.unwrap_or_else(|| target.schema());
        let plan = evolve::shaped(plan, &schema, &self.new_columns)?;
        let mut told: BTreeMap<String, String> = [("mode".to_owned(), "Overwrite".to_owned())].into();
        let replaces = match self.equal.as_deref() {
            None => Replaces::Files(Vec::new()),
            Some(Equal { columns, .. }) => {
                told.insert("replaceUsing".to_owned(), columns.join(", "));
                Replaces::Equal(columns.clone())
            }
        };
        let change = RowChange {
            operation: "WRITE",
            parameters: told,
            target: &target.addressed()?,
            plan: write::conform(&self.name.to_string(), &schema, &rules, plan)?,
            actions: Actions::All(Action::Insert),
            sets: None,
            rules: Some(&rules),
            replaces: Some(replaces),
            evolved,
        };
        let info = name::commit_info(context);
        Ok(outcome(write::change(context.engine.lake(), change, context.state.clone(), &info).await?))
    }

    /// The query that is read, for EXPLAIN and parameters.
    pub fn source(&self) -> Option<&LogicalPlan> {
        Some(&self.plan)
    }
}

/// Where rows go.
pub(super) struct Target<'a> {
    name: &'a TableName,
    schema: &'a SchemaRef,
    /// The columns that values are given for.
    pub columns: &'a [FieldRef],
    /// What of it the table gets from the rows.
    new: &'a [Field],
    rules: &'a Rules,
}

/// Why rows do not fit, and which of the values given it is.
pub(super) struct Misfit {
    error: EngineError,
    pub column: Option<usize>,
    /// It yields nothing that could fit.
    fails: bool,
}

impl From<EngineError> for Misfit {
    fn from(error: EngineError) -> Self {
        Self { error, column: None, fails: false }
    }
}

impl Target<'_> {
    /// The rows as `source` gives them, and under the table's names and types.
    pub async fn plan(&self, context: &Context, source: ast::Query) -> Result<(LogicalPlan, LogicalPlan), Misfit> {
        match mixed::settled(self, &source) {
            Ok(None) => self.plan_given(context, source).await,
            // Only where the rows have no type in common are texts anything else than texts.
            settled => match (self.plan_given(context, source).await, settled) {
                (Err(_), Ok(Some(settled))) => self.plan_given(context, settled).await,
                (Err(_), Err(misfit)) => Err(*misfit),
                (planned, _) => planned,
            },
        }
    }

    async fn plan_given(&self, context: &Context, source: ast::Query) -> Result<(LogicalPlan, LogicalPlan), Misfit> {
        let Self { name, schema, columns, new, rules } = self;
        let plan = context.plan_query(source).await?;
        let given = plan.schema().fields().len();
        if given != columns.len() {
            let listed: Vec<&str> = columns.iter().map(|column| column.name().as_str()).collect();
            let message = format!("INSERT gives {given} values for {} columns of table \"{name}\"", columns.len());
            let error = EngineError::invalid(message).with_detail(format!("The columns are {}.", listed.join(", ")));
            return Err(Misfit { error, column: Some(given.min(columns.len())), fails: false });
        }
        let rows = match is_constant(&plan) {
            // There is nothing to find out about them.
            true => plan,
            false => context.analyze(parameter::settle(type_parameters(plan, columns)?)?)?,
        };
        let named = evolve::shaped(under_names(rows.clone(), columns)?, schema, new)?;
        let plan = write::conform(&name.to_string(), schema, rules, named);
        let plan = plan.map_err(|error| {
            let column = match &error {
                StorageError::TypeMismatch { column, .. }
                | StorageError::NullValue { column, .. }
                | StorageError::ConstantFault { column, .. }
                | StorageError::IdentityGiven { column, .. } => columns.iter().position(|given| given.name() == column),
                _ => None,
            };
            let fails = matches!(error, StorageError::ConstantFault { .. });
            Misfit { error: unfit(error), column, fails }
        })?;
        Ok((rows, plan))
    }
}

/// What else a table says of its columns, such as the number that an identity has reached, changes with every insert.
fn same_columns(one: &SchemaRef, other: &SchemaRef) -> bool {
    let columns = |schema: &SchemaRef| schema.fields().len();
    columns(one) == columns(other)
        && one.fields().iter().zip(other.fields()).all(|(one, other)| {
            one.name() == other.name()
                && one.data_type() == other.data_type()
                && one.is_nullable() == other.is_nullable()
        })
}

/// A column's type that a query's does not fit into can be had by saying so.
pub(crate) fn unfit(error: StorageError) -> EngineError {
    let of_type = matches!(error, StorageError::TypeMismatch { .. });
    let error = EngineError::from(error);
    match of_type && error.hint.is_none() {
        true => error.with_hint("CAST it to the column's type where a loss is meant."),
        false => error,
    }
}

/// What other products take after INSERT.
fn refused(insert: &ast::Insert) -> [Clause; 12] {
    let no_keys = "Leave it out: tables have no unique keys.";
    let partition = "Give the partition columns as values like all others.";
    let alias = insert.table_alias.is_some() || insert.insert_alias.is_some();
    let settings = insert.settings.is_some() || insert.format_clause.is_some();
    [
        (insert.replace_into, "REPLACE INTO", "", "Write INSERT OVERWRITE, or MERGE by a key."),
        (insert.or.is_some() || insert.ignore, "INSERT OR ...", "", no_keys),
        (insert.on.is_some(), "ON CONFLICT", "ON", no_keys),
        (insert.returning.is_some(), "RETURNING", "RETURNING", "Query the table afterwards."),
        (insert.output.is_some(), "OUTPUT", "OUTPUT", "Query the table afterwards."),
        (insert.partitioned.is_some(), "PARTITION in INSERT", "PARTITION", partition),
        (!insert.after_columns.is_empty(), "PARTITION in INSERT", "PARTITION", partition),
        (!insert.assignments.is_empty(), "INSERT ... SET", "SET", "Write INSERT INTO t (a, b) VALUES (1, 2)."),
        (alias, "an alias in INSERT", "", "Leave it out."),
        (settings, "SETTINGS or FORMAT in INSERT", "", "Leave it out."),
        (insert.multi_table_insert_type.is_some(), "INSERT into several tables", "", "Write one INSERT for each."),
        (insert.priority.is_some(), "a priority in INSERT", "", "Leave it out."),
    ]
}

/// The table to write to, as it is pinned for this statement.
pub(super) async fn table(context: &Context, name: &TableName) -> Result<Arc<Snapshot>, EngineError> {
    match context.pinned.require(name).await? {
        Relation::Table(snapshot) => Ok(snapshot),
        Relation::View(_) => {
            let error = EngineError::invalid(format!("\"{name}\" is a view: rows cannot be added to it"));
            Err(error.with_hint("Add them to the table that it reads."))
        }
        Relation::External(_) => {
            let error =
                EngineError::unsupported(format!("\"{name}\" is an external table: rows cannot be added to it"));
            Err(error.with_hint("CREATE TABLE ... AS SELECT makes a table of the lake from it."))
        }
    }
}

/// The columns that values are given for.
pub(super) fn named_columns(
    context: &Context,
    table: &TableName,
    schema: &SchemaRef,
    names: &[ast::ObjectName],
) -> Result<Vec<FieldRef>, EngineError> {
    if names.is_empty() {
        return Ok(schema.fields().iter().cloned().collect());
    }
    let mut columns: Vec<FieldRef> = Vec::with_capacity(names.len());
    for object in names {
        let at = |error: EngineError| error.at(&context.sql, name::place(object));
        let name = match object.0.as_slice() {
            [part] => part.as_ident().map(folded),
            _ => None,
        };
        let Some(name) = name else {
            return Err(at(EngineError::invalid(format!("\"{object}\" is not the name of a column"))));
        };
        let Some((_, field)) = schema.fields().find(&name) else {
            let mut error = EngineError::not_found(format!("column \"{name}\" does not exist in table \"{table}\""));
            error.hint = did_you_mean(&name, schema.fields().iter().map(|field| field.name().as_str()));
            return Err(at(error));
        };
        if columns.contains(field) {
            return Err(at(EngineError::invalid(format!("column \"{name}\" is named twice"))));
        }
        columns.push(Arc::clone(field));
    }
    Ok(columns)
}

/// Nothing but VALUES of literals, some perhaps in the type of others.
fn is_constant(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Values(Values { values, .. }) if values.iter().flatten().all(is_literal))
}

fn is_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Cast(cast) => matches!(cast.expr.as_ref(), Expr::Literal(..)),
        expr => matches!(expr, Expr::Literal(..)),
    }
}

/// A parameter that is a whole value has its column's type.
fn type_parameters(plan: LogicalPlan, columns: &[FieldRef]) -> Result<LogicalPlan, EngineError> {
    let typed = |expr: Expr, column: &FieldRef| match expr {
        Expr::Placeholder(Placeholder { id, field: None }) => {
            Expr::Placeholder(Placeholder { id, field: Some(parameter::of_column(column)) })
        }
        other => other,
    };
    match plan {
        LogicalPlan::Values(Values { values, .. }) => {
            let row = |row: Vec<Expr>| row.into_iter().zip(columns).map(|(expr, column)| typed(expr, column)).collect();
            Ok(LogicalPlanBuilder::values(values.into_iter().map(row).collect())?.build()?)
        }
        LogicalPlan::Projection(Projection { expr, input, .. }) => {
            let names: Vec<String> = expr.iter().map(|expr| expr.schema_name().to_string()).collect();
            let exprs = expr.into_iter().zip(columns).zip(names).map(|((expr, column), name)| match expr {
                Expr::Placeholder(_) => typed(expr, column).alias(name),
                other => other,
            });
            Ok(LogicalPlan::Projection(Projection::try_new(exprs.collect(), input)?))
        }
        other => Ok(other),
    }
}

/// The rows under the names of their columns. Constants stay in the topmost node, where they can be checked.
pub(crate) fn under_names(plan: LogicalPlan, columns: &[FieldRef]) -> Result<LogicalPlan, EngineError> {
    let named = |expr: Expr, column: &FieldRef| expr.unalias().alias(column.name());
    match plan {
        LogicalPlan::Projection(Projection { expr, input, .. }) => {
            let exprs = expr.into_iter().zip(columns).map(|(expr, column)| named(expr, column)).collect();
            Ok(LogicalPlan::Projection(Projection::try_new(exprs, input)?))
        }
        other => {
            let given = other.schema().columns();
            let exprs = given.into_iter().zip(columns).map(|(given, column)| named(Expr::Column(given), column));
            let exprs: Vec<Expr> = exprs.collect();
            Ok(LogicalPlanBuilder::from(other).project(exprs)?.build()?)
        }
    }
}

/// A parameter's value must survive the way into its column's type and back.
fn check_parameters(plan: &LogicalPlan, values: &[ScalarValue]) -> Result<(), EngineError> {
    let schema = parameter::schema(plan);
    for (value, field) in values.iter().zip(schema.fields()) {
        let same = value
            .cast_to(field.data_type())
            .and_then(|cast| cast.cast_to(&value.data_type()))
            .is_ok_and(|back| back == *value || matches!(value, ScalarValue::Utf8(_) | ScalarValue::LargeUtf8(_)));
        if !same && !value.is_null() {
            return Err(misfit(field, value));
        }
    }
    Ok(())
}

fn misfit(parameter: &Field, value: &ScalarValue) -> EngineError {
    let wanted = super::data_type::sql_type(parameter.data_type());
    let message =
        format!("parameter ${} is {wanted}, but the value given is {}", parameter.name(), write::value_text(value));
    EngineError::invalid(message).with_hint("Give a value that the type holds without a loss.")
}
