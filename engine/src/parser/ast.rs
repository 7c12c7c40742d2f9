//! What a statement's text says: sqlparser's tree, and ours where it has none.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{ObjectName, Query, Statement, Visit, VisitMut, Visitor, VisitorMut};

use super::{
    access::{TokenChange, UserChange},
    alter::{AlterTable, RenameTable},
    cache::{Cache, Uncache},
    copy::{Copy, CopySource},
    create::Create,
    history::Recover,
    kill::Kill,
    mart::MartChange,
    replace::{Replace, Which},
    show::Show,
    vacuum::Vacuum,
    version::Versioned,
};

/// One parsed statement.
#[derive(Debug, Clone)]
pub(crate) enum Ast {
    Sql(Box<Statement>),
    /// INSERT or MERGE `WITH SCHEMA EVOLUTION`; without it they are [`Ast::Sql`].
    Evolve(Box<Statement>),
    /// `INSERT INTO t BY NAME query`
    ByName(Box<Statement>),
    /// `INSERT INTO t REPLACE WHERE condition ...`, `INSERT INTO t REPLACE USING (column, ...) ...`
    Replace(Box<Replace>),
    Create(Box<Create>),
    Copy(Box<Copy>),
    /// ALTER TABLE, COMMENT ON.
    Alter(Box<AlterTable>),
    Rename(RenameTable),
    Explain(Explain),
    Describe(Describe),
    Show(Show),
    Recover(Recover),
    /// `RESET name`; `None` is `RESET ALL`.
    Reset(Option<ObjectName>),
    Vacuum(Vacuum),
    /// CACHE TABLE, CACHE SELECT.
    Cache(Cache),
    Uncache(Uncache),
    Kill(Kill),
    User(UserChange),
    Token(TokenChange),
    Mart(Box<MartChange>),
}

impl Ast {
    /// Whether it is a query and nothing else.
    pub fn is_query(&self) -> bool {
        matches!(self, Self::Sql(statement) if matches!(**statement, Statement::Query(_)))
    }
}

/// `EXPLAIN [ANALYZE] [VERBOSE] [FORMAT f] statement`.
#[derive(Debug, Clone)]
pub(crate) struct Explain {
    pub analyze: bool,
    pub verbose: bool,
    pub format: ExplainFormat,
    /// Where the statement's own text starts, in bytes.
    pub start: usize,
    pub statement: Box<Ast>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExplainFormat {
    /// One operator a line.
    Indent,
    /// Boxes.
    Tree,
}

/// `DESCRIBE t`, `DESCRIBE DETAIL t`, `DESCRIBE HISTORY t [LIMIT n]`, `DESCRIBE query`.
#[derive(Debug, Clone)]
pub(crate) enum Describe {
    Table(Versioned),
    Detail(Versioned),
    History { table: ObjectName, limit: Option<usize> },
    Query(Box<Query>),
}

impl Ast {
    /// Shows the visitor the statement or the query in it, if it has one of sqlparser's.
    pub fn visit<V: Visitor<Break = ()>>(&self, visitor: &mut V) -> ControlFlow<()> {
        match self {
            Self::Sql(statement) => Visit::visit(statement, visitor),
            Self::Evolve(statement) | Self::ByName(statement) => Visit::visit(statement, visitor),
            Self::Replace(replace) => {
                if let Which::Where(condition) = &replace.which {
                    Visit::visit(condition, visitor)?;
                }
                Visit::visit(&replace.insert, visitor)
            }
            Self::Explain(explain) => explain.statement.visit(visitor),
            Self::Describe(Describe::Query(query)) => Visit::visit(query, visitor),
            Self::Cache(cache) => Visit::visit(cache.query(), visitor),
            Self::Create(create) => match create.as_ref() {
                Create::Table(table) => Visit::visit(&table.query, visitor),
                Create::View(view) => Visit::visit(&view.query, visitor),
                Create::ExternalTable(_) | Create::Schema(_) | Create::Clone(_) | Create::Unsupported(_) => {
                    ControlFlow::Continue(())
                }
            },
            Self::Mart(change) => match change.as_ref() {
                MartChange::Create(create) => Visit::visit(&create.query, visitor),
                MartChange::Alter { .. } | MartChange::Drop { .. } | MartChange::Refresh { .. } => {
                    ControlFlow::Continue(())
                }
            },
            Self::Copy(copy) => match copy.as_ref() {
                Copy::To(to) => match &to.source {
                    CopySource::Query(query) => Visit::visit(query, visitor),
                    CopySource::Table { .. } => ControlFlow::Continue(()),
                },
                Copy::From(_) | Copy::Unsupported(_) => ControlFlow::Continue(()),
            },
            Self::Alter(_)
            | Self::Rename(_)
            | Self::Describe(_)
            | Self::Show(_)
            | Self::Recover(_)
            | Self::Reset(_)
            | Self::Vacuum(_)
            | Self::Uncache(_)
            | Self::Kill(_)
            | Self::User(_)
            | Self::Token(_) => ControlFlow::Continue(()),
        }
    }

    /// Like [`Ast::visit`], for a visitor that changes things.
    pub fn visit_mut<V: VisitorMut<Break = ()>>(&mut self, visitor: &mut V) -> ControlFlow<()> {
        match self {
            Self::Sql(statement) => VisitMut::visit(statement, visitor),
            Self::Evolve(statement) | Self::ByName(statement) => VisitMut::visit(statement, visitor),
            Self::Replace(replace) => {
                if let Which::Where(condition) = &mut replace.which {
                    VisitMut::visit(condition, visitor)?;
                }
                VisitMut::visit(&mut replace.insert, visitor)
            }
            Self::Explain(explain) => explain.statement.visit_mut(visitor),
            Self::Describe(Describe::Query(query)) => VisitMut::visit(query, visitor),
            Self::Cache(cache) => VisitMut::visit(cache.query_mut(), visitor),
            Self::Create(create) => match create.as_mut() {
                Create::Table(table) => VisitMut::visit(&mut table.query, visitor),
                Create::View(view) => VisitMut::visit(&mut view.query, visitor),
                Create::ExternalTable(_) | Create::Schema(_) | Create::Clone(_) | Create::Unsupported(_) => {
                    ControlFlow::Continue(())
                }
            },
            Self::Mart(change) => match change.as_mut() {
                MartChange::Create(create) => VisitMut::visit(&mut create.query, visitor),
                MartChange::Alter { .. } | MartChange::Drop { .. } | MartChange::Refresh { .. } => {
                    ControlFlow::Continue(())
                }
            },
            Self::Copy(copy) => match copy.as_mut() {
                Copy::To(to) => match &mut to.source {
                    CopySource::Query(query) => VisitMut::visit(query, visitor),
                    CopySource::Table { .. } => ControlFlow::Continue(()),
                },
                Copy::From(_) | Copy::Unsupported(_) => ControlFlow::Continue(()),
            },
            Self::Alter(_)
            | Self::Rename(_)
            | Self::Describe(_)
            | Self::Show(_)
            | Self::Recover(_)
            | Self::Reset(_)
            | Self::Vacuum(_)
            | Self::Uncache(_)
            | Self::Kill(_)
            | Self::User(_)
            | Self::Token(_) => ControlFlow::Continue(()),
        }
    }
}
