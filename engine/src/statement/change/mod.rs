//! What DELETE, UPDATE, MERGE and TRUNCATE share.
//!
//! ```text
//!   statement ──> query over the table with addresses ──> plan ──> storage writes and commits
//!                 (target, query)                        (assignment)
//! ```
//! Each becomes one ordinary query, so that a condition finds exactly the rows that it finds in SELECT.

mod assignment;
mod nested;
mod qualifier;
mod query;
mod target;

pub(super) use self::{
    assignment::{Assigned, assignments, conform, conform_to, is_default, plain_rows},
    nested::{inlined, put_together},
    qualifier::shorten,
    query::{Select, column},
    target::{Target, outcome},
};
