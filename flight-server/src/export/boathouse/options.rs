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
        // The address is told in errors.
        if url
            .split_once("://")
            .is_some_and(|(_, address)| address.trim_end_matches('/').contains(['@', '/', '?', '#']))
        {
            return Err("the url is more than an address: write grpc://host:port, and a token as token or token_file"
                .to_owned());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_nothing_in_it_that_must_not_be_told() {
        let checked = |url: &str| BoathouseOptions::checked(&Secret::new(url), None, None, None);
        for url in ["grpc://host:1", "grpc+tls://[::1]:32010/", "grpcs://10.0.0.1:1"] {
            assert!(checked(url).is_ok(), "{url}");
        }
        for url in ["grpc://ann:p4ss@host:1", "grpc://host:1?token=p4ss", "grpc+tls://host:1/p4ss"] {
            let error = checked(url).unwrap_err();
            assert!(error.starts_with("the url is more than an address") && !error.contains("p4ss"), "{error}");
        }
    }
}
