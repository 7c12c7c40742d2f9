//! Where the files of tables lie.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use boathouse_storage::{
    Snapshot, Tier,
    maintain::{self, PartitionTiers, TierPolicy},
};

use super::{LOCAL_CLASS, STANDARD_CLASS};
use crate::{Engine, EngineError};

/// The tiers of one table at its newest version.
#[derive(Debug, Clone)]
pub struct TableTiers {
    /// `schema.table`
    pub table: String,
    /// What the table says; an error in words where another writer has made nonsense of it.
    pub policy: Result<Option<TierPolicy>, String>,
    /// In the order of their values; of a table without partitions the whole table, when it has files.
    pub partitions: Vec<PartitionTiers>,
    /// The storage class of its warm files, and of cold ones of which no commit says another: those of now.
    pub warm_class: String,
    pub cold_class: String,
    /// Whether there is a place for hot copies here.
    pub has_hot: bool,
}

impl TableTiers {
    pub(super) fn of(engine: &Engine, table: &Snapshot, now_ms: i64) -> Result<Self, EngineError> {
        let policy = TierPolicy::of(table);
        let of_policy = policy.as_ref().ok().and_then(Option::as_ref);
        let (warm, cold) = match engine.lake().cold_storage_class(table.location()) {
            Some(class) => (STANDARD_CLASS, class),
            None => (LOCAL_CLASS, LOCAL_CLASS),
        };
        Ok(Self {
            table: table.name().to_owned(),
            partitions: maintain::tiers_of(engine.lake(), table, of_policy, now_ms)?,
            policy,
            warm_class: warm.to_owned(),
            cold_class: cold.to_owned(),
            has_hot: engine.lake().near_tiers().contains(&Tier::Hot),
        })
    }
}

impl Engine {
    /// The tiers of all tables of the lake, or of one, given as `schema.table` or by its name in `main`. `NotFound` for a
    /// table that is not there; those that cannot be read are left out of all. `now_ms`: milliseconds since 1970, UTC.
    pub async fn tiers(&self, table: Option<&str>, now_ms: i64) -> Result<Vec<TableTiers>, EngineError> {
        let tables = self.tables_for_tiers(table).await?;
        let mut all = Vec::with_capacity(tables.len());
        for of in tables {
            match TableTiers::of(self, &of, now_ms) {
                Err(error) if table.is_none() => tracing::debug!(table = of.name(), %error, "a table without tiers"),
                found => all.push(found?),
            }
        }
        Ok(all)
    }

    pub(super) async fn tables_for_tiers(&self, table: Option<&str>) -> Result<Vec<Arc<Snapshot>>, EngineError> {
        let lake = self.lake();
        if let Some(name) = table {
            let (schema, name) = name.split_once('.').unwrap_or(("main", name));
            return Ok(vec![lake.table(schema, name).await?]);
        }
        let mut tables = Vec::new();
        for schema in lake.schemas().await? {
            for name in lake.tables(&schema).await? {
                match lake.table(&schema, &name).await {
                    Ok(table) => tables.push(table),
                    Err(error) => tracing::debug!(schema, name, %error, "a table that cannot be read has no tiers"),
                }
            }
        }
        Ok(tables)
    }
}

/// Milliseconds since 1970, UTC.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
