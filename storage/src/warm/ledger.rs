//! Whose blocks they are: what each table has near by, and what came of its reads.
//!
//! Counts begin with the process. A block that lies there since before is counted once it is read, when its table is known.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use parking_lot::Mutex;

use super::key::BlockKey;
use crate::{TableCacheUsage, near::Tier};

/// Tables that are told apart; of more, those that have nothing near by are forgotten.
const TABLES_MAX: usize = 4096;
/// Blocks that are counted before it is looked for the first time which of them are gone.
const BLOCKS_MIN: usize = 4096;
/// Who reads for no table that is told apart.
const NOBODY: TableMark = TableMark(0);

/// A table, as the ledger knows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct TableMark(u32);

/// Safe to call from many threads.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    marks: HashMap<Arc<str>, TableMark>,
    tables: HashMap<TableMark, Table>,
    last: u32,
    /// By hash.
    blocks: HashMap<u64, Owned>,
    /// So many blocks are too many to be all there.
    look_at: usize,
}

#[derive(Debug, Default)]
struct Table {
    name: Arc<str>,
    entries: u64,
    bytes: u64,
    hits: u64,
    misses: u64,
    evictions: u64,
}

#[derive(Debug)]
struct Owned {
    key: BlockKey,
    table: TableMark,
    bytes: u64,
}

impl Ledger {
    /// A table by its Delta id, and the name that it has now.
    pub fn mark(&self, id: &str, name: &str) -> TableMark {
        let mut state = self.0.lock();
        if let Some(mark) = state.marks.get(id).copied() {
            if let Some(table) = state.tables.get_mut(&mark).filter(|table| &*table.name != name) {
                table.name = name.into();
            }
            return mark;
        }
        if state.tables.len() >= TABLES_MAX {
            state.tables.retain(|_, table| table.entries > 0);
            let kept: HashSet<TableMark> = state.tables.keys().copied().collect();
            state.marks.retain(|_, mark| kept.contains(mark));
        }
        if state.tables.len() >= TABLES_MAX || state.last == u32::MAX {
            return NOBODY;
        }
        state.last += 1;
        let mark = TableMark(state.last);
        state.marks.insert(id.into(), mark);
        state.tables.insert(mark, Table { name: name.into(), ..Table::default() });
        mark
    }

    /// A block was looked for. Whether it is counted.
    pub fn asked(&self, table: TableMark, hash: u64, found: bool) -> bool {
        let mut state = self.0.lock();
        if let Some(table) = state.tables.get_mut(&table) {
            *(if found { &mut table.hits } else { &mut table.misses }) += 1;
        }
        state.blocks.contains_key(&hash)
    }

    /// A block is there. Whether it is time to look which of them are gone.
    pub fn came(&self, table: TableMark, hash: u64, key: &BlockKey, bytes: u64) -> bool {
        let mut state = self.0.lock();
        state.went(hash, false);
        if let Some(known) = state.tables.get_mut(&table) {
            (known.entries, known.bytes) = (known.entries + 1, known.bytes + bytes);
            state.blocks.insert(hash, Owned { key: key.clone(), table, bytes });
        }
        state.blocks.len() >= state.look_at.max(BLOCKS_MIN)
    }

    /// A block is gone; `evicted` when it was for want of room.
    pub fn went(&self, hash: u64, evicted: bool) {
        self.0.lock().went(hash, evicted);
    }

    /// Forgets the blocks that are gone.
    pub fn look(&self, is_there: impl Fn(&BlockKey) -> bool) {
        let mut state = self.0.lock();
        let gone = state.blocks.iter().filter(|(_, owned)| !is_there(&owned.key)).map(|(hash, _)| *hash);
        for hash in gone.collect::<Vec<_>>() {
            state.went(hash, false);
        }
        state.look_at = 2 * state.blocks.len();
    }

    /// What each table has, in no order.
    pub fn usages(&self) -> Vec<TableCacheUsage> {
        let state = self.0.lock();
        let usage = |table: &Table| TableCacheUsage {
            tier: Tier::Warm,
            table: table.name.to_string(),
            pinned: false,
            entries: table.entries,
            bytes: table.bytes,
            hits: table.hits,
            misses: table.misses,
            evictions: table.evictions,
            trouble: None,
        };
        state.tables.values().map(usage).collect()
    }
}

impl State {
    fn went(&mut self, hash: u64, evicted: bool) {
        let Some(owned) = self.blocks.remove(&hash) else { return };
        if let Some(table) = self.tables.get_mut(&owned.table) {
            table.entries = table.entries.saturating_sub(1);
            table.bytes = table.bytes.saturating_sub(owned.bytes);
            table.evictions += u64::from(evicted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::key::FileKey, *};

    fn key(number: u32) -> BlockKey {
        BlockKey { file: FileKey::new("s3://b/", "f", 1 << 30), number }
    }

    #[test]
    fn blocks_are_counted_by_table_until_they_are_gone() {
        let ledger = Ledger::default();
        let (a, b) = (ledger.mark("1", "s.a"), ledger.mark("2", "s.b"));
        for (mark, number) in [(a, 1), (a, 2), (b, 3), (a, 1)] {
            assert!(!ledger.came(mark, u64::from(number), &key(number), 10));
        }
        assert!(ledger.asked(a, 1, true) && !ledger.asked(a, 9, false));
        ledger.went(2, true);
        assert_eq!(ledger.mark("2", "s.renamed"), b);
        let usage = |table: &str, entries, hits, misses, evictions| TableCacheUsage {
            tier: Tier::Warm,
            table: table.into(),
            pinned: false,
            entries,
            bytes: 10 * entries,
            hits,
            misses,
            evictions,
            trouble: None,
        };
        let usages = || {
            let mut usages = ledger.usages();
            usages.sort_by(|a, b| a.table.cmp(&b.table));
            usages
        };
        assert_eq!(usages(), [usage("s.a", 1, 1, 1, 1), usage("s.renamed", 1, 0, 0, 0)]);
        ledger.look(|key| key.number == 3);
        assert_eq!(usages(), [usage("s.a", 0, 1, 1, 1), usage("s.renamed", 1, 0, 0, 0)]);
    }

    #[test]
    fn tables_with_nothing_near_by_give_way_and_blocks_are_looked_for_in_time() {
        let ledger = Ledger::default();
        let kept = ledger.mark("kept", "kept");
        ledger.came(kept, 0, &key(0), 10);
        for number in 1..TABLES_MAX {
            ledger.mark(&number.to_string(), "other");
        }
        assert_ne!(ledger.mark("new", "new"), NOBODY);
        assert_eq!(ledger.usages().len(), 2);
        let looks: Vec<u32> = (1..3 * BLOCKS_MIN as u32)
            .filter(|number| {
                let is_time = ledger.came(kept, u64::from(*number), &key(*number), 10);
                if is_time {
                    ledger.look(|_| true);
                }
                is_time
            })
            .collect();
        assert_eq!(looks.len(), 2, "{looks:?}");
    }
}
