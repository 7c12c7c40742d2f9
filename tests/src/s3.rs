//! A real S3 endpoint inside the test process, over a folder of its own, on a free port of the loopback.
//!
//! It checks signatures and knows ranges, multipart uploads and conditional writes. Its existence check for a conditional
//! write comes before the body is read, so two racing commits could both win; real stores decide in one step. Therefore
//! requests that change something run one at a time.

use std::{collections::BTreeSet, convert::Infallible, net::SocketAddr, sync::Arc, thread};

use boathouse_storage::{S3Options, StorageOptions};
use hyper::{HeaderMap, Method, Response, StatusCode, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use parking_lot::Mutex as Lock;
use s3s::{
    Body,
    auth::SimpleAuth,
    host::SingleDomain,
    service::{S3Service, S3ServiceBuilder},
};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::Mutex, sync::oneshot};

const ACCESS_KEY: &str = "test-key";
const SECRET_KEY: &str = "test-secret";
const BUCKET: &str = "lake";
/// The endpoint by a name, which nobody resolves: whoever takes [`TestS3::endpoint`] as its HTTP proxy comes here with it.
const DOMAIN: &str = "s3.test";
/// The headers that a test may ask for; and the region, from `AWS4-HMAC-SHA256 Credential=key/day/region/s3/...`.
const HEADERS: [&str; 2] = ["host", "x-amz-security-token"];

/// What the keys may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    All,
    Read,
    None,
}

/// The endpoint; gone with its data when dropped.
pub struct TestS3 {
    rights: Arc<Lock<Rights>>,
    seen: Arc<Lock<BTreeSet<String>>>,
    address: SocketAddr,
    folder: TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl TestS3 {
    /// Starts on a thread and a runtime of its own, so that it outlives and serves any test's runtime.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join(BUCKET)).expect("the bucket's folder");
        let mut service = S3ServiceBuilder::new(FileSystem::new(folder.path()).expect("the endpoint's folder"));
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        service.set_host(SingleDomain::new(DOMAIN).expect("a domain"));
        let service = service.build();
        let rights = Arc::new(Lock::new(Rights::All));
        let seen = Arc::default();
        let (granted, noted) = (rights.clone(), Arc::clone(&seen));
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
                tell.send(listener.local_addr().expect("the port")).expect("the starter waits");
                tokio::select! {
                    () = serve(listener, service, granted, noted) => {}
                    _ = stopped => {}
                }
            });
        });
        let address = told.recv().expect("the endpoint's address");
        Self { rights, seen, address, folder, stop: Some(stop), thread: Some(thread) }
    }

    /// Gives the keys these rights, from the next request on.
    pub fn grant(&self, rights: Rights) {
        *self.rights.lock() = rights;
    }

    /// `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The endpoint for virtual hosts, to be reached with [`TestS3::endpoint`] as HTTP proxy.
    pub fn named_endpoint(&self) -> String {
        format!("http://{DOMAIN}")
    }

    /// Whether a request came with this, as `name: value`: the header `host` or `x-amz-security-token`, or the `region`.
    pub fn has_seen(&self, header: &str) -> bool {
        self.seen.lock().contains(header)
    }

    /// The bucket that is there from the start.
    pub fn bucket(&self) -> &str {
        BUCKET
    }

    /// `s3://bucket/path`.
    pub fn url(&self, path: &str) -> String {
        format!("s3://{BUCKET}/{path}")
    }

    /// What a lake needs to reach it.
    pub fn options(&self) -> StorageOptions {
        StorageOptions {
            s3: S3Options {
                endpoint: Some(self.endpoint()),
                region: Some("us-east-1".into()),
                access_key_id: Some(ACCESS_KEY.into()),
                secret_access_key: Some(SECRET_KEY.into()),
                ..S3Options::default()
            },
            ..StorageOptions::default()
        }
    }

    /// Where the objects lie on disk, a folder per bucket.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

impl Drop for TestS3 {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(
    listener: TcpListener,
    service: S3Service,
    rights: Arc<Lock<Rights>>,
    seen: Arc<Lock<BTreeSet<String>>>,
) {
    let changes = Arc::new(Mutex::new(()));
    while let Ok((socket, _)) = listener.accept().await {
        let (service, changes, rights, seen) = (service.clone(), changes.clone(), rights.clone(), seen.clone());
        tokio::spawn(async move {
            let handler = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                let (service, changes, granted) = (service.clone(), changes.clone(), *rights.lock());
                note(request.headers(), &mut seen.lock());
                async move {
                    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
                    if granted == Rights::None || (granted == Rights::Read && !reads) {
                        return Ok(denied());
                    }
                    let _turn = if reads { None } else { Some(changes.lock().await) };
                    let answer = hyper::service::Service::call(&service, request).await;
                    Ok::<_, Infallible>(answer.expect("the endpoint answers errors as responses"))
                }
            });
            // A client that hangs up is none of the endpoint's business.
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), handler).await;
        });
    }
}

fn note(headers: &HeaderMap, seen: &mut BTreeSet<String>) {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    seen.extend(HEADERS.iter().filter_map(|name| Some(format!("{name}: {}", text(name)?))));
    let region = text("authorization").and_then(|text| text.split('/').nth(2));
    seen.extend(region.map(|region| format!("region: {region}")));
}

fn denied() -> Response<Body> {
    let text = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}
