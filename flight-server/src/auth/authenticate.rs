//! From credentials to an identity.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use boathouse_engine::{Engine, Identity, LoginError, Role, Secret};
use tonic::{Status, metadata::MetadataMap};

use super::{
    backoff::Backoff,
    credentials::Credentials,
    oidc::{Issuer, OidcOptions},
    session_token::{SessionTokens, TokenFault},
};
use crate::{clock::Clock, server::Peer, status};

/// How a server knows its clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthOptions {
    /// How long a session token lasts; it is renewed while it is used. Default: 12 hours.
    pub session_life: Duration,
    /// Signs session tokens. Default: a random one, so that they end with the process.
    pub key: Option<Secret>,
    /// Whether a lake without users may be used by everyone who reaches the server. Default: yes.
    pub open: bool,
    /// Whose JWTs are taken. Default: nobody's.
    pub oidc: Option<OidcOptions>,
}

impl Default for AuthOptions {
    fn default() -> Self {
        Self { session_life: Duration::from_secs(12 * 60 * 60), key: None, open: true, oidc: None }
    }
}

/// Knows the clients of one server. Methods may be called at once.
pub struct Auth {
    engine: Arc<Engine>,
    tokens: SessionTokens,
    open: bool,
    issuer: Option<Issuer>,
    backoff: Backoff,
    clock: Clock,
}

/// A client that is known.
#[derive(Debug)]
pub struct Verified {
    pub identity: Identity,
    /// A session token to send with the answer.
    pub token: Option<Secret>,
}

impl Auth {
    /// `clock` is that of session tokens, of the issuer's tokens and keys, and of failed logins.
    pub fn new(engine: Arc<Engine>, options: &AuthOptions, clock: Clock) -> Result<Self, Status> {
        let tokens = SessionTokens::new(options.key.as_ref(), options.session_life)?;
        let issuer = options.oidc.clone().map(|options| Issuer::new(options, clock.clone())).transpose()?;
        Ok(Self { engine, tokens, open: options.open, issuer, backoff: Backoff::new(clock.clone()), clock })
    }

    /// Who makes a call, by its headers; UNAUTHENTICATED when that is not known. Looks at the lake's users each time: who was
    /// dropped, or has another role, is so within seconds.
    ///
    /// Where the certificate of the connection stands for a user, credentials go before it.
    pub async fn identify(&self, metadata: &MetadataMap, from: &Peer) -> Result<Verified, Status> {
        let peer = from.user.as_deref();
        let credentials = Credentials::of(metadata)?;
        if self.issuer.is_none() && !self.engine.users().exist().await.map_err(status::from_engine)? {
            return self.stranger(peer);
        }
        match (credentials, peer) {
            (None, Some(user)) => self.certified(user).await,
            (credentials, _) => self.known(credentials, from.address.map(|address| address.ip())).await,
        }
    }

    async fn known(&self, credentials: Option<Credentials>, address: Option<IpAddr>) -> Result<Verified, Status> {
        match credentials {
            None => Err(Status::unauthenticated(
                "this server asks for credentials\nHINT: Give a user's name and password, or an access token; `boathouse \
                 connect` shows where each client takes them.",
            )),
            Some(Credentials::Basic { user, password }) => {
                let identity = self.with_password(&user, &password, address).await?;
                let token = Some(self.issue(&identity));
                Ok(Verified { identity, token })
            }
            Some(Credentials::Bearer(token)) if SessionTokens::is_one(token.reveal()) => self.session(&token).await,
            Some(Credentials::Bearer(token)) => {
                let found = self.engine.users().with_access_token(token.reveal()).await.map_err(refused)?;
                let identity = match (found, &self.issuer) {
                    (Some(identity), _) => identity,
                    (None, Some(issuer)) => self.vouched_for(issuer, &token).await?,
                    (None, None) => {
                        return Err(Status::unauthenticated("the bearer token is not one that this server knows"));
                    }
                };
                Ok(Verified { identity, token: None })
            }
        }
    }

    /// Who has failed often has to wait, unless the password was verified lately.
    async fn with_password(&self, user: &str, password: &Secret, address: Option<IpAddr>) -> Result<Identity, Status> {
        let users = self.engine.users();
        if let Some(identity) = users.with_known_password(user, password.reveal()).await.map_err(status::from_engine)? {
            return Ok(identity);
        }
        self.backoff.begin(user, address).map_err(|wait| {
            let seconds = wait.as_millis().div_ceil(1000);
            Status::unauthenticated(format!(
                "too many wrong passwords\nHINT: Log in again in {seconds} s; until then no password is looked at."
            ))
        })?;
        let found = users.with_password(user, password.reveal()).await;
        match &found {
            Ok(_) => self.backoff.succeeded(user, address),
            Err(LoginError::Refused(_)) => self.backoff.failed(user, address),
            Err(LoginError::Failed(_)) => {}
        }
        found.map_err(refused)
    }

    /// The same for a handshake: with a token for the calls to come. Who showed a token goes on with it.
    pub async fn handshake(&self, metadata: &MetadataMap, from: &Peer) -> Result<Secret, Status> {
        let verified = self.identify(metadata, from).await?;
        match (verified.token, Credentials::of(metadata)?) {
            (Some(token), _) => Ok(token),
            (None, Some(Credentials::Bearer(token))) => Ok(token),
            (None, _) => Ok(self.issue(&verified.identity)),
        }
    }

    /// A user of the lake by the word of the configuration.
    async fn certified(&self, user: &str) -> Result<Verified, Status> {
        match self.engine.users().of_name(user).await.map_err(status::from_engine)? {
            Some((identity, false)) => Ok(Verified { identity, token: None }),
            Some((_, true)) | None => Err(Status::unauthenticated(format!(
                "the certificate stands for \"{user}\", who is not a user of the lake or is disabled"
            ))),
        }
    }

    /// A lake without users asks for no credentials and takes any: there is nothing to compare them with.
    fn stranger(&self, peer: Option<&str>) -> Result<Verified, Status> {
        if self.open {
            let identity = peer.map_or_else(Identity::local, |user| Identity::new(user, Role::Admin));
            return Ok(Verified { identity, token: None });
        }
        Err(Status::unauthenticated(
            "this lake has no users, and the server can be reached from other machines\nHINT: Make the first one on the \
             lake itself: boathouse user create NAME --lake LAKE",
        ))
    }

    /// Whom the issuer vouches for. It says nothing of the lake's own users: whoever may choose a name there must not become
    /// one of them.
    async fn vouched_for(&self, issuer: &Issuer, token: &Secret) -> Result<Identity, Status> {
        let identity = issuer.identify(token.reveal(), u64::try_from(self.now_ms() / 1000).unwrap_or_default()).await?;
        match self.engine.users().of_name(identity.name()).await.map_err(status::from_engine)? {
            None => Ok(identity),
            Some(_) => Err(Status::unauthenticated(format!(
                "\"{}\" is a user of the lake, who logs in with the lake's own credentials",
                identity.name()
            ))),
        }
    }

    async fn session(&self, token: &Secret) -> Result<Verified, Status> {
        let again = "HINT: Log in again with user and password.";
        let holder = self.tokens.read(token.reveal(), self.now_ms()).map_err(|fault| match fault {
            TokenFault::Unknown => Status::unauthenticated(format!(
                "the session token is not known: the server was restarted, or another one gave it\n{again}"
            )),
            TokenFault::Expired => Status::unauthenticated(format!("the session token has expired\n{again}")),
        })?;
        let ended =
            || Status::unauthenticated(format!("the session has ended: its user was changed or dropped\n{again}"));
        let epoch = holder.epoch.ok_or_else(ended)?;
        let found = self.engine.users().with_epoch(&holder.name, epoch).await.map_err(status::from_engine)?;
        let identity = found.ok_or_else(ended)?;
        let token = holder.is_old.then(|| self.issue(&identity));
        Ok(Verified { identity, token })
    }

    fn issue(&self, identity: &Identity) -> Secret {
        self.tokens.issue(identity.name(), identity.epoch(), self.now_ms())
    }

    fn now_ms(&self) -> i64 {
        let since = self.clock.date().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

fn refused(error: LoginError) -> Status {
    match error {
        LoginError::Refused(why) => Status::unauthenticated(why),
        LoginError::Failed(error) => status::from_engine(error),
    }
}
