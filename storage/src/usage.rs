//! What a cache holds and how well it serves, in one form for all caches of the product.

/// One cache at one moment. Counts start with the process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheUsage {
    /// What the cache keeps, in a few words: `snapshots`, `parquet footers`, `hot copies`.
    pub name: &'static str,
    /// Where it keeps it: `memory` or a folder.
    pub place: String,
    pub entries: u64,
    pub bytes: u64,
    /// The most it may hold.
    pub bytes_max: u64,
    pub hits: u64,
    pub misses: u64,
    pub evictions: u64,
}
