//! Names to tables.
//!
//! A statement gets a catalog of its own ([`pinned`]): each name is looked up in the lake once and stays bound to what
//! was found, so a statement reads one version of each table. Planning itself is synchronous; [`resolve`] finds all names
//! of a statement first. Tables at older versions get names of their own ([`travel`]), as do the changes between two versions ([`changes`]).

mod changes;
mod dependency;
pub(crate) mod information_schema;
pub(crate) mod listing;
mod lookup;
mod names;
mod pinned;
mod reads;
mod resolve;
pub(crate) mod system;
mod travel;

pub(crate) use self::{
    dependency::{Dependency, Scanned},
    lookup::Relation,
    names::{DEFAULT_CATALOG, DEFAULT_SCHEMA, TableName, is_reserved},
    pinned::{Pinned, pinned_catalogs},
    travel::{At, TableAt},
};
