//! What DELETE, UPDATE, MERGE and TRUNCATE share.
//!
//! ```text
//!   statement ──> query over the table with addresses ──> plan ──> storage writes and commits
//!                 (target, query)                        (assignment)
//! ```
//! Each becomes one ordinary query, so that a condition finds exactly the rows that it finds in SELECT. `sets` says which
//! columns of the table the query need not look at.

mod assignment;
mod nested;
mod qualifier;
mod query;
mod sets;
mod target;

pub(super) use self::{
    assignment::{Assigned, ValueOf, assignments, conform, conform_to, is_default, plain_rows, refuse_subqueries},
    nested::{inlined, put_together},
    qualifier::shorten,
    query::{Select, column},
    sets::Sets,
    target::{Target, inserted, outcome},
};
