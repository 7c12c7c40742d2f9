//! Certificates and keys from PEM files to a checked configuration.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

/// HTTP/2, which is all that the server speaks.
pub(super) const PROTOCOL: &[u8] = b"h2";

/// The files of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, then those that lead to its authority.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Who vouches for clients. Without it they show no certificates.
    pub client_ca: Option<PathBuf>,
    /// Whether a client without a certificate is turned away.
    pub client_required: bool,
}

/// What is wrong with a file. Never holds a part of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsError(String);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

impl TlsError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn of(what: &str, path: &Path, error: impl fmt::Display) -> Self {
        Self(format!("could not use the {what} \"{}\": {error}", path.display()))
    }
}

impl TlsFiles {
    /// All of them.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        [&self.certificate, &self.key].into_iter().chain(&self.client_ca).map(PathBuf::as_path)
    }

    /// Reads and checks them: they are PEM, the key is the certificate's. Gives the server's certificate, too.
    pub(super) fn load(&self) -> Result<(ServerConfig, CertificateDer<'static>), TlsError> {
        let chain = certificates("certificate", &self.certificate)?;
        let [first, ..] = &*chain else { return Err(TlsError::new("no certificate")) };
        let first = first.clone();
        let key = private_key(&self.key)?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::new(error.to_string()))?;
        let config = match &self.client_ca {
            None => config.with_no_client_auth(),
            Some(path) => {
                let roots = Arc::new(roots("certificates of client authorities", path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
                let verifier = if self.client_required { verifier } else { verifier.allow_unauthenticated() };
                let verifier = verifier.build();
                config.with_client_cert_verifier(
                    verifier.map_err(|error| TlsError::of("certificates of client authorities", path, error))?,
                )
            }
        };
        let mut config = config
            .with_single_cert(chain, key)
            .map_err(|error| TlsError::of("certificate", &self.certificate, error))?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok((config, first))
    }
}

/// Other libraries in this process bring another one, so nobody is left to choose.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

pub(super) fn certificates(what: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = all.map_err(|error| TlsError::of(what, path, error))?;
    if all.is_empty() { Err(TlsError::of(what, path, "there is no certificate in it")) } else { Ok(all) }
}

pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| TlsError::of("private key", path, error))
}

pub(super) fn roots(what: &str, path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(what, path)? {
        roots.add(certificate).map_err(|error| TlsError::of(what, path, error))?;
    }
    Ok(roots)
}
