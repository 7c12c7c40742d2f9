//! Where a server is, and how it is reached.

use std::{path::PathBuf, time::Duration};

use boathouse_engine::Secret;
use tokio_postgres::{
    Config,
    config::{Host, SslMode},
};
use url::Url;

use crate::tls::ClientTls;

/// A server that does not answer counts as away after this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// So does one that does not acknowledge what was sent.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);

/// How a server is reached.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    pub(super) config: Config,
    /// Read at each connection: it may be changed there.
    pub(super) password_file: Option<PathBuf>,
    /// Encrypted, and by certificates of whom.
    pub(super) tls: Option<ClientTls>,
}

impl PostgresOptions {
    /// Checks what is written. `sslmode` is `disable`, or `require` (as `verify-full`: a certificate is always checked), which
    /// is the default for a server on another machine. The error does not tell the URL, which may hold a password.
    pub fn checked(url: &Secret, password_file: Option<PathBuf>, ca: Option<PathBuf>) -> Result<Self, String> {
        let wrong = || "the url is not one of PostgreSQL: write postgres://user@host/database".to_owned();
        let mut parsed = Url::parse(url.reveal()).map_err(|_| wrong())?;
        if !matches!(parsed.scheme(), "postgres" | "postgresql") {
            return Err(wrong());
        }
        let mode = parsed.query_pairs().find(|(key, _)| key == "sslmode").map(|(_, mode)| mode.into_owned());
        let others: Vec<(String, String)> =
            parsed.query_pairs().filter(|(key, _)| key != "sslmode").map(|(k, v)| (k.into(), v.into())).collect();
        parsed.set_query(None);
        if !others.is_empty() {
            parsed.query_pairs_mut().extend_pairs(others);
        }
        let mut config: Config = parsed.as_str().parse().map_err(|error: tokio_postgres::Error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("the url is not understood{cause}")
        })?;
        if config.get_hosts().is_empty() {
            return Err(wrong());
        }
        if password_file.is_some() && config.get_password().is_some() {
            return Err("there is a password in the url, and password_file: leave one of them out".to_owned());
        }
        let encrypted = match mode.as_deref() {
            Some("disable") => false,
            Some("require" | "verify-ca" | "verify-full") => true,
            Some(other) => return Err(format!("sslmode={other} is not supported: write disable or require")),
            None => !config.get_hosts().iter().all(is_here),
        };
        if ca.is_some() && !encrypted {
            return Err("tls_ca is set, but the connection is not encrypted: add sslmode=require to the url".to_owned());
        }
        config.ssl_mode(if encrypted { SslMode::Require } else { SslMode::Disable });
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SEND_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("boathouse");
        }
        let tls = encrypted.then_some(ClientTls { ca, certificate: None });
        Ok(Self { config, password_file, tls })
    }
}

/// On this machine: nobody is between.
fn is_here(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            let address = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
            name == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
        }
        Host::Unix(_) => true,
    }
}
