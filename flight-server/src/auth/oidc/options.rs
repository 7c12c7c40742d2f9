//! What the configuration says of the issuer.

use std::{fmt, time::Duration};

use url::Url;

/// Whose tokens are taken, and what their claims mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcOptions {
    /// The issuer's address, as its tokens write it in `iss`.
    pub issuer: String,
    /// What `aud` must hold.
    pub audience: String,
    /// The claim that names the user. Default: `sub`.
    pub user_claim: String,
    /// The claim, a text or a list of them, that holds groups or roles.
    pub role_claim: Option<String>,
    /// Values of that claim that make an admin.
    pub admins: Vec<String>,
    /// Values of that claim that make a reader; empty: everyone else is one.
    pub readers: Vec<String>,
    /// How far the clocks may be apart. Default: a minute.
    pub leeway: Duration,
    /// The issuer is asked for its keys no more often than this. Default: ten seconds.
    pub fetch_wait_min: Duration,
}

/// Options that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcError(pub &'static str);

impl fmt::Display for OidcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for OidcError {}

impl OidcOptions {
    /// Tokens of this issuer for this audience: everyone is a reader.
    pub fn new(issuer: &str, audience: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            user_claim: "sub".to_owned(),
            role_claim: None,
            admins: Vec::new(),
            readers: Vec::new(),
            leeway: Duration::from_secs(60),
            fetch_wait_min: Duration::from_secs(10),
        }
    }

    /// Whether they make sense.
    pub fn check(&self) -> Result<(), OidcError> {
        if !is_trusted(&self.issuer) {
            return Err(OidcError("the issuer is not an https:// address"));
        }
        if self.audience.is_empty() || self.user_claim.is_empty() {
            return Err(OidcError("audience and user_claim cannot be empty"));
        }
        if self.role_claim.is_none() && !(self.admins.is_empty() && self.readers.is_empty()) {
            return Err(OidcError("admins and readers are values of role_claim, which is not set"));
        }
        Ok(())
    }
}

/// Whether keys may be fetched from an address: encrypted, or on this machine.
pub(super) fn is_trusted(address: &str) -> bool {
    let Ok(url) = Url::parse(address) else { return false };
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(url::Host::Ipv4(ip))) => ip.is_loopback(),
        ("http", Some(url::Host::Ipv6(ip))) => ip.is_loopback(),
        ("http", Some(url::Host::Domain(name))) => name == "localhost",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_encrypted_or_from_this_machine() {
        for (address, trusted) in [
            ("https://login.example/realms/a", true),
            ("http://127.0.0.1:8080", true),
            ("http://[::1]:8080/x", true),
            ("http://login.example", false),
            ("file:///etc/keys", false),
            ("login.example", false),
        ] {
            assert_eq!(OidcOptions::new(address, "boathouse").check().is_ok(), trusted, "{address}");
        }
    }

    #[test]
    fn values_of_a_claim_need_the_claim() {
        let mut options = OidcOptions::new("https://login.example", "boathouse");
        options.admins.push("ops".to_owned());
        assert!(options.check().is_err());
        options.role_claim = Some("groups".to_owned());
        assert!(options.check().is_ok());
    }
}
