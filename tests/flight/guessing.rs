//! Strangers who guess passwords and tokens.

use std::{sync::Arc, time::Duration};

use boathouse_engine::{Engine, ErrorKind, LoginError};
use boathouse_flight_server::{Clock, server::ServerOptions};
use boathouse_storage::Lake;
use boathouse_tests::{TestLake, TestServer, config, store::RequestLog};
use futures::future::join_all;

use crate::support::number;

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_have_to_wait_whether_there_is_such_a_user_or_not() {
    let lake = TestLake::folder().await;
    lake.run("CREATE TABLE t AS SELECT 1 AS a; CREATE USER root PASSWORD 'password of root' ROLE admin").await;
    lake.run("CREATE USER ann PASSWORD 'password of ann'").await;
    let clock = Clock::stopped();
    let options = ServerOptions { drain_max: Duration::from_secs(5), clock: clock.clone(), ..ServerOptions::default() };
    let server = TestServer::spawn_with(lake.engine().clone(), options).await;
    // She has logged in before, and her program goes on with the password.
    let root = server.client_as("root", "password of root").await.unwrap();
    let mut answers = Vec::new();
    for user in ["ann", "nobody", "root"] {
        let mut texts = Vec::new();
        for _ in 0..7 {
            let error = server.client_as(user, "wrong").await.err().unwrap();
            assert_eq!(error.kind, ErrorKind::Denied);
            texts.push(error.text);
        }
        assert!(!texts[4].contains("too many") && texts[5].contains("too many") && texts[6].contains("too many"));
        answers.push(texts);
    }
    assert_eq!(answers[0], answers[1]);
    // The right password has to wait as well, but not for long; one that was verified lately has not.
    assert!(server.client_as("ann", "password of ann").await.is_err());
    server.client_as("root", "password of root").await.unwrap();
    assert_eq!(number(&*root, "SELECT count(*) FROM t").await, 1);
    clock.advance(Duration::from_secs(2));
    let ann = server.client_as("ann", "password of ann").await.unwrap();
    assert_eq!(number(&*ann, "SELECT count(*) FROM t").await, 1);
    // From here on she starts anew.
    assert!(!server.client_as("ann", "wrong").await.err().unwrap().text.contains("too many"));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_tokens_share_their_requests_to_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(RequestLog::default());
    let url = folder.path().to_str().unwrap();
    let lake = Lake::open_layered(url, &config().storage, Some(log.layer())).await.unwrap();
    let engine = Engine::on(lake, config()).unwrap();
    engine.session().execute("CREATE USER root PASSWORD 'password of root' ROLE admin").await.unwrap();
    let refused = async |n: usize| {
        let token = format!("bht_id{n}_secret");
        assert!(matches!(engine.users().with_access_token(&token).await, Err(LoginError::Refused(_))), "{n}");
    };
    refused(0).await;
    log.take();
    refused(1).await;
    let alone = log.take().len();
    assert!(alone > 0, "a refusal is by the newest state");
    join_all((0..200).map(refused)).await;
    let together = log.take().len();
    // One look that had begun, one for all who came meanwhile, and one more where what was seen has grown old.
    assert!(together <= 3 * alone, "{together} requests instead of {alone} for one");
}
