//! What a cache holds and how well it serves, in one form for all caches of the product.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{near::Tier, store::StoreUsage};

/// One cache at one moment. Counts start with the process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheUsage {
    /// What the cache keeps, in a few words: `snapshots`, `parquet footers`, `hot copies`.
    pub name: &'static str,
    /// Where it keeps it: `memory` or a folder.
    pub place: String,
    /// `None` where nobody counts them.
    pub entries: Option<u64>,
    pub bytes: u64,
    /// The most it may hold.
    pub bytes_max: u64,
    pub hits: u64,
    pub misses: u64,
    pub evictions: u64,
    /// Whether its folder is out of use for now, and it keeps things in memory alone; `None` for a cache without a folder.
    pub disk_off: Option<bool>,
}

/// What a near tier has of one table at one moment, as far as it is known: counts start with the process, and what lies there
/// since before is counted once it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableCacheUsage {
    pub tier: Tier,
    /// `schema.table`, or the location of a table without a name.
    pub table: String,
    /// Its files, or those of an age, get copies and keep them.
    pub pinned: bool,
    /// Copies, or blocks.
    pub entries: u64,
    pub bytes: u64,
    pub hits: u64,
    pub misses: u64,
    pub evictions: u64,
    /// Why the tier keeps less than it should, where it does.
    pub trouble: Option<String>,
}

/// What a lake did since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LakeUsage {
    pub commits: CommitUsage,
    pub store: StoreUsage,
}

/// Versions of tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CommitUsage {
    pub committed: u64,
    /// Versions that another writer committed first. Many of them are followed by the next version, without more ado.
    pub conflicts: u64,
}

/// Counts of commits, kept by those who make them.
#[derive(Debug, Default)]
pub(crate) struct CommitCounts {
    committed: AtomicU64,
    conflicts: AtomicU64,
}

impl CommitCounts {
    /// A version was tried; it is ours, or a rival's.
    pub(crate) fn tried(&self, ours: bool) {
        let count = if ours { &self.committed } else { &self.conflicts };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn usage(&self) -> CommitUsage {
        CommitUsage {
            committed: self.committed.load(Ordering::Relaxed),
            conflicts: self.conflicts.load(Ordering::Relaxed),
        }
    }
}

/// Counts of one cache, kept by those who ask it.
#[derive(Debug, Default)]
pub struct CacheCounts {
    hits: AtomicU64,
    misses: AtomicU64,
    evictions: AtomicU64,
}

impl CacheCounts {
    /// One look into the cache.
    pub fn asked(&self, found: bool) {
        let count = if found { &self.hits } else { &self.misses };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// An entry is gone; `evicted` when it was for want of room.
    pub fn removed(&self, evicted: bool) {
        if evicted {
            self.evictions.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// `usage` with the counts so far.
    pub fn fill(&self, usage: CacheUsage) -> CacheUsage {
        CacheUsage {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            evictions: self.evictions.load(Ordering::Relaxed),
            ..usage
        }
    }
}
