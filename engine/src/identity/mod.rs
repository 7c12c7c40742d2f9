//! Who a session acts for, and what they may do.
//!
//! [`Users`] finds out who holds a password or a token, by the lake's own document of users. [`Identity`] is the answer: a name
//! and a role, which a session carries and each of its statements is checked against. How credentials travel is not known
//! here; the server has that.

mod access_token;
mod caller;
mod password;
mod users;

pub use boathouse_storage::catalog::{Role, Secret};

pub(crate) use self::{
    access_token::{NewToken, new_token},
    caller::Right,
    password::{PASSWORD_BYTES_MAX, PASSWORD_CHARACTERS_MIN},
};
pub use self::{
    caller::{Identity, LOCAL_USER},
    users::{LoginError, Users},
};
