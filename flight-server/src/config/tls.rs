//! `[tls]`: the certificates of a server, and who its clients are by theirs.

use std::{collections::BTreeMap, path::PathBuf};

use super::{ConfigError, file, parsed};
use crate::tls::TlsFiles;

/// What flags say of TLS.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TlsFlags {
    /// The server's certificate and those that lead to its authority, in PEM; read anew when it changes
    #[arg(long = "tls-cert", value_name = "FILE", requires = "key")]
    pub certificate: Option<PathBuf>,
    /// Its private key, in PEM
    #[arg(long = "tls-key", value_name = "FILE", requires = "certificate")]
    pub key: Option<PathBuf>,
    /// Authorities that vouch for clients, in PEM: clients must show a certificate of theirs
    #[arg(long = "tls-client-ca", value_name = "FILE", requires = "certificate")]
    pub client_ca: Option<PathBuf>,
}

/// Checked settings of TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    pub files: TlsFiles,
    /// The user of each subject, as RFC 4514 writes it: `CN=etl,O=Acme`.
    pub users: BTreeMap<String, String>,
}

/// `None` when nothing asks for TLS.
pub(super) fn settings(
    flags: TlsFlags,
    variable: &dyn Fn(&str) -> Option<String>,
    file: file::Tls,
) -> Result<Option<TlsSettings>, ConfigError> {
    let certificate = flags.certificate.or(parsed(variable, "TLS_CERT")?).or(file.certificate);
    let key = flags.key.or(parsed(variable, "TLS_KEY")?).or(file.key);
    let client_ca = flags.client_ca.or(parsed(variable, "TLS_CLIENT_CA")?).or(file.client_ca);
    let wrong = |text: &str| Err(ConfigError(text.to_owned()));
    if client_ca.is_none() && (file.client_required.is_some() || !file.users.is_empty()) {
        return wrong(
            "[tls] knows clients by their certificates only with client_ca, the authorities that vouch for them",
        );
    }
    let (certificate, key) = match (certificate, key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(_), None) => return wrong("TLS has a certificate and no key: set tls.key, too"),
        (None, Some(_)) => return wrong("TLS has a key and no certificate: set tls.certificate, too"),
        (None, None) if client_ca.is_some() => {
            return wrong(
                "tls.client_ca is set, but the server has no certificate: set tls.certificate and tls.key, too",
            );
        }
        (None, None) => return Ok(None),
    };
    let client_required = file.client_required.unwrap_or(true);
    let files = TlsFiles { certificate, key, client_ca, client_required };
    Ok(Some(TlsSettings { files, users: file.users }))
}
