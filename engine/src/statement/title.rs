//! What each statement is called. No `_` here: a new statement must have a name.

use super::Statement;

impl Statement {
    /// Like a command tag, for EXPLAIN.
    pub fn title(&self) -> &'static str {
        match self {
            Self::Query(_) => "SELECT",
            Self::Explain(_) => "EXPLAIN",
            Self::Show(_) => "SHOW",
            Self::Describe(_) => "DESCRIBE",
            Self::Set(_) => "SET",
            Self::Prepare(_) => "PREPARE",
            Self::Execute(_) => "EXECUTE",
            Self::Deallocate(_) => "DEALLOCATE",
            Self::CreateTable(_) => "CREATE TABLE",
            Self::CreateExternalTable(_) => "CREATE EXTERNAL TABLE",
            Self::CloneTable(_) => "CREATE TABLE SHALLOW CLONE",
            Self::DropTable(_) => "DROP TABLE",
            Self::AlterTable(alter) => alter.title(),
            Self::RenameTable(_) => "ALTER TABLE",
            Self::UndropTable(_) => "UNDROP TABLE",
            Self::Restore(_) => "RESTORE",
            Self::CreateSchema(_) => "CREATE SCHEMA",
            Self::DropSchema(_) => "DROP SCHEMA",
            Self::CreateView(_) => "CREATE VIEW",
            Self::DropView(_) => "DROP VIEW",
            Self::Insert(_) => "INSERT",
            Self::Delete(_) => "DELETE",
            Self::Update(_) => "UPDATE",
            Self::Merge(_) => "MERGE",
            Self::Truncate(_) => "TRUNCATE",
            Self::CopyFrom(_) => "COPY FROM",
            Self::CopyTo(_) => "COPY TO",
            Self::Optimize(_) => "OPTIMIZE",
            Self::Vacuum(_) => "VACUUM",
            Self::CacheTable(_) => "CACHE TABLE",
            Self::CacheSelect(_) => "CACHE SELECT",
            Self::UncacheTable(_) => "UNCACHE TABLE",
            Self::KillQuery(_) => "KILL QUERY",
            Self::User(user) => user.title(),
            Self::Token(token) => token.title(),
            Self::Mart(mart) => mart.title(),
            Self::RefreshMart(_) => "REFRESH MART",
        }
    }
}
