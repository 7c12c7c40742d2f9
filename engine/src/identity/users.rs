//! From a password or a token to the user who holds it.
//!
//! The document of users is looked at again when what was seen of it is older than [`SEEN_MAX`], so whoever is dropped,
//! disabled or given another role by another process is so here after that time; by this process, at once. Before anyone is
//! refused it is looked at again whatever its age: a new user or password is good everywhere at once.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::hmac;
use boathouse_storage::{Lake, catalog::UsersDocument};
use chrono::Utc;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{Identity, access_token, password};
use crate::{EngineError, ErrorKind};

/// How old may be what is known of the users.
const SEEN_MAX: Duration = Duration::from_secs(2);
/// How long after a look for strangers the next one begins.
const LOOKS_APART: Duration = Duration::from_millis(100);
/// Logins that wait for a thread to hash on; more are sent away.
const WAITING_MAX: usize = 256;
/// Passwords that were verified lately, by a keyed hash.
const VERIFIED_MAX: u64 = 1000;
const VERIFIED_IDLE_MAX: Duration = Duration::from_secs(600);

/// Why someone was not let in.
#[derive(Debug)]
pub enum LoginError {
    /// The credentials are not good; the text says as much as a stranger may know.
    Refused(&'static str),
    /// They could not be checked.
    Failed(EngineError),
}

impl From<EngineError> for LoginError {
    fn from(error: EngineError) -> Self {
        Self::Failed(error)
    }
}

const WRONG_PASSWORD: &str = "wrong user name or password";
const WRONG_TOKEN: &str = "the access token is not known: it was dropped, or its user was";
const EXPIRED_TOKEN: &str = "the access token has expired";

/// The users of a lake. Methods may be called at once; passwords are hashed off the threads of the network, few at a time.
pub struct Users {
    lake: Arc<Lake>,
    seen: Mutex<Seen>,
    /// When it was last looked for someone who was to be refused; locked while someone looks.
    looked: tokio::sync::Mutex<Option<Instant>>,
    hashing: Arc<Semaphore>,
    waiting: Semaphore,
    /// Verified lately: of user, password and hash. Under a key of this process, so that memory holds nothing to guess at.
    verified: moka::sync::Cache<[u8; 32], ()>,
    key: Option<hmac::Key>,
}

/// What was last read of the users, when it was asked for, and when this process last changed them.
#[derive(Default)]
struct Seen {
    document: Option<(Instant, Arc<UsersDocument>)>,
    changed: Option<Instant>,
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").finish_non_exhaustive()
    }
}

impl Users {
    pub(crate) fn new(lake: &Arc<Lake>, threads: usize) -> Self {
        let random = aws_lc_rs::rand::SystemRandom::new();
        Self {
            lake: lake.clone(),
            seen: Mutex::default(),
            looked: tokio::sync::Mutex::default(),
            // Half of the processors are left to queries.
            hashing: Arc::new(Semaphore::new((threads / 2).max(1))),
            waiting: Semaphore::new(WAITING_MAX),
            verified: moka::sync::Cache::builder().max_capacity(VERIFIED_MAX).time_to_idle(VERIFIED_IDLE_MAX).build(),
            // Without random numbers nothing is remembered.
            key: hmac::Key::generate(hmac::HMAC_SHA256, &random).ok(),
        }
    }

    /// Whether the lake has any user: then credentials are asked for.
    pub async fn exist(&self) -> Result<bool, EngineError> {
        Ok(!self.document().await?.users.is_empty())
    }

    /// Who has this name and password, if it was verified lately: without the time that it takes to hash it.
    pub async fn with_known_password(&self, name: &str, password: &str) -> Result<Option<Identity>, EngineError> {
        let document = self.document().await?;
        let user = document.users.get(name).filter(|user| !user.disabled);
        let known = |hash: &super::Secret| {
            self.proof(name, password, hash.reveal()).is_some_and(|proof| self.verified.contains_key(&proof))
        };
        Ok(user.filter(|user| known(&user.password)).map(|user| Identity::of_user(name, user)))
    }

    /// Who has this name and password.
    pub async fn with_password(&self, name: &str, password: &str) -> Result<Identity, LoginError> {
        let known = self.document().await?;
        if let Some(identity) = self.check_password(&known, name, password).await? {
            return Ok(identity);
        }
        let newest = self.newest_for_all().await?;
        // Hashing again only when there is something new to compare with.
        if newest.users.get(name) == known.users.get(name) {
            return Err(LoginError::Refused(WRONG_PASSWORD));
        }
        self.check_password(&newest, name, password).await?.ok_or(LoginError::Refused(WRONG_PASSWORD))
    }

    /// Who holds this access token; `None` when the text is none.
    pub async fn with_access_token(&self, text: &str) -> Result<Option<Identity>, LoginError> {
        let Some(id) = access_token::id_of(text) else { return Ok(None) };
        match token_holder(&*self.document().await?, id, text) {
            Err(LoginError::Refused(_)) => token_holder(&*self.newest_for_all().await?, id, text).map(Some),
            found => found.map(Some),
        }
    }

    /// The user of a name who still has the epoch that a session token names.
    pub async fn with_epoch(&self, name: &str, epoch: u64) -> Result<Option<Identity>, EngineError> {
        let find = |document: &UsersDocument| {
            let user = document.users.get(name).filter(|user| !user.disabled && user.epoch == epoch);
            user.map(|user| Identity::of_user(name, user))
        };
        match find(&*self.document().await?) {
            Some(identity) => Ok(Some(identity)),
            None => Ok(find(&*self.newest_for_all().await?)),
        }
    }

    /// The user of a name, for someone else's word on who calls; and whether they are disabled.
    pub async fn of_name(&self, name: &str) -> Result<Option<(Identity, bool)>, EngineError> {
        let document = self.document().await?;
        Ok(document.users.get(name).map(|user| (Identity::of_user(name, user), user.disabled)))
    }

    /// Hashes a new password as logins do: few at a time, off this thread.
    pub(crate) async fn hash(&self, password: &str) -> Result<super::Secret, EngineError> {
        let password = super::Secret::new(password);
        self.off_thread(move || password::hash(password.reveal())).await?
    }

    /// Users and tokens as they are now.
    pub(crate) async fn newest(&self) -> Result<Arc<UsersDocument>, EngineError> {
        let asked = Instant::now();
        let document = self.lake.users().await?;
        let mut seen = self.seen.lock();
        // What was asked for before a change may lack it.
        if seen.changed.is_none_or(|changed| changed < asked) {
            seen.document = Some((asked, document.clone()));
        }
        Ok(document)
    }

    /// Users and tokens as they are after this call began, for someone who is refused by what was seen before. All who ask
    /// meanwhile share one look, and there are few looks a second: strangers must not keep the store busy.
    async fn newest_for_all(&self) -> Result<Arc<UsersDocument>, EngineError> {
        let asked = Instant::now();
        let mut looked = self.looked.lock().await;
        if let Some((when, document)) = &self.seen.lock().document
            && *when >= asked
        {
            return Ok(document.clone());
        }
        if let Some(last) = *looked {
            tokio::time::sleep_until((last + LOOKS_APART).into()).await;
        }
        *looked = Some(Instant::now());
        self.newest().await
    }

    /// Changes users or tokens; `change` may run several times.
    pub(crate) async fn change(
        &self,
        change: impl Fn(&mut UsersDocument) -> Result<(), EngineError> + Send + Sync,
    ) -> Result<(), EngineError> {
        let changed = self.lake.change_users(change).await;
        // Whatever came of it, what was seen before is old.
        *self.seen.lock() = Seen { document: None, changed: Some(Instant::now()) };
        changed.map(drop)
    }

    /// Users and tokens as they were a moment ago.
    async fn document(&self) -> Result<Arc<UsersDocument>, EngineError> {
        if let Some((when, document)) = &self.seen.lock().document
            && when.elapsed() < SEEN_MAX
        {
            return Ok(document.clone());
        }
        self.newest().await
    }

    async fn check_password(
        &self,
        document: &UsersDocument,
        name: &str,
        password: &str,
    ) -> Result<Option<Identity>, EngineError> {
        let user = document.users.get(name);
        let hash = user.map(|user| user.password.clone());
        let proof = hash.as_ref().and_then(|hash| self.proof(name, password, hash.reveal()));
        let known = proof.is_some_and(|proof| self.verified.get(&proof).is_some());
        if !known {
            let given = super::Secret::new(password);
            let matches = self.off_thread(move || password::verify(given.reveal(), hash.as_ref())).await?;
            if !matches {
                return Ok(None);
            }
            if let Some(proof) = proof {
                self.verified.insert(proof, ());
            }
        }
        // A disabled user has waited like all others.
        Ok(user.filter(|user| !user.disabled).map(|user| Identity::of_user(name, user)))
    }

    /// What a verified password is remembered by. It names the hash: another password or salt is another proof.
    fn proof(&self, name: &str, password: &str, hash: &str) -> Option<[u8; 32]> {
        let mut context = hmac::Context::with_key(self.key.as_ref()?);
        for part in [name, password, hash] {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part.as_bytes());
        }
        context.sign().as_ref().try_into().ok()
    }

    /// Runs slow work on a thread of its own, when its turn comes.
    async fn off_thread<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, EngineError> {
        let Ok(_waiting) = self.waiting.try_acquire() else {
            return Err(EngineError::new(ErrorKind::Unavailable, "too many logins at once")
                .with_hint("Log in again in a moment."));
        };
        let closed = |_| EngineError::internal("no login can be checked any more");
        let turn = self.hashing.clone().acquire_owned().await.map_err(closed)?;
        let ended =
            |error: tokio::task::JoinError| EngineError::internal("checking a password did not end").with_source(error);
        // A client that goes away does not end the work: its turn lasts as long.
        let work = move || {
            let result = work();
            drop(turn);
            result
        };
        tokio::task::spawn_blocking(work).await.map_err(ended)
    }
}

fn token_holder(document: &UsersDocument, id: &str, text: &str) -> Result<Identity, LoginError> {
    let token = document.tokens.get(id).filter(|token| access_token::is_token_of(text, &token.hash));
    let token = token.ok_or(LoginError::Refused(WRONG_TOKEN))?;
    let user = document.users.get(&token.user).filter(|user| !user.disabled);
    let user = user.ok_or(LoginError::Refused(WRONG_TOKEN))?;
    if token.expires_ms <= Utc::now().timestamp_millis() {
        return Err(LoginError::Refused(EXPIRED_TOKEN));
    }
    Ok(Identity::of_user(&token.user, user))
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::{Engine, EngineConfig};

    #[tokio::test]
    async fn passwords_are_hashed_few_at_a_time_and_too_many_are_sent_away() {
        let engine = Engine::open("memory://", EngineConfig { threads: 4, ..EngineConfig::default() }).await.unwrap();
        let users = engine.users();
        assert_eq!(users.hashing.available_permits(), 2);
        let turns = users.hashing.clone().acquire_many_owned(2).await.unwrap();
        let mut logins: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(users.with_password("ann", "wrong"))).collect();
        // All of them wait for a turn, and none of the next has a place to wait.
        assert!(users.document().await.is_ok());
        for login in &mut logins {
            assert!(login.as_mut().now_or_never().is_none());
        }
        match users.with_password("bob", "wrong").await {
            Err(LoginError::Failed(error)) => assert_eq!(error.kind, ErrorKind::Unavailable),
            other => panic!("{other:?}"),
        }
        logins.truncate(1);
        drop(turns);
        let Some(login) = logins.pop() else { panic!("no login") };
        assert!(matches!(login.await, Err(LoginError::Refused(WRONG_PASSWORD))));
        assert_eq!(users.hashing.available_permits(), 2);
    }
}
