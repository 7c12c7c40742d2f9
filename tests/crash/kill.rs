//! One statement, killed at each of its requests.
//!
//! "Killed before" lets no request through from one on; "killed after" lets that one through and no answer come back. A
//! third kind of fault is one request that fails while all others are served, as a store does that has hiccups.

use std::sync::Arc;

use boathouse_engine::{Engine, Session, tier::TierRun};
use boathouse_tests::store::{Fate, RequestKind, RequestLog};
use object_store::memory::InMemory;

use crate::{
    chance::{Random, number},
    feed,
    orphan::orphans,
    place::{a_day_passes, answers, copy, engine, session},
};

/// A statement on a table that others make.
pub struct Case {
    pub name: &'static str,
    pub before: &'static [&'static str],
    pub statement: &'static str,
    /// What tells the old version from the new one.
    pub look: &'static str,
    /// What a later writer does. It changes the answer of `look`.
    pub write: &'static str,
    /// The first version whose changes the table `t` keeps.
    pub fed_from: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    KilledBefore,
    KilledAfter,
    Hiccup,
}

/// Of the reads that could fail, as many are tried.
const HICCUPS_ONE_IN: u64 = 5;

/// Without this, VACUUM leaves files that are as young as those of a test.
const RETENTION: &str = "SET vacuum_retention_check = false";

/// In place of a statement: `boathouse tier run`.
pub const MOVE: &str = "what is old is moved";
/// The year 2030, in milliseconds since 1970.
const LATER_MS: i64 = 1_893_456_000_000;

pub async fn check(case: Case) {
    let start = Arc::new(InMemory::new());
    let maker = session(&start).await;
    for sql in case.before {
        answers(&maker, sql).await.unwrap_or_else(|error| panic!("{}: {sql}: {error}", case.name));
    }
    let old = look(&start, &case).await;
    let end = copy(&start);
    let log = Arc::new(RequestLog::default());
    let writer = writer(&end, &log).await;
    carry_out(&writer, &case).await.unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let sent = log.take();
    let requests = sent.len();
    let new = look(&end, &case).await;
    assert!(requests > 0);

    let seed = number("BOATHOUSE_TEST_SEED", 1);
    println!("seed {seed}, {requests} requests");
    let mut random = Random::new(seed);
    let mut outcomes = [0_usize; 2];
    for fault in [Fault::KilledBefore, Fault::KilledAfter, Fault::Hiccup] {
        for at in (0..requests).filter(|at| counts(fault, sent[*at].kind, &mut random)) {
            let store = copy(&start);
            let log = Arc::new(RequestLog::default());
            let writer = self::writer(&store, &log).await;
            let mut seen = 0;
            log.set_rule(move |_| {
                let now = seen;
                seen += 1;
                match fault {
                    _ if now < at => Fate::Served,
                    Fault::KilledAfter if now == at => Fate::AnswerLost,
                    Fault::Hiccup if now == at => Fate::AnswerLost,
                    Fault::Hiccup => Fate::Served,
                    _ => Fate::Refused,
                }
            });
            let done = carry_out(&writer, &case).await;
            let place = format!("{}: {fault:?}, request {at} of {requests}: {done:?}", case.name);
            let found = look(&store, &case).await;
            assert!(found == old || found == new, "{place}\n{found:?}");
            assert!(done.is_err() || found == new, "acknowledged and lost: {place}\n{found:?}");
            outcomes[usize::from(found == new)] += 1;
            look_at_changes(&store, &case, &place).await;
            go_on(&store, &case, &place, &found).await;
        }
    }
    if old != new {
        assert!(outcomes.iter().all(|count| *count > 0), "{}: {outcomes:?} faults of too few kinds", case.name);
    }
}

/// Whether a fault at such a request is tried. A death before or after a read leaves the store as one before the next
/// change does, so these are left to `BOATHOUSE_TEST_FAULTS=all`; of hiccups of reads some are tried always.
fn counts(fault: Fault, kind: RequestKind, random: &mut Random) -> bool {
    let reads = matches!(kind, RequestKind::Get | RequestKind::Head | RequestKind::List);
    let all = std::env::var("BOATHOUSE_TEST_FAULTS").is_ok_and(|faults| faults == "all");
    all || !reads || (fault == Fault::Hiccup && random.below(HICCUPS_ONE_IN) == 0)
}

async fn look(store: &Arc<InMemory>, case: &Case) -> Result<String, String> {
    answers(&*session(store).await, case.look).await
}

/// Whatever became of the statement, the feed tells just that.
async fn look_at_changes(store: &Arc<InMemory>, case: &Case, place: &str) {
    if let Some(first) = case.fed_from {
        feed::check(&*session(store).await, first, place).await;
    }
}

/// The one that will be killed: it has opened the lake and read nothing.
async fn writer(store: &Arc<InMemory>, log: &Arc<RequestLog>) -> Arc<Engine> {
    let engine = engine(store, log).await;
    log.take();
    engine
}

async fn carry_out(writer: &Arc<Engine>, case: &Case) -> Result<String, String> {
    if case.statement == MOVE {
        return move_old(writer).await;
    }
    let session = writer.session();
    session.execute(RETENTION).await.unwrap();
    answers(&session, case.statement).await
}

/// Moves what is old into the cold tier; the first thing that could not be moved.
async fn move_old(writer: &Arc<Engine>) -> Result<String, String> {
    let mut failed = None;
    let run = TierRun { table: None, now_ms: LATER_MS };
    let moved = writer.cool(run, &mut |cooled| failed = failed.take().or(cooled.moved.err())).await;
    match moved.err().or(failed) {
        Some(error) => Err(error.to_string()),
        None => Ok(String::new()),
    }
}

/// A later process writes and cleans up: nothing of the dead one is in the way, nothing of it stays.
async fn go_on(store: &Arc<InMemory>, case: &Case, place: &str, found: &Result<String, String>) {
    let session = session(store).await;
    answers(&session, case.write).await.unwrap_or_else(|error| panic!("{place}: {error}"));
    let written = answers(&session, case.look).await;
    assert!(written != *found, "{place}: a later write is not there");
    look_at_changes(store, case, place).await;
    session.execute(RETENTION).await.unwrap();
    a_day_passes(store).await;
    for (schema, table) in tables(&session).await {
        let vacuum = format!("VACUUM {schema}.{table} RETAIN 0 HOURS");
        answers(&session, &vacuum).await.unwrap_or_else(|error| panic!("{place}: {vacuum}: {error}"));
    }
    assert_eq!(answers(&session, case.look).await, written, "{place}: VACUUM changed what is there");
    let left = orphans(store).await;
    assert!(left.is_empty(), "{place}: nobody needs {left:?}");
}

async fn tables(session: &Session) -> Vec<(String, String)> {
    let mut tables = vec![];
    for schema in ["main", "s"] {
        let listed = session.tables(schema).await.unwrap_or_default();
        let own = listed.into_iter().filter(|entry| entry.kind == "TABLE");
        tables.extend(own.map(|entry| (entry.schema, entry.name)));
    }
    tables
}
