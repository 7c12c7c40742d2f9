//! SQL in, Arrow streams out.
//!
//! The middle layer. It knows DataFusion and the lake below it (`boathouse-storage`); it never sees the network, flags or
//! a terminal. One [`Engine`] per process (catalog, memory, threads), one [`Session`] per client (settings, prepared
//! statements).
//!
//! A statement's way: [`parser`] (text to AST) -> [`statement`] (one file per statement: plan, then run) -> [`catalog`]
//! (names to tables, each pinned to one version) -> [`cache`] (planned or answered before?) -> [`exec`] (threads, memory,
//! how many at once) -> rows. `queries` knows which statements run, `identity` who may run them; `upkeep` looks after
//! tables, [`tier`] moves what is old to where it is cheap.

mod cache;
pub mod catalog;
mod config;
mod engine;
mod error;
mod exec;
mod file;
mod function;
mod identity;
mod locate;
pub mod mart;
mod optimizer;
pub mod parser;
mod queries;
mod session;
pub mod statement;
pub mod tier;
mod upkeep;

pub use config::{EngineConfig, FileAccess, HotOptions, S3Options, StorageOptions, WarmOptions};
pub use engine::Engine;
pub use error::{EngineError, ErrorKind};
pub use exec::{MemoryUsage, RowStream};
pub use identity::{Identity, LOCAL_USER, LoginError, Role, Secret, Users};
pub use queries::{Durations, Origin, QueryPart, QueryRecord, QuerySpan, QueryState, QueryTotals, Trace};
pub use session::{Batches, Pins, Session, TableColumns, TableEntry};
pub use statement::{Counted, Effect, Existing, Ingest, Outcome, Prepared};
pub use upkeep::Upkeep;

pub use mart::{Definition, Fault, MartOptions, MartOutcome, Project, Scheduler};

pub use boathouse_storage::{CacheUsage, CommitUsage, LakeUsage, StoreUsage, Usage};

/// One value of a parameter, for those who may not name DataFusion.
pub use datafusion::common::ScalarValue;
