//! A CREATE TABLE AS of the name of a dropped table, killed at each request that changes something: until its rows are
//! written, UNDROP brings the dropped table back as it was; once it is committed, it is there whole.
//!
//! Between the two a folder has room for one log only: there, and nowhere else, a death may leave none. Nothing happens there
//! but that the old log goes; all other files of the dropped table go when the new one is there.

use std::sync::Arc;

use boathouse_tests::store::{Fate, Request, RequestKind, RequestLog};
use object_store::memory::InMemory;

use crate::{
    MAKE, ROWS,
    place::{answers, copy, engine, session},
};

const STATEMENT: &str = "CREATE TABLE t AS SELECT 3 AS id, 4 AS x";
const BACK: &str = "UNDROP TABLE t; SELECT id, x FROM t ORDER BY id, x";

fn writes(request: &Request) -> bool {
    !matches!(request.kind, RequestKind::Get | RequestKind::Head | RequestKind::List)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_table_can_be_had_back_until_the_new_one_is_written() {
    let start = Arc::new(InMemory::new());
    answers(&*session(&start).await, &format!("{MAKE}; DROP TABLE t")).await.unwrap();
    let old = answers(&*session(&copy(&start)).await, BACK).await.unwrap();
    let (end, log) = (copy(&start), Arc::new(RequestLog::default()));
    let writer = engine(&end, &log).await.session();
    log.take();
    answers(&writer, STATEMENT).await.unwrap();
    let sent = log.take();
    let new = answers(&*session(&end).await, ROWS).await.unwrap();
    let last = |what: &dyn Fn(&Request) -> bool| sent.iter().rposition(|request| writes(request) && what(request));
    let written = last(&|request| request.kind != RequestKind::Delete && request.path.ends_with(".parquet")).unwrap();
    let committed =
        last(&|request| request.kind == RequestKind::Create && request.path.contains("_delta_log")).unwrap();
    assert!(written < committed, "{sent:?}");
    // First the catalog gives the dropped table up, then its log goes.
    let given_up = (written + 1..committed).find(|at| writes(&sent[*at])).unwrap();
    let between = sent[given_up + 1..committed].iter().filter(|request| writes(request));
    let between: Vec<&Request> = between.collect();
    let is_log = |request: &&Request| request.kind == RequestKind::Delete && request.path.contains("_delta_log");
    assert!(!between.is_empty() && between.iter().all(is_log), "{between:?}");
    let rest = |request: &Request| request.kind == RequestKind::Delete && request.path.ends_with(".parquet");
    assert!(sent[committed..].iter().any(rest), "{sent:?}");
    let (mut had_back, mut made) = (0, 0);
    for at in (0..sent.len()).filter(|at| writes(&sent[*at])) {
        for fate in [Fate::Refused, Fate::AnswerLost] {
            let (store, log) = (copy(&start), Arc::new(RequestLog::default()));
            let writer = engine(&store, &log).await.session();
            let mut seen = 0;
            log.set_rule(move |_| {
                seen += 1;
                match seen - 1 {
                    now if now < at => Fate::Served,
                    now if now == at => fate,
                    _ => Fate::Refused,
                }
            });
            let done = answers(&writer, STATEMENT).await;
            let place = format!("{fate:?}, request {at} of {}, {:?}: {done:?}", sent.len(), sent[at]);
            let found = answers(&*session(&store).await, ROWS).await;
            let back = answers(&*session(&copy(&store)).await, BACK).await;
            match (found, back) {
                (Ok(found), Err(_)) => {
                    assert!(at >= committed, "{place}");
                    assert_eq!(found, new, "{place}");
                    made += 1;
                }
                (Err(_), Ok(back)) => {
                    assert!(done.is_err() && at <= committed, "acknowledged and lost: {place}");
                    assert_eq!(back, old, "{place}");
                    had_back += 1;
                }
                (Err(error), Err(_)) => {
                    assert!(done.is_err() && (given_up..=committed).contains(&at), "both are lost: {place}: {error}");
                }
                (Ok(found), Ok(back)) => panic!("both are there: {place}:\n{found}\n{back}"),
            }
        }
    }
    assert!(had_back > 0 && made > 0, "{had_back} times the old table, {made} times the new one");
}
