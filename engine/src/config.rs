//! Checked settings of an engine.

mod memory;

use std::{path::PathBuf, time::Duration};

pub use boathouse_storage::{HotOptions, S3Options, StorageOptions, WarmOptions};
use url::Url;

use crate::tier::Prices;

/// What an [`crate::Engine`] may use.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Memory of the process; queries spill before it is used up. Below 256 MiB: of queries alone. Default: 60 % of the
    /// machine's.
    pub memory_bytes_max: usize,
    /// Makes the process's allocator give free memory back to the system: called when the process has too much of it, a few
    /// times a second at most, from any thread. Default: nothing does.
    pub release_memory: Option<fn()>,
    /// Where queries spill. Default: the system's temporary folder.
    pub spill_folder: Option<PathBuf>,
    /// Disk for spilling. Default: 100 GiB.
    pub spill_bytes_max: u64,
    /// Statements that run at once; more wait. Default: 4 per core, at least 8.
    pub statements_running_max: usize,
    /// A statement that runs longer is cancelled. Default: none.
    pub statement_timeout: Option<Duration>,
    /// Memory for rows of queries that may be asked again; as much again while they are recorded. 0 keeps none.
    /// Default: 64 MiB.
    pub result_cache_bytes_max: u64,
    /// Memory for plans of queries, by estimate; 0 keeps none. Default: 16 MiB.
    pub plan_cache_bytes_max: u64,
    /// CPU threads, and the partitions of a query. Default: one per core.
    pub threads: usize,
    /// Longest SQL text. Default: 16 MiB.
    pub sql_bytes_max: usize,
    /// Which files `FROM 'path'`, `COPY` and `CREATE EXTERNAL TABLE` may name.
    pub file_access: FileAccess,
    /// How often [`crate::Engine::keep_up`] looks at the tables. Default: never.
    pub upkeep_interval: Option<Duration>,
    /// Whether it vacuums them, too, once a day. Default: no.
    pub upkeep_vacuum: bool,
    pub storage: StorageOptions,
    /// What storage costs, for `system.tiers` and plans of moves. Default: Amazon's list.
    pub prices: Prices,
}

impl Default for EngineConfig {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            memory_bytes_max: memory::machine_bytes() / 10 * 6,
            release_memory: None,
            spill_folder: None,
            spill_bytes_max: 100 << 30,
            statements_running_max: (4 * threads).max(8),
            statement_timeout: None,
            result_cache_bytes_max: 64 << 20,
            plan_cache_bytes_max: 16 << 20,
            threads,
            sql_bytes_max: 16 << 20,
            file_access: FileAccess::Anywhere,
            upkeep_interval: None,
            upkeep_vacuum: false,
            storage: StorageOptions::default(),
            prices: Prices::default(),
        }
    }
}

impl EngineConfig {
    /// The storage's options; its caches take no more than an eighth of what queries have.
    pub(crate) fn storage_bounded(&self) -> StorageOptions {
        let footer_bytes_max = self.storage.footer_bytes_max.min(self.memory_bytes_max as u64 / 8);
        StorageOptions { footer_bytes_max, ..self.storage.clone() }
    }
}

/// Which files statements may name by path.
#[derive(Debug, Clone, PartialEq)]
pub enum FileAccess {
    /// All that the process can reach: right for a shell on one's own machine.
    Anywhere,
    /// Those under the lake and under these URLs: right for a server.
    Under(Vec<Url>),
}
