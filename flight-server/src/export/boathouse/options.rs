//! Where a server is, and who we are there.

use std::path::PathBuf;

use boathouse_engine::{EngineError, ErrorKind, Secret};

use crate::{
    client::{Login, Remote},
    tls::ClientTls,
};

/// How a server is reached.
#[derive(Debug, Clone)]
pub struct BoathouseOptions {
    pub(super) url: String,
    /// Of the token.
    pub(super) token: Option<Secret>,
    /// Holds it. Read at each delivery: it may be changed there.
    pub(super) token_file: Option<PathBuf>,
    pub(super) tls: ClientTls,
}

impl BoathouseOptions {
    /// Checks what is written.
    pub fn checked(
        url: &Secret,
        token: Option<Secret>,
        token_file: Option<PathBuf>,
        ca: Option<PathBuf>,
    ) -> Result<Self, String> {
        let url = url.reveal().to_owned();
        let encrypted = ["grpc+tls://", "grpcs://"].iter().any(|scheme| url.starts_with(scheme));
        if !encrypted && !["grpc://", "grpc+tcp://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err("the url is not one of a server: write grpc://host:port or grpc+tls://host:port".to_owned());
        }
        if token.is_some() && token_file.is_some() {
            return Err("there are both token and token_file: leave one of them out".to_owned());
        }
        if ca.is_some() && !encrypted {
            return Err("tls_ca is set, but the connection is not encrypted: write grpc+tls://host:port".to_owned());
        }
        Ok(Self { url, token, token_file, tls: ClientTls { ca, certificate: None } })
    }

    /// A session of its own.
    pub(super) async fn connect(&self) -> Result<Remote, EngineError> {
        let token = match &self.token_file {
            None => self.token.clone(),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    let message = format!("could not read the token file \"{}\"", path.display());
                    EngineError::new(ErrorKind::Unavailable, message).with_detail(error.to_string())
                })?;
                Some(Secret::new(text.trim()))
            }
        };
        let login = token.map_or(Login::None, Login::Token);
        let connected = Remote::connect_with(&self.url, &self.tls, login).await;
        connected.map_err(|error| EngineError::new(error.kind, error.text))
    }
}
