//! PollFlightInfo: statements that run while their clients ask how far they are.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arrow::array::RecordBatch;
use arrow_flight::{
    Action, CancelFlightInfoRequest, FlightDescriptor, FlightInfo, PollInfo,
    sql::{CommandGetTables, CommandPreparedStatementQuery, CommandStatementQuery, ProstMessageExt},
};
use boathouse_engine::{Engine, QueryState};
use boathouse_flight_server::{Clock, PollOptions, client::Answer, server::ServerOptions};
use boathouse_storage::Lake;
use boathouse_tests::{
    TestLake, TestServer, config,
    store::{Fate, RequestKind, RequestLog},
};
use futures::TryStreamExt;
use prost::Message;
use tonic::{Code, Request, Status};

use crate::support::{ENDLESS, Flight, fetch, number, one, server, until, within};

fn asked(sql: &str) -> FlightDescriptor {
    let command = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
    FlightDescriptor::new_cmd(command.as_any().encode_to_vec())
}

async fn poll(flight: &mut Flight, descriptor: FlightDescriptor) -> Result<PollInfo, Status> {
    let poll = flight.inner_mut().poll_flight_info(descriptor);
    within("a poll", poll).await.map(tonic::Response::into_inner)
}

/// Polls until the answer has no descriptor any more.
async fn poll_to_the_end(flight: &mut Flight, sql: &str) -> Result<PollInfo, Status> {
    let mut answer = poll(flight, asked(sql)).await?;
    while let Some(descriptor) = answer.flight_descriptor.take() {
        answer = poll(flight, descriptor).await?;
    }
    Ok(answer)
}

async fn rows(flight: &mut Flight, info: &FlightInfo) -> Result<Vec<RecordBatch>, Code> {
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    match flight.do_get(ticket).await {
        Ok(stream) => Ok(stream.try_collect().await.unwrap()),
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("NotFound") || text.contains("not found"), "{text}");
            Err(Code::NotFound)
        }
    }
}

/// Polls that tell soon that there is nothing new, by a clock that can be moved.
async fn quick_server(lake: &TestLake) -> (TestServer, Clock) {
    let clock = Clock::stopped();
    let polls = PollOptions { wait: Duration::from_millis(100), ..PollOptions::default() };
    let options =
        ServerOptions { drain_max: Duration::from_secs(5), polls, clock: clock.clone(), ..ServerOptions::default() };
    (TestServer::spawn_with(lake.engine().clone(), options).await, clock)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_query_needs_one_poll() {
    let (lake, server) = server().await;
    let mut flight = server.flight().await;
    let answer = poll_to_the_end(&mut flight, "SELECT a FROM t ORDER BY a").await.unwrap();
    let info = answer.info.unwrap();
    assert_eq!((answer.progress, info.total_records), (Some(1.0), 3));
    assert!(answer.expiration_time.is_some());
    assert_eq!(info.flight_descriptor, Some(asked("SELECT a FROM t ORDER BY a")));
    let batches = rows(&mut flight, &info).await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
    // Its schema is that of GetFlightInfo.
    let planned = flight.execute("SELECT a FROM t ORDER BY a".to_owned(), None).await.unwrap();
    assert_eq!(info.schema, planned.schema);
    assert_eq!(rows(&mut flight, &info).await, Err(Code::NotFound));
    let runs = lake.engine().query_records();
    assert_eq!(runs.iter().filter(|query| &*query.sql == "SELECT a FROM t ORDER BY a").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_the_share_of_the_files_that_were_read_and_never_goes_back() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(RequestLog::default());
    let url = folder.path().to_str().unwrap();
    let lake = Lake::open_layered(url, &config().storage, Some(log.layer())).await.unwrap();
    let engine = Engine::on(lake, config()).unwrap();
    engine.session().execute("CREATE TABLE t (a BIGINT)").await.unwrap();
    for _ in 0..4 {
        let insert = "INSERT INTO t SELECT value FROM generate_series(1, 1000)";
        engine.session().execute(insert).await.unwrap();
    }
    // So many files are read; the others wait.
    let allowed = Arc::new(AtomicUsize::new(0));
    let (mut read, limit) = (HashSet::new(), allowed.clone());
    log.set_rule(move |request| {
        let is_data = request.kind == RequestKind::Get && request.path.ends_with(".parquet");
        if !is_data || read.contains(&request.path) {
            return Fate::Served;
        }
        if read.len() >= limit.load(Ordering::Relaxed) {
            return Fate::Held;
        }
        read.insert(request.path.clone());
        Fate::Served
    });
    let polls = PollOptions { wait: Duration::from_millis(100), ..PollOptions::default() };
    let server = TestServer::spawn_with(engine.clone(), ServerOptions { polls, ..ServerOptions::default() }).await;
    let mut flight = server.flight().await;

    let mut answer = poll(&mut flight, asked("SELECT sum(a % 7) FROM t")).await.unwrap();
    let mut told = 0.0;
    for (files, share) in [(0, 0.0), (1, 0.25), (2, 0.5), (3, 0.75)] {
        allowed.store(files, Ordering::Relaxed);
        log.reconsider();
        while answer.progress.is_none_or(|progress| progress < share) {
            let descriptor = answer.flight_descriptor.clone().expect("it waits for its files");
            assert!(answer.info.as_ref().unwrap().endpoint.is_empty());
            answer = poll(&mut flight, descriptor).await.unwrap();
            assert!(answer.progress.unwrap_or_default() >= told, "{told} before {answer:?}");
            told = answer.progress.unwrap_or_default();
        }
        assert_eq!(answer.progress, Some(share));
    }
    log.clear_rule();
    while let Some(descriptor) = answer.flight_descriptor.take() {
        answer = poll(&mut flight, descriptor).await.unwrap();
    }
    assert_eq!(answer.progress, Some(1.0));
    let info = answer.info.unwrap();
    assert_eq!((info.total_records, info.endpoint.len()), (1, 1));
    assert_eq!(one(&fetch(&mut flight, &info).await), (1..=1000).map(|a| a % 7).sum::<i64>() * 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_that_is_polled_runs_once_whatever_its_client_does() {
    let (lake, server) = server().await;
    let mut flight = server.flight().await;
    let first = poll(&mut flight, asked("INSERT INTO t (a) SELECT CAST(value AS INT) FROM generate_series(1, 5)"))
        .await
        .unwrap();
    let handle = first.flight_descriptor.clone();
    let mut last = first;
    while let Some(descriptor) = last.flight_descriptor.take() {
        last = poll(&mut flight, descriptor).await.unwrap();
    }
    let info = last.info.unwrap();
    assert_eq!(last.progress, Some(1.0));
    // Asked again, or fetched, or fetched again: the count.
    if let Some(handle) = handle {
        let again = poll(&mut flight, handle).await.unwrap();
        assert_eq!(again.info.unwrap().app_metadata, info.app_metadata);
    }
    for _ in 0..2 {
        assert_eq!(one(&fetch(&mut flight, &info).await), 5);
    }
    assert_eq!(number(&*server.client().await.unwrap(), "SELECT count(*) FROM t").await, 8);
    assert_eq!(lake.engine().query_totals().ended[&("INSERT", QueryState::Done)], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_the_session_changes_that_of_the_call() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let answer = flight.inner_mut().poll_flight_info(asked("SET batch_size = '1234'")).await.unwrap();
    let cookie = answer.metadata().get("set-cookie").unwrap().to_str().unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(answer.into_inner().flight_descriptor, None);
    flight.set_header("cookie", cookie);
    let shown = flight.execute("SHOW batch_size".to_owned(), None).await.unwrap();
    assert!(crate::support::table(&fetch(&mut flight, &shown).await).contains("1234"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_statement_and_a_command_of_the_catalog_are_polled_too() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let prepared = flight.prepare("SELECT count(*) FROM t".to_owned(), None).await.unwrap();
    let mut handle = None;
    // The handle is what GetFlightInfo would be asked with.
    drop(prepared);
    let request = arrow_flight::sql::ActionCreatePreparedStatementRequest {
        query: "SELECT count(*) FROM t".to_owned(),
        transaction_id: None,
    };
    let action = Action { r#type: "CreatePreparedStatement".to_owned(), body: request.as_any().encode_to_vec().into() };
    let mut results = flight.inner_mut().do_action(action).await.unwrap().into_inner();
    while let Some(result) = results.message().await.unwrap() {
        let any = arrow_flight::sql::Any::decode(&*result.body).unwrap();
        let created: arrow_flight::sql::ActionCreatePreparedStatementResult = any.unpack().unwrap().unwrap();
        handle = Some(created.prepared_statement_handle);
    }
    let command = CommandPreparedStatementQuery { prepared_statement_handle: handle.unwrap() };
    let mut answer = poll(&mut flight, FlightDescriptor::new_cmd(command.as_any().encode_to_vec())).await.unwrap();
    while let Some(descriptor) = answer.flight_descriptor.take() {
        answer = poll(&mut flight, descriptor).await.unwrap();
    }
    assert_eq!(one(&fetch(&mut flight, &answer.info.unwrap()).await), 3);

    let command = CommandGetTables::default();
    let answer = poll(&mut flight, FlightDescriptor::new_cmd(command.as_any().encode_to_vec())).await.unwrap();
    assert_eq!((answer.flight_descriptor, answer.progress), (None, Some(1.0)));
    assert!(!fetch(&mut flight, &answer.info.unwrap()).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_without_end_is_ready_when_its_room_is_full() {
    let (lake, server) = server().await;
    let mut flight = server.flight().await;
    let answer = poll_to_the_end(&mut flight, ENDLESS).await.unwrap();
    let info = answer.info.unwrap();
    // Nothing of it lies in files, so nothing is known of its progress.
    assert_eq!((answer.progress, info.total_records), (None, -1));
    assert_eq!(lake.engine().statements_active(), 1);
    let made = lake.engine().query_records().last().unwrap().rows;
    let mut stream = flight.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    let mut fetched = 0;
    while fetched < 2 * made {
        fetched += within("rows", stream.try_next()).await.unwrap().unwrap().num_rows() as u64;
    }
    drop(stream);
    until("the query ends", || lake.engine().statements_active() == 0).await;
    assert_eq!(rows(&mut flight, &info).await, Err(Code::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_fails_says_so_to_each_poll() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let error = poll_to_the_end(&mut flight, "SELECT nothing FROM t").await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert!(error.message().contains("\"nothing\""), "{error}");
    let error = poll_to_the_end(&mut flight, "SELECT 1 / (a - 2) FROM t").await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(!error.details().is_empty());
}

/// A count that never ends, and its handle.
async fn counting(flight: &mut Flight) -> PollInfo {
    poll(flight, asked(&format!("SELECT count(*), sum(value) FROM ({ENDLESS})"))).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_and_killing_end_what_is_polled() {
    let lake = TestLake::folder().await;
    let (server, _) = quick_server(&lake).await;
    let (mut flight, mut other) = (server.flight().await, server.flight().await);
    let answer = counting(&mut flight).await;
    let request = CancelFlightInfoRequest { info: answer.info.clone() };
    let action = Action { r#type: "CancelFlightInfo".to_owned(), body: request.encode_to_vec().into() };
    other.inner_mut().do_action(action.clone()).await.unwrap();
    until("the query ends", || lake.engine().statements_active() == 0).await;
    let handle = answer.flight_descriptor.unwrap();
    for _ in 0..2 {
        assert_eq!(poll(&mut flight, handle.clone()).await.unwrap_err().code(), Code::Cancelled);
    }
    assert_eq!(other.inner_mut().do_action(action).await.unwrap_err().code(), Code::NotFound);

    let answer = counting(&mut flight).await;
    until("it runs", || lake.engine().statements_active() == 1).await;
    let running = lake.engine().query_records().last().unwrap().origin.query_id;
    server.client().await.unwrap().run(&format!("KILL QUERY '{running}'")).await.unwrap();
    let handle = answer.flight_descriptor.unwrap();
    let status = loop {
        match poll(&mut flight, handle.clone()).await {
            Ok(_) => {}
            Err(status) => break status,
        }
    };
    assert_eq!((status.code(), status.message()), (Code::Cancelled, "the statement was killed by KILL QUERY"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_query_gives_the_error_and_none_of_the_rows_that_were_made() {
    let (lake, server) = server().await;
    let mut flight = server.flight().await;
    // It waits for room.
    let info = poll_to_the_end(&mut flight, ENDLESS).await.unwrap().info.unwrap();
    let running = lake.engine().query_records().last().unwrap().origin.query_id;
    server.client().await.unwrap().run(&format!("KILL QUERY '{running}'")).await.unwrap();
    until("the query ends", || lake.engine().statements_active() == 0).await;
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    // The end is noted a moment after its place is free; a ticket is polled as its handle is.
    let handle = FlightDescriptor::new_cmd(ticket.ticket.clone());
    let noted = async { while poll(&mut flight, handle.clone()).await.is_ok() {} };
    within("the end", noted).await;
    let status = flight.inner_mut().do_get(ticket).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Cancelled, "the statement was killed by KILL QUERY"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_asks_for_ends_after_its_time() {
    let lake = TestLake::folder().await;
    let (server, clock) = quick_server(&lake).await;
    let mut flight = server.flight().await;
    let answer = counting(&mut flight).await;
    let handle = answer.flight_descriptor.unwrap();
    // Each poll gives it more time.
    for _ in 0..3 {
        clock.advance(Duration::from_secs(299));
        poll(&mut flight, handle.clone()).await.unwrap();
    }
    assert_eq!(lake.engine().statements_active(), 1);
    clock.advance(Duration::from_secs(300));
    until("the query ends", || lake.engine().statements_active() == 0).await;
    assert_eq!(poll(&mut flight, handle).await.unwrap_err().code(), Code::NotFound);

    // A result that waits goes, too; one that is being fetched stays.
    let ready = poll_to_the_end(&mut flight, ENDLESS).await.unwrap().info.unwrap();
    let taken = poll_to_the_end(&mut flight, ENDLESS).await.unwrap().info.unwrap();
    let mut stream = flight.do_get(taken.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    assert!(stream.try_next().await.unwrap().is_some());
    assert_eq!(lake.engine().statements_active(), 2);
    clock.advance(Duration::from_secs(300));
    until("one query ends", || lake.engine().statements_active() == 1).await;
    assert_eq!(rows(&mut flight, &ready).await, Err(Code::NotFound));
    assert!(within("rows", stream.try_next()).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_results_of_a_user_wait_and_no_more() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let mut waiting = Vec::new();
    for n in 0..100 {
        waiting.push(poll_to_the_end(&mut flight, &format!("SELECT {n}")).await.unwrap().info.unwrap());
    }
    let refused = poll(&mut flight, asked("SELECT 100")).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().starts_with("too many results wait to be fetched: 100 of yours"), "{refused}");
    // One that is fetched makes room, and so does one that is cancelled.
    assert_eq!(one(&fetch(&mut flight, &waiting[0]).await), 0);
    // It is gone a moment after its last row.
    let room = async { while poll(&mut flight, asked("SELECT 101")).await.is_err() {} };
    within("room", room).await;
    let request = CancelFlightInfoRequest { info: Some(waiting[1].clone()) };
    let action = Action { r#type: "CancelFlightInfo".to_owned(), body: request.encode_to_vec().into() };
    flight.inner_mut().do_action(action).await.unwrap();
    poll_to_the_end(&mut flight, "SELECT 102").await.unwrap();
    assert_eq!(poll(&mut flight, asked("SELECT 103")).await.unwrap_err().code(), Code::ResourceExhausted);
    assert_eq!(one(&fetch(&mut flight, &waiting[99]).await), 99);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_whose_client_knows_of_them_take_no_room() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    for n in 0..105 {
        let answer = poll_to_the_end(&mut flight, &format!("INSERT INTO t (a) VALUES ({n})")).await.unwrap();
        assert_eq!(one(&fetch(&mut flight, &answer.info.unwrap()).await), 1);
    }
    assert_eq!(number(&*server.client().await.unwrap(), "SELECT count(*) FROM t").await, 108);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_session_ends_what_it_polls() {
    let (lake, server) = server().await;
    let mut flight = server.flight().await;
    let cookie = crate::session::set(&mut flight, "SET batch_size = '1234'").await;
    let mut own = server.flight().await;
    own.set_header("cookie", cookie.clone());
    let mut request = Request::new(asked(ENDLESS));
    request.metadata_mut().insert("cookie", cookie.parse().unwrap());
    own.inner_mut().poll_flight_info(request).await.unwrap();
    until("it runs", || lake.engine().statements_active() == 1).await;
    own.do_action(Action { r#type: "CloseSession".to_owned(), body: Default::default() }).await.unwrap();
    until("the query ends", || lake.engine().statements_active() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_is_for_the_user_who_got_it() {
    let lake = TestLake::folder().await;
    lake.run("CREATE USER root PASSWORD 'password of root' ROLE admin; CREATE USER ann PASSWORD 'password of ann'")
        .await;
    lake.run("CREATE USER bob PASSWORD 'password of bob'").await;
    let (server, _) = quick_server(&lake).await;
    let mut tokens = Vec::new();
    for user in ["ann", "bob"] {
        let mut flight = server.flight().await;
        flight.handshake(user, &format!("password of {user}")).await.unwrap();
        tokens.push(format!("Bearer {}", flight.token().unwrap()));
    }
    let mut flight = server.flight().await;
    let mut poll_as = async |token: &str, descriptor: FlightDescriptor| {
        let mut request = Request::new(descriptor);
        request.metadata_mut().insert("authorization", token.parse().unwrap());
        flight.inner_mut().poll_flight_info(request).await.map(tonic::Response::into_inner)
    };
    let answer =
        poll_as(&tokens[0], asked(&format!("SELECT count(*) FROM ({ENDLESS}) WHERE value < 0"))).await.unwrap();
    let handle = answer.flight_descriptor.unwrap();
    let denied = poll_as(&tokens[1], handle.clone()).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    // With his own name in it it is still hers.
    let place = handle.cmd.windows(3).position(|bytes| bytes == b"ann").unwrap();
    let mut forged = handle.cmd.to_vec();
    forged[place..place + 3].copy_from_slice(b"bob");
    let denied = poll_as(&tokens[1], FlightDescriptor::new_cmd(forged)).await.unwrap_err();
    assert_eq!((denied.code(), denied.message()), (Code::PermissionDenied, "this result belongs to another user"));
    // An id that nobody was given.
    let mut unknown = handle.cmd.to_vec();
    let place = unknown.windows(1).position(|byte| byte == b"-").unwrap();
    unknown[place + 1] = if unknown[place + 1] == b'0' { b'1' } else { b'0' };
    let missing = poll_as(&tokens[0], FlightDescriptor::new_cmd(unknown)).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    poll_as(&tokens[0], handle.clone()).await.unwrap();

    let root = server.client_as("root", "password of root").await.unwrap();
    assert!(matches!(root.run("ALTER USER ann DISABLE").await, Ok(Answer::Done(_))));
    assert_eq!(poll_as(&tokens[0], handle).await.unwrap_err().code(), Code::Unauthenticated);
}
