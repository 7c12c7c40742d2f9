//! JWTs of an issuer as bearer tokens, from an issuer of this process.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use boathouse_engine::{ErrorKind, Secret};
use boathouse_flight_server::{
    AuthOptions, Clock, OidcOptions,
    client::{Client, ClientError, Login, connect},
    server::ServerOptions,
};
use boathouse_tests::{TestLake, TestServer, config};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::support::{text, until};

/// Answers discovery and keys on a free port.
struct TestIssuer {
    url: String,
    /// What it publishes, and how often it was asked for that.
    keys: Arc<Mutex<(Vec<Value>, usize)>>,
    /// It takes connections and says nothing.
    silent: Arc<AtomicBool>,
    /// How many it took so.
    unanswered: Arc<AtomicUsize>,
}

impl TestIssuer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let keys = Arc::new(Mutex::new((Vec::new(), 0)));
        let silent = Arc::new(AtomicBool::new(false));
        let unanswered = Arc::new(AtomicUsize::new(0));
        let (issuer, published, says_nothing, count) = (url.clone(), keys.clone(), silent.clone(), unanswered.clone());
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                if says_nothing.load(Ordering::SeqCst) {
                    held.push(stream);
                    count.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                let (mut request, mut part) = (Vec::new(), [0; 4096]);
                while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                    match stream.read(&mut part).await {
                        Ok(count) if count > 0 => request.extend_from_slice(&part[..count]),
                        _ => break,
                    }
                }
                let body = if request.starts_with(b"GET /.well-known/openid-configuration ") {
                    json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")})
                } else {
                    let mut keys = published.lock().unwrap();
                    keys.1 += 1;
                    json!({ "keys": keys.0 })
                }
                .to_string();
                let length = body.len();
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { url, keys, silent, unanswered }
    }

    fn publish(&self, keys: impl IntoIterator<Item = Value>) {
        self.keys.lock().unwrap().0 = keys.into_iter().collect();
    }

    fn fetched(&self) -> usize {
        self.keys.lock().unwrap().1
    }

    fn options(&self) -> OidcOptions {
        OidcOptions {
            role_claim: Some("groups".to_owned()),
            admins: vec!["ops".to_owned()],
            fetch_wait_min: Duration::ZERO,
            ..OidcOptions::new(&self.url, "boathouse")
        }
    }

    /// Claims that are good now, for Ann.
    fn claims(&self) -> Value {
        json!({"iss": self.url, "aud": "boathouse", "sub": "ann", "exp": now() + 60})
    }
}

/// A key of the issuer.
enum Signer {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

impl Signer {
    fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    fn ec() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn published(&self, kid: &str) -> Value {
        let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Rsa(pair) => {
                let [n, e] = numbers(pair.public_key().as_ref());
                json!({"kid": kid, "kty": "RSA", "use": "sig", "alg": "RS256", "n": number(n), "e": number(e)})
            }
            Self::Ec(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kid": kid, "kty": "EC", "crv": "P-256", "x": number(&point[1..33]), "y": number(&point[33..])})
            }
        }
    }

    fn sign(&self, kid: &str, claims: &Value) -> String {
        let alg = if matches!(self, Self::Rsa(_)) { "RS256" } else { "ES256" };
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({"alg": alg, "kid": kid, "typ": "JWT"})), part(claims));
        let signature = match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
                signature
            }
            Self::Ec(pair) => pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap().as_ref().to_vec(),
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Modulus and exponent of a key in DER: a sequence of two integers.
fn numbers(der: &[u8]) -> [&[u8]; 2] {
    // Tag, length (with the high bit: of the length), value; and what follows.
    fn split(der: &[u8]) -> (&[u8], &[u8]) {
        let (length, start) = match usize::from(der[1]) {
            short if short < 0x80 => (short, 2),
            long => {
                let bytes = &der[2..2 + (long & 0x7f)];
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), 2 + bytes.len())
            }
        };
        der[start..].split_at(length)
    }
    let (sequence, _) = split(der);
    let (n, rest) = split(sequence);
    let (e, _) = split(rest);
    // A zero keeps the sign of a number whose first bit is one.
    [n, e].map(|number| number.strip_prefix(&[0]).unwrap_or(number))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

async fn server(oidc: OidcOptions) -> (TestLake, TestServer) {
    server_by(Clock::default(), oidc).await
}

async fn server_by(clock: Clock, oidc: OidcOptions) -> (TestLake, TestServer) {
    let lake = TestLake::folder_with(config()).await;
    lake.run("CREATE TABLE t AS SELECT 1 AS a").await;
    let auth = AuthOptions { oidc: Some(oidc), ..AuthOptions::default() };
    let options = ServerOptions { auth, clock, ..ServerOptions::default() };
    let server = TestServer::spawn_with(lake.engine().clone(), options).await;
    (lake, server)
}

async fn with(server: &TestServer, token: &str) -> Result<Box<dyn Client>, ClientError> {
    connect(&server.url(), Default::default(), Login::Token(Secret::new(token))).await
}

/// Why a token is refused.
async fn refused(server: &TestServer, token: &str) -> String {
    let error = with(server, token).await.err().unwrap_or_else(|| panic!("taken: {token}"));
    assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
    error.text.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_the_issuer_are_good_and_their_groups_are_roles() {
    let issuer = TestIssuer::start().await;
    let (lake, server) = server(issuer.options()).await;
    let (rsa, ec) = (Signer::rsa(), Signer::ec());
    issuer.publish([rsa.published("r"), ec.published("e"), json!({"kty": "OKP", "kid": "x"}), json!({"odd": 1})]);
    let reader = with(&server, &rsa.sign("r", &issuer.claims())).await.unwrap();
    assert!(text(&*reader, "SELECT current_user AS u FROM t").await.contains("ann"));
    assert_eq!(reader.run("INSERT INTO t VALUES (2)").await.unwrap_err().kind, ErrorKind::Denied);
    let mut claims = issuer.claims();
    claims["groups"] = json!(["x", "ops"]);
    claims["aud"] = json!(["other", "boathouse"]);
    let admin = with(&server, &ec.sign("e", &claims)).await.unwrap();
    admin.run("INSERT INTO t VALUES (2)").await.unwrap();
    assert_eq!(issuer.fetched(), 1, "keys are kept");
    // The lake has no users, and yet strangers are sent away.
    assert_eq!(server.client().await.unwrap().run("SELECT 1").await.unwrap_err().kind, ErrorKind::Denied);
    drop(lake);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_a_token_is_told() {
    let issuer = TestIssuer::start().await;
    let (lake, server) = server(issuer.options()).await;
    let (key, strange) = (Signer::rsa(), Signer::rsa());
    issuer.publish([key.published("k")]);
    let signed = |name: &str, value: Value| {
        let mut claims = issuer.claims();
        claims[name] = value;
        key.sign("k", &claims)
    };
    assert_eq!(refused(&server, &signed("aud", json!("other"))).await, "the token is for another audience");
    assert_eq!(refused(&server, &signed("iss", json!("https://evil.example"))).await, "the token is of another issuer");
    assert_eq!(refused(&server, &signed("exp", json!(now() - 61))).await, "the token has expired");
    assert_eq!(refused(&server, &signed("nbf", json!(now() + 600))).await, "the token is not valid yet");
    assert!(refused(&server, &signed("sub", Value::Null)).await.starts_with("the token names no user"));
    let good = issuer.claims();
    assert_eq!(refused(&server, &strange.sign("k", &good)).await, "the signature of the token is wrong");
    let unknown = "the token is signed with a key that its issuer does not have";
    assert_eq!(refused(&server, &strange.sign("other", &good)).await, unknown);
    assert_eq!(refused(&server, &Signer::ec().sign("k", &good)).await, unknown, "a key is for one kind of signature");
    // Claims of one token under the signature of another.
    let (one, two) = (key.sign("k", &good), signed("sub", json!("root")));
    let body = two.split('.').nth(1).unwrap();
    let parts: Vec<&str> = one.split('.').collect();
    let mixed = format!("{}.{body}.{}", parts[0], parts[2]);
    assert_eq!(refused(&server, &mixed).await, "the signature of the token is wrong");
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    for alg in [format!("{none}.{}.", parts[1]), format!("{none}.{}.{}", parts[1], parts[2])] {
        assert!(refused(&server, &alg).await.contains("RS256 and ES256"), "{alg}");
    }
    // A user of the lake is no one else's to vouch for.
    lake.run("CREATE USER ann PASSWORD 'password of ann' ROLE admin").await;
    assert!(refused(&server, &one).await.starts_with("\"ann\" is a user of the lake"));
    server.client_as("ann", "password of ann").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_of_the_issuer_is_found_and_an_old_one_goes() {
    let issuer = TestIssuer::start().await;
    let (_lake, server) = server(issuer.options()).await;
    let (old, new) = (Signer::rsa(), Signer::ec());
    issuer.publish([old.published("old")]);
    with(&server, &old.sign("old", &issuer.claims())).await.unwrap();
    issuer.publish([new.published("new")]);
    with(&server, &new.sign("new", &issuer.claims())).await.unwrap();
    assert_eq!(issuer.fetched(), 2);
    refused(&server, &old.sign("old", &issuer.claims())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_issuer_withdraws_is_good_for_an_hour_at_most() {
    let issuer = TestIssuer::start().await;
    let clock = Clock::stopped();
    let (_lake, server) = server_by(clock.clone(), issuer.options()).await;
    let (stolen, kept) = (Signer::ec(), Signer::ec());
    issuer.publish([stolen.published("stolen"), kept.published("kept")]);
    let mut claims = issuer.claims();
    claims["exp"] = json!(now() + 10_000);
    let token = stolen.sign("stolen", &claims);
    with(&server, &token).await.unwrap();
    issuer.publish([kept.published("kept")]);
    clock.advance(Duration::from_secs(3599));
    with(&server, &token).await.unwrap();
    assert_eq!(issuer.fetched(), 1);
    clock.advance(Duration::from_secs(1));
    assert_eq!(refused(&server, &token).await, "the token is signed with a key that its issuer does not have");
    with(&server, &kept.sign("kept", &claims)).await.unwrap();
    assert_eq!(issuer.fetched(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_cannot_make_the_server_ask_again_and_again() {
    let issuer = TestIssuer::start().await;
    let (_lake, server) = server(OidcOptions { fetch_wait_min: Duration::from_secs(3600), ..issuer.options() }).await;
    let key = Signer::ec();
    issuer.publish([key.published("k")]);
    for name in 0..10 {
        refused(&server, &key.sign(&format!("made up {name}"), &issuer.claims())).await;
    }
    assert_eq!(issuer.fetched(), 1);
    with(&server, &key.sign("k", &issuer.claims())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_away_is_not_the_clients_fault() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (_lake, server) = server(OidcOptions::new(&format!("http://{gone}"), "boathouse")).await;
    let error = with(&server, &Signer::ec().sign("k", &json!({}))).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_known_key_does_not_wait_for_an_issuer_that_says_nothing() {
    let issuer = TestIssuer::start().await;
    let (_lake, server) = server(issuer.options()).await;
    let key = Signer::ec();
    issuer.publish([key.published("k")]);
    with(&server, &key.sign("k", &issuer.claims())).await.unwrap();
    issuer.silent.store(true, Ordering::SeqCst);
    let (url, made_up) = (server.url(), Secret::new(key.sign("made up", &issuer.claims())));
    let stranger =
        tokio::spawn(async move { connect(&url, Default::default(), Login::Token(made_up)).await.map(drop) });
    until("the issuer is asked", || issuer.unanswered.load(Ordering::SeqCst) > 0).await;
    with(&server, &key.sign("k", &issuer.claims())).await.unwrap();
    assert!(!stranger.is_finished());
    stranger.abort();
}
