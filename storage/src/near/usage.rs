//! What the near tiers have, by table.

use crate::{Lake, TableCacheUsage};

impl Lake {
    /// What each near tier has of each table that was read in this process, by tier and table.
    pub fn table_cache_usages(&self) -> Vec<TableCacheUsage> {
        let hot = self.hot().map(|hot| hot.table_usages()).unwrap_or_default();
        let warm = self.warm().map(|blocks| blocks.table_usages()).unwrap_or_default();
        let mut usages: Vec<TableCacheUsage> = hot.into_iter().chain(warm).collect();
        usages.sort_by(|a, b| (a.tier.word(), &a.table).cmp(&(b.tier.word(), &b.table)));
        usages
    }
}
