//! What a statement's text says: sqlparser's tree, and ours where it has none.

use datafusion::sql::sqlparser::ast::{ObjectName, Query, Statement};

use super::{copy::Copy, create::Create, show::Show};

/// One parsed statement.
#[derive(Debug, Clone)]
pub(crate) enum Ast {
    Sql(Box<Statement>),
    Create(Box<Create>),
    Copy(Box<Copy>),
    Explain(Explain),
    Describe(Describe),
    Show(Show),
    /// `RESET name`; `None` is `RESET ALL`.
    Reset(Option<ObjectName>),
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

/// `DESCRIBE t`, `DESCRIBE DETAIL t`, `DESCRIBE query`.
#[derive(Debug, Clone)]
pub(crate) enum Describe {
    Table(ObjectName),
    Detail(ObjectName),
    Query(Box<Query>),
}
