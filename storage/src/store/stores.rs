//! Every store of a lake, opened on first use, one per scheme and host.

use std::{collections::HashMap, fmt, sync::Arc};

use datafusion::{
    error::{DataFusionError, Result as DataFusionResult},
    execution::object_store::ObjectStoreRegistry,
};
use object_store::{ObjectStore, memory::InMemory};
use parking_lot::Mutex;
use url::Url;

use super::{
    counted::{CountedStore, StoreCounts, StoreUsage},
    durable::DurableFolder,
    s3,
};
use crate::{StorageError, StorageOptions};

/// Wraps every store as it is opened: tests count requests and inject faults with it.
pub type StoreLayer = Arc<dyn Fn(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> + Send + Sync>;

/// The stores that a lake uses: its own and those of external locations.
pub struct Stores {
    options: StorageOptions,
    layer: Option<StoreLayer>,
    /// By `scheme://host`. As many as there are buckets that someone named.
    open: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
    counts: Arc<StoreCounts>,
}

impl Stores {
    pub(crate) fn new(options: StorageOptions, layer: Option<StoreLayer>) -> Self {
        Self { options, layer, open: Mutex::default(), counts: Arc::default() }
    }

    /// What all of them were asked for.
    pub(crate) fn usage(&self) -> StoreUsage {
        self.counts.usage()
    }

    /// The storage class of what is put into a bucket to lie there.
    pub(crate) fn cold_class(&self) -> &str {
        &self.options.cold_storage_class
    }

    /// The store of a URL, rooted at the file system or the bucket.
    pub(crate) fn get(&self, url: &Url) -> Result<Arc<dyn ObjectStore>, StorageError> {
        let key = key(url);
        let mut open = self.open.lock();
        if let Some(store) = open.get(&key) {
            return Ok(store.clone());
        }
        let mut store = self.connect(url)?;
        if let Some(layer) = &self.layer {
            store = layer(store);
        }
        let store: Arc<dyn ObjectStore> = Arc::new(CountedStore::new(store, &self.counts));
        open.insert(key, store.clone());
        Ok(store)
    }

    fn connect(&self, url: &Url) -> Result<Arc<dyn ObjectStore>, StorageError> {
        let invalid = |reason: &str| StorageError::InvalidUrl { url: url.to_string(), reason: reason.to_owned() };
        match (url.scheme(), url.host_str().unwrap_or_default()) {
            ("file", "") => Ok(Arc::new(DurableFolder::new())),
            ("file", _) => Err(invalid("a file URL names no host: write file:///folder")),
            ("memory", _) => Ok(Arc::new(InMemory::new())),
            ("s3" | "s3a", "") => Err(invalid("the bucket is missing: write s3://bucket/folder")),
            ("s3" | "s3a", bucket) => s3::open(bucket, &self.options.s3),
            ("http" | "https", _) => {
                Err(invalid("http is not a store of files here; put the files into a folder or a bucket"))
            }
            (scheme, _) => Err(invalid(&format!("unknown scheme \"{scheme}\"; known are file, s3, s3a and memory"))),
        }
    }
}

impl fmt::Debug for Stores {
    // Not derived: the options hold keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores").field("open", &self.open.lock().keys()).finish_non_exhaustive()
    }
}

impl ObjectStoreRegistry for Stores {
    /// The Delta library offers a private view per table (`delta-rs://`) before each write, for readers that are not used
    /// here. Keeping them would grow with every table, so only real stores are taken.
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        if url.scheme() == "delta-rs" {
            return None;
        }
        self.open.lock().insert(key(url), store)
    }

    fn deregister_store(&self, url: &Url) -> DataFusionResult<Arc<dyn ObjectStore>> {
        self.open
            .lock()
            .remove(&key(url))
            .ok_or_else(|| DataFusionError::Execution(format!("no store is open for \"{url}\"")))
    }

    fn get_store(&self, url: &Url) -> DataFusionResult<Arc<dyn ObjectStore>> {
        self.get(url).map_err(|e| DataFusionError::External(Box::new(e)))
    }
}

fn key(url: &Url) -> String {
    format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_opened_once_per_host_and_unknown_schemes_are_named() {
        let stores = Stores::new(StorageOptions::default(), None);
        let one = stores.get(&Url::parse("memory:///a/").unwrap()).unwrap();
        let two = stores.get(&Url::parse("memory:///b/").unwrap()).unwrap();
        assert!(Arc::ptr_eq(&one, &two));
        for (url, text) in [("ftp://x/y", "unknown scheme \"ftp\""), ("https://x/y", "http"), ("s3:///x", "bucket")] {
            let error = stores.get(&Url::parse(url).unwrap()).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }
}
