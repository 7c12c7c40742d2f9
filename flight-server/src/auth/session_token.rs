//! Session tokens: what a server gives for a password, so that a client need not send it, nor the server hash it, again.
//!
//! ```text
//! bhs_ base64url( time of expiry | epoch of the user | name ) . base64url( HMAC-SHA256 )
//! ```
//!
//! The server keeps no list of them. The epoch ends them with the password; the key ends them with the process, unless the
//! configuration gives one, for several servers behind one address or for sessions that outlive a restart. The key does not
//! lie in the lake: readers of other makes may read the lake's files without the right to write, and with the key they could
//! pass for an admin.

use std::time::Duration;

use aws_lc_rs::{hmac, rand::SystemRandom};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use boathouse_engine::Secret;
use tonic::Status;

const PREFIX: &str = "bhs_";

/// Signs and reads session tokens.
pub struct SessionTokens {
    key: hmac::Key,
    life: Duration,
}

/// What a good token says.
#[derive(Debug, PartialEq)]
pub struct Holder {
    pub name: String,
    /// `None` for who has no user: a client of a lake without users.
    pub epoch: Option<u64>,
    /// Half of its life is over.
    pub is_old: bool,
}

/// Why a token is not good.
#[derive(Debug, PartialEq)]
pub enum TokenFault {
    /// Not one of this server's.
    Unknown,
    Expired,
}

impl SessionTokens {
    /// `key` is any text; without one a random key is made.
    pub fn new(key: Option<&Secret>, life: Duration) -> Result<Self, Status> {
        let key = match key {
            Some(key) => hmac::Key::new(hmac::HMAC_SHA256, key.reveal().as_bytes()),
            None => hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
                .map_err(|_| Status::internal("the system gave no random numbers"))?,
        };
        Ok(Self { key, life })
    }

    /// Whether the text looks like one.
    pub fn is_one(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// A token for this user from `now_ms` on.
    pub fn issue(&self, name: &str, epoch: Option<u64>, now_ms: i64) -> Secret {
        let expires_ms = now_ms.saturating_add(i64::try_from(self.life.as_millis()).unwrap_or(i64::MAX));
        let epoch = epoch.map(|epoch| epoch.to_string()).unwrap_or_default();
        let body = URL_SAFE_NO_PAD.encode(format!("{expires_ms}|{epoch}|{name}"));
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&self.key, body.as_bytes()));
        Secret::new(format!("{PREFIX}{body}.{signature}"))
    }

    /// Who holds a token, if it was issued with this key and lasts at `now_ms`.
    pub fn read(&self, text: &str, now_ms: i64) -> Result<Holder, TokenFault> {
        let (body, signature) =
            text.strip_prefix(PREFIX).and_then(|text| text.split_once('.')).ok_or(TokenFault::Unknown)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenFault::Unknown)?;
        hmac::verify(&self.key, body.as_bytes(), &signature).map_err(|_| TokenFault::Unknown)?;
        let holder = || {
            let text = String::from_utf8(URL_SAFE_NO_PAD.decode(body).ok()?).ok()?;
            let mut parts = text.splitn(3, '|');
            let (expires_ms, epoch, name) = (parts.next()?.parse::<i64>().ok()?, parts.next()?, parts.next()?);
            let epoch = if epoch.is_empty() { None } else { Some(epoch.parse().ok()?) };
            Some((expires_ms, epoch, name.to_owned()))
        };
        let (expires_ms, epoch, name) = holder().ok_or(TokenFault::Unknown)?;
        let left_ms = expires_ms.saturating_sub(now_ms);
        if left_ms <= 0 {
            return Err(TokenFault::Expired);
        }
        let is_old = u128::try_from(left_ms).unwrap_or_default() < self.life.as_millis() / 2;
        Ok(Holder { name, epoch, is_old })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(key: &str) -> SessionTokens {
        SessionTokens::new(Some(&Secret::new(key)), Duration::from_millis(100)).unwrap()
    }

    #[test]
    fn a_token_lasts_its_time_and_grows_old() {
        let tokens = tokens("key");
        let token = tokens.issue("ann|b", Some(7), 1000);
        let holder = |is_old| Ok(Holder { name: "ann|b".to_owned(), epoch: Some(7), is_old });
        assert_eq!(tokens.read(token.reveal(), 1000), holder(false));
        assert_eq!(tokens.read(token.reveal(), 1099), holder(true));
        assert_eq!(tokens.read(token.reveal(), 1100), Err(TokenFault::Expired));
    }

    #[test]
    fn forged_tokens_are_unknown() {
        let token = tokens("key").issue("ann", None, 1000);
        assert_eq!(tokens("other").read(token.reveal(), 1000), Err(TokenFault::Unknown));
        let (body, signature) = token.reveal().strip_prefix(PREFIX).unwrap().split_once('.').unwrap();
        let admin = URL_SAFE_NO_PAD.encode("9999999999999||root");
        for forged in [
            String::new(),
            PREFIX.to_owned(),
            format!("{PREFIX}{admin}.{signature}"),
            format!("{PREFIX}{body}."),
            format!("{PREFIX}{body}.{}", &signature[1..]),
            format!("{PREFIX}{body}"),
        ] {
            assert_eq!(tokens("key").read(&forged, 1000), Err(TokenFault::Unknown), "{forged}");
        }
    }

    #[test]
    fn without_a_key_each_server_has_its_own() {
        let server = || SessionTokens::new(None, Duration::from_secs(1)).unwrap();
        let token = server().issue("ann", None, 0);
        assert_eq!(server().read(token.reveal(), 0), Err(TokenFault::Unknown));
    }
}
