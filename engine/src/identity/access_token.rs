//! Access tokens: `bht_<id>_<secret>`. Only the hash of the whole text is kept.

use aws_lc_rs::{constant_time, digest, rand};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::Secret;
use crate::EngineError;

/// So that people and scanners know one when they see it.
const PREFIX: &str = "bht_";
const ID_BYTES: usize = 9;
const SECRET_BYTES: usize = 32;

/// A token as its user gets it, once, and as the lake keeps it.
pub(crate) struct NewToken {
    pub id: String,
    pub text: Secret,
    pub hash: Secret,
}

/// A random token.
pub(crate) fn new_token() -> Result<NewToken, EngineError> {
    let mut bytes = [0; ID_BYTES + SECRET_BYTES];
    rand::fill(&mut bytes).map_err(|_| EngineError::internal("the system gave no random numbers"))?;
    let (id, secret) = bytes.split_at(ID_BYTES);
    // The separator must not be a part of the id.
    let id = URL_SAFE_NO_PAD.encode(id).replace(['_', '-'], "x");
    let text = format!("{PREFIX}{id}_{}", URL_SAFE_NO_PAD.encode(secret));
    Ok(NewToken { hash: hash(&text), id, text: Secret::new(text) })
}

/// The id in a text that has the form of a token.
pub(super) fn id_of(text: &str) -> Option<&str> {
    text.strip_prefix(PREFIX)?.split_once('_').map(|(id, _)| id)
}

/// Whether the text is the token of this hash; takes the same time for all texts.
pub(super) fn is_token_of(text: &str, kept: &Secret) -> bool {
    constant_time::verify_slices_are_equal(hash(text).reveal().as_bytes(), kept.reveal().as_bytes()).is_ok()
}

fn hash(text: &str) -> Secret {
    Secret::new(URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_hash_and_found_by_its_id() {
        let (one, two) = (new_token().unwrap(), new_token().unwrap());
        assert_eq!(id_of(one.text.reveal()), Some(&*one.id));
        assert!(is_token_of(one.text.reveal(), &one.hash));
        assert!(!is_token_of(two.text.reveal(), &one.hash));
        assert!(!one.hash.reveal().contains(one.text.reveal()));
        assert_eq!(id_of("eyJhbGciOiJub25lIn0.e30."), None);
    }
}
