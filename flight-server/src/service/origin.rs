//! Where a call comes from, as people are told of it.

use std::{net::SocketAddr, sync::Arc};

use tonic::{Extensions, metadata::MetadataMap};

use crate::server::Peer;

/// Programs may call themselves as they like; of longer names this much is kept.
const NAME_BYTES_MAX: usize = 200;

/// The program that calls, by its own name, and its address: `grpc-python/1.60 (127.0.0.1:51342)`; with the subject of its
/// certificate if it has shown one.
pub fn client(metadata: &MetadataMap, extensions: &Extensions) -> Option<Arc<str>> {
    let name = metadata.get("user-agent").and_then(|name| name.to_str().ok()).map(|name| {
        // Header values that are text are ASCII.
        name.get(..NAME_BYTES_MAX).unwrap_or(name)
    });
    let peer = extensions.get::<Peer>().cloned().unwrap_or_default();
    told(name, peer.address, peer.subject.as_deref()).map(Arc::from)
}

fn told(name: Option<&str>, address: Option<SocketAddr>, subject: Option<&str>) -> Option<String> {
    let place = [address.map(|address| address.to_string()), subject.map(str::to_owned)];
    let place = place.into_iter().flatten().collect::<Vec<_>>().join(", ");
    match (name.filter(|name| !name.is_empty()), place.is_empty()) {
        (Some(name), false) => Some(format!("{name} ({place})")),
        (Some(name), true) => Some(name.to_owned()),
        (None, false) => Some(place),
        (None, true) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_its_name_and_its_address() {
        let address = "127.0.0.1:5".parse().ok();
        assert_eq!(told(Some("x/1"), address, None).as_deref(), Some("x/1 (127.0.0.1:5)"));
        assert_eq!(told(Some("x/1"), address, Some("CN=y")).as_deref(), Some("x/1 (127.0.0.1:5, CN=y)"));
        assert_eq!(told(Some(""), address, None).as_deref(), Some("127.0.0.1:5"));
        assert_eq!(told(None, None, None), None);
        let mut metadata = MetadataMap::new();
        metadata.insert("user-agent", "x".repeat(300).parse().unwrap());
        assert_eq!(client(&metadata, &Extensions::new()).unwrap().len(), NAME_BYTES_MAX);
    }
}
