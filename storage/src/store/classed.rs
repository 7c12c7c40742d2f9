//! A store that puts its objects under a storage class.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::{
    Attribute, Attributes, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, path::Path,
};

/// The store `inner`, whose new objects are of `class`. All else is as it is.
#[derive(Debug)]
pub(crate) struct ClassedStore {
    inner: Arc<dyn ObjectStore>,
    class: String,
}

impl ClassedStore {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, class: &str) -> Self {
        Self { inner, class: class.to_owned() }
    }

    fn classed(&self, mut attributes: Attributes) -> Attributes {
        attributes.insert(Attribute::StorageClass, self.class.clone().into());
        attributes
    }
}

impl fmt::Display for ClassedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.class, self.inner)
    }
}

#[async_trait]
impl ObjectStore for ClassedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let attributes = self.classed(opts.attributes);
        self.inner.put_opts(location, payload, PutOptions { attributes, ..opts }).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let attributes = self.classed(opts.attributes);
        self.inner.put_multipart_opts(location, PutMultipartOptions { attributes, ..opts }).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use object_store::{ObjectStoreExt, memory::InMemory};

    use super::*;

    #[tokio::test]
    async fn objects_and_uploads_are_of_the_class() {
        let inner = Arc::new(InMemory::new());
        let store = ClassedStore::new(inner.clone(), "STANDARD_IA");
        let (one, two) = (Path::from("one"), Path::from("two"));
        store.put(&one, "1".into()).await.unwrap();
        let mut upload = store.put_multipart(&two).await.unwrap();
        upload.put_part("2".into()).await.unwrap();
        upload.complete().await.unwrap();
        inner.put(&Path::from("other"), "3".into()).await.unwrap();
        for (path, expected) in [("one", Some("STANDARD_IA")), ("two", Some("STANDARD_IA")), ("other", None)] {
            let found = inner.get(&Path::from(path)).await.unwrap();
            assert_eq!(found.attributes.get(&Attribute::StorageClass).map(|class| class.as_ref()), expected, "{path}");
        }
    }
}
