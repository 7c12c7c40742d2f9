//! A store that counts what it is asked for.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart, path::Path,
};

/// Requests to all stores of a lake, since it was opened. Requests that the library sends again count once.
#[derive(Debug, Default)]
pub(crate) struct StoreCounts {
    get: AtomicU64,
    head: AtomicU64,
    put: AtomicU64,
    list: AtomicU64,
    delete: AtomicU64,
    copy: AtomicU64,
    failed: AtomicU64,
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
}

/// [`StoreCounts`] at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreUsage {
    pub get: u64,
    pub head: u64,
    /// Whole objects and parts of large ones.
    pub put: u64,
    /// Listings, however many pages they have.
    pub list: u64,
    pub delete: u64,
    pub copy: u64,
    /// Those of the above that failed otherwise than by saying that something is there, or is not.
    pub failed: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
}

impl StoreCounts {
    pub(crate) fn usage(&self) -> StoreUsage {
        let now = |count: &AtomicU64| count.load(Ordering::Relaxed);
        StoreUsage {
            get: now(&self.get),
            head: now(&self.head),
            put: now(&self.put),
            list: now(&self.list),
            delete: now(&self.delete),
            copy: now(&self.copy),
            failed: now(&self.failed),
            bytes_read: now(&self.bytes_read),
            bytes_written: now(&self.bytes_written),
        }
    }

    fn judge<T>(&self, result: &Result<T>) {
        use Error::{AlreadyExists, NotFound, NotModified, Precondition};
        if let Err(error) = result
            && !matches!(error, AlreadyExists { .. } | NotFound { .. } | NotModified { .. } | Precondition { .. })
        {
            add(&self.failed, 1);
        }
    }

    /// One request, as `count` counts it.
    async fn request<T>(&self, count: &AtomicU64, request: impl Future<Output = Result<T>>) -> Result<T> {
        add(count, 1);
        let result = request.await;
        self.judge(&result);
        result
    }
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

/// The store `inner`, counted.
#[derive(Debug)]
pub(super) struct CountedStore {
    inner: Arc<dyn ObjectStore>,
    counts: Arc<StoreCounts>,
}

impl CountedStore {
    pub(super) fn new(inner: Arc<dyn ObjectStore>, counts: &Arc<StoreCounts>) -> Self {
        Self { inner, counts: counts.clone() }
    }
}

impl fmt::Display for CountedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for CountedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        add(&self.counts.bytes_written, payload.content_length() as u64);
        self.counts.request(&self.counts.put, self.inner.put_opts(location, payload, opts)).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        Ok(Box::new(CountedUpload { inner, counts: self.counts.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.head {
            return self.counts.request(&self.counts.head, self.inner.get_opts(location, options)).await;
        }
        let result = self.counts.request(&self.counts.get, self.inner.get_opts(location, options)).await?;
        add(&self.counts.bytes_read, result.range.end.saturating_sub(result.range.start));
        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let parts = self.counts.request(&self.counts.get, self.inner.get_ranges(location, ranges)).await?;
        add(&self.counts.bytes_read, parts.iter().map(|part| part.len() as u64).sum());
        Ok(parts)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let counts = self.counts.clone();
        let deleted = self.inner.delete_stream(locations).inspect(move |result| {
            add(&counts.delete, 1);
            counts.judge(result);
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        add(&self.counts.list, 1);
        let counts = self.counts.clone();
        self.inner.list(prefix).inspect(move |result| counts.judge(result)).boxed()
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        add(&self.counts.list, 1);
        let counts = self.counts.clone();
        self.inner.list_with_offset(prefix, offset).inspect(move |result| counts.judge(result)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.counts.request(&self.counts.list, self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.counts.request(&self.counts.copy, self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.counts.request(&self.counts.copy, self.inner.rename_opts(from, to, options)).await
    }
}

/// A large object whose parts are counted.
#[derive(Debug)]
struct CountedUpload {
    inner: Box<dyn MultipartUpload>,
    counts: Arc<StoreCounts>,
}

#[async_trait]
impl MultipartUpload for CountedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let counts = self.counts.clone();
        add(&counts.bytes_written, data.content_length() as u64);
        let part = self.inner.put_part(data);
        Box::pin(async move { counts.request(&counts.put, part).await })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.inner.complete().await;
        self.counts.judge(&result);
        result
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests {
    use object_store::{ObjectStoreExt, PutMode, memory::InMemory};

    use super::*;

    #[tokio::test]
    async fn requests_are_counted_and_a_plain_no_is_no_failure() {
        let counts = Arc::new(StoreCounts::default());
        let store = CountedStore::new(Arc::new(InMemory::new()), &counts);
        let path = Path::from("a");
        store.put(&path, "12345".into()).await.unwrap();
        assert!(store.put_opts(&path, "1".into(), PutMode::Create.into()).await.is_err());
        assert_eq!(store.get_range(&path, 1..4).await.unwrap(), "234");
        assert_eq!(store.get_ranges(&path, &[0..1, 4..5]).await.unwrap(), ["1", "5"]);
        store.head(&path).await.unwrap();
        assert!(store.get(&Path::from("b")).await.is_err());
        store.copy(&path, &Path::from("c")).await.unwrap();
        assert_eq!(store.list(None).count().await, 2);
        store.delete(&path).await.unwrap();
        let mut upload = store.put_multipart(&path).await.unwrap();
        upload.put_part(vec![0; 10].into()).await.unwrap();
        upload.complete().await.unwrap();
        let expected = StoreUsage {
            get: 3,
            head: 1,
            put: 3,
            list: 1,
            delete: 1,
            copy: 1,
            failed: 0,
            bytes_read: 5,
            bytes_written: 16,
        };
        assert_eq!(counts.usage(), expected);
    }
}
