//! The expressions of a statement as trees, each with what it needs to be planned alone.

use std::{ops::ControlFlow, sync::Arc};

use datafusion::sql::sqlparser::{
    ast::{
        Cte, Expr, Join, JoinConstraint, JoinOperator, NamedWindowDefinition, Query, Select, SetExpr, Spanned,
        TableAlias, TableFactor, TableWithJoins, Visit, Visitor,
    },
    tokenizer::Span,
};

use crate::{error::Place, parser::Ast};

/// What an expression can see: the tables of its SELECT and the WITH queries around it.
#[derive(Debug, Default)]
pub(super) struct Scope {
    pub from: Vec<TableWithJoins>,
    pub windows: Vec<NamedWindowDefinition>,
    pub with: Vec<Cte>,
    pub recursive: bool,
}

#[derive(Debug)]
pub(super) struct Node {
    pub expr: Expr,
    pub parent: Option<usize>,
    pub scope: Arc<Scope>,
}

/// All expressions of a statement, each after the one that it is part of.
pub(super) fn expressions(ast: &Ast) -> Vec<Node> {
    let mut collector = Collector::default();
    let _ = ast.visit(&mut collector);
    collector.nodes
}

/// The part of a statement that a message counts instead of naming: a row of VALUES, an alias with so many columns, the
/// arguments of a function in FROM.
pub(super) fn named_by_number(ast: &Ast, message: &str) -> Option<Place> {
    let mut counted = Counted::of(message);
    if counted.row.is_some() || counted.names.is_some() || counted.is_argument {
        let _ = ast.visit(&mut counted);
    }
    counted.place()
}

/// The value of a row of VALUES in `query` that a message counts.
pub(crate) fn row_value(query: &Query, message: &str) -> Option<Place> {
    let mut counted = Counted { names: None, is_argument: false, ..Counted::of(message) };
    if counted.row.is_some() {
        let _ = query.visit(&mut counted);
    }
    counted.place()
}

struct Counted {
    /// Of VALUES, from 0 on: the row and the column.
    row: Option<(usize, usize)>,
    names: Option<usize>,
    is_argument: bool,
    found: Option<Span>,
    /// Values that are counted so. Of several the message may mean any.
    values: usize,
}

impl Counted {
    fn of(message: &str) -> Self {
        let after = |words: &str| -> Option<usize> {
            let digits: String = message.split_once(words)?.1.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        };
        // Ours count from 1 on.
        let ours = || {
            let (column, row) = (after("the values of column ")?, after(" up to row ")?);
            Some((row.checked_sub(1)?, column.checked_sub(1)?))
        };
        let theirs = || Some((after("in row ").or_else(|| after("at row "))?, after(" column ").unwrap_or(0)));
        Self {
            row: ours().or_else(theirs),
            names: after("alias names "),
            is_argument: message.starts_with("argument #"),
            found: None,
            values: 0,
        }
    }

    fn place(self) -> Option<Place> {
        self.found.filter(|_| self.values < 2).and_then(Place::of_token_span)
    }

    fn look_at(&mut self, alias: &TableAlias) {
        if self.names.is_some_and(|names| names == alias.columns.len()) {
            self.found.get_or_insert(alias.name.span);
        }
    }
}

impl Visitor for Counted {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        query.with.iter().flat_map(|with| &with.cte_tables).for_each(|cte| self.look_at(&cte.alias));
        if let (SetExpr::Values(values), Some((row, column))) = (query.body.as_ref(), self.row)
            && let Some(row) = values.rows.get(row)
            && let Some(value) = row.get(column)
        {
            self.found.get_or_insert(value.span());
            self.values += 1;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, args: Some(_), .. } if self.is_argument => {
                self.found.get_or_insert(name.span());
            }
            TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
                self.look_at(alias);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// A query that is being looked through.
struct Level {
    /// The WITH queries, the address of each one's own query, and how many of them are defined by now.
    with: Vec<(Cte, usize)>,
    defined: usize,
    recursive: bool,
    scope: Arc<Scope>,
}

#[derive(Default)]
struct Collector {
    levels: Vec<Level>,
    open: Vec<usize>,
    nodes: Vec<Node>,
}

fn address(query: &Query) -> usize {
    std::ptr::from_ref(query).addr()
}

impl Collector {
    /// The scope of a SELECT in the innermost query; without one, of a query that reads no table.
    fn scope(&self, select: Option<&Select>) -> Arc<Scope> {
        let defined = self.levels.iter().flat_map(|level| &level.with[..level.defined]);
        Arc::new(Scope {
            from: select.map(|select| select.from.iter().map(unconditional).collect()).unwrap_or_default(),
            windows: select.map(|select| select.named_window.clone()).unwrap_or_default(),
            with: defined.map(|(cte, _)| cte.clone()).collect(),
            recursive: self.levels.iter().any(|level| level.recursive),
        })
    }
}

impl Visitor for Collector {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let with = query.with.as_ref();
        self.levels.push(Level {
            with: with
                .map(|w| w.cte_tables.iter().map(|cte| (cte.clone(), address(&cte.query))).collect())
                .unwrap_or_default(),
            defined: 0,
            recursive: with.is_some_and(|with| with.recursive),
            scope: Arc::default(),
        });
        let scope = self.scope(None);
        if let Some(level) = self.levels.last_mut() {
            level.scope = scope;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.levels.pop();
        if let Some(outer) = self.levels.last_mut()
            && let Some(place) = outer.with.iter().position(|(_, at)| *at == address(query))
        {
            outer.defined = place + 1;
        }
        ControlFlow::Continue(())
    }

    /// What stands after the SELECT, such as ORDER BY, sees its tables too.
    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        let scope = self.scope(Some(select));
        if let Some(level) = self.levels.last_mut() {
            level.scope = scope;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let scope = self.levels.last().map(|level| level.scope.clone()).unwrap_or_default();
        self.nodes.push(Node { expr: expr.clone(), parent: self.open.last().copied(), scope });
        self.open.push(self.nodes.len() - 1);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        self.open.pop();
        ControlFlow::Continue(())
    }
}

/// The same tables without the conditions between them, which may be what is wrong.
fn unconditional(table: &TableWithJoins) -> TableWithJoins {
    let cross = |join: &Join| Join { join_operator: JoinOperator::CrossJoin(JoinConstraint::None), ..join.clone() };
    TableWithJoins { relation: table.relation.clone(), joins: table.joins.iter().map(cross).collect() }
}
