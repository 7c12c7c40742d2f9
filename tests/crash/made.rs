//! A CREATE TABLE under an idempotency key, killed at each of its requests, and sent again: the table is made once, whole, and
//! the client hears so, whoever of the two made it.

use std::sync::Arc;

use boathouse_tests::store::{Fate, RequestLog};
use object_store::memory::InMemory;

use crate::{
    MAKE, ROWS,
    place::{answers, copy, engine, session},
};

const BARE: &str = "CREATE TABLE t (id BIGINT, x BIGINT) PARTITIONED BY (x)";
/// Rows of others, who come between the first time and the second.
const OTHERS: &str = "INSERT INTO t VALUES (1000, 1)";

fn keyed(statement: &str) -> String {
    format!("SET idempotency_key = 'made'; {statement}")
}

async fn check(before: &[&str], statement: &str) {
    let start = Arc::new(InMemory::new());
    let maker = session(&start).await;
    for sql in before {
        answers(&maker, sql).await.unwrap();
    }
    let (end, log) = (copy(&start), Arc::new(RequestLog::default()));
    let writer = engine(&end, &log).await.session();
    log.take();
    let answer = answers(&writer, &keyed(statement)).await.unwrap();
    let requests = log.take().len();
    let whole = answers(&*session(&end).await, ROWS).await.unwrap();
    answers(&*session(&end).await, OTHERS).await.unwrap();
    let with_others = answers(&*session(&end).await, ROWS).await.unwrap();
    let (mut first, mut second) = (0, 0);
    for at in 0..requests {
        // The last is a hiccup: the writer lives on.
        for (fate, then) in
            [(Fate::Refused, Fate::Refused), (Fate::AnswerLost, Fate::Refused), (Fate::AnswerLost, Fate::Served)]
        {
            let (store, log) = (copy(&start), Arc::new(RequestLog::default()));
            let writer = engine(&store, &log).await.session();
            let mut seen = 0;
            log.set_rule(move |_| {
                seen += 1;
                match seen - 1 {
                    now if now < at => Fate::Served,
                    now if now == at => fate,
                    _ => then,
                }
            });
            let done = answers(&writer, &keyed(statement)).await;
            let place = format!("{statement}: {fate:?}, request {at}, then {then:?}: {done:?}");
            let made = answers(&*session(&store).await, OTHERS).await.is_ok();
            (first, second) = (first + usize::from(made), second + usize::from(!made));
            let again = answers(&*session(&store).await, &keyed(statement)).await;
            assert_eq!(again.as_ref(), Ok(&answer), "{place}");
            let found = answers(&*session(&store).await, ROWS).await;
            assert_eq!(found.as_ref(), Ok(if made { &with_others } else { &whole }), "{place}");
            let table = engine(&store, &Arc::default()).await.lake().table("main", "t").await.unwrap();
            assert_eq!(table.version(), u64::from(made), "{place}");
            // A statement that is another one hears so.
            let other = statement.replace("PARTITIONED BY (x)", "").replace("(1, 5)", "(1, 4)");
            assert!(answers(&*session(&store).await, &keyed(&other)).await.is_err(), "{place}");
        }
    }
    assert!(first > 0 && second > 0, "{statement}: made {first} times by the first, {second} times by the second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_made_twice_under_its_key_is_made_once() {
    check(&[], MAKE).await;
    check(&[], BARE).await;
    // Its name's folder is another's.
    check(&[MAKE, "ALTER TABLE t RENAME TO u"], MAKE).await;
    check(&[MAKE, "DROP TABLE t"], MAKE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_two_make_at_once_under_one_key_is_made_once() {
    for _ in 0..20 {
        let store = Arc::new(InMemory::new());
        let (one, other) = (session(&store).await, session(&store).await);
        let sql = keyed(MAKE);
        let (one, other) = tokio::join!(answers(&one, &sql), answers(&other, &sql));
        assert_eq!((one.as_deref(), other.as_deref()), (Ok("SET\nCREATE TABLE\n"), Ok("SET\nCREATE TABLE\n")));
        assert_eq!(answers(&*session(&store).await, "SELECT count(*) FROM t").await.unwrap().matches('5').count(), 1);
    }
}
