//! What each statement needs of whoever runs it. No `_` here: a new statement must say what it needs.

use super::Statement;
use crate::{EngineError, Identity, identity::Right};

impl Statement {
    /// An error when the caller may not run it.
    pub fn check_right(&self, caller: &Identity) -> Result<(), EngineError> {
        caller.check(&self.needs(), &format!("run {}", self.title()))
    }

    fn needs(&self) -> Right<'_> {
        match self {
            // Files that a query names are checked where they are looked up. EXPLAIN runs nothing but queries, and what
            // PREPARE keeps is checked when EXECUTE runs it.
            Self::Query(_)
            | Self::Explain(_)
            | Self::Show(_)
            | Self::Describe(_)
            | Self::Set(_)
            | Self::Prepare(_)
            | Self::Deallocate(_)
            // Of others, too, only an admin: checked when it is known whose it is.
            | Self::KillQuery(_) => Right::Read,
            Self::Execute(execute) => execute.inner().needs(),
            Self::CreateTable(_)
            | Self::CreateExternalTable(_)
            | Self::CloneTable(_)
            | Self::DropTable(_)
            | Self::AlterTable(_)
            | Self::RenameTable(_)
            | Self::UndropTable(_)
            | Self::Restore(_)
            | Self::CreateSchema(_)
            | Self::DropSchema(_)
            | Self::CreateView(_)
            | Self::DropView(_)
            | Self::Insert(_)
            | Self::Delete(_)
            | Self::Update(_)
            | Self::Merge(_)
            | Self::Truncate(_)
            | Self::CopyFrom(_)
            | Self::CopyTo(_)
            | Self::Optimize(_)
            | Self::Vacuum(_)
            // What is near is so for everybody, and what comes in pushes out.
            | Self::CacheTable(_)
            | Self::CacheSelect(_)
            | Self::UncacheTable(_) => Right::Change,
            Self::User(user) => user.needs(),
            Self::Token(token) => token.needs(),
            // What a server runs by itself is said by them.
            Self::Mart(_) | Self::RefreshMart(_) => Right::Administer,
        }
    }
}
