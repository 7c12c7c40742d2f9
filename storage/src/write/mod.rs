//! Every commit in the product. Each function makes one commit or none.
//!
//! ```text
//! plan --conform--> plan with the table's columns --rows--> streams --> data files --commit--> one new version
//! ```
//! `conform` is where a write is checked against its table, `data` writes its files, `rewrite` changes those that are there,
//! `feed` tells of its rows, `transaction` is the way into a log; `create`, `append`, `drop`, `rename` and `clone` are the
//! statements. What still goes through the library commits through `commit`.

mod align;
mod alter;
mod append;
mod change;
mod check;
mod clone;
mod commit;
mod commit_time;
mod computed;
mod conflict;
mod conform;
mod create;
mod data;
mod define;
mod discard;
mod drop;
mod features;
mod fed;
mod feed;
mod flat;
mod found;
mod group;
mod identity;
mod in_place;
mod literal;
mod lossless;
mod near_store;
mod once;
mod output;
mod pages;
mod parquet;
mod partition;
mod protocol;
mod provenance;
mod publication;
mod put;
mod recorder;
mod rename;
mod required;
mod rewrite;
mod row_check;
mod rows;
mod rules;
mod sorted;
#[cfg(test)]
mod tests;
mod transaction;
mod type_name;
mod values;
mod writer;

pub use align::{aligned, reshapes};
pub use alter::{Altered, Change, Position, alter};
pub use append::{append, append_evolved};
pub use change::{Action, Actions, Changed, Replaces, RowChange, change, changes_in_place, remove_files};
pub use clone::shallow_clone;
pub use commit::{CommitInfo, CommitTime, CommitTimes, Committed};
pub(crate) use commit_time::{ENABLED as TIMES_TOLD, FROM_VERSION as TIMES_TOLD_FROM};
pub(crate) use conflict::Reads;
pub use conform::conform;
pub use create::{NewTable, check_new, create, create_as};
pub(crate) use data::{file_rows, write_compact};
pub use drop::{DROPPED_KEPT, DroppedTable, drop_table, dropped_tables, hide_table, purge_dropped, undrop_table};
pub(crate) use drop::{check_clones_outside, finish_drops, remove_empty_folders};
pub(crate) use group::Groups;
pub use identity::{IDENTITY_BY_DEFAULT, IDENTITY_START, IDENTITY_STEP, Identity, Numbers};
pub(crate) use identity::{IDENTITY_MARK, further};
pub use literal::{constant_value, described, is_of_values, kept_text, survives};
pub use lossless::kept_type;
pub use once::done_before;
pub(crate) use parquet::Tier;
pub use publication::Publication;
pub use rename::rename_table;
pub use row_check::{row_text, value_text};
pub use rules::{CONSTRAINT_PREFIX, Check, DEFAULT_KEY, GENERATED_KEY, Generated, RuleTexts, Rules};
pub(crate) use transaction::{Operation, Transaction, partition_text};
pub use type_name::type_name;
