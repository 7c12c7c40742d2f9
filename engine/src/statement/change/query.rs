//! The query that a statement becomes.

use boathouse_storage::table::ADDRESS_PREFIX;
use datafusion::{
    logical_expr::{LogicalPlan, Projection},
    sql::sqlparser::ast::{Expr, Ident, Query, SelectItem, SetExpr, TableWithJoins},
};

use super::target::{Target, aggregate, check_no_aggregates};
use crate::{EngineError, parser, statement::Context};

/// `SELECT items FROM from WHERE selection`, put together from parts of the statement.
#[derive(Debug, Default)]
pub(crate) struct Select {
    pub items: Vec<(Expr, String)>,
    pub from: Vec<TableWithJoins>,
    pub selection: Option<Expr>,
}

impl Select {
    /// Begins with the addresses of the target's rows.
    pub fn addresses(target: &Target) -> Self {
        let addressed = &target.addressed;
        let names = [addressed.file_column(), addressed.row_column()];
        let items = names.map(|name| (column(&target.alias, name), name.to_owned()));
        Self { items: items.into(), ..Self::default() }
    }

    /// Adds a value under a name of its own.
    pub fn item(&mut self, value: Expr, name: &str) {
        self.items.push((value, name.to_owned()));
    }

    pub fn from(mut self, tables: impl IntoIterator<Item = TableWithJoins>) -> Self {
        self.from.extend(tables);
        self
    }

    /// Plans it; the topmost node holds the items in their order. `clause` says where the items stand, for messages.
    pub async fn planned(self, context: &Context, clause: &str) -> Result<Projection, EngineError> {
        let mut query = parser::parse_query("SELECT 1")?;
        let SetExpr::Select(select) = query.body.as_mut() else {
            return Err(EngineError::internal("SELECT is not a SELECT"));
        };
        let item =
            |(expr, name): (Expr, String)| SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) };
        select.projection = self.items.into_iter().map(item).collect();
        select.from = self.from;
        select.selection = self.selection;
        let plan = context.plan_query(Query::clone(&query)).await.map_err(|error| match error.message.as_str() {
            // Nobody wrote these columns: they are beside an aggregate.
            message if message.contains(ADDRESS_PREFIX) => aggregate("an aggregate function", clause),
            _ => error,
        })?;
        check_no_aggregates(&plan, clause)?;
        match plan {
            LogicalPlan::Projection(projection) => Ok(projection),
            _ => Err(EngineError::internal("a query without its columns")),
        }
    }
}

/// `alias.name`
pub(crate) fn column(alias: &Ident, name: &str) -> Expr {
    Expr::CompoundIdentifier(vec![alias.clone(), Ident::with_quote('"', name)])
}
