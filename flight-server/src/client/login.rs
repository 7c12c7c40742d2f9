//! What a client shows to a server.

use boathouse_engine::Secret;

/// Credentials for a server. A lake that is opened in this process asks for none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Login {
    #[default]
    None,
    Password {
        user: String,
        password: Secret,
    },
    /// An access token, or a JWT of the server's issuer.
    Token(Secret),
}
