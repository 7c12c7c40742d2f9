//! Delta tables on object stores: what a lake holds, how it is read, how it is changed.
//!
//! The bottom layer. It knows Arrow, Delta and object stores; it never sees SQL text, makes no query session of its own
//! and parses nothing. `engine` above turns statements into the plans that [`write`] carries out.
//!
//! In reading order: [`store`] opens a folder or a bucket, [`Lake`] finds tables in it, `log` reads their transaction logs,
//! [`table`] is one table at one version, [`write`] is every commit in the product, [`maintain`] keeps tables
//! small and quick.

mod account;
pub mod catalog;
pub mod config;
mod error;
pub mod file;
mod hot;
mod lake;
mod log;
pub mod maintain;
mod near;
mod reason;
pub mod store;
pub mod table;
mod usage;
mod views;
mod warm;
pub mod write;

pub use account::{Account, Usage, task_context};
pub use config::{S3Options, StorageOptions};
pub use error::StorageError;
pub use hot::{HotOptions, Trial};
pub use lake::{Lake, VersionInfo, check_name};
pub use near::{Brought, Followed, Released, Tier, WantedFiles};
pub use reason::StoreReason;
pub use store::StoreUsage;
pub use table::Snapshot;
pub(crate) use usage::CommitCounts;
pub use usage::{CacheCounts, CacheUsage, CommitUsage, LakeUsage, TableCacheUsage};
pub use warm::WarmOptions;
