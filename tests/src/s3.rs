//! A real S3 endpoint inside the test process, over a folder of its own, on a free port of the loopback.
//!
//! It checks signatures and knows ranges, multipart uploads and conditional writes. Its existence check for a conditional
//! write comes before the body is read, so two racing commits could both win; real stores decide in one step. Therefore
//! requests that change something run one at a time.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, thread};

use boathouse_storage::{S3Options, StorageOptions};
use hyper::{Method, Response, StatusCode, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use parking_lot::Mutex as Lock;
use s3s::{
    Body,
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::Mutex, sync::oneshot};

const ACCESS_KEY: &str = "test-key";
const SECRET_KEY: &str = "test-secret";
const BUCKET: &str = "lake";

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
        let service = service.build();
        let rights = Arc::new(Lock::new(Rights::All));
        let granted = rights.clone();
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
                tell.send(listener.local_addr().expect("the port")).expect("the starter waits");
                tokio::select! {
                    () = serve(listener, service, granted) => {}
                    _ = stopped => {}
                }
            });
        });
        let address = told.recv().expect("the endpoint's address");
        Self { rights, address, folder, stop: Some(stop), thread: Some(thread) }
    }

    /// Gives the keys these rights, from the next request on.
    pub fn grant(&self, rights: Rights) {
        *self.rights.lock() = rights;
    }

    /// `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
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

async fn serve(listener: TcpListener, service: S3Service, rights: Arc<Lock<Rights>>) {
    let changes = Arc::new(Mutex::new(()));
    while let Ok((socket, _)) = listener.accept().await {
        let (service, changes, rights) = (service.clone(), changes.clone(), rights.clone());
        tokio::spawn(async move {
            let handler = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                let (service, changes, granted) = (service.clone(), changes.clone(), *rights.lock());
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

fn denied() -> Response<Body> {
    let text = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}
