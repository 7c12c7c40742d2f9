//! A store that writes down every request and can be told to fail some of them.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use boathouse_storage::store::StoreLayer;
use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path,
};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The kinds of requests that cost something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    Get,
    Head,
    List,
    Put,
    /// A put that must not overwrite.
    Create,
    Multipart,
    Delete,
    Copy,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub kind: RequestKind,
    pub path: String,
}

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Served,
    /// Fails before anything happened.
    Refused,
    /// Is carried out, but its answer is an error.
    AnswerLost,
    /// Waits until the rules change, for what is read; any other request fails.
    Held,
    /// Is refused as S3 refuses to read what lies in an archive.
    Archived,
    /// Is carried out twice, as after a lost answer that the client did not notice: the second answer counts.
    Repeated,
}

type Rule = Box<dyn FnMut(&Request) -> Fate + Send>;

/// Requests and rules of one or more stores.
#[derive(Default)]
pub struct RequestLog {
    requests: Mutex<Vec<Request>>,
    rule: Mutex<Option<Rule>>,
    changed: Notify,
}

impl RequestLog {
    /// The wrapper to open a lake with.
    pub fn layer(self: &Arc<Self>) -> StoreLayer {
        let log = self.clone();
        Arc::new(move |inner| Arc::new(WatchedStore { inner, log: log.clone() }))
    }

    /// The requests since the last call.
    pub fn take(&self) -> Vec<Request> {
        std::mem::take(&mut self.requests.lock())
    }

    /// Decides on every request from now on.
    pub fn set_rule(&self, rule: impl FnMut(&Request) -> Fate + Send + 'static) {
        *self.rule.lock() = Some(Box::new(rule));
        self.reconsider();
    }

    pub fn clear_rule(&self) {
        *self.rule.lock() = None;
        self.reconsider();
    }

    /// Decides again on the requests that are held.
    pub fn reconsider(&self) {
        self.changed.notify_waiters();
    }

    /// The fate of a request that may be held.
    async fn decided(&self, kind: RequestKind, path: &Path) -> Fate {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            match self.note(kind, Some(path)) {
                Fate::Held => changed.await,
                fate => return fate,
            }
        }
    }

    fn note(&self, kind: RequestKind, path: Option<&Path>) -> Fate {
        let request = Request { kind, path: path.map(ToString::to_string).unwrap_or_default() };
        let fate = self.rule.lock().as_mut().map_or(Fate::Served, |rule| rule(&request));
        self.requests.lock().push(request);
        fate
    }
}

impl fmt::Debug for RequestLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestLog").field("requests", &self.requests.lock().len()).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct WatchedStore {
    inner: Arc<dyn ObjectStore>,
    log: Arc<RequestLog>,
}

impl fmt::Display for WatchedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WatchedStore({})", self.inner)
    }
}

fn injected() -> Error {
    Error::Generic { store: "test", source: "injected failure".into() }
}

fn archived(location: &Path) -> Error {
    let text = "Server returned non-2xx status code: 403 Forbidden: <Error><Code>InvalidObjectState</Code></Error>";
    Error::PermissionDenied { path: location.to_string(), source: text.into() }
}

#[async_trait]
impl ObjectStore for WatchedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let kind = if opts.mode == PutMode::Create { RequestKind::Create } else { RequestKind::Put };
        match self.log.note(kind, Some(location)) {
            Fate::Served => self.inner.put_opts(location, payload, opts).await,
            Fate::Refused | Fate::Held | Fate::Archived => Err(injected()),
            Fate::AnswerLost => {
                self.inner.put_opts(location, payload, opts).await?;
                Err(injected())
            }
            Fate::Repeated => {
                self.inner.put_opts(location, payload.clone(), opts.clone()).await?;
                self.inner.put_opts(location, payload, opts).await
            }
        }
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        match self.log.note(RequestKind::Multipart, Some(location)) {
            Fate::Served => self.inner.put_multipart_opts(location, opts).await,
            _ => Err(injected()),
        }
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let kind = if options.head { RequestKind::Head } else { RequestKind::Get };
        match self.log.decided(kind, location).await {
            Fate::Served => self.inner.get_opts(location, options).await,
            Fate::Archived => Err(archived(location)),
            _ => Err(injected()),
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        match self.log.decided(RequestKind::Get, location).await {
            Fate::Served => self.inner.get_ranges(location, ranges).await,
            Fate::Archived => Err(archived(location)),
            _ => Err(injected()),
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let log = self.log.clone();
        let allowed = locations.map(move |location| {
            let location = location?;
            match log.note(RequestKind::Delete, Some(&location)) {
                Fate::Served => Ok(location),
                _ => Err(injected()),
            }
        });
        self.inner.delete_stream(allowed.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.log.note(RequestKind::List, prefix) {
            Fate::Served => self.inner.list(prefix),
            _ => futures::stream::iter([Err(injected())]).boxed(),
        }
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.log.note(RequestKind::List, prefix) {
            Fate::Served => self.inner.list_with_offset(prefix, offset),
            _ => futures::stream::iter([Err(injected())]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        match self.log.note(RequestKind::List, prefix) {
            Fate::Served => self.inner.list_with_delimiter(prefix).await,
            _ => Err(injected()),
        }
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        match self.log.note(RequestKind::Copy, Some(to)) {
            Fate::Served => self.inner.copy_opts(from, to, options).await,
            _ => Err(injected()),
        }
    }
}
