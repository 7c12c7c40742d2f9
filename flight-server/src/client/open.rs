//! From what a person wrote to a client.

use boathouse_engine::EngineConfig;

use super::{Client, ClientError, Embedded, Remote};
use crate::tls::ClientTls;

/// Connects to `grpc://host:port` or `grpc+tls://host:port`, or opens the lake at `target` (a folder or a bucket) in this
/// process with `config`.
pub async fn connect(target: &str, config: EngineConfig) -> Result<Box<dyn Client>, ClientError> {
    connect_with(target, config, &ClientTls::default()).await
}

/// Like [`connect`], with what an encrypted connection trusts and shows.
pub async fn connect_with(target: &str, config: EngineConfig, tls: &ClientTls) -> Result<Box<dyn Client>, ClientError> {
    match target.split_once("://") {
        Some(("grpc" | "grpc+tcp" | "grpc+tls" | "grpcs", _)) => Ok(Box::new(Remote::connect_with(target, tls).await?)),
        _ => Ok(Box::new(Embedded::open(target, config).await?)),
    }
}
