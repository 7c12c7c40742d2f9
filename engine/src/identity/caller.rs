//! A name and a role, and what the role allows.

use std::sync::Arc;

use super::Role;
use crate::{EngineError, ErrorKind};

/// The name of whoever works on a lake without credentials: the shell on the lake itself, and the clients of a server whose
/// lake has no users. No user can have it.
pub const LOCAL_USER: &str = "local";

/// Who a session acts for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    name: Arc<str>,
    role: Role,
    epoch: Option<u64>,
}

impl Identity {
    /// Someone whom others have vouched for.
    pub fn new(name: &str, role: Role) -> Self {
        Self { name: name.into(), role, epoch: None }
    }

    /// The person at the lake itself.
    pub fn local() -> Self {
        Self::new(LOCAL_USER, Role::Admin)
    }

    /// A user of the lake, as it is now.
    pub(super) fn of_user(name: &str, user: &boathouse_storage::catalog::User) -> Self {
        Self { name: name.into(), role: user.role, epoch: Some(user.epoch) }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn role(&self) -> Role {
        self.role
    }

    /// What a session token must name to be good for this user of the lake: it changes with the password. `None` for those who
    /// are not users of the lake.
    pub fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    pub(crate) fn set_role(&mut self, role: Role) {
        self.role = role;
    }

    /// Whether they may do what `title` does.
    pub(crate) fn check(&self, right: &Right<'_>, title: &str) -> Result<(), EngineError> {
        let allowed = match right {
            Right::Read => true,
            Right::Own(user) => self.role == Role::Admin || *user == &*self.name,
            Right::Change | Right::Administer => self.role == Role::Admin,
        };
        if allowed {
            return Ok(());
        }
        let (name, role) = (&self.name, self.role.name());
        let error =
            EngineError::new(ErrorKind::Denied, format!("user \"{name}\" has the role {role} and may not {title}"));
        Err(match right {
            Right::Read | Right::Change => error.with_hint("A reader may read tables and views; an admin may do all."),
            Right::Administer => error.with_hint("Only an admin may."),
            Right::Own(_) => error.with_hint("One may change one's own password and tokens; an admin may change all."),
        })
    }
}

/// What a statement needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right<'a> {
    /// Looks at tables and views, or changes the session alone.
    Read,
    /// Changes the lake, or what lies beside it.
    Change,
    /// Says who may do what.
    Administer,
    /// Is about this user's own credentials.
    Own(&'a str),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_reads_and_keeps_their_own_credentials() {
        let (reader, admin) = (Identity::new("ann", Role::Reader), Identity::new("bob", Role::Admin));
        for right in [Right::Read, Right::Change, Right::Administer, Right::Own("ann"), Right::Own("bob")] {
            assert!(admin.check(&right, "try").is_ok(), "{right:?}");
            let allowed = matches!(right, Right::Read | Right::Own("ann"));
            assert_eq!(reader.check(&right, "try").is_ok(), allowed, "{right:?}");
        }
        let error = reader.check(&Right::Change, "run INSERT").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied);
        assert_eq!(error.message, "user \"ann\" has the role reader and may not run INSERT");
    }
}
