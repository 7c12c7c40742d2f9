//! One file per SQL statement: grammar, parts, `plan` (reads and checks, no effect), `run`.
//!
//! [`Statement`] is a closed enum, matched without a catch-all, so the compiler lists what a new statement must touch:
//! a line in [`dispatch`], and a file here.

mod alter_table;
mod answer;
mod cache_select;
mod cache_table;
mod change;
mod clone_table;
mod context;
mod copy;
mod create_external_table;
mod create_table;
pub(crate) mod data_type;
mod definition;
mod delete;
mod describe;
mod dispatch;
mod drop_table;
mod explain;
mod ingest;
mod insert;
mod kill_query;
mod mart;
mod merge;
mod name;
mod near;
pub(crate) mod once;
mod optimize;
mod parameter;
mod prepare;
mod property;
mod query;
mod refresh_mart;
mod refused;
mod rename_table;
pub(crate) mod replay;
mod restore;
mod right;
pub(crate) mod rows;
pub(crate) mod rules;
mod schema;
mod set;
pub(crate) mod settings;
mod show;
mod title;
mod token;
mod truncate;
mod uncache_table;
mod undrop_table;
mod update;
mod user;
mod vacuum;
mod view;

pub use self::{
    answer::{Counted, Effect, Outcome, Prepared},
    ingest::{Existing, Ingest},
};
pub(crate) use self::{
    context::Context,
    create_table::CreateTable,
    create_table::{columns as columns_of, plain as plain_column},
    dispatch::Statement,
    insert::{under_names, unfit},
    name::place as name_place,
    prepare::{Kept, constant},
    property::{PRIMARY_KEY, check as check_property, primary_key},
    settings::Settings,
    show::functions,
};
