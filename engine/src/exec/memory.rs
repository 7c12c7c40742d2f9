//! Memory for queries, and disk for what does not fit.

use std::{num::NonZeroUsize, sync::Arc};

use boathouse_storage::Lake;
use datafusion::execution::{
    cache::{Cache, cache_manager::CacheManagerConfig},
    memory_pool::{MemoryLimit, TrackConsumersPool},
    runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
};

use super::{pool::SharedPool, process::ProcessMemory, spill};
use crate::{EngineConfig, EngineError};

/// Consumers that an out-of-memory error names.
const CONSUMERS_NAMED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4);

/// What all queries of an engine share: a bounded pool of memory, disk to spill to, and the lake's stores.
pub(crate) fn runtime_env(config: &EngineConfig, lake: &Lake) -> Result<Arc<RuntimeEnv>, EngineError> {
    let pool = TrackConsumersPool::new(
        SharedPool::new(config.memory_bytes_max).releasing(config.release_memory),
        CONSUMERS_NAMED,
    );
    let footers = lake.footers();
    let caches = CacheManagerConfig::default()
        .with_metadata_cache_limit(footers.cache_limit())
        .with_file_metadata_cache(Some(footers));
    Ok(RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(spill::disk(config)?)
        .with_object_store_registry(lake.stores())
        .with_cache_manager(caches)
        .build_arc()?)
}

/// What operators hold and what the process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryUsage {
    pub pool_used: usize,
    pub pool_limit: usize,
    /// Of the whole process; `None` where the system does not tell.
    pub resident: Option<usize>,
}

impl MemoryUsage {
    pub(crate) fn of(runtime: &RuntimeEnv) -> Self {
        let pool = &runtime.memory_pool;
        let pool_limit = match pool.memory_limit() {
            MemoryLimit::Finite(bytes) => bytes,
            MemoryLimit::Infinite | MemoryLimit::Unknown => usize::MAX,
        };
        let resident = Some(ProcessMemory::new(0).resident()).filter(|bytes| *bytes > 0);
        Self { pool_used: pool.reserved(), pool_limit, resident }
    }
}
