//! A real S3 endpoint inside the test process, over a folder of its own, on a free port of the loopback.
//!
//! It checks signatures and knows ranges, multipart uploads and conditional writes. Its existence check for a conditional
//! write comes before the body is read, so two racing commits could both win; real stores decide in one step. Therefore
//! requests that change something run one at a time.

use std::{collections::BTreeSet, io, net::SocketAddr, sync::Arc, thread};

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
const COLD_CLASS: &str = "REDUCED_REDUNDANCY";
const BUCKET: &str = "lake";
/// The endpoint by a name, which nobody resolves: whoever takes [`TestS3::endpoint`] as its HTTP proxy comes here with it.
const DOMAIN: &str = "s3.test";
/// The headers that a test may ask for; and the region, from `AWS4-HMAC-SHA256 Credential=key/day/region/s3/...`.
const HEADERS: [&str; 3] = ["host", "x-amz-security-token", "x-amz-storage-class"];

/// What the keys may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    All,
    Read,
    None,
}

/// Requests that fail: one in so many, picked by a seed. Half of them are carried out all the same, and the client is told
/// of a fault of the server or of nothing at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults {
    pub seed: u64,
    pub one_in: u64,
}

/// What happens to a request that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// 503, before anything happened.
    Refused,
    /// 500, after it was carried out.
    Denied,
    /// Carried out, and the connection ends without an answer.
    AnswerLost,
}

/// The faults to come, and how many there were.
#[derive(Debug, Default)]
struct Weather {
    faults: Option<Faults>,
    requests: u64,
    injected: u64,
}

impl Weather {
    fn next(&mut self) -> Option<Fault> {
        let Faults { seed, one_in } = self.faults?;
        self.requests += 1;
        // SplitMix64: numbers of neighbours have nothing in common.
        let mut n = seed.wrapping_mul(0x1_0000_0001).wrapping_add(self.requests.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        n ^= n >> 31;
        if !n.is_multiple_of(one_in) {
            return None;
        }
        self.injected += 1;
        Some([Fault::Refused, Fault::Refused, Fault::Denied, Fault::AnswerLost][(n >> 32) as usize % 4])
    }
}

/// The endpoint; gone with its data when dropped.
pub struct TestS3 {
    rights: Arc<Lock<Rights>>,
    weather: Arc<Lock<Weather>>,
    seen: Arc<Lock<BTreeSet<String>>>,
    archived: Arc<Lock<Option<String>>>,
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
        let weather = Arc::new(Lock::new(Weather::default()));
        let (seen, archived) = (Arc::default(), Archived::default());
        let (granted, noted, fated) = (rights.clone(), Arc::clone(&seen), weather.clone());
        let restored = archived.clone();
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
                tell.send(listener.local_addr().expect("the port")).expect("the starter waits");
                tokio::select! {
                    () = serve(listener, service, granted, fated, (noted, restored)) => {}
                    _ = stopped => {}
                }
            });
        });
        let address = told.recv().expect("the endpoint's address");
        Self { rights, weather, seen, archived, address, folder, stop: Some(stop), thread: Some(thread) }
    }

    /// Gives the keys these rights, from the next request on.
    pub fn grant(&self, rights: Rights) {
        *self.rights.lock() = rights;
    }

    /// Lets requests fail from the next one on, or lets all be.
    pub fn set_faults(&self, faults: Option<Faults>) {
        self.weather.lock().faults = faults;
    }

    /// Lets objects lie in an archive whose paths hold this text, or brings all back.
    pub fn archive(&self, text: Option<&str>) {
        *self.archived.lock() = text.map(str::to_owned);
    }

    /// How many requests have failed.
    pub fn faults_injected(&self) -> u64 {
        self.weather.lock().injected
    }

    /// `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The endpoint for virtual hosts, to be reached with [`TestS3::endpoint`] as HTTP proxy.
    pub fn named_endpoint(&self) -> String {
        format!("http://{DOMAIN}")
    }

    /// Whether a request came with this, as `name: value`: the header `host`, `x-amz-security-token` or `x-amz-storage-class`, or
    /// the `region`.
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
            // The endpoint knows this class and STANDARD.
            cold_storage_class: COLD_CLASS.into(),
            ..StorageOptions::default()
        }
    }

    /// Whether an object was put under the cold storage class.
    pub fn has_cold_objects(&self) -> bool {
        self.has_seen(&format!("x-amz-storage-class: {COLD_CLASS}"))
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

/// A part of the paths of objects that lie in an archive.
type Archived = Arc<Lock<Option<String>>>;

async fn serve(
    listener: TcpListener,
    service: S3Service,
    rights: Arc<Lock<Rights>>,
    weather: Arc<Lock<Weather>>,
    (seen, archived): (Arc<Lock<BTreeSet<String>>>, Archived),
) {
    let changes = Arc::new(Mutex::new(()));
    while let Ok((socket, _)) = listener.accept().await {
        let (service, changes, rights, seen) = (service.clone(), changes.clone(), rights.clone(), seen.clone());
        let (weather, archived) = (weather.clone(), archived.clone());
        tokio::spawn(async move {
            let handler = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                let (service, changes, granted) = (service.clone(), changes.clone(), *rights.lock());
                let fault = weather.lock().next();
                let is_archived = *request.method() == Method::GET
                    && archived.lock().as_ref().is_some_and(|text| request.uri().path().contains(text.as_str()));
                note(request.headers(), &mut seen.lock());
                async move {
                    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
                    if granted == Rights::None || (granted == Rights::Read && !reads) {
                        return Ok(failure(StatusCode::FORBIDDEN, "AccessDenied"));
                    }
                    if is_archived {
                        return Ok(failure(StatusCode::FORBIDDEN, "InvalidObjectState"));
                    }
                    if fault == Some(Fault::Refused) {
                        return Ok(failure(StatusCode::SERVICE_UNAVAILABLE, "SlowDown"));
                    }
                    let _turn = if reads { None } else { Some(changes.lock().await) };
                    let answer = hyper::service::Service::call(&service, request).await;
                    let answer = answer.expect("the endpoint answers errors as responses");
                    match fault {
                        Some(Fault::Denied) => Ok(failure(StatusCode::INTERNAL_SERVER_ERROR, "InternalError")),
                        Some(Fault::AnswerLost) => Err(io::Error::other("the answer is lost")),
                        _ => Ok(answer),
                    }
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

fn failure(status: StatusCode, code: &str) -> Response<Body> {
    let text = format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>");
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}
