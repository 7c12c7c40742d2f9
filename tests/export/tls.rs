//! A server that is reached over TLS alone.

use crate::{certificates::Authority, database::Database, place::Place};

const TABLE: &str = "CREATE TABLE t AS SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v (id, s)";
const ROWS: &str = "SELECT * FROM s.rows ORDER BY id";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_sent_encrypted_and_to_nobody_but_the_server() {
    let Some(mut database) = Database::start().await else { return };
    let (ours, others) = (Authority::new(), Authority::new());
    let files = ours.server("server", "127.0.0.1");
    database.encrypt(&files.certificate, &files.key).await;
    let place = Place::new(&database, TABLE, "table = \"s.rows\"", "SELECT * FROM t");
    // The user of the url is not let in without encryption.
    let (text, good) = place.mart(&database, &["run"]);
    assert!(!good && text.contains("m.rows  failed"), "{text}");
    assert!(text.contains("no encryption"), "{text}");
    place.encrypt(&others.ca());
    let (text, good) = place.mart(&database, &["export"]);
    assert!(!good && text.contains("the certificate of the database is not trusted"), "{text}");
    assert!(text.contains("invalid peer certificate") && text.contains("HINT: tls_ca names the authority"), "{text}");
    place.encrypt(&ours.ca());
    let (text, good) = place.mart(&database, &["export"]);
    assert!(good && text.contains("delivered  to warehouse: s.rows, 2 rows, version 0"), "{text}");
    assert_eq!(database.ask(ROWS).await, ["1|a", "2|b"]);
    // Somebody else, for whom the same authority vouches under another name.
    let files = ours.server("other", "elsewhere");
    database.end();
    database.show(&files.certificate, &files.key);
    database.begin().await;
    place.sql(&database, "INSERT INTO t VALUES (3, 'c')");
    let (text, good) = place.mart(&database, &["run"]);
    assert!(!good && text.contains("the certificate of the database is not trusted"), "{text}");
    assert_eq!(database.ask(ROWS).await, ["1|a", "2|b"]);
}
