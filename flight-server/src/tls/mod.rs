//! TLS: who the server is, and, where clients bring certificates, who they are.
//!
//! [`files`] reads certificates and keys, [`live`] holds what was read and reads it anew when the files change, [`subject`] reads
//! the name in a client's certificate, [`client`] is the other side: the shell on a server.

mod client;
mod files;
mod live;
mod subject;

pub(crate) use self::subject::subject;
pub use self::{
    client::ClientTls,
    files::{TlsError, TlsFiles},
    live::Tls,
};
