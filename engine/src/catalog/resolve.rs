//! All names of a statement, found before it is planned.
//!
//! ```text
//! statement -> table functions, tables at versions become names -> names -> file list | information_schema, system | table | view | external
//!                                                                                          view -> its own names ...
//! ```
//!
//! Names in a view's text that say no schema live in `main`, whoever reads the view.

use std::{collections::HashMap, ops::ControlFlow, sync::Arc};

use boathouse_storage::table::change_feed;
use datafusion::{
    catalog::{TableProvider, view::ViewTable},
    common::TableReference,
    logical_expr::{LogicalPlan, LogicalPlanBuilder, expr::Expr},
    sql::{
        parser::Statement as DFStatement,
        sqlparser::ast::{
            FunctionArg, Ident, ObjectName, Query, Statement, TableAlias, TableFactor, Visit, VisitMut, Visitor,
            VisitorMut,
        },
    },
};
use futures::{FutureExt, future::BoxFuture};

use super::{
    DEFAULT_SCHEMA, Relation, TableName,
    dependency::{Exact, Identity},
    information_schema, is_reserved, listing,
    names::reference,
    system,
    travel::Travel,
};
use crate::{
    EngineError, ErrorKind,
    error::{Place, convert, did_you_mean},
    file::access,
    function, parser,
    statement::Context,
};

/// Views inside views.
const VIEW_DEPTH_MAX: usize = 50;

impl Context {
    /// Plans a query with the names of this statement's catalog. Reads the lake; never writes.
    pub async fn plan_query(&self, query: Query) -> Result<LogicalPlan, EngineError> {
        self.plan_statement(Statement::Query(Box::new(query)), &self.sql, &[]).await
    }

    /// Plans a query as part of a view: a read of one of `views` would be a cycle.
    pub async fn plan_view_query(
        &self,
        query: Query,
        sql: &str,
        views: &[TableName],
    ) -> Result<LogicalPlan, EngineError> {
        self.plan_statement(Statement::Query(Box::new(query)), sql, views).await
    }

    fn plan_statement<'a>(
        &'a self,
        mut statement: Statement,
        sql: &'a str,
        views: &'a [TableName],
    ) -> BoxFuture<'a, Result<LogicalPlan, EngineError>> {
        async move {
            self.bind_table_functions(&mut statement, views).await?;
            self.bind_versions(&mut statement, sql)?;
            self.bind_changes(&mut statement, sql)?;
            let places = Places::of(&statement);
            let statement = DFStatement::Statement(Box::new(statement));
            let references =
                self.state.resolve_table_references(&statement).map_err(|error| convert(error, Some(sql)))?;
            for reference in &references {
                let place = places.found.get(reference);
                // The library's own table functions are not tables.
                if let Some(call) = place.filter(|place| place.is_call) {
                    self.check_function(reference.table()).map_err(|error| error.at(sql, call.place))?;
                    continue;
                }
                self.bind(reference, place.is_some_and(|place| place.is_file), views)
                    .await
                    .map_err(|error| error.at(sql, place.and_then(|place| place.place)))?;
            }
            self.state.statement_to_plan(statement).await.map_err(|error| convert(error, Some(sql)))
        }
        .boxed()
    }

    /// A function that stands in FROM and is not one of ours must be the library's.
    fn check_function(&self, name: &str) -> Result<(), EngineError> {
        if self.state.table_functions().contains_key(name) {
            return Ok(());
        }
        let known = listing::table_functions(&self.state);
        let mut error = EngineError::not_found(format!("function \"{name}\" does not exist in FROM"));
        error.hint = did_you_mean(name, known.iter().map(String::as_str))
            .or_else(|| Some(format!("Functions there: {}.", known.join(", "))));
        Err(error)
    }

    /// Finds one name and makes it known to the planner.
    async fn bind(&self, reference: &TableReference, is_file: bool, views: &[TableName]) -> Result<(), EngineError> {
        let name = TableName::of_reference(reference, self.default_schema())?;
        if self.pinned.provider(&name).is_some() {
            return Ok(());
        }
        let provider = if is_file {
            self.check_file(views)?;
            function::file_table(self, &name.name).await?
        } else {
            self.provider(&name, views).await?
        };
        if let Some(feed) = change_feed(provider.as_ref()) {
            feed.check().await?;
        }
        self.pinned.keep_provider(name, provider);
        Ok(())
    }

    /// Whether the caller may name files here. In a view it was its maker who named them.
    fn check_file(&self, views: &[TableName]) -> Result<(), EngineError> {
        if views.is_empty() { self.session.check_change("read files by their path") } else { Ok(()) }
    }

    /// What a name stands for, ready to scan.
    pub async fn table_provider(&self, name: &TableName) -> Result<Arc<dyn TableProvider>, EngineError> {
        self.provider(name, &[]).await
    }

    async fn provider(&self, name: &TableName, views: &[TableName]) -> Result<Arc<dyn TableProvider>, EngineError> {
        if is_reserved(&name.schema) && self.pinned.travel_of(name).is_none() {
            return match information_schema::table(self, name).or_else(|| system::table(self, name)) {
                Some(table) => Ok(table),
                None => Err(self.pinned.unknown_table(name).await),
            };
        }
        match self.pinned.require(name).await? {
            Relation::Table(snapshot) => {
                let identity = Identity::Table(snapshot.serial());
                let travel = self.pinned.travel_of(name);
                let changes = self.changes(travel.as_ref(), &snapshot)?;
                let is_past = travel.as_ref().is_some_and(|travel| travel.at.is_some());
                if let (Some(Travel { table, at: None, .. }), Some(_)) = (travel, &changes) {
                    // What is newest rests on the table itself.
                    let exact = Exact { name: table, identity: identity.clone(), provider: snapshot.provider()? };
                    self.pinned.keep_exact(exact);
                }
                let provider = match changes {
                    Some(changes) => changes,
                    None if is_past => snapshot.past_provider()?,
                    None => snapshot.provider()?,
                };
                self.pinned.keep_exact(Exact { name: name.clone(), identity, provider: provider.clone() });
                Ok(provider)
            }
            Relation::External(external) => {
                if let Some(travel) = self.pinned.travel_of(name) {
                    let location = access::locate(&self.engine, &external.location)?.folder_url();
                    let snapshot = self.pinned.travelled_external(&travel, &location).await?;
                    let changes = self.changes(Some(&travel), &snapshot)?;
                    let provider = changes.map_or_else(|| snapshot.provider(), Ok)?;
                    let identity = Identity::External(external, snapshot.serial());
                    if travel.at.is_none() {
                        let (name, provider) = (travel.table.clone(), snapshot.provider()?);
                        self.pinned.keep_exact(Exact { name, identity: identity.clone(), provider });
                    }
                    self.pinned.keep_exact(Exact { name: name.clone(), identity, provider: provider.clone() });
                    return Ok(provider);
                }
                let (provider, snapshot) = function::external_table(self, &name.to_string(), &external).await?;
                if let Some(snapshot) = snapshot {
                    let identity = Identity::External(external, snapshot.serial());
                    self.pinned.keep_exact(Exact { name: name.clone(), identity, provider: provider.clone() });
                }
                Ok(provider)
            }
            Relation::View(view) => {
                if views.contains(name) {
                    return Err(EngineError::invalid(format!("view \"{name}\" reads itself")));
                }
                if views.len() >= VIEW_DEPTH_MAX {
                    let message = format!("views are nested deeper than {VIEW_DEPTH_MAX} at \"{name}\"");
                    return Err(EngineError::new(ErrorKind::Exhausted, message));
                }
                let within: Vec<TableName> = views.iter().cloned().chain([name.clone()]).collect();
                let plan = self.view_plan(&view, &within).await.map_err(|error| in_view(error, name))?;
                Ok(Arc::new(ViewTable::new(plan, Some(view.sql.clone()))))
            }
        }
    }

    async fn view_plan(
        &self,
        view: &boathouse_storage::catalog::View,
        views: &[TableName],
    ) -> Result<LogicalPlan, EngineError> {
        let query = parser::parse_query(&view.sql)?;
        let inside = self.with_default_schema(DEFAULT_SCHEMA);
        let plan = inside.plan_statement(Statement::Query(query), &view.sql, views).await?;
        let plan = inside.analyze(plan)?;
        rename(plan, &view.columns)
    }

    /// Replaces our table functions by names of tables, which the planner then finds like any other.
    async fn bind_table_functions(&self, statement: &mut Statement, views: &[TableName]) -> Result<(), EngineError> {
        let mut calls = TableFunctions::default();
        let _ = Visit::visit(statement, &mut calls);
        let mut bound = HashMap::new();
        for (text, name, args) in calls.found {
            if bound.contains_key(&text) {
                continue;
            }
            let table = TableName::new(self.default_schema(), &text);
            // The same call reads the same files in all of a statement.
            if self.pinned.provider(&table).is_some() {
                bound.insert(text, name);
            } else if function::reads_files(&name) {
                self.check_file(views)?;
                let provider = function::table_function(self, &name, &args).await?;
                self.pinned.keep_provider(table, provider);
                bound.insert(text, name);
            }
        }
        if !bound.is_empty() {
            let _ = VisitMut::visit(statement, &mut Rewrite { bound });
        }
        Ok(())
    }
}

/// `CREATE VIEW v (a, b)`: the query's columns under other names.
fn rename(plan: LogicalPlan, columns: &[String]) -> Result<LogicalPlan, EngineError> {
    if columns.is_empty() {
        return Ok(plan);
    }
    let given = plan.schema().fields().len();
    if given != columns.len() {
        let message = format!("the view names {} columns, its query has {given}", columns.len());
        return Err(EngineError::invalid(message));
    }
    let exprs: Vec<Expr> = plan
        .schema()
        .columns()
        .into_iter()
        .zip(columns)
        .map(|(column, name)| Expr::Column(column).alias(name))
        .collect();
    Ok(LogicalPlanBuilder::from(plan).project(exprs)?.build()?)
}

fn in_view(error: EngineError, name: &TableName) -> EngineError {
    if error.message.starts_with("view ") {
        return error;
    }
    let said = error.to_string();
    EngineError { message: format!("view \"{name}\" cannot be read: {}", error.message), ..error }
        .with_detail(said)
        .without_excerpt()
}

/// Where each table is named, and which names are files in single quotes.
#[derive(Default)]
struct Places {
    found: HashMap<TableReference, NamePlace>,
    /// Names to come that are called, not read: none or one.
    calls: usize,
}

struct NamePlace {
    place: Option<Place>,
    is_file: bool,
    /// Only called as a function, never read as a table.
    is_call: bool,
}

impl Places {
    fn of(statement: &Statement) -> Self {
        let mut places = Self::default();
        let _ = Visit::visit(statement, &mut places);
        places
    }
}

impl Visitor for Places {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let idents: Vec<&Ident> = relation.0.iter().filter_map(|part| part.as_ident()).collect();
        let (Some(first), Some(last), Ok(reference)) = (idents.first(), idents.last(), reference(relation)) else {
            return ControlFlow::Continue(());
        };
        let place = Place::of_token_span(first.span.union(&last.span));
        let is_file = idents.len() == 1 && first.quote_style == Some('\'');
        let found = self.found.entry(reference).or_insert(NamePlace { place, is_file, is_call: true });
        found.is_call &= self.calls > 0;
        self.calls = self.calls.saturating_sub(1);
        ControlFlow::Continue(())
    }

    /// A call's name is the relation that comes next.
    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        self.calls =
            usize::from(matches!(factor, TableFactor::Table { args: Some(_), .. } | TableFactor::Function { .. }));
        ControlFlow::Continue(())
    }
}

/// Calls in FROM: their text, name and arguments.
#[derive(Default)]
struct TableFunctions {
    found: Vec<(String, String, Vec<FunctionArg>)>,
}

/// Name and arguments of a call in FROM, LATERAL or not.
fn call(factor: &TableFactor) -> Option<(String, String, Vec<FunctionArg>)> {
    let (name, args) = match factor {
        TableFactor::Table { name, args: Some(args), .. } => (name, args.args.clone()),
        TableFactor::Function { name, args, lateral: false, .. } => (name, args.clone()),
        _ => return None,
    };
    let [part] = name.0.as_slice() else { return None };
    let function = part.as_ident()?.value.to_lowercase();
    let list: Vec<String> = args.iter().map(ToString::to_string).collect();
    Some((format!("{function}({})", list.join(", ")), function, args))
}

impl Visitor for TableFunctions {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        self.found.extend(call(factor));
        ControlFlow::Continue(())
    }
}

struct Rewrite {
    /// Text of the call -> name of the function.
    bound: HashMap<String, String>,
}

impl VisitorMut for Rewrite {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let Some((text, function, _)) = call(factor).filter(|(text, ..)| self.bound.contains_key(text)) else {
            return ControlFlow::Continue(());
        };
        let given = match factor {
            TableFactor::Table { alias, .. } | TableFactor::Function { alias, .. } => alias.take(),
            _ => None,
        };
        let alias = given.unwrap_or_else(|| TableAlias {
            explicit: true,
            name: Ident::new(function),
            columns: Vec::new(),
            at: None,
        });
        *factor = TableFactor::Table {
            name: ObjectName::from(vec![Ident::with_quote('"', text)]),
            alias: Some(alias),
            args: None,
            with_hints: Vec::new(),
            version: None,
            with_ordinality: false,
            partitions: Vec::new(),
            json_path: None,
            sample: None,
            index_hints: Vec::new(),
        };
        ControlFlow::Continue(())
    }
}
