//! Completion: what the person may want to type at the cursor.
//!
//! Looks at the pieces of the statement around the cursor ([`place`]), not at a grammar: after FROM come tables, after `t.`
//! the columns of what `t` stands for ([`relation`]), elsewhere the columns of the tables that the statement names, then
//! functions and keywords ([`suggest`]). Names are those the client gave last; a stale list costs a missing suggestion and
//! nothing else.

mod argument;
mod completer;
mod name;
mod place;
mod relation;
mod suggest;
#[cfg(test)]
mod tests;

pub use completer::{SharedNames, SqlCompleter};
