//! The shell's side of TLS.

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{FutureExt, future::BoxFuture};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::codegen::{Service, http::Uri};

use super::{
    TlsError,
    files::{PROTOCOL, certificates, private_key, provider, roots},
};

/// What a client trusts, and what it shows of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// Authorities in PEM; the system's when absent.
    pub ca: Option<PathBuf>,
    /// A certificate and its key, in PEM.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl ClientTls {
    /// Reads the files, for the server's own protocol.
    pub(crate) fn load(&self) -> Result<Connector, TlsError> {
        let mut config = self.config()?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Connector(TlsConnector::from(Arc::new(config))))
    }

    /// Reads the files, for any protocol.
    pub(crate) fn config(&self) -> Result<ClientConfig, TlsError> {
        let roots = match &self.ca {
            Some(path) => roots("authority", path)?,
            None => system_roots()?,
        };
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::new(error.to_string()))?
            .with_root_certificates(roots);
        match &self.certificate {
            None => Ok(config.with_no_client_auth()),
            Some((certificate, key)) => {
                let (chain, private) = (certificates("certificate", certificate)?, private_key(key)?);
                let config = config.with_client_auth_cert(chain, private);
                config.map_err(|error| TlsError::of("certificate", certificate, error))
            }
        }
    }
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        return Err(TlsError::new(format!(
            "the system trusts no authority{why}\nHINT: Name the server's with --tls-ca FILE."
        )));
    }
    Ok(roots)
}

/// Makes encrypted connections, to the host that an address names and to no other.
#[derive(Clone)]
pub(crate) struct Connector(TlsConnector);

impl Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let tls = self.0.clone();
        async move {
            let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("no {what} in the address"));
            let host = address.host().ok_or_else(|| wrong("host"))?.trim_matches(['[', ']']);
            let port = address.port_u16().ok_or_else(|| wrong("port"))?;
            let name = ServerName::try_from(host.to_owned()).map_err(|_| wrong("name of a server"))?;
            let stream = TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            Ok(TokioIo::new(tls.connect(name, stream).await?))
        }
        .boxed()
    }
}
