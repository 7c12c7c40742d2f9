//! Where messages go.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use boathouse_engine::Secret;
use url::Url;

const SECRET_PREFIX: &str = "whsec_";
/// Of a secret, as Standard Webhooks wants it.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Where messages go, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct WebhookOptions {
    pub url: Url,
    /// What messages are signed with: `whsec_` and base64.
    pub secret: Option<Secret>,
    /// How long one POST may take. Default: 15 seconds.
    pub timeout: Duration,
    /// How long after a POST that failed the next one is sent; there are so many more as there are waits.
    pub waits: Vec<Duration>,
}

impl WebhookOptions {
    /// Without a signature.
    pub fn to(url: Url) -> Self {
        let waits = [5, 30, 120, 600, 1800, 3600, 7200].map(Duration::from_secs).to_vec();
        Self { url, secret: None, timeout: Duration::from_secs(15), waits }
    }

    /// The key of a secret; the error says what is wrong with it.
    pub(super) fn key(secret: &Secret) -> Result<Vec<u8>, String> {
        let wrong = "write whsec_ and then 24 to 64 random bytes in base64, as made by: openssl rand -base64 32";
        let bytes = secret.reveal().strip_prefix(SECRET_PREFIX).and_then(|text| STANDARD.decode(text.trim()).ok());
        bytes.filter(|bytes| SECRET_BYTES.contains(&bytes.len())).ok_or_else(|| wrong.to_owned())
    }

    /// Checks what is written.
    pub fn checked(url: &str, secret: Option<Secret>) -> Result<Self, String> {
        let parsed = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        // Such a URL may hold a secret itself.
        let parsed = parsed.ok_or("the URL of the webhook is not one: write https://host/path")?;
        if let Some(secret) = &secret {
            Self::key(secret).map_err(|why| format!("the secret of the webhook is not one: {why}"))?;
        }
        Ok(Self { secret, ..Self::to(parsed) })
    }
}
