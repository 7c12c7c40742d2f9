//! ```text
//! CREATE USER [IF NOT EXISTS] name [WITH] PASSWORD 'text' [ROLE {admin | reader}]
//! ALTER USER name [WITH] {PASSWORD 'text' | ROLE {admin | reader} | ENABLE | DISABLE} ...
//! DROP USER [IF EXISTS] name
//! ```
//! A user is a reader unless another role is given. The first user must be an admin, and the last admin stays one while
//! there are other users: a lake that asks for credentials has someone who can change them. A new password, like DISABLE,
//! ends the user's sessions; DROP USER drops their tokens, too.

use boathouse_storage::catalog::{User, UsersDocument};
use chrono::Utc;
use datafusion::{common::ScalarValue, sql::sqlparser::ast::Ident};
use uuid::Uuid;

use super::{Context, Outcome};
use crate::{
    EngineError, ErrorKind,
    error::{Place, did_you_mean},
    identity::{LOCAL_USER, PASSWORD_BYTES_MAX, PASSWORD_CHARACTERS_MIN, Right, Role, Secret},
    parser::access::{UserChange, UserOptions},
};

const NAME_CHARACTERS_MAX: usize = 128;
/// The document of users is read whole.
const USERS_MAX: usize = 10_000;

/// A change of a user.
#[derive(Debug)]
pub(crate) struct ChangeUser {
    name: String,
    action: Action,
}

#[derive(Debug)]
enum Action {
    Create { if_not_exists: bool, password: Secret, role: Role },
    Alter { password: Option<Secret>, role: Option<Role>, disabled: Option<bool> },
    Drop { if_exists: bool },
}

impl ChangeUser {
    pub async fn plan(context: &Context, change: UserChange) -> Result<Self, EngineError> {
        let password = |options: &UserOptions| match options.password {
            true => password(context).map(Some),
            false => Ok(None),
        };
        let (name, action) = match change {
            UserChange::Create { name, if_not_exists, options } => {
                if options.disabled == Some(true) {
                    return Err(EngineError::unsupported("CREATE USER ... DISABLE is not supported")
                        .with_hint("Write ALTER USER name DISABLE afterwards."));
                }
                let Some(password) = password(&options)? else {
                    return Err(EngineError::internal("a user without a password came through the parser"));
                };
                let role = options.role.unwrap_or(Role::Reader);
                (new_name(context, &name)?, Action::Create { if_not_exists, password, role })
            }
            UserChange::Alter { name, options } => {
                let UserOptions { role, disabled, .. } = options;
                (key(&name), Action::Alter { password: password(&options)?, role, disabled })
            }
            UserChange::Drop { name, if_exists } => (key(&name), Action::Drop { if_exists }),
        };
        Ok(Self { name, action })
    }

    pub async fn run(&self, context: &Context, _: &[ScalarValue]) -> Result<Outcome, EngineError> {
        let users = context.engine.users();
        let now = Utc::now().timestamp_millis();
        match &self.action {
            Action::Create { if_not_exists, password, role } => {
                if *if_not_exists && users.newest().await?.users.contains_key(&self.name) {
                    return Ok(Outcome::Done(self.title()));
                }
                let password = users.hash(password.reveal()).await?;
                let user =
                    User { role: *role, password, disabled: false, epoch: epoch(), created_ms: now, changed_ms: now };
                users.change(|document| self.create(document, *if_not_exists, &user)).await?;
            }
            Action::Alter { password, role, disabled } => {
                let password = match password {
                    Some(password) => Some(users.hash(password.reveal()).await?),
                    None => None,
                };
                let change = |document: &mut UsersDocument| {
                    let user = document.users.get(&self.name);
                    let mut user = user.cloned().ok_or_else(|| unknown_user(document, &self.name))?;
                    if let Some(password) = &password {
                        user.password = password.clone();
                    }
                    user.role = role.unwrap_or(user.role);
                    user.disabled = disabled.unwrap_or(user.disabled);
                    if password.is_some() || *disabled == Some(true) {
                        user.epoch = epoch();
                    }
                    user.changed_ms = now;
                    document.users.insert(self.name.clone(), user);
                    keep_an_admin(document)
                };
                users.change(change).await?;
            }
            Action::Drop { if_exists } => {
                let change = |document: &mut UsersDocument| {
                    if document.users.remove(&self.name).is_none() {
                        return if *if_exists { Ok(()) } else { Err(unknown_user(document, &self.name)) };
                    }
                    document.tokens.retain(|_, token| token.user != self.name);
                    keep_an_admin(document)
                };
                users.change(change).await?;
            }
        }
        Ok(Outcome::Done(self.title()))
    }

    pub fn needs(&self) -> Right<'_> {
        match &self.action {
            Action::Alter { role: None, disabled: None, .. } => Right::Own(&self.name),
            Action::Alter { .. } | Action::Create { .. } | Action::Drop { .. } => Right::Administer,
        }
    }

    pub fn title(&self) -> &'static str {
        match self.action {
            Action::Create { .. } => "CREATE USER",
            Action::Alter { .. } => "ALTER USER",
            Action::Drop { .. } => "DROP USER",
        }
    }

    fn create(&self, document: &mut UsersDocument, if_not_exists: bool, user: &User) -> Result<(), EngineError> {
        if document.users.contains_key(&self.name) {
            return match if_not_exists {
                true => Ok(()),
                false => {
                    let message = format!("user \"{}\" already exists", self.name);
                    Err(EngineError::new(ErrorKind::AlreadyExists, message)
                        .with_hint("ALTER USER changes the password or the role."))
                }
            };
        }
        if document.users.is_empty() && user.role != Role::Admin {
            return Err(EngineError::invalid("the first user must be an admin").with_hint(
                "With the first user the lake asks for credentials, and someone must be able to make others: ROLE admin.",
            ));
        }
        if document.users.len() >= USERS_MAX {
            return Err(EngineError::new(ErrorKind::Exhausted, format!("the lake has {USERS_MAX} users already")));
        }
        document.users.insert(self.name.clone(), user.clone());
        Ok(())
    }
}

/// A name in a statement about users, as names of tables are: in lower case outside double quotes.
pub(super) fn key(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

pub(super) fn unknown_user(document: &UsersDocument, name: &str) -> EngineError {
    let mut error = EngineError::not_found(format!("user \"{name}\" does not exist"));
    error.hint = did_you_mean(name, document.users.keys().map(String::as_str));
    error
}

/// Names travel in headers, with a colon behind them.
fn new_name(context: &Context, name: &Ident) -> Result<String, EngineError> {
    let key = key(name);
    let refuse = |why: String| Err(EngineError::invalid(why).at(&context.sql, Place::of_token_span(name.span)));
    if key == LOCAL_USER {
        return refuse(format!("the name \"{LOCAL_USER}\" stands for those who work without credentials"));
    }
    if key.is_empty() || key.chars().count() > NAME_CHARACTERS_MAX {
        return refuse(format!("the name of a user has 1 to {NAME_CHARACTERS_MAX} characters"));
    }
    if key.trim() != key || key.chars().any(|char| char.is_control() || char == ':') {
        return refuse("the name of a user has no colon, no control character and no space around it".to_owned());
    }
    Ok(key)
}

fn password(context: &Context) -> Result<Secret, EngineError> {
    let [password] = &*context.secrets else {
        return Err(EngineError::internal("a password was lost on its way"));
    };
    let text = password.reveal();
    if text.chars().count() < PASSWORD_CHARACTERS_MIN || text.len() > PASSWORD_BYTES_MAX {
        return Err(EngineError::invalid(format!(
            "a password has at least {PASSWORD_CHARACTERS_MIN} characters and at most {PASSWORD_BYTES_MAX} bytes"
        )));
    }
    Ok(password.clone())
}

/// Another one each time; it need not be secret.
fn epoch() -> u64 {
    Uuid::new_v4().as_u64_pair().0
}

fn keep_an_admin(document: &UsersDocument) -> Result<(), EngineError> {
    let is_admin = |user: &User| user.role == Role::Admin && !user.disabled;
    if document.users.is_empty() || document.users.values().any(is_admin) {
        return Ok(());
    }
    Err(EngineError::invalid("this would leave users without an admin")
        .with_hint("Make another user an admin first, or drop the others."))
}
