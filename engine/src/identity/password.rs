//! Passwords and their hashes.

use argon2::{
    Argon2,
    password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString},
};
use aws_lc_rs::rand;

use super::Secret;
use crate::EngineError;

/// Guessing through the server is slow; guessing from a stolen hash is as fast as the thief's machine.
pub(crate) const PASSWORD_CHARACTERS_MIN: usize = 8;
/// Hashing takes time by the byte, too.
pub(crate) const PASSWORD_BYTES_MAX: usize = 1024;

const SALT_BYTES: usize = 16;
/// The hash of no password, with the cost of all others: who asks for a user that is not there waits as long as for a wrong
/// password.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGlzIGhlcmU$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The argon2id hash of a password with a salt of its own, as a PHC string. Takes tens of milliseconds and 19 MiB: not for a
/// thread that others wait for.
pub(crate) fn hash(password: &str) -> Result<Secret, EngineError> {
    let mut salt = [0; SALT_BYTES];
    rand::fill(&mut salt).map_err(|_| EngineError::internal("the system gave no random numbers"))?;
    let failed =
        |error: argon2::password_hash::Error| EngineError::internal(format!("a password could not be hashed: {error}"));
    let salt = SaltString::encode_b64(&salt).map_err(failed)?;
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt).map_err(failed)?;
    Ok(Secret::new(hash.to_string()))
}

/// Whether it is the password of a user's hash; without a user, no password is. Costs the same either way.
pub(super) fn verify(password: &str, hash: Option<&Secret>) -> bool {
    let text = hash.map_or(NOBODY, Secret::reveal);
    let Ok(parsed) = PasswordHash::new(text) else { return false };
    let matches = Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok();
    matches && hash.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_by_its_hash() {
        let hashed = hash("correct horse").unwrap();
        assert!(hashed.reveal().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hashed.reveal());
        assert!(verify("correct horse", Some(&hashed)));
        assert!(!verify("correct horsf", Some(&hashed)));
        assert_ne!(hashed, hash("correct horse").unwrap(), "each hash has a salt of its own");
    }

    #[test]
    fn nobody_has_no_password_and_costs_what_others_cost() {
        assert!(!verify("", None));
        let cost = |text: &str| PasswordHash::new(text).unwrap().params.to_string();
        assert_eq!(cost(NOBODY), cost(hash("correct horse").unwrap().reveal()));
    }
}
