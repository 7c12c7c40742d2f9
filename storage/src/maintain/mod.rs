//! What keeps a table's log short, off the way of statements.

mod checkpoint;

pub(crate) use checkpoint::committed;
