//! One interface to a lake for the shell and the tests, wherever the lake's engine runs.
//!
//! [`connect`] gives an [`embedded`] client (the engine in this process) or a [`remote`] one (Flight SQL,
//! `grpc://host:port`, `grpc+tls://host:port`).
//! Both answer the same statement with the same rows, the same counts and the same error text. A client is one session:
//! `SET`, `USE` and `PREPARE` last as long as it.

mod embedded;
mod error;
mod ingest;
mod login;
mod open;
mod remote;
mod rows;

use async_trait::async_trait;

pub use embedded::Embedded;
pub use error::ClientError;
pub use login::Login;
pub use open::{connect, connect_with};
pub use remote::Remote;
pub use rows::Rows;

pub use crate::service::Parts;

/// A session on a lake. Methods may be called at once. Dropping the future of a call, or the rows that it gave, cancels
/// the statement.
#[async_trait]
pub trait Client: Send + Sync {
    /// Runs one statement; a trailing `;` is fine.
    async fn run(&self, sql: &str) -> Result<Answer, ClientError>;

    /// What a person may want to type next.
    async fn names(&self) -> Result<Names, ClientError>;

    /// Waits for what goes on in this process behind statements that have ended.
    async fn idle(&self);

    /// What the client is connected to, as it was given to [`connect`].
    fn location(&self) -> &str;
}

/// What a statement gave.
#[derive(Debug)]
pub enum Answer {
    Rows(Rows),
    /// The one number of rows that the statement tells, and what it is made of, where that is told.
    Changed {
        rows: u64,
        parts: Option<Parts>,
    },
    /// The command tag as psql prints it, `CREATE TABLE`.
    Done(String),
}

/// Names for completion. All sorted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Names {
    pub schemas: Vec<String>,
    pub tables: Vec<TableNames>,
    pub functions: Vec<String>,
    /// Settings that `SET` accepts.
    pub settings: Vec<String>,
}

/// A table or view and its columns, these in the table's order.
#[derive(Debug, Clone, PartialEq)]
pub struct TableNames {
    pub schema: String,
    pub name: String,
    pub columns: Vec<String>,
}
