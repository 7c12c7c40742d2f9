//! A store that notes which files are begun, so that a write that ends early can delete them. Uploads that are dropped
//! half-way are aborted: a bucket would keep their parts, and ask money for them, without showing them to anyone.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart, path::Path,
};
use parking_lot::Mutex;

#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) inner: Arc<dyn ObjectStore>,
    /// Paths that were put, or whose upload was begun.
    pub(super) begun: Arc<Mutex<Vec<Path>>>,
}

impl fmt::Display for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recorder({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Recorder {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.begun.lock().push(location.clone());
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.begun.lock().push(location.clone());
        let upload = self.inner.put_multipart_opts(location, opts).await?;
        Ok(Box::new(Begun { upload: Some(upload) }))
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

/// An upload that was not ended yet.
#[derive(Debug)]
struct Begun {
    /// Taken away when it ended.
    upload: Option<Box<dyn MultipartUpload>>,
}

impl Begun {
    fn upload(&mut self) -> Result<&mut Box<dyn MultipartUpload>> {
        self.upload.as_mut().ok_or_else(|| object_store::Error::Generic {
            store: "recorder",
            source: "the upload has ended already".into(),
        })
    }
}

#[async_trait]
impl MultipartUpload for Begun {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        match self.upload() {
            Ok(upload) => upload.put_part(data),
            Err(error) => Box::pin(async move { Err(error) }),
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let done = self.upload()?.complete().await?;
        self.upload = None;
        Ok(done)
    }

    async fn abort(&mut self) -> Result<()> {
        if let Some(upload) = &mut self.upload {
            upload.abort().await?;
        }
        self.upload = None;
        Ok(())
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let Some(mut upload) = self.upload.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if let Err(error) = upload.abort().await {
                tracing::warn!(%error, "could not abort the upload of a data file");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Noted(Arc<Mutex<Vec<&'static str>>>);

    #[async_trait]
    impl MultipartUpload for Noted {
        fn put_part(&mut self, _: PutPayload) -> UploadPart {
            self.0.lock().push("part");
            Box::pin(async { Ok(()) })
        }

        async fn complete(&mut self) -> Result<PutResult> {
            self.0.lock().push("complete");
            Ok(PutResult { e_tag: None, version: None })
        }

        async fn abort(&mut self) -> Result<()> {
            self.0.lock().push("abort");
            Ok(())
        }
    }

    async fn ended(end: impl AsyncFnOnce(&mut Begun)) -> Vec<&'static str> {
        let calls = Arc::<Mutex<Vec<_>>>::default();
        let mut upload = Begun { upload: Some(Box::new(Noted(calls.clone()))) };
        upload.put_part(PutPayload::from_static(b"rows")).await.unwrap();
        end(&mut upload).await;
        drop(upload);
        // The only other task of this runtime.
        tokio::task::yield_now().await;
        let calls = calls.lock();
        calls.clone()
    }

    #[tokio::test]
    async fn an_upload_that_is_dropped_is_aborted_and_no_other() {
        assert_eq!(ended(async |_| {}).await, ["part", "abort"]);
        assert_eq!(ended(async |upload| drop(upload.complete().await)).await, ["part", "complete"]);
        assert_eq!(ended(async |upload| upload.abort().await.unwrap()).await, ["part", "abort"]);
    }
}
