//! The table that a statement changes, under a name that stands for it together with the addresses of its rows.

use std::sync::Arc;

use boathouse_storage::{
    Snapshot,
    table::Addressed,
    write::{self, Altered, Changed},
};
use datafusion::{
    arrow::datatypes::{Field, SchemaRef},
    common::tree_node::{TreeNode, TreeNodeRecursion},
    datasource::source_as_provider,
    logical_expr::{Expr, LogicalPlan},
    logical_expr::{expr_rewriter::unnormalize_cols, utils::split_conjunction_owned},
    sql::sqlparser::ast::{Ident, ObjectName, TableAlias, TableFactor},
};

use crate::{
    Counted, EngineError, Outcome,
    catalog::{Relation, TableName},
    error::Place,
    parser::older_version,
    statement::{Context, insert::evolve, name},
};

/// A table that is to be changed.
#[derive(Debug)]
pub(crate) struct Target {
    pub name: TableName,
    pub addressed: Addressed,
    /// What the statement's expressions call it.
    pub alias: Ident,
    /// The relation that the query reads in its place.
    pub factor: TableFactor,
    /// The table with the columns that the statement adds to it.
    evolved: Option<(Altered, SchemaRef)>,
    /// The statement may add some.
    evolves: bool,
}

impl Target {
    /// `statement` is its name for messages.
    pub async fn open(context: &Context, factor: &TableFactor, statement: &str) -> Result<Self, EngineError> {
        let TableFactor::Table { name: object, alias, args: None, version, .. } = factor else {
            return Err(EngineError::unsupported(format!("{statement} of other than a table is not supported")));
        };
        if version.is_some() {
            return Err(older_version().at(&context.sql, name::place(object)));
        }
        let at = |error: EngineError| error.at(&context.sql, name::place(object));
        let name = name::target(context, object)?;
        let snapshot = table(context, &name, statement).await.map_err(at)?;
        let addressed = snapshot.addressed()?;
        // No other relation of the statement is called so: the table itself may be read beside it.
        let stand_in = format!("{name} with addresses");
        context.pinned.keep_provider(TableName::new(context.default_schema(), &stand_in), addressed.provider());
        let alias = match alias {
            Some(alias) if !alias.columns.is_empty() => {
                let error = EngineError::unsupported(format!("column names in the alias of {statement}'s table"));
                return Err(error.with_hint("Leave them out.").at(&context.sql, Place::of_token_span(alias.name.span)));
            }
            Some(alias) => alias.name.clone(),
            None => Ident::with_quote('"', &name.name),
        };
        let factor = relation(&stand_in, &alias);
        Ok(Self { name, addressed, alias, factor, evolved: None, evolves: false })
    }

    /// The columns that rows are written with.
    pub fn schema(&self) -> SchemaRef {
        self.evolved.as_ref().map_or_else(|| self.snapshot().schema(), |(_, columns)| columns.clone())
    }

    /// Adds columns to the table, and fields to those that it has.
    pub fn evolve(&mut self, new: &[Field]) -> Result<(), EngineError> {
        self.evolves = true;
        let altered = evolve::altered(self.snapshot(), new)?;
        self.evolved = altered.map(|altered| altered.schema().map(|columns| (altered, columns))).transpose()?;
        Ok(())
    }

    /// Whether structs are matched by the names of their fields, and may lack some.
    pub fn evolves(&self) -> bool {
        self.evolves
    }

    pub fn evolved(&self) -> Option<&Altered> {
        self.evolved.as_ref().map(|(altered, _)| altered)
    }

    /// Whether a column is one that the statement adds.
    pub fn is_new(&self, column: &str) -> bool {
        self.snapshot().schema().field_with_name(column).is_err()
    }

    pub fn snapshot(&self) -> &Arc<Snapshot> {
        self.addressed.snapshot()
    }

    /// What the expressions call it, as the planner says it.
    pub fn alias_name(&self) -> String {
        super::super::view::folded(&self.alias)
    }

    /// The conditions under which `plan`, which is optimized, yields the table's rows, when they are about whole files:
    /// then the rows need not be looked at.
    pub fn whole_files(&self, plan: &LogicalPlan) -> Option<Vec<Expr>> {
        let scan = match plan {
            LogicalPlan::Projection(projection) => return self.whole_files(&projection.input),
            LogicalPlan::SubqueryAlias(alias) => return self.whole_files(&alias.input),
            LogicalPlan::TableScan(scan) => scan,
            _ => return None,
        };
        let provider = source_as_provider(&scan.source).ok()?;
        if !Arc::ptr_eq(&provider, &self.addressed.provider()) || scan.fetch.is_some() {
            return None;
        }
        let filters = unnormalize_cols(scan.filters.iter().cloned().flat_map(split_conjunction_owned));
        self.addressed.decides(&filters).then_some(filters)
    }

    /// Takes away the files that `filters` choose.
    pub async fn remove_files(
        &self,
        context: &Context,
        operation: &'static str,
        filters: &[Expr],
    ) -> Result<Outcome, EngineError> {
        let (lake, info) = (context.engine.lake(), name::commit_info(context));
        let removed =
            write::remove_files(lake, &self.addressed, operation, filters, context.state.clone(), &info).await?;
        Ok(outcome(removed))
    }
}

/// What the client hears.
pub(crate) fn outcome(changed: Changed) -> Outcome {
    let Changed { version, inserted, updated, deleted } = changed;
    Outcome::Changed { inserted, updated, deleted, version, counted: Counted::Sum }
}

/// The same of rows that were added, or written elsewhere.
pub(crate) fn inserted(rows: u64, version: Option<u64>) -> Outcome {
    outcome(Changed { version, inserted: rows, updated: 0, deleted: 0 })
}

async fn table(context: &Context, name: &TableName, statement: &str) -> Result<Arc<Snapshot>, EngineError> {
    match context.pinned.require(name).await? {
        Relation::Table(snapshot) => Ok(snapshot),
        Relation::View(_) => Err(EngineError::invalid(format!("\"{name}\" is a view: {statement} needs a table"))
            .with_hint("Change the table that it reads.")),
        Relation::External(_) => Err(EngineError::unsupported(format!(
            "\"{name}\" is an external table: {statement} needs a table of the lake"
        ))
        .with_hint("CREATE TABLE ... AS SELECT makes a table of the lake from it.")),
    }
}

fn relation(name: &str, alias: &Ident) -> TableFactor {
    TableFactor::Table {
        name: ObjectName::from(vec![Ident::with_quote('"', name)]),
        alias: Some(TableAlias { explicit: true, name: alias.clone(), columns: Vec::new(), at: None }),
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

/// Whether a plan has an aggregate or a window right under its topmost projection: there the statement's own expressions
/// ask for one.
pub(crate) fn check_no_aggregates(plan: &LogicalPlan, clause: &str) -> Result<(), EngineError> {
    let LogicalPlan::Projection(projection) = plan else { return Ok(()) };
    let mut found = None;
    projection.input.apply(|node| {
        found = match node {
            LogicalPlan::Aggregate(_) => Some("an aggregate function"),
            LogicalPlan::Window(_) => Some("a window function"),
            _ => None,
        };
        Ok(TreeNodeRecursion::Stop)
    })?;
    match found {
        Some(what) => Err(aggregate(what, clause)),
        None => Ok(()),
    }
}

pub(super) fn aggregate(what: &str, clause: &str) -> EngineError {
    EngineError::invalid(format!("{what} is not allowed in {clause}")).with_hint("Compute it in a subquery.")
}
