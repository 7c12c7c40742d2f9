//! `system`: the running process, users and marts described as tables. One file per table; rows are gathered when they are read.

mod cache;
mod caches;
mod exports;
mod marts;
mod queries;
mod table;
mod tiers;
mod upkeep;
mod users;

pub(crate) use self::{
    marts::all as all_marts,
    table::{TABLES, table},
    users::{tokens_seen_by, users_seen_by},
};
