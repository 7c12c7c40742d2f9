//! Where in the statement a planning fault is, when neither the parser nor the planner said.
//!
//! ```text
//! fault without a place -> mention: the message names a word or an expression that stands once in the text
//!                       -> probe: the smallest expression of the statement that fails alone with the same message
//! ```
//!
//! This runs only after a statement has failed, plans again and never runs anything. Its answer is a place to look at;
//! the error's words stay as they are.

mod mention;
mod probe;
mod search;
mod tree;

pub(crate) use self::{search::locate, tree::row_value};
