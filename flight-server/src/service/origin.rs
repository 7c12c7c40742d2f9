//! Where a call comes from, as people are told of it.

use std::{net::SocketAddr, sync::Arc};

use tonic::{Extensions, metadata::MetadataMap, transport::server::TcpConnectInfo};

/// Programs may call themselves as they like; of longer names this much is kept.
const NAME_BYTES_MAX: usize = 200;

/// The program that calls, by its own name, and its address: `grpc-python/1.60 (127.0.0.1:51342)`.
pub fn client(metadata: &MetadataMap, extensions: &Extensions) -> Option<Arc<str>> {
    let name = metadata.get("user-agent").and_then(|name| name.to_str().ok()).map(|name| {
        // Header values that are text are ASCII.
        name.get(..NAME_BYTES_MAX).unwrap_or(name)
    });
    let address = extensions.get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
    told(name, address).map(Arc::from)
}

fn told(name: Option<&str>, address: Option<SocketAddr>) -> Option<String> {
    match (name.filter(|name| !name.is_empty()), address) {
        (Some(name), Some(address)) => Some(format!("{name} ({address})")),
        (Some(name), None) => Some(name.to_owned()),
        (None, Some(address)) => Some(address.to_string()),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_its_name_and_its_address() {
        let address = "127.0.0.1:5".parse().ok();
        assert_eq!(told(Some("x/1"), address).as_deref(), Some("x/1 (127.0.0.1:5)"));
        assert_eq!(told(Some(""), address).as_deref(), Some("127.0.0.1:5"));
        assert_eq!(told(None, None), None);
        let mut metadata = MetadataMap::new();
        metadata.insert("user-agent", "x".repeat(300).parse().unwrap());
        assert_eq!(client(&metadata, &Extensions::new()).unwrap().len(), NAME_BYTES_MAX);
    }
}
