//! Footers of Parquet files with their page indexes, read once and kept by what they are.
//!
//! ```text
//! scan -> FooterReaders (one store) -> key: scheme, host, path, e-tag -> FooterCache -> the store
//! ```
//!
//! The library knows a footer by its path alone and takes it for good while size and time of the file are the same. Two
//! stores may hold equal paths, so here the store and, where it is known, the e-tag are part of the key. A footer is read
//! together with the file's column and offset index, and both count towards the bound.

use std::sync::Arc;

use datafusion::{
    common::{HashMap, Result, TableReference},
    datasource::{
        listing::PartitionedFile,
        physical_plan::{
            ParquetFileReaderFactory,
            parquet::{CachedParquetFileReaderFactory, metadata::DFParquetMetadata},
        },
    },
    execution::{
        cache::{
            Cache, CacheEntryInfo,
            cache_manager::{CachedFileMetadataEntry, FileMetadataCache},
        },
        object_store::ObjectStoreUrl,
        runtime_env::RuntimeEnv,
    },
    physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricType},
};
use object_store::{
    ObjectMeta, ObjectStore,
    path::{Path, PathPart},
};
use parquet::arrow::async_reader::AsyncFileReader;

use super::{
    Snapshot,
    paged::Paged,
    report::{BYTES_FETCHED, BYTES_WARM, REQUESTS},
};
use crate::{
    usage::{CacheCounts, CacheUsage},
    warm::{Blocks, Keep, Meters, TableMark, WarmFile},
};

/// What a key and the bookkeeping of an entry take besides the footer.
const ENTRY_BYTES: usize = 512;

/// Footers of one process, bounded in bytes. Safe to call from many threads.
pub struct FooterCache {
    entries: moka::sync::Cache<Path, CachedFileMetadataEntry>,
    bytes_max: u64,
    counts: Arc<CacheCounts>,
}

impl FooterCache {
    pub fn new(bytes_max: u64) -> Arc<Self> {
        let counts = Arc::new(CacheCounts::default());
        let evicted = counts.clone();
        let entries = moka::sync::Cache::builder()
            .max_capacity(bytes_max)
            .weigher(|key: &Path, entry: &CachedFileMetadataEntry| {
                let bytes = ENTRY_BYTES + key.as_ref().len() + entry.file_metadata.memory_size();
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .eviction_listener(move |_, _, cause| evicted.removed(cause.was_evicted()))
            .build();
        Arc::new(Self { entries, bytes_max, counts })
    }

    pub fn usage(&self) -> CacheUsage {
        self.entries.run_pending_tasks();
        let usage = CacheUsage {
            name: "parquet footers",
            place: "memory".to_owned(),
            entries: Some(self.entries.entry_count()),
            bytes: self.entries.weighted_size(),
            bytes_max: self.bytes_max,
            ..CacheUsage::default()
        };
        self.counts.fill(usage)
    }
}

impl std::fmt::Debug for FooterCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FooterCache").field("entries", &self.entries.entry_count()).finish_non_exhaustive()
    }
}

impl Cache<Path, CachedFileMetadataEntry> for FooterCache {
    fn get(&self, key: &Path) -> Option<CachedFileMetadataEntry> {
        let found = self.entries.get(key);
        self.counts.asked(found.is_some());
        found
    }

    fn put(&self, key: &Path, value: CachedFileMetadataEntry) -> Option<CachedFileMetadataEntry> {
        // What was there before is of no use to any caller.
        if self.bytes_max > 0 {
            self.entries.insert(key.clone(), value);
            // At once, or what was inserted lately would come on top of the bound.
            self.entries.run_pending_tasks();
        }
        None
    }

    fn remove(&self, key: &Path) -> Option<CachedFileMetadataEntry> {
        self.entries.remove(key)
    }

    fn contains_key(&self, key: &Path) -> bool {
        self.entries.contains_key(key)
    }

    fn len(&self) -> usize {
        usize::try_from(self.entries.entry_count()).unwrap_or(usize::MAX)
    }

    fn clear(&self) {
        self.entries.invalidate_all();
    }

    fn name(&self) -> String {
        "parquet footers".to_owned()
    }

    fn cache_limit(&self) -> usize {
        usize::try_from(self.bytes_max).unwrap_or(usize::MAX)
    }

    /// The bound is given when the cache is made; the library repeats it here.
    fn update_cache_limit(&self, _: usize) {}

    fn cache_ttl(&self) -> Option<std::time::Duration> {
        None
    }

    /// Nothing goes stale by time.
    fn update_cache_ttl(&self, _: Option<std::time::Duration>) {}

    fn drop_table_entries(&self, _: &TableReference) -> Result<()> {
        Ok(())
    }

    fn list_entries(&self) -> HashMap<Path, CacheEntryInfo<CachedFileMetadataEntry>> {
        self.entries
            .iter()
            .map(|(key, value)| {
                let size_bytes = value.file_metadata.memory_size();
                ((*key).clone(), CacheEntryInfo { value, size_bytes, hits: 0, expires: None })
            })
            .collect()
    }
}

/// Opens the Parquet files of one store, with their footers from the cache of a runtime.
#[derive(Debug)]
pub struct FooterReaders {
    store: Arc<dyn ObjectStore>,
    url: ObjectStoreUrl,
    footers: Arc<FileMetadataCache>,
    /// For files of a store that is far.
    far: Option<(Option<Arc<Blocks>>, TableMark, Keep)>,
}

impl FooterReaders {
    /// For the store that `runtime` has under a URL.
    pub fn of(runtime: &RuntimeEnv, url: &ObjectStoreUrl) -> Result<Arc<Self>> {
        let (store, footers) = (runtime.object_store(url)?, runtime.cache_manager.get_file_metadata_cache());
        Ok(Arc::new(Self { store, url: url.clone(), footers, far: None }))
    }

    /// For data files of a table, which never change under their names: what is kept of them near by is read there.
    pub(crate) fn of_data_files(
        runtime: &RuntimeEnv,
        url: &ObjectStoreUrl,
        table: &Snapshot,
        keep: Keep,
    ) -> Result<Arc<Self>> {
        let (store, footers) = (runtime.object_store(url)?, runtime.cache_manager.get_file_metadata_cache());
        // A folder is as near as its blocks would be.
        let far = (!url.as_str().starts_with("file:")).then(|| {
            let warm = table.warm().cloned();
            let mark = warm.as_ref().map(|blocks| blocks.mark(table.id(), table.name())).unwrap_or_default();
            (warm, mark, keep)
        });
        Ok(Arc::new(Self { store, url: url.clone(), footers, far }))
    }

    /// The store that one file is read from.
    fn store_of(&self, file: &ObjectMeta, meters: impl FnOnce() -> Meters) -> Arc<dyn ObjectStore> {
        let Some((blocks, table, keep)) = &self.far else { return self.store.clone() };
        let (blocks, store) = (blocks.clone(), self.store.clone());
        Arc::new(WarmFile::new((blocks, *table), store, self.url.as_str(), file.clone(), keep.clone(), meters()))
    }

    /// The footer of one file, about to be read.
    pub fn footer<'a>(&'a self, file: &'a ObjectMeta) -> DFParquetMetadata<'a> {
        let footers = Scoped::new(&self.footers, &self.url, file.e_tag.as_deref());
        DFParquetMetadata::new(self.store.as_ref(), file).with_file_metadata_cache(Some(Arc::new(footers)))
    }
}

impl ParquetFileReaderFactory for FooterReaders {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let footers = Scoped::new(&self.footers, &self.url, file.object_meta.e_tag.as_deref());
        let store = self.store_of(&file.object_meta, || meters(metrics, partition_index));
        let readers = CachedParquetFileReaderFactory::new(store, Arc::new(footers));
        Ok(Paged::of(&file, readers.create_reader(partition_index, file.clone(), metadata_size_hint, metrics)?))
    }
}

/// What the readers of a scan's partition get from where, among the metrics of the scan.
fn meters(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Meters {
    let count = |name| MetricBuilder::new(metrics).with_type(MetricType::Summary).counter(name, partition);
    Meters { warm: count(BYTES_WARM), store: count(BYTES_FETCHED), requests: count(REQUESTS) }
}

/// A cache of footers as the files of one store, at one e-tag, see it.
struct Scoped {
    footers: Arc<FileMetadataCache>,
    scope: [PathPart<'static>; 3],
}

impl Scoped {
    fn new(footers: &Arc<FileMetadataCache>, url: &ObjectStoreUrl, e_tag: Option<&str>) -> Self {
        let url: &url::Url = url.as_ref();
        // Three parts always, none of them empty, so that no scope runs into a path.
        let scope = [
            PathPart::from(url.scheme().to_owned()),
            PathPart::from(format!("@{}", url.host_str().unwrap_or_default())),
            PathPart::from(e_tag.map_or_else(|| "-".to_owned(), |tag| format!("={tag}"))),
        ];
        Self { footers: footers.clone(), scope }
    }

    fn key(&self, path: &Path) -> Path {
        self.scope.iter().cloned().chain(path.parts()).collect()
    }
}

impl Cache<Path, CachedFileMetadataEntry> for Scoped {
    fn get(&self, key: &Path) -> Option<CachedFileMetadataEntry> {
        self.footers.get(&self.key(key))
    }

    fn put(&self, key: &Path, value: CachedFileMetadataEntry) -> Option<CachedFileMetadataEntry> {
        self.footers.put(&self.key(key), value)
    }

    fn remove(&self, key: &Path) -> Option<CachedFileMetadataEntry> {
        self.footers.remove(&self.key(key))
    }

    fn contains_key(&self, key: &Path) -> bool {
        self.footers.contains_key(&self.key(key))
    }

    fn len(&self) -> usize {
        self.footers.len()
    }

    fn clear(&self) {
        self.footers.clear();
    }

    fn name(&self) -> String {
        self.footers.name()
    }

    fn cache_limit(&self) -> usize {
        self.footers.cache_limit()
    }

    fn update_cache_limit(&self, limit: usize) {
        self.footers.update_cache_limit(limit);
    }

    fn cache_ttl(&self) -> Option<std::time::Duration> {
        self.footers.cache_ttl()
    }

    fn update_cache_ttl(&self, ttl: Option<std::time::Duration>) {
        self.footers.update_cache_ttl(ttl);
    }

    fn drop_table_entries(&self, table: &TableReference) -> Result<()> {
        self.footers.drop_table_entries(table)
    }

    fn list_entries(&self) -> HashMap<Path, CacheEntryInfo<CachedFileMetadataEntry>> {
        self.footers.list_entries()
    }
}
