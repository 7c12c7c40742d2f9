//! ```text
//! CREATE TOKEN name [FOR user] VALID FOR 'number unit'      30 days, 12 hours, 1 year
//! DROP TOKEN [IF EXISTS] name [FOR user]
//! ```
//! A token stands for its user until it expires, is dropped, or its user is. CREATE TOKEN gives the secret in a row, once:
//! the lake keeps its hash. Without FOR it is the caller's own.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use boathouse_storage::catalog::{AccessToken, UsersDocument};
use chrono::Utc;
use datafusion::{
    arrow::datatypes::{Schema, SchemaRef},
    common::ScalarValue,
};

use super::{
    Context, Effect, Outcome,
    rows::{some, text_batch, text_schema},
    show::{internal, time},
    user::{key, unknown_user},
};
use crate::{
    EngineError, ErrorKind, RowStream,
    error::did_you_mean,
    identity::{LOCAL_USER, NewToken, Right, new_token},
    parser::access::TokenChange,
};

/// Ten years: nobody remembers longer what it was for.
const VALID_MAX: Duration = Duration::from_secs(3650 * 86_400);
/// Of one user.
const TOKENS_MAX: usize = 1000;

static COLUMNS: LazyLock<SchemaRef> = LazyLock::new(|| text_schema(&["token", "expires_at"]));

/// A change of a token.
#[derive(Debug)]
pub(crate) struct ChangeToken {
    name: String,
    user: String,
    action: Action,
}

#[derive(Debug)]
enum Action {
    Create { valid_for: Duration },
    Drop { if_exists: bool },
}

impl ChangeToken {
    pub async fn plan(context: &Context, change: TokenChange) -> Result<Self, EngineError> {
        let (name, user, action) = match change {
            TokenChange::Create { name, user, valid_for } => {
                if valid_for > VALID_MAX {
                    return Err(EngineError::invalid("a token is valid for 10 years at most"));
                }
                (name, user, Action::Create { valid_for })
            }
            TokenChange::Drop { name, user, if_exists } => (name, user, Action::Drop { if_exists }),
        };
        let caller = context.session.identity();
        let user = user.map_or_else(|| caller.name().to_owned(), |user| key(&user));
        if user == LOCAL_USER {
            return Err(EngineError::invalid("a token stands for a user").with_hint("Write FOR and the user's name."));
        }
        Ok(Self { name: key(&name), user, action })
    }

    pub async fn run(&self, context: &Context, _: &[ScalarValue]) -> Result<Outcome, EngineError> {
        let users = context.engine.users();
        match self.action {
            Action::Create { valid_for } => {
                let token = new_token()?;
                let now = Utc::now().timestamp_millis();
                let expires_ms = now + i64::try_from(valid_for.as_millis()).unwrap_or(i64::MAX / 2);
                users.change(|document| self.create(document, &token, now, expires_ms)).await?;
                let row = vec![some(token.text.reveal()), time(expires_ms)];
                Ok(Outcome::Rows(RowStream::of_batch(text_batch(&COLUMNS, &[row]).map_err(internal)?)))
            }
            Action::Drop { if_exists } => {
                users.change(|document| self.drop_from(document, if_exists)).await?;
                Ok(Outcome::Done(self.title()))
            }
        }
    }

    pub fn needs(&self) -> Right<'_> {
        Right::Own(&self.user)
    }

    /// CREATE TOKEN gives a row, so it runs where rows are fetched. Fetched twice, it makes no second token: its name is taken.
    pub fn effect(&self) -> Effect {
        match self.action {
            Action::Create { .. } => Effect::Rows,
            Action::Drop { .. } => Effect::Define,
        }
    }

    pub fn schema(&self) -> SchemaRef {
        match self.action {
            Action::Create { .. } => COLUMNS.clone(),
            Action::Drop { .. } => Arc::new(Schema::empty()),
        }
    }

    pub fn title(&self) -> &'static str {
        match self.action {
            Action::Create { .. } => "CREATE TOKEN",
            Action::Drop { .. } => "DROP TOKEN",
        }
    }

    fn create(
        &self,
        document: &mut UsersDocument,
        token: &NewToken,
        created_ms: i64,
        expires_ms: i64,
    ) -> Result<(), EngineError> {
        if !document.users.contains_key(&self.user) {
            return Err(unknown_user(document, &self.user));
        }
        // What has expired makes room, for its name, too.
        document.tokens.retain(|_, token| token.expires_ms > created_ms);
        let own = || document.tokens.values().filter(|token| token.user == self.user);
        if own().any(|token| token.name == self.name) {
            let message = format!("token \"{}\" of user \"{}\" already exists", self.name, self.user);
            return Err(EngineError::new(ErrorKind::AlreadyExists, message)
                .with_hint("DROP TOKEN drops it; its secret cannot be shown again."));
        }
        if own().count() >= TOKENS_MAX {
            let message = format!("user \"{}\" has {TOKENS_MAX} tokens already", self.user);
            return Err(EngineError::new(ErrorKind::Exhausted, message).with_hint("Drop those that are not used."));
        }
        let (user, name, hash) = (self.user.clone(), self.name.clone(), token.hash.clone());
        document.tokens.insert(token.id.clone(), AccessToken { user, name, hash, created_ms, expires_ms });
        Ok(())
    }

    fn drop_from(&self, document: &mut UsersDocument, if_exists: bool) -> Result<(), EngineError> {
        let is_it = |token: &AccessToken| token.user == self.user && token.name == self.name;
        if !if_exists && !document.tokens.values().any(is_it) {
            let own = document.tokens.values().filter(|token| token.user == self.user);
            let names: Vec<&str> = own.map(|token| token.name.as_str()).collect();
            let message = format!("token \"{}\" of user \"{}\" does not exist", self.name, self.user);
            let mut error = EngineError::not_found(message);
            error.hint = did_you_mean(&self.name, names);
            return Err(error);
        }
        document.tokens.retain(|_, token| !is_it(token));
        Ok(())
    }
}
