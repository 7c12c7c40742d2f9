//! How often copies were looked for, and went, by table. Counts begin with the process.

use std::collections::HashMap;

use crate::{CacheUsage, TableCacheUsage, near::Tier};

/// Tables that are told apart; those that come later are counted with all.
const TABLES_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Counts {
    all: Asked,
    /// By Delta id.
    tables: HashMap<String, Table>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Asked {
    hits: u64,
    misses: u64,
    evictions: u64,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    name: String,
    asked: Asked,
}

impl Counts {
    /// A file of a table, which has this name now, was looked for.
    pub(super) fn asked(&mut self, table: &str, name: &str, found: bool) {
        self.all.asked(found);
        if let Some(known) = self.know(table, name) {
            known.asked.asked(found);
        }
    }

    /// A table is told of from now on, read or not.
    pub(super) fn know(&mut self, table: &str, name: &str) -> Option<&mut Table> {
        if !self.tables.contains_key(table) && self.tables.len() < TABLES_MAX {
            self.tables.insert(table.to_owned(), Table::default());
        }
        let known = self.tables.get_mut(table)?;
        if known.name != name {
            name.clone_into(&mut known.name);
        }
        Some(known)
    }

    pub(super) fn forget(&mut self, table: &str) {
        self.tables.remove(table);
    }

    /// A copy made room for others.
    pub(super) fn evicted(&mut self, table: Option<&str>) {
        self.all.evictions += 1;
        if let Some(known) = table.and_then(|table| self.tables.get_mut(table)) {
            known.asked.evictions += 1;
        }
    }

    /// The counts of all, and nothing else.
    pub(super) fn all(&self) -> CacheUsage {
        let Asked { hits, misses, evictions } = self.all;
        CacheUsage { hits, misses, evictions, ..CacheUsage::default() }
    }

    /// A usage for each table; `held` tells by its id how many copies there are, their bytes, and whether it is pinned.
    pub(super) fn usages(&self, held: impl Fn(&str) -> ((u64, u64), bool)) -> Vec<TableCacheUsage> {
        let usage = |(id, table): (&String, &Table)| {
            let ((entries, bytes), pinned) = held(id);
            let Asked { hits, misses, evictions } = table.asked;
            let table = table.name.clone();
            TableCacheUsage { tier: Tier::Hot, table, pinned, entries, bytes, hits, misses, evictions, trouble: None }
        };
        self.tables.iter().map(usage).collect()
    }
}

impl Asked {
    fn asked(&mut self, found: bool) {
        *(if found { &mut self.hits } else { &mut self.misses }) += 1;
    }
}
