//! Every commit in the product. Each function makes one commit or none.
//!
//! ```text
//! plan --conform--> plan with the table's columns --rows--> streams --> data files --commit--> one new version
//! ```
//! `conform` is where a write is checked against its table, `commit` the one way into a log; `create`, `append` and `drop`
//! are the statements.

mod append;
mod check;
mod commit;
mod conform;
mod create;
mod define;
mod drop;
mod files;
mod literal;
mod lossless;
mod parquet;
mod rows;
mod type_name;

pub use append::append;
pub use commit::{CommitInfo, Committed};
pub use conform::conform;
pub use create::{NewTable, create, create_as};
pub use drop::drop_table;
pub(crate) use drop::finish_drop;
pub use type_name::type_name;
