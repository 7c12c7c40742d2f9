//! From what a person wrote to a client.

use boathouse_engine::EngineConfig;

use super::{Client, ClientError, Embedded, Login, Remote};
use crate::tls::ClientTls;

/// Connects to `grpc://host:port` or `grpc+tls://host:port`, or opens the lake at `target` (a folder or a bucket) in this
/// process with `config`. The credentials are for a server.
pub async fn connect(target: &str, config: EngineConfig, login: Login) -> Result<Box<dyn Client>, ClientError> {
    connect_with(target, config, &ClientTls::default(), login).await
}

/// Like [`connect`], with what an encrypted connection trusts and shows.
pub async fn connect_with(
    target: &str,
    config: EngineConfig,
    tls: &ClientTls,
    login: Login,
) -> Result<Box<dyn Client>, ClientError> {
    match target.split_once("://") {
        Some(("grpc" | "grpc+tcp" | "grpc+tls" | "grpcs", _)) => {
            Ok(Box::new(Remote::connect_with(target, tls, login).await?))
        }
        _ => Ok(Box::new(Embedded::open(target, config).await?)),
    }
}
