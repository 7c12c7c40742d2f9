//! The issuer's public keys: found by discovery, kept, and fetched anew when a token names one that is not known.
//!
//! An issuer changes its keys when it likes. A token with a key that is not known makes us look, but no more often than
//! the options say: strangers can make up as many names of keys as they want. Keys that the issuer has withdrawn are
//! forgotten within [`KEYS_AGE_MAX`].

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    OidcOptions,
    jwt::{Header, Key},
    options::is_trusted,
};
use crate::clock::Clock;

const KEYS_AGE_MAX: Duration = Duration::from_secs(3600);
const FETCH_TIME_MAX: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 1 << 20;
const KEYS_MAX: usize = 100;

/// The keys of one issuer. Methods may be called at once; one of them fetches, and who shows a key that is known does not wait.
pub(super) struct Keys {
    issuer: String,
    client: reqwest::Client,
    known: Mutex<Known>,
    /// When the issuer was last asked, whatever it answered.
    tried: tokio::sync::Mutex<Option<Instant>>,
    fetch_wait_min: Duration,
    clock: Clock,
}

#[derive(Default)]
struct Known {
    keys: Vec<Key>,
    fetched: Option<Instant>,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

/// Why there is no key.
#[derive(Debug)]
pub(super) enum KeyFault {
    /// The issuer has none of this name.
    Unknown,
    /// The issuer could not be asked.
    Unavailable,
}

impl Keys {
    pub fn new(options: &OidcOptions, clock: Clock) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(FETCH_TIME_MAX)
            // An address that is trusted must not lead to one that is not.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let (issuer, fetch_wait_min) = (options.issuer.clone(), options.fetch_wait_min);
        let (known, tried) = Default::default();
        Ok(Self { issuer, client, known, tried, fetch_wait_min, clock })
    }

    /// The key of a token; the issuer is asked when it is not known.
    pub async fn find(&self, header: &Header) -> Result<Key, KeyFault> {
        if let Ok(key) = self.known_key(header) {
            return Ok(key);
        }
        let mut tried = self.tried.lock().await;
        // Whoever had the turn before may have fetched it.
        match self.known_key(header) {
            Err(_) if tried.is_none_or(|tried| self.since(tried) >= self.fetch_wait_min) => {}
            known => return known,
        }
        *tried = Some(self.clock.now());
        match self.fetch().await {
            Ok(keys) => *self.known.lock() = Known { keys, fetched: Some(self.clock.now()) },
            Err(error) => tracing::warn!(issuer = self.issuer, error, "could not fetch the keys of the issuer"),
        }
        self.known_key(header)
    }

    fn known_key(&self, header: &Header) -> Result<Key, KeyFault> {
        let known = self.known.lock();
        match known.fetched.is_some_and(|fetched| self.since(fetched) < KEYS_AGE_MAX) {
            true => find(&known.keys, header).cloned().ok_or(KeyFault::Unknown),
            false => Err(KeyFault::Unavailable),
        }
    }

    fn since(&self, moment: Instant) -> Duration {
        self.clock.now().saturating_duration_since(moment)
    }

    async fn fetch(&self) -> Result<Vec<Key>, String> {
        let address = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let found: Discovery = self.get(&address).await?;
        if found.issuer != self.issuer {
            return Err(format!("{address} speaks for another issuer, \"{}\"", found.issuer));
        }
        if !is_trusted(&found.jwks_uri) {
            return Err(format!("the keys lie at \"{}\", which is not encrypted", found.jwks_uri));
        }
        let set: KeySet = self.get(&found.jwks_uri).await?;
        // Keys of kinds that we do not know are none of our business.
        let keys = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
        Ok(keys.take(KEYS_MAX).collect())
    }

    async fn get<T: DeserializeOwned>(&self, address: &str) -> Result<T, String> {
        let failed = |error: reqwest::Error| format!("{address}: {}", with_causes(&error));
        let mut answer = self.client.get(address).send().await.map_err(failed)?;
        if !answer.status().is_success() {
            return Err(format!("{address} answered {}", answer.status()));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(format!("{address} answered with more than {ANSWER_BYTES_MAX} bytes"));
            }
            bytes.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&bytes).map_err(|error| format!("{address}: {error}"))
    }
}

/// By name; a token that names none takes the only key of its kind.
fn find<'a>(keys: &'a [Key], header: &Header) -> Option<&'a Key> {
    let mut fitting = keys.iter().filter(|key| key.is_for(header));
    match &header.kid {
        Some(kid) => fitting.find(|key| key.kid.as_ref() == Some(kid)),
        None => fitting.next().filter(|_| fitting.next().is_none()),
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
