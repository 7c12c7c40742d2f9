//! The certificates that are in use, read anew when their files change.

use std::{
    collections::BTreeMap,
    fmt, fs,
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::{Mutex, RwLock};
use rustls::{ServerConfig, pki_types::CertificateDer};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval},
};
use tokio_rustls::TlsAcceptor;

use super::{TlsError, TlsFiles, subject};

/// What the HTTP port speaks.
const HTTP: &[u8] = b"http/1.1";

/// How a file looks from outside.
type Stamp = Option<(SystemTime, u64)>;

/// The TLS of a server. Safe to use from many tasks.
pub struct Tls {
    files: TlsFiles,
    /// By the subject of a client's certificate, as RFC 4514 writes it.
    users: BTreeMap<String, Arc<str>>,
    current: RwLock<Current>,
    /// Of the files when they were last looked at, whatever was found.
    stamps: Mutex<Vec<Stamp>>,
}

/// What is in use.
struct Current {
    flight: TlsAcceptor,
    /// The same for the HTTP port, which speaks another protocol.
    http: TlsAcceptor,
    certificate: CertificateDer<'static>,
}

impl Current {
    fn new((config, certificate): (ServerConfig, CertificateDer<'static>)) -> Self {
        let mut http = config.clone();
        http.alpn_protocols = vec![HTTP.to_vec()];
        let acceptor = |config| TlsAcceptor::from(Arc::new(config));
        Self { flight: acceptor(config), http: acceptor(http), certificate }
    }
}

impl Tls {
    /// Reads the files; an error names the one that cannot be used. `users`: the user of each subject that is one's.
    pub fn open(files: TlsFiles, users: impl IntoIterator<Item = (String, String)>) -> Result<Arc<Self>, TlsError> {
        let stamps = stamps(&files);
        let current = RwLock::new(Current::new(files.load()?));
        let users = users.into_iter().map(|(subject, user)| (subject, user.into())).collect();
        Ok(Arc::new(Self { files, users, current, stamps: Mutex::new(stamps) }))
    }

    /// For one connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.current.read().flight.clone()
    }

    /// For one connection of the HTTP port.
    pub(crate) fn http_acceptor(&self) -> TlsAcceptor {
        self.current.read().http.clone()
    }

    /// The certificate in use, in DER.
    pub fn certificate(&self) -> Vec<u8> {
        self.current.read().certificate.to_vec()
    }

    /// The user whose certificate it is, and the subject in it.
    pub(crate) fn user(&self, certificate: &CertificateDer<'_>) -> (Option<Arc<str>>, Option<Arc<str>>) {
        let subject = subject(certificate);
        let user = subject.as_ref().and_then(|subject| self.users.get(subject).cloned());
        (user, subject.map(Arc::from))
    }

    /// Reads the files if they look other than when they were last read. Connections that are there stay as they are. Files that
    /// cannot be used change nothing; they are not tried again until they change once more.
    pub fn refresh(&self) -> Result<bool, TlsError> {
        let now = stamps(&self.files);
        let mut known = self.stamps.lock();
        if *known == now {
            return Ok(false);
        }
        *known = now;
        self.reload()?;
        Ok(true)
    }

    /// Reads the files.
    pub fn reload(&self) -> Result<(), TlsError> {
        *self.current.write() = Current::new(self.files.load()?);
        Ok(())
    }

    /// Looks at the files now and then, and reads them when the process is told to by SIGHUP. Ends when it is dropped.
    pub async fn keep_fresh(self: Arc<Self>, every: Duration) {
        let mut hangup = match signal(SignalKind::hangup()) {
            Ok(hangup) => hangup,
            Err(error) => return tracing::error!(%error, "certificates are not looked at again: no signals"),
        };
        let mut tick = interval(every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let told = tokio::select! {
                told = hangup.recv() => told.is_some(),
                _ = tick.tick() => false,
            };
            let this = self.clone();
            let read =
                tokio::task::spawn_blocking(move || if told { this.reload().map(|()| true) } else { this.refresh() });
            match read.await {
                Ok(Ok(true)) => tracing::info!("certificates were read anew"),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::error!(%error, "the certificates in use stay: the new ones cannot be used"),
                Err(error) => tracing::error!(%error, "certificates could not be looked at"),
            }
        }
    }
}

impl fmt::Debug for Tls {
    // Not derived: the configuration holds the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

fn stamps(files: &TlsFiles) -> Vec<Stamp> {
    let stamp = |path| fs::metadata(path).and_then(|meta| Ok((meta.modified()?, meta.len()))).ok();
    files.paths().map(stamp).collect()
}
