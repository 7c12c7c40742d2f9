//! Who calls: from the headers of a call to an identity.
//!
//! ```text
//! Basic  user:password ─────────> Users (argon2, few at a time) ─┐
//! Bearer session token ─────────> signature, time, Users ────────┼──> Identity: a name and a role
//! Bearer access token  ─────────> Users ─────────────────────────┤
//! Bearer JWT of an issuer ──────> signature, claims ─────────────┘
//! none, and a certificate that the configuration knows ─> the user of that name
//! none ─> only where the lake has no users and the server is not exposed
//! ```
//!
//! Every call is looked at, the handshake is only a way to change a password for a session token.

mod authenticate;
mod backoff;
mod credentials;
mod oidc;
mod session_token;

pub use self::{
    authenticate::{Auth, AuthOptions, Verified},
    oidc::OidcOptions,
};
