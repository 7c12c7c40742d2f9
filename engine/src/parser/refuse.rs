//! What parses and is not carried out, refused by name with what to do instead.
//!
//! The library's planner drops several clauses without a word (versions, samples, locks, hints). Whoever writes such a
//! clause must not get an answer that ignores it.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    FromTable, Ident, ObjectName, Query, Select, Set, Statement, TableFactor, Visit, Visitor,
};

use super::{Ast, Describe, MartChange, copy, create, replace::Which};
use crate::{EngineError, ErrorKind, error::Place};

/// Tables in one statement: plans nest as deep as they have joins.
const RELATIONS_MAX: usize = 1_000;

pub(super) fn check(ast: &Ast, sql: &str) -> Result<(), EngineError> {
    let mut clauses = Clauses { sql, relations: 0 };
    let flow = match ast {
        Ast::Sql(statement) => {
            statement_kind(statement)?;
            target(statement, sql)?;
            statement.visit(&mut clauses)
        }
        Ast::Evolve(statement) | Ast::ByName(statement) => {
            target(statement, sql)?;
            statement.visit(&mut clauses)
        }
        Ast::Replace(replace) => {
            let flow = match &replace.which {
                Which::Where(condition) => condition.visit(&mut clauses),
                Which::Using(_) => ControlFlow::Continue(()),
            };
            match flow {
                ControlFlow::Continue(()) => replace.insert.visit(&mut clauses),
                stop => stop,
            }
        }
        Ast::Explain(explain) => return check(&explain.statement, sql),
        Ast::Describe(Describe::Query(query)) => query.visit(&mut clauses),
        Ast::Cache(cache) => cache.query().visit(&mut clauses),
        Ast::Create(create) => match create.as_ref() {
            create::Create::Table(create::CreateTable { query: Some(query), .. })
            | create::Create::View(create::CreateView { query, .. }) => query.visit(&mut clauses),
            create::Create::Table(_)
            | create::Create::ExternalTable(_)
            | create::Create::Schema(_)
            | create::Create::Clone(_)
            | create::Create::Unsupported(_) => ControlFlow::Continue(()),
        },
        Ast::Mart(change) => match change.as_ref() {
            MartChange::Create(create) => create.query.visit(&mut clauses),
            MartChange::Alter { .. } | MartChange::Drop { .. } | MartChange::Refresh { .. } => {
                ControlFlow::Continue(())
            }
        },
        Ast::Copy(copy) => match copy.as_ref() {
            copy::Copy::To(copy::CopyTo { source: copy::CopySource::Query(query), .. }) => query.visit(&mut clauses),
            copy::Copy::From(from) if from.table.version.is_some() => {
                return Err(older_version().at(sql, name_place(&from.table.name)));
            }
            copy::Copy::To(_) | copy::Copy::From(_) | copy::Copy::Unsupported(_) => ControlFlow::Continue(()),
        },
        Ast::Alter(_)
        | Ast::Rename(_)
        | Ast::Describe(_)
        | Ast::Show(_)
        | Ast::Recover(_)
        | Ast::Reset(_)
        | Ast::Vacuum(_)
        | Ast::Uncache(_)
        | Ast::Kill(_)
        | Ast::User(_)
        | Ast::Token(_) => ControlFlow::Continue(()),
    };
    match flow {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Statements that other systems have. Those that are carried out pass; the rest get a sentence each.
fn statement_kind(statement: &Statement) -> Result<(), EngineError> {
    let (what, hint) = match statement {
        Statement::StartTransaction { .. }
        | Statement::Commit { .. }
        | Statement::Rollback { .. }
        | Statement::Savepoint { .. }
        | Statement::ReleaseSavepoint { .. } => (
            "transactions over several statements are",
            "Each statement commits by itself; leave BEGIN and COMMIT out.",
        ),
        Statement::Analyze(_) => {
            ("ANALYZE is", "Statistics are kept with each commit; EXPLAIN ANALYZE measures a query.")
        }
        Statement::Grant(_) | Statement::Revoke(_) | Statement::Deny(_) => {
            ("GRANT and REVOKE are", "A user has a role: ALTER USER name ROLE reader, or admin.")
        }
        Statement::CreateIndex(_) => ("CREATE INDEX is", "Partition the table by the column that queries filter on."),
        Statement::Set(Set::SetRole { .. } | Set::SetSessionAuthorization(_)) => {
            ("SET ROLE is", "A user has one role: log in as another user.")
        }
        Statement::Set(Set::SetTransaction { .. }) => {
            ("SET TRANSACTION is", "Each statement reads one version of each table.")
        }
        _ => return Ok(()),
    };
    Err(EngineError::unsupported(format!("{what} not supported")).with_hint(hint))
}

/// Only the newest version of a table can be changed.
fn target(statement: &Statement, sql: &str) -> Result<(), EngineError> {
    let factors: Vec<&TableFactor> = match statement {
        Statement::Update(update) => vec![&update.table.relation],
        Statement::Merge(merge) => vec![&merge.table],
        Statement::Delete(delete) => {
            let (FromTable::WithFromKeyword(tables) | FromTable::WithoutKeyword(tables)) = &delete.from;
            tables.iter().map(|table| &table.relation).collect()
        }
        _ => return Ok(()),
    };
    let old = factors.into_iter().find_map(|factor| match factor {
        TableFactor::Table { name, version: Some(_), .. } => Some(name),
        _ => None,
    });
    match old {
        Some(name) => Err(older_version().at(sql, name_place(name))),
        None => Ok(()),
    }
}

/// Of a statement that changes a table, and names a version of it.
pub(crate) fn older_version() -> EngineError {
    EngineError::invalid("an older version of a table cannot be changed").with_hint(
        "RESTORE TABLE t TO VERSION AS OF 3 makes it the newest one, CREATE TABLE c SHALLOW CLONE t VERSION AS OF 3 a table.",
    )
}

fn name_place(name: &ObjectName) -> Option<Place> {
    let first = name.0.first().and_then(|part| part.as_ident())?;
    let last = name.0.last().and_then(|part| part.as_ident())?;
    Place::of_token_span(first.span.union(&last.span))
}

struct Clauses<'a> {
    sql: &'a str,
    relations: usize,
}

type Flow = ControlFlow<Box<EngineError>>;

impl Clauses<'_> {
    fn refuse(&self, what: &str, hint: &str, place: Option<Place>) -> Flow {
        let error = EngineError::unsupported(format!("{what} is not supported")).with_hint(hint);
        ControlFlow::Break(Box::new(error.at(self.sql, place)))
    }
}

impl Visitor for Clauses<'_> {
    type Break = Box<EngineError>;

    fn pre_visit_relation(&mut self, _relation: &ObjectName) -> Flow {
        self.relations += 1;
        if self.relations > RELATIONS_MAX {
            let message = format!("the statement names more than {RELATIONS_MAX} tables");
            return ControlFlow::Break(Box::new(EngineError::new(ErrorKind::Exhausted, message)));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> Flow {
        if !query.locks.is_empty() {
            return self.refuse("FOR UPDATE", "Leave it out: a statement reads one version of each table.", None);
        }
        if query.for_clause.is_some() {
            return self.refuse("FOR XML, JSON or BROWSE", "Leave it out and choose the format in the client.", None);
        }
        if query.settings.is_some() {
            return self.refuse("SETTINGS in a query", "Write SET name = value before it.", None);
        }
        if query.format_clause.is_some() {
            return self.refuse(
                "FORMAT in a query",
                "Choose the format in the client, or write COPY (query) TO.",
                None,
            );
        }
        if query.fetch.is_some() {
            return self.refuse("FETCH FIRST", "Write LIMIT n.", None);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> Flow {
        if select.into.is_some() {
            return self.refuse("SELECT INTO", "Write CREATE TABLE t AS SELECT ...", None);
        }
        if select.prewhere.is_some() {
            return self.refuse("PREWHERE", "Write WHERE.", None);
        }
        if !select.connect_by.is_empty() {
            return self.refuse("CONNECT BY", "Write WITH RECURSIVE.", None);
        }
        if !select.distribute_by.is_empty() || !select.cluster_by.is_empty() || !select.sort_by.is_empty() {
            return self.refuse("CLUSTER BY, DISTRIBUTE BY or SORT BY", "Write ORDER BY.", None);
        }
        if select.value_table_mode.is_some() {
            return self.refuse("SELECT AS STRUCT or AS VALUE", "Write named_struct(...).", None);
        }
        if select.exclude.is_some() {
            return self.refuse("EXCLUDE after the columns", "Write SELECT * EXCLUDE (a, b).", None);
        }
        if select.select_modifiers.is_some() {
            return self.refuse("a modifier after SELECT", "Leave it out.", None);
        }
        if !select.lateral_views.is_empty() {
            return self.refuse("LATERAL VIEW", "Write unnest(...) in the columns or CROSS JOIN UNNEST(...).", None);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> Flow {
        let TableFactor::Table {
            name,
            args,
            with_hints,
            version: _,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
            alias: _,
        } = factor
        else {
            return match factor {
                TableFactor::Derived { sample: Some(_), .. } => {
                    self.refuse("TABLESAMPLE", "Write WHERE random() < 0.1.", None)
                }
                TableFactor::Pivot { .. } => {
                    let hint = "Write an aggregate for each value: sum(x) FILTER (WHERE name = 'a') AS a.";
                    self.refuse("PIVOT", hint, None)
                }
                TableFactor::Unpivot { .. } => {
                    self.refuse("UNPIVOT", "Write a SELECT for each column, with UNION ALL between them.", None)
                }
                TableFactor::MatchRecognize { .. } => {
                    self.refuse("MATCH_RECOGNIZE", "Look at neighbours with lag() and lead().", None)
                }
                TableFactor::JsonTable { .. } | TableFactor::OpenJsonTable { .. } | TableFactor::XmlTable { .. } => {
                    self.refuse("a table made of JSON or XML", "Read files of JSON with read_json('files').", None)
                }
                TableFactor::UNNEST { with_offset: true, .. } => {
                    self.refuse("WITH OFFSET", "Use row_number() OVER ().", None)
                }
                _ => ControlFlow::Continue(()),
            };
        };
        let place = name.0.first().and_then(|part| part.as_ident()).and_then(place);
        if sample.is_some() {
            return self.refuse("TABLESAMPLE", "Write WHERE random() < 0.1.", place);
        }
        if *with_ordinality {
            return self.refuse("WITH ORDINALITY", "Use row_number() OVER ().", place);
        }
        if !partitions.is_empty() {
            return self.refuse("PARTITION (...) after a table", "Write WHERE on the partition column.", place);
        }
        if !with_hints.is_empty() || !index_hints.is_empty() || json_path.is_some() {
            return self.refuse("a hint after a table", "Leave it out.", place);
        }
        if args.as_ref().is_some_and(|args| args.settings.is_some()) {
            return self.refuse("SETTINGS in a table function", "Write name => value.", place);
        }
        ControlFlow::Continue(())
    }
}

fn place(ident: &Ident) -> Option<Place> {
    Place::of_token_span(ident.span)
}

#[cfg(test)]
mod tests {
    use crate::{ErrorKind, parser::parse};

    #[test]
    fn clauses_that_would_be_ignored_are_refused() {
        for sql in [
            "BEGIN",
            "COMMIT",
            "ROLLBACK",
            "ALTER TABLE t CLUSTER BY (b)",
            "GRANT SELECT ON t TO someone",
            "SELECT * FROM t TABLESAMPLE (10 PERCENT)",
            "SELECT * FROM t PIVOT (sum(d) FOR name IN ('a', 'b'))",
            "SELECT * FROM t UNPIVOT (v FOR name IN (a, b))",
            "SELECT * FROM UNNEST([1, 2]) WITH OFFSET",
            "SELECT * FROM t FOR UPDATE",
            "SELECT * INTO u FROM t",
            "SELECT * FROM t FETCH FIRST 3 ROWS ONLY",
            "EXPLAIN SELECT * FROM t FOR UPDATE",
            "CREATE VIEW v AS SELECT * FROM t FOR UPDATE",
            "COPY (SELECT * FROM t FOR UPDATE) TO 'x.csv'",
        ] {
            match parse(sql) {
                Ok(_) => panic!("{sql} was taken"),
                Err(error) => {
                    assert_eq!(error.kind, ErrorKind::Unsupported, "{sql}: {error}");
                    assert!(error.hint.is_some(), "{sql}");
                }
            }
        }
    }
}
