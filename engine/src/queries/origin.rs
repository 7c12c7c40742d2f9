//! Whom a statement is for.

use std::sync::Arc;

use uuid::Uuid;

use super::Trace;

/// Under which id a statement runs, and for whom. Statements of one call may share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// By which people find it: in `system.queries`, in errors, in the log.
    pub query_id: Uuid,
    pub user: Option<Arc<str>>,
    /// The program that sent it, as it calls itself, and from where.
    pub client: Option<Arc<str>>,
    /// Whom to tell where its time went, if anybody.
    pub trace: Option<Trace>,
}

impl Default for Origin {
    /// A new id, for nobody in particular: a statement of this process itself.
    fn default() -> Self {
        Self { query_id: Uuid::new_v4(), user: None, client: None, trace: None }
    }
}
