//! A client's session: whose it is is told by the call's credentials ([`Auth`]), which it is by its cookie.
//!
//! A call without a cookie gets a fresh session, forgotten after the call. When a statement changed the session (`SET`,
//! `USE`, `PREPARE`), the answer offers a cookie and the session is kept, so that a client which honours cookies finds it
//! again. Kept sessions are bounded in number and expire when idle.
//!
//! A cookie that the server does not know (it expired, or the server was restarted) fails one call, so that nobody runs a
//! statement under settings that are gone; from then on it names a new session.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use boathouse_engine::{Engine, Origin, Pins, Prepared, Secret, Session};
use parking_lot::Mutex;
use tonic::{
    Extensions, Status,
    metadata::{Ascii, MetadataMap, MetadataValue},
};
use uuid::Uuid;

use super::{option, origin};
use crate::{
    auth::{Auth, Verified},
    clock::Clock,
    server::Peer,
    status,
    traces::Call,
};

const COOKIE: &str = "boathouse_session";
const SESSIONS_MAX: usize = 1000;
const IDLE_MAX: Duration = Duration::from_secs(60 * 60);
/// Command tags of statements that change the session rather than the lake.
const SESSION_TAGS: [&str; 6] = ["SET", "RESET", "USE", "PREPARE", "DEALLOCATE", "DISCARD"];

/// Kept sessions.
pub struct Sessions {
    engine: Arc<Engine>,
    auth: Auth,
    clock: Clock,
    kept: Mutex<HashMap<Uuid, Kept>>,
}

#[derive(Debug)]
struct Kept {
    session: Arc<Session>,
    used: Instant,
}

/// The session of one call.
#[derive(Debug)]
pub struct Caller {
    pub session: Arc<Session>,
    /// Names what this call asks for: in errors, in the log, and in the ticket of a query.
    pub query_id: Uuid,
    /// The program that calls.
    pub client: Option<Arc<str>>,
    /// Follows it for OpenTelemetry.
    call: Option<Arc<Call>>,
    id: Uuid,
    /// Whether the client holds the cookie already.
    known: bool,
    /// The cookie to send with the answer.
    offer: Option<String>,
    /// The session token to send with the answer.
    token: Option<Secret>,
}

impl Sessions {
    /// Idle sessions expire by `clock`.
    pub fn new(engine: Arc<Engine>, auth: Auth, clock: Clock) -> Self {
        Self { engine, auth, clock, kept: Mutex::default() }
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Knows the clients.
    pub fn auth(&self) -> &Auth {
        &self.auth
    }

    /// The session that the cookie of a call names, or a fresh one.
    ///
    /// Every call comes by here: who it is and what they may do is decided in this one place. A session keeps its user; the
    /// user's role is that of the call.
    pub async fn caller(
        &self,
        (metadata, extensions): (&MetadataMap, &Extensions),
        query_id: Uuid,
        call: Option<&Arc<Call>>,
    ) -> Result<Caller, Status> {
        let Verified { identity, token } = self.auth.identify(metadata, &peer(extensions)).await?;
        let client = origin::client(metadata, extensions);
        if let Some(call) = call {
            call.is_by(identity.name().to_owned());
        }
        let call = call.cloned();
        let Some(id) = cookie(metadata) else {
            let session = self.engine.session_of(identity);
            return Ok(Caller {
                session,
                query_id,
                client,
                call,
                id: Uuid::new_v4(),
                known: false,
                offer: None,
                token,
            });
        };
        let now = self.clock.now();
        if let Some(kept) = self.kept.lock().get_mut(&id).filter(|kept| !kept.is_idle(now)) {
            if kept.session.identity().name() != identity.name() {
                return Err(Status::permission_denied("the session belongs to another user"));
            }
            kept.session.set_role(identity.role());
            kept.used = now;
            let session = kept.session.clone();
            return Ok(Caller { session, query_id, client, call, id, known: true, offer: None, token });
        }
        self.keep(id, self.engine.session_of(identity));
        Err(Status::aborted(
            "the session has ended: its settings and prepared statements are gone\nHINT: Run SET, USE and PREPARE again; the \
             next statement starts a new session.",
        ))
    }

    /// How many are kept.
    pub fn count(&self) -> usize {
        self.kept.lock().len()
    }

    /// Keeps the caller's session when the statement with this tag changed it.
    pub fn ran(&self, caller: &mut Caller, tag: &str) {
        if !caller.known && SESSION_TAGS.iter().any(|session_tag| tag.starts_with(session_tag)) {
            self.keep(caller.id, caller.session.clone());
            caller.known = true;
            caller.offer = Some(format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict", caller.id));
        }
    }

    /// Forgets the caller's session.
    pub fn close(&self, caller: &mut Caller) {
        caller.offer = Some(format!("{COOKIE}=; Path=/; Max-Age=0"));
        self.kept.lock().remove(&caller.id);
    }

    /// The session to run a ticket in: the caller's when its settings are those of the ticket, else a fresh one with them.
    pub async fn with_settings(&self, caller: &Caller, settings: &[(String, String)]) -> Result<Arc<Session>, Status> {
        if caller.session.changed_settings() == settings {
            return Ok(caller.session.clone());
        }
        let session = self.engine.session_of(caller.session.identity());
        for (name, value) in settings {
            option::set_one(&session, name, value).await.map_err(status::from_engine)?;
        }
        Ok(session)
    }

    fn keep(&self, id: Uuid, session: Arc<Session>) {
        let now = self.clock.now();
        let mut kept = self.kept.lock();
        kept.retain(|_, kept| !kept.is_idle(now));
        if kept.len() >= SESSIONS_MAX && !kept.contains_key(&id) {
            make_room(&mut kept, session.identity().name());
        }
        kept.insert(id, Kept { session, used: now });
    }
}

impl Kept {
    fn is_idle(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) >= IDLE_MAX
    }
}

/// Forgets the session that was not used for longest, of the user who has most of them when `comer` has one more: who opens
/// sessions without end loses their own.
fn make_room(kept: &mut HashMap<Uuid, Kept>, comer: &str) {
    let mut held: HashMap<String, usize> = HashMap::new();
    for kept in kept.values() {
        *held.entry(kept.session.identity().name().to_owned()).or_default() += 1;
    }
    if let Some(own) = held.get_mut(comer) {
        *own += 1;
    }
    let Some((most, _)) = held.into_iter().max_by_key(|(_, sessions)| *sessions) else { return };
    let theirs = kept.iter().filter(|(_, kept)| kept.session.identity().name() == most);
    if let Some(oldest) = theirs.min_by_key(|(_, kept)| kept.used).map(|(id, _)| *id) {
        kept.remove(&oldest);
    }
}

impl Caller {
    /// The name of the user.
    pub fn user(&self) -> String {
        self.session.identity().name().to_owned()
    }

    /// Whom the statement of this call is for.
    pub fn origin(&self) -> Origin {
        Origin {
            query_id: self.query_id,
            user: Some(self.user().into()),
            client: self.client.clone(),
            trace: self.call.as_ref().and_then(Call::trace),
        }
    }

    /// This call is for a statement that an earlier call has begun.
    pub fn is_for(&mut self, query_id: Uuid) {
        // A client may have made the ticket itself.
        if query_id.is_nil() {
            return;
        }
        self.query_id = query_id;
        if let Some(call) = &self.call {
            call.is_for(query_id);
        }
    }

    /// Plans a statement of this call on the newest versions of its tables.
    pub async fn prepare(&self, sql: &str) -> Result<Prepared, Status> {
        self.session.prepare_as(&self.origin(), sql, &Pins::new()).await.map_err(status::from_engine)
    }

    /// The same call, gone on with behind its answer.
    pub fn apart(&self) -> Self {
        let (session, client, call) = (self.session.clone(), self.client.clone(), self.call.clone());
        Self {
            session,
            query_id: self.query_id,
            client,
            call,
            id: self.id,
            known: self.known,
            offer: None,
            token: None,
        }
    }

    /// Which session it is, if it is kept.
    pub fn kept_id(&self) -> Option<Uuid> {
        self.known.then_some(self.id)
    }

    /// Whether the client holds the cookie of this session.
    pub fn known(&self) -> bool {
        self.known
    }

    /// Adds the cookie and the session token to an answer, when there are any to give.
    pub fn sign(&self, metadata: &mut MetadataMap) {
        if let Some(token) = &self.token {
            offer_token(metadata, token);
        }
        if let Some(cookie) = self.offer.as_ref().and_then(|cookie| MetadataValue::try_from(cookie).ok()) {
            metadata.append("set-cookie", cookie);
        }
    }
}

/// The other end of the connection.
pub fn peer(extensions: &Extensions) -> Peer {
    extensions.get::<Peer>().cloned().unwrap_or_default()
}

/// Drivers take the token of their next calls from here.
pub fn offer_token(metadata: &mut MetadataMap, token: &Secret) {
    if let Ok(mut value) = MetadataValue::try_from(format!("Bearer {}", token.reveal())) {
        value.set_sensitive(true);
        metadata.insert("authorization", value);
    }
}

fn cookie(metadata: &MetadataMap) -> Option<Uuid> {
    let pairs = |value: &MetadataValue<Ascii>| {
        let text = value.to_str().unwrap_or_default();
        text.split(';')
            .filter_map(|pair| pair.trim().split_once('='))
            .find_map(|(name, id)| (name == COOKIE).then(|| Uuid::parse_str(id.trim_matches('"')).ok())?)
    };
    metadata.get_all("cookie").iter().find_map(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_among_others() {
        let id = Uuid::new_v4();
        let mut metadata = MetadataMap::new();
        metadata.append("cookie", "a=b".parse().unwrap());
        metadata.append("cookie", format!("c=d; {COOKIE}={id}").parse().unwrap());
        assert_eq!(cookie(&metadata), Some(id));
    }

    #[test]
    fn a_cookie_that_is_none_of_ours_is_no_cookie() {
        let mut metadata = MetadataMap::new();
        metadata.append("cookie", format!("{COOKIE}=1; x").parse().unwrap());
        assert_eq!(cookie(&metadata), None);
    }
}
