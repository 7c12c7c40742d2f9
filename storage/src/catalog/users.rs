//! Who may use a lake: users and their access tokens, in one document under `<lake>/_boathouse/identity/users/`.
//!
//! It holds hashes of passwords and of tokens, never these themselves, nor a key of a server: whoever may read the lake's
//! files, as readers of other makes do, must not be able to pass for a user.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::Document;

/// All users of a lake.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UsersDocument {
    pub users: BTreeMap<String, User>,
    /// By their ids.
    pub tokens: BTreeMap<String, AccessToken>,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct User {
    pub role: Role,
    /// The argon2id hash of the password as a PHC string.
    pub password: Secret,
    #[serde(default)]
    pub disabled: bool,
    /// Tells this user from one of the same name who was dropped, and rises with the password: session tokens name it, and
    /// end when it changes.
    pub epoch: u64,
    /// Milliseconds since 1970, UTC.
    pub created_ms: i64,
    pub changed_ms: i64,
}

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// All.
    Admin,
    /// Read tables and views.
    Reader,
}

impl Role {
    /// As SQL writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Reader => "reader",
        }
    }

    /// The role of a name, in any case.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Admin, Self::Reader].into_iter().find(|role| role.name().eq_ignore_ascii_case(name))
    }
}

/// A token that stands for a user until it expires.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccessToken {
    pub user: String,
    pub name: String,
    /// SHA-256 of the secret, in base64. The secret is random and long: it needs no slow hash.
    pub hash: Secret,
    /// Milliseconds since 1970, UTC.
    pub created_ms: i64,
    pub expires_ms: i64,
}

/// A text that is shown nowhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// For those who compare or hash it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Document for UsersDocument {
    const FOLDER: &'static str = "identity";
    const FORMAT: u32 = 1;

    fn format(&self) -> u32 {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Some(Secret::new("hunter2"))), "Some(***)");
    }
}
