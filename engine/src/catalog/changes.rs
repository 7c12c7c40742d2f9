//! `table_changes(...)` in FROM: a call becomes a name that stands for the changes of a table, as versions do ([`super::travel`]).

use std::{ops::ControlFlow, sync::Arc};

use boathouse_storage::{
    Snapshot,
    table::{ChangeFeed, Since},
};
use datafusion::{
    catalog::TableProvider,
    sql::sqlparser::ast::{Ident, ObjectName, Statement, TableAlias, TableFactor, VisitMut, VisitorMut},
};

use super::{At, travel::Travel};
use crate::{
    EngineError,
    error::Place,
    function::{ChangesCall, TABLE_CHANGES},
    statement::Context,
};

impl Context {
    /// Puts names of changes where the statement calls for them.
    pub(super) fn bind_changes(&self, statement: &mut Statement, sql: &str) -> Result<(), EngineError> {
        match VisitMut::visit(statement, &mut BindChanges { context: self, sql }) {
            ControlFlow::Break(error) => Err(*error),
            ControlFlow::Continue(()) => Ok(()),
        }
    }

    /// The changes of a table up to a snapshot of it, when the name stands for changes.
    pub(super) fn changes(
        &self,
        travel: Option<&Travel>,
        snapshot: &Arc<Snapshot>,
    ) -> Result<Option<Arc<dyn TableProvider>>, EngineError> {
        let Some((travel, from)) = travel.and_then(|travel| Some((travel, travel.changes_from?))) else {
            return Ok(None);
        };
        let since = match from {
            At::Version(version) => Since::Version(version),
            At::Time(time_ms) => Since::Time(time_ms),
        };
        let feed = ChangeFeed::new(self.engine.lake(), snapshot, since, travel.at.is_some())?;
        Ok(Some(Arc::new(feed)))
    }
}

struct BindChanges<'a> {
    context: &'a Context,
    sql: &'a str,
}

impl VisitorMut for BindChanges<'_> {
    type Break = Box<EngineError>;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Box<EngineError>> {
        let (name, args, alias) = match factor {
            TableFactor::Table { name, args: Some(args), alias, .. } => (name, args.args.clone(), alias),
            TableFactor::Function { name, args, alias, lateral: false, .. } => (name, args.clone(), alias),
            _ => return ControlFlow::Continue(()),
        };
        let [part] = name.0.as_slice() else { return ControlFlow::Continue(()) };
        let Some(function) = part.as_ident().filter(|word| word.value.eq_ignore_ascii_case(TABLE_CHANGES)) else {
            return ControlFlow::Continue(());
        };
        let span = function.span;
        let call = match ChangesCall::new(self.context, &args) {
            Ok(call) => call,
            Err(error) => return ControlFlow::Break(Box::new(error.at(self.sql, Place::of_token_span(span)))),
        };
        let alias = alias.take().unwrap_or_else(|| TableAlias {
            explicit: true,
            name: Ident::new(TABLE_CHANGES),
            columns: Vec::new(),
            at: None,
        });
        let ChangesCall { table, from, to } = call;
        let bound = self.context.pinned.travel(Travel { table, at: to, changes_from: Some(from) });
        let part = |text: String| {
            let mut ident = Ident::with_quote('"', text);
            ident.span = span;
            ident
        };
        *factor = TableFactor::Table {
            name: ObjectName::from(vec![part(bound.schema), part(bound.name)]),
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
