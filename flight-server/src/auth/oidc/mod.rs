//! JWTs of an OpenID Connect issuer as bearer tokens.
//!
//! ```text
//! token ─ header: which key ─> keys (the issuer's, fetched and kept) ─> signature ─> claims ─> name and role
//! ```
//!
//! The clients fetch their tokens themselves; here they are only validated (RFC 7519, RFC 8725): signed by the issuer's key
//! with RS256 or ES256 and nothing else, for this audience, at this time.

mod issuer;
mod jwt;
mod keys;
mod options;

pub use issuer::Issuer;
pub use options::OidcOptions;
