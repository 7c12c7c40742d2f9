//! Plans of queries, by their text.
//!
//! A kept plan holds no table: its scans stand for names, and get the tables of the statement that uses it. So a plan
//! neither keeps an old snapshot in memory nor can it read one.

use std::sync::{Arc, OnceLock};

use boathouse_storage::{CacheCounts, CacheUsage};
use datafusion::{
    arrow::datatypes::SchemaRef,
    common::tree_node::{Transformed, TreeNodeRecursion},
    datasource::{provider_as_source, source_as_provider},
    error::{DataFusionError, Result},
    logical_expr::{LogicalPlan, TableSource},
};

use super::PlanKey;
use crate::catalog::{Dependency, Pinned, TableName};

/// What a plan takes for each byte of its text, by estimate, and at least: as it was written, and optimized.
const PLAN_BYTES_PER_BYTE: usize = 128;
const PLAN_BYTES: usize = 16 << 10;

/// A planned query, without its tables.
#[derive(Debug)]
pub(crate) struct KeptPlan {
    /// Analyzed, its scans detached.
    pub plan: LogicalPlan,
    pub schema: SchemaRef,
    /// What the names in it stood for when it was planned.
    pub names: Arc<[Dependency]>,
    /// Whether it gives the same rows on the same snapshots.
    pub fixed: bool,
    /// Made by the first run without parameters, of a fixed plan only.
    pub optimized: Optimized,
}

/// A plan as the optimizer left it, its scans detached. Shared by all who run it.
pub(crate) type Optimized = Arc<OnceLock<LogicalPlan>>;

/// The plans of one engine. Safe to use from many threads.
#[derive(Debug)]
pub(crate) struct Plans {
    plans: moka::sync::Cache<Arc<PlanKey>, Arc<KeptPlan>>,
    bytes_max: u64,
    counts: Arc<CacheCounts>,
}

impl Plans {
    /// 0 bytes keep nothing.
    pub fn new(bytes_max: u64) -> Self {
        let counts = Arc::new(CacheCounts::default());
        let evicted = counts.clone();
        let plans = moka::sync::Cache::builder()
            .max_capacity(bytes_max)
            .weigher(|key: &Arc<PlanKey>, plan: &Arc<KeptPlan>| {
                let text = key.text.len() + plan.names.iter().map(Dependency::text_bytes).sum::<usize>();
                u32::try_from(PLAN_BYTES + PLAN_BYTES_PER_BYTE * text).unwrap_or(u32::MAX)
            })
            .eviction_listener(move |_, _, cause| evicted.removed(cause.was_evicted()))
            .build();
        Self { plans, bytes_max, counts }
    }

    pub fn get(&self, key: &PlanKey) -> Option<Arc<KeptPlan>> {
        self.plans.get(key).filter(|_| self.bytes_max > 0)
    }

    /// A plan that does not hold any more.
    pub fn forget(&self, key: &PlanKey) {
        self.plans.invalidate(key);
    }

    /// Counts one statement: whether a kept plan held.
    pub fn asked(&self, held: bool) {
        self.counts.asked(held);
    }

    pub fn put(&self, key: Arc<PlanKey>, plan: KeptPlan) {
        self.plans.insert(key, Arc::new(plan));
        // At once, or what was inserted lately would come on top of the bound.
        self.plans.run_pending_tasks();
    }

    pub fn usage(&self) -> CacheUsage {
        self.plans.run_pending_tasks();
        let usage = CacheUsage {
            name: "plans",
            place: "memory".to_owned(),
            entries: Some(self.plans.entry_count()),
            bytes: self.plans.weighted_size(),
            bytes_max: self.bytes_max,
            ..CacheUsage::default()
        };
        self.counts.fill(usage)
    }
}

/// Stands for the table of a name.
struct Detached {
    name: TableName,
    schema: SchemaRef,
}

impl TableSource for Detached {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

/// The plan with names instead of tables; `None` when it scans something that `pinned` cannot name exactly.
pub(crate) fn detach(plan: LogicalPlan, pinned: &Pinned) -> Result<Option<LogicalPlan>> {
    let mut exact = true;
    let detached = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
        let Some(name) = source_as_provider(&scan.source).ok().and_then(|provider| pinned.exact_name(&provider)) else {
            exact = false;
            return Ok(Transformed::new(LogicalPlan::TableScan(scan), false, TreeNodeRecursion::Stop));
        };
        scan.source = Arc::new(Detached { name, schema: scan.source.schema() });
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    })?;
    Ok(exact.then_some(detached.data))
}

/// The plan on the tables that `pinned` holds under its names.
pub(crate) fn attach(plan: &LogicalPlan, pinned: &Pinned) -> Result<LogicalPlan> {
    let attached = plan.clone().transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
        let table = scan.source.downcast_ref::<Detached>().and_then(|detached| pinned.exact_provider(&detached.name));
        let table = table.ok_or_else(|| DataFusionError::Internal("a kept plan names no table".to_owned()))?;
        scan.source = provider_as_source(table);
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    })?;
    Ok(attached.data)
}
