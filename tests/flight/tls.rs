//! TLS: a server that shows its certificate, changes it while it runs, and knows its clients by theirs.

use std::{fs, process::Command, sync::Arc, time::Duration};

use boathouse_engine::{EngineConfig, ErrorKind};
use boathouse_flight_server::{
    client::{Client, ClientError, Login, connect_with},
    tls::{ClientTls, Tls, TlsFiles},
};
use boathouse_tests::{Authority, Files, TestLake, TestServer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    signal::unix::{SignalKind, signal},
};

use crate::support::{number, server, text, until, within};

fn files(server: &Files, client_ca: Option<&Authority>, client_required: bool) -> TlsFiles {
    TlsFiles {
        certificate: server.certificate.clone(),
        key: server.key.clone(),
        client_ca: client_ca.map(Authority::ca),
        client_required,
    }
}

async fn encrypted(files: TlsFiles, users: &[(&str, &str)]) -> (TestLake, TestServer, Arc<Tls>) {
    let (lake, _) = server().await;
    let users = users.iter().map(|(subject, user)| ((*subject).to_owned(), (*user).to_owned()));
    let tls = Tls::open(files, users).unwrap();
    let server = TestServer::encrypted(lake.engine().clone(), tls.clone()).await;
    (lake, server, tls)
}

/// A client of the shell that trusts `authority` and shows `shown`.
async fn client(
    server: &TestServer,
    authority: &Authority,
    shown: Option<&Files>,
) -> Result<Box<dyn Client>, ClientError> {
    let certificate = shown.map(|files| (files.certificate.clone(), files.key.clone()));
    let tls = ClientTls { ca: Some(authority.ca()), certificate };
    let url = format!("grpc+tls://localhost:{}", server.address().port());
    within("a connection", connect_with(&url, EngineConfig::default(), &tls, Login::None)).await
}

async fn rows(client: &dyn Client) -> i64 {
    number(client, "SELECT count(*) FROM t").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_trusts_the_server_speaks_with_it_and_others_do_not() {
    let (ours, others) = (Authority::new(), Authority::new());
    let (_lake, server, _tls) = encrypted(files(&ours.server("server", "localhost"), None, false), &[]).await;
    assert_eq!(rows(&*client(&server, &ours, None).await.unwrap()).await, 3);
    let Err(error) = client(&server, &others, None).await else { panic!("a stranger was trusted") };
    assert!(error.text.contains("certificate"), "{error}");
    // Without encryption there is no answer.
    let plain = async { server.client().await?.run("SELECT 1").await.map(drop) };
    assert!(within("a refusal", plain).await.is_err());
    assert_eq!(rows(&*client(&server, &ours, None).await.unwrap()).await, 3);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_host_is_refused() {
    let authority = Authority::new();
    let (_lake, server, _tls) = encrypted(files(&authority.server("server", "elsewhere"), None, false), &[]).await;
    assert!(client(&server, &authority, None).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_and_senseless_handshakes_hold_up_nobody() {
    let authority = Authority::new();
    let (_lake, server, _tls) = encrypted(files(&authority.server("server", "localhost"), None, false), &[]).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(server.address()).await.unwrap());
    }
    let mut senseless = TcpStream::connect(server.address()).await.unwrap();
    senseless.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // An alert, or nothing, and the end.
    let _ = within("the end", senseless.read_to_end(&mut answer)).await;
    assert_eq!(rows(&*client(&server, &authority, None).await.unwrap()).await, 3);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_certificates_are_used_without_a_restart_and_broken_ones_are_not() {
    let (first, second) = (Authority::new(), Authority::new());
    let there = first.server("server", "localhost");
    let (_lake, server, tls) = encrypted(files(&there, None, false), &[]).await;
    let before = client(&server, &first, None).await.unwrap();
    assert_eq!(rows(&*before).await, 3);
    assert_eq!(tls.refresh(), Ok(false));

    // Half of a change: the key is not the certificate's.
    let new = second.server("server", "localhost");
    fs::copy(&new.certificate, &there.certificate).unwrap();
    let error = tls.reload().unwrap_err().to_string();
    assert!(error.starts_with("could not use the certificate \""), "{error}");
    assert_eq!(rows(&*client(&server, &first, None).await.unwrap()).await, 3);

    fs::write(&there.certificate, "no certificate").unwrap();
    assert!(tls.reload().unwrap_err().to_string().contains("there is no certificate in it"));
    assert_eq!(rows(&*client(&server, &first, None).await.unwrap()).await, 3);

    fs::copy(&new.certificate, &there.certificate).unwrap();
    fs::copy(&new.key, &there.key).unwrap();
    tls.reload().unwrap();
    assert_eq!(rows(&*client(&server, &second, None).await.unwrap()).await, 3);
    assert!(client(&server, &first, None).await.is_err());
    // A connection that was there goes on.
    assert_eq!(rows(&*before).await, 3);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_change_are_noticed() {
    let authority = Authority::new();
    let there = authority.server("server", "localhost");
    let tls = Tls::open(files(&there, None, false), []).unwrap();
    let watch = tokio::spawn(tls.clone().keep_fresh(Duration::from_millis(10)));
    let other = Authority::new();
    let new = other.server("server", "localhost");
    fs::copy(&new.key, &there.key).unwrap();
    fs::copy(&new.certificate, &there.certificate).unwrap();
    until("the new one is in use", || {
        // What was noticed is not noticed again.
        tls.certificate() == pem_bytes(&new)
    })
    .await;
    watch.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_makes_the_files_be_read_at_once() {
    // Whoever does not ask for it ends by it.
    let _asked = signal(SignalKind::hangup()).unwrap();
    let authorities = [Authority::new(), Authority::new(), Authority::new()];
    let [there, second, third] = authorities.each_ref().map(|authority| authority.server("server", "localhost"));
    let put = |new: &Files| {
        fs::copy(&new.key, &there.key).unwrap();
        fs::copy(&new.certificate, &there.certificate).unwrap();
    };
    let tls = Tls::open(files(&there, None, false), []).unwrap();
    // It looks once when it begins, and again in an hour.
    let watch = tokio::spawn(tls.clone().keep_fresh(Duration::from_secs(3600)));
    for new in [&second, &third] {
        put(new);
        until("the new one is in use", || {
            // Again and again, for it may not listen yet.
            let told = Command::new("kill").args(["-HUP", &std::process::id().to_string()]).status();
            told.unwrap().success() && tls.certificate() == pem_bytes(new)
        })
        .await;
    }
    watch.abort();
}

/// The certificate of a file as it goes over the wire.
fn pem_bytes(files: &Files) -> Vec<u8> {
    use rustls_pki_types::{CertificateDer, pem::PemObject};
    CertificateDer::from_pem_file(&files.certificate).unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_known_by_their_certificates() {
    let (ours, others) = (Authority::new(), Authority::new());
    let server_files = ours.server("server", "localhost");
    let (_lake, server, _tls) =
        encrypted(files(&server_files, Some(&ours), true), &[("CN=etl,O=tests", "loader")]).await;
    let etl = ours.client("etl");
    let known = client(&server, &ours, Some(&etl)).await.unwrap();
    assert_eq!(rows(&*known).await, 3);
    let who = text(&*known, "SELECT DISTINCT user_name FROM system.queries WHERE ended_at IS NULL").await;
    assert!(who.contains("| loader "), "{who}");

    // Without a certificate, and with one of somebody else's.
    for shown in [None, Some(&others.client("etl"))] {
        let refused = async {
            let client = client(&server, &ours, shown).await?;
            client.run("SELECT 1").await.map(drop)
        };
        assert!(within("a refusal", refused).await.is_err(), "{shown:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_stands_for_a_user_of_the_lake() {
    let authority = Authority::new();
    let server_files = authority.server("server", "localhost");
    let users = [("CN=etl,O=tests", "loader"), ("CN=gone,O=tests", "gone")];
    let (lake, server, _tls) = encrypted(files(&server_files, Some(&authority), false), &users).await;
    let made =
        "CREATE USER root PASSWORD 'password of root' ROLE admin; CREATE USER loader PASSWORD 'password of loader'";
    lake.run(made).await;
    let loader = client(&server, &authority, Some(&authority.client("etl"))).await.unwrap();
    assert!(text(&*loader, "SELECT current_user AS u").await.contains("| loader |"));
    assert_eq!(loader.run("INSERT INTO t VALUES (9, 'x')").await.unwrap_err().kind, ErrorKind::Denied);
    for shown in [None, Some(authority.client("gone")), Some(authority.client("unknown"))] {
        let stranger = client(&server, &authority, shown.as_ref()).await.unwrap();
        assert_eq!(stranger.run("SELECT 1").await.unwrap_err().kind, ErrorKind::Denied, "{shown:?}");
    }
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let authority = Authority::new();
    let (one, two) = (authority.server("one", "localhost"), authority.server("two", "localhost"));
    let open = |files: TlsFiles| Tls::open(files, []).map(drop).unwrap_err().to_string();
    let good = files(&one, None, false);
    let absent = authority.folder().join("absent.pem");
    assert!(open(TlsFiles { certificate: absent.clone(), ..good.clone() }).contains("certificate \""));
    assert!(open(TlsFiles { key: absent.clone(), ..good.clone() }).contains("private key \""));
    assert!(open(TlsFiles { key: two.key, ..good.clone() }).contains("one.pem"));
    assert!(open(TlsFiles { client_ca: Some(absent), ..good.clone() }).contains("client authorities \""));
    Tls::open(good, []).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_http_port_is_encrypted_with_the_same_certificate_where_that_is_wanted() {
    let (ours, others) = (Authority::new(), Authority::new());
    let (lake, _) = server().await;
    let tls = Tls::open(files(&ours.server("server", "localhost"), None, false), []).unwrap();
    let server = TestServer::encrypted_and_watched(lake.engine().clone(), tls).await;
    let url = |scheme: &str| format!("{scheme}://localhost:{}/health", server.http().port());
    let trusting = |authority: &Authority| {
        let ca = reqwest::Certificate::from_pem(&fs::read(authority.ca()).unwrap()).unwrap();
        reqwest::Client::builder().no_proxy().tls_certs_only([ca]).build().unwrap()
    };
    let answer = within("an answer", trusting(&ours).get(url("https")).send()).await.unwrap();
    assert_eq!(answer.status(), reqwest::StatusCode::OK);
    assert!(within("a refusal", trusting(&others).get(url("https")).send()).await.is_err());
    assert!(within("a refusal", trusting(&ours).get(url("http")).send()).await.is_err());
}
