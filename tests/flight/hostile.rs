//! Requests that no client of good will sends: each gets a clear status, and the server goes on.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow_flight::{
    Action, Criteria, FlightData, FlightDescriptor, Ticket,
    flight_service_client::FlightServiceClient,
    sql::{
        Any, CommandStatementIngest, ProstMessageExt, TableDefinitionOptions, TableExistsOption, TableNotExistOption,
        TicketStatementQuery,
    },
};
use boathouse_engine::ErrorKind;
use boathouse_flight_server::client::Answer;
use boathouse_tests::{TestLake, TestServer};
use bytes::Bytes;
use futures::{TryStreamExt, future::join_all};
use prost::Message;
use tonic::{Code, Request, Status, transport::Channel};

use crate::{
    http::{metrics, sample},
    support::{Flight, fetch, number, one, server},
};

/// Numbers that look random and are the same in every run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn bytes(&mut self) -> Vec<u8> {
        (0..self.below(200)).map(|_| self.next() as u8).collect()
    }

    /// A valid message with a few bytes changed, cut off or doubled.
    fn spoiled(&mut self, valid: &[u8]) -> Vec<u8> {
        let mut bytes = valid.to_vec();
        for _ in 0..=self.below(3) {
            let place = self.below(bytes.len());
            match self.below(3) {
                0 => bytes[place] ^= 1 << self.below(8),
                1 => bytes.truncate(place.max(1)),
                _ => bytes.insert(place, self.next() as u8),
            }
        }
        bytes
    }
}

/// What a request that makes no sense may get: nothing that speaks of a fault of the server.
fn is_clear<T>(what: &str, bytes: &[u8], answer: Result<T, Status>) {
    if let Err(status) = answer {
        let fault = matches!(status.code(), Code::Internal | Code::Unknown | Code::DataLoss | Code::Unavailable);
        assert!(!fault, "{what} of {bytes:02x?}: {status:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_and_spoiled_bytes_are_refused_in_every_call() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let info = flight.execute("SELECT a FROM t WHERE a > 1".to_owned(), None).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap().ticket;
    let query = arrow_flight::sql::CommandStatementQuery { query: "SELECT a FROM t".to_owned(), transaction_id: None };
    let command = query.as_any().encode_to_vec();
    let prepare =
        arrow_flight::sql::ActionCreatePreparedStatementRequest { query: "SELECT $1".to_owned(), transaction_id: None };
    let prepare = prepare.as_any().encode_to_vec();
    let actions = [
        "CreatePreparedStatement",
        "ClosePreparedStatement",
        "CancelFlightInfo",
        "CancelQuery",
        "SetSessionOptions",
        "GetSessionOptions",
    ];
    let mut chance = Chance(20_261_128);
    let raw = flight.inner_mut();
    for round in 0..400 {
        let (get, ask, act) = match round % 2 {
            0 => (chance.bytes(), chance.bytes(), chance.bytes()),
            _ => (chance.spoiled(&ticket), chance.spoiled(&command), chance.spoiled(&prepare)),
        };
        is_clear("DoGet", &get, raw.do_get(Ticket::new(get.clone())).await);
        let descriptor = FlightDescriptor::new_cmd(ask.clone());
        is_clear("GetFlightInfo", &ask, raw.get_flight_info(descriptor.clone()).await);
        is_clear("GetSchema", &ask, raw.get_schema(descriptor.clone()).await);
        is_clear("PollFlightInfo", &ask, raw.poll_flight_info(descriptor.clone()).await);
        is_clear("ListFlights", &ask, raw.list_flights(Criteria { expression: ask.clone().into() }).await);
        let data = FlightData {
            flight_descriptor: Some(descriptor),
            data_header: get.clone().into(),
            data_body: act.clone().into(),
            ..FlightData::default()
        };
        is_clear("DoPut", &ask, raw.do_put(futures::stream::iter([data])).await);
        let name = actions[round % actions.len()];
        is_clear(name, &act, raw.do_action(Action { r#type: name.to_owned(), body: act.clone().into() }).await);
    }
    let client = server.client().await.unwrap();
    assert_eq!(number(&*client, "SELECT count(*) FROM t").await, 3);
}

/// The server's own ticket, as far as a forger needs it.
#[derive(Clone, PartialEq, Message)]
struct Forged {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(string, tag = "2")]
    id: String,
    #[prost(string, tag = "3")]
    sql: String,
    #[prost(bytes = "bytes", tag = "4")]
    parameters: Bytes,
    #[prost(string, tag = "8")]
    owner: String,
}

impl Forged {
    /// For the client of a lake without users.
    fn new(sql: &str) -> Self {
        Self { format: 2, sql: sql.to_owned(), owner: "local".to_owned(), ..Self::default() }
    }
}

async fn get_forged(flight: &mut Flight, forged: &Forged) -> Result<(), Status> {
    let ticket = TicketStatementQuery { statement_handle: forged.encode_to_vec().into() };
    let ticket = Ticket::new(ticket.as_any().encode_to_vec());
    flight.inner_mut().do_get(ticket).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_ticket_changes_nothing() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    for sql in ["DROP TABLE t", "DELETE FROM t", "INSERT INTO t VALUES (1, 'x')", "SET batch_size = 1"] {
        let forged = Forged::new(sql);
        let status = get_forged(&mut flight, &forged).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{sql}: {status:?}");
    }
    for forged in [
        Forged { parameters: vec![7; 100].into(), ..Forged::new("SELECT $1") },
        Forged { format: 3, ..Forged::new("SELECT 1") },
        Forged { id: "\0".repeat(1000), ..Forged::new(&"x".repeat(10_000)) },
    ] {
        let status = get_forged(&mut flight, &forged).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }
    let others = Forged { owner: "root".to_owned(), ..Forged::new("SELECT 1") };
    assert_eq!(get_forged(&mut flight, &others).await.unwrap_err().code(), Code::PermissionDenied);
    get_forged(&mut flight, &Forged::new("SELECT 1")).await.unwrap();
    let client = server.client().await.unwrap();
    assert_eq!(number(&*client, "SELECT count(*) FROM t").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_message_is_taken_and_one_over_the_limit_is_refused() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let large = |mebibytes: usize| {
        let column: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(mebibytes << 20)]));
        RecordBatch::try_from_iter([("b", column)]).unwrap()
    };
    let options = TableDefinitionOptions {
        if_not_exist: TableNotExistOption::Fail as i32,
        if_exists: TableExistsOption::Append as i32,
    };
    let command = CommandStatementIngest {
        table_definition_options: Some(options),
        table: "t".to_owned(),
        ..CommandStatementIngest::default()
    };
    for (mebibytes, fits) in [(15, true), (70, false)] {
        let rows = futures::stream::iter([Ok(large(mebibytes))]);
        let done = flight.execute_ingest(command.clone(), rows).await;
        assert_eq!(done.is_ok(), fits, "{mebibytes} MiB: {done:?}");
        if let Err(error) = done {
            assert!(error.to_string().contains("the limit is"), "{error}");
        }
    }
    let info = flight.execute("SELECT count(*) FROM t WHERE length(b) = 15 * 1048576".to_owned(), None).await.unwrap();
    assert_eq!(one(&fetch(&mut flight, &info).await), 1);
    // What is bound to a handle travels with every call, so it is bounded more closely.
    let mut statement = flight.prepare("SELECT length($1)".to_owned(), None).await.unwrap();
    statement.set_parameters(large(15)).unwrap();
    let error = statement.execute().await.unwrap_err().to_string();
    assert!(error.contains("more than 8 MiB") && error.contains("HINT"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_session_keeps_is_bounded() {
    let (_lake, server) = server().await;
    let client = server.client().await.unwrap();
    let prepare = |name: usize, bytes: usize| format!("PREPARE p{name} AS SELECT '{}' AS x", "x".repeat(bytes));
    client.run(&prepare(0, 600 << 10)).await.unwrap();
    let error = client.run(&prepare(1, 600 << 10)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Exhausted);
    assert!(error.text.contains("bytes of text") && error.text.contains("DEALLOCATE ALL"), "{error}");
    client.run("DEALLOCATE p0").await.unwrap();
    for name in 0..1000 {
        client.run(&prepare(name, 1)).await.unwrap();
    }
    let error = client.run(&prepare(1000, 1)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Exhausted);
    assert!(error.text.contains("keeps 1000 prepared statements already"), "{error}");
    client.run("DEALLOCATE ALL").await.unwrap();
    client.run(&prepare(1000, 1)).await.unwrap();
    // A key goes into the log of a table, too.
    let key = |bytes: usize| format!("SET idempotency_key = '{}'", "k".repeat(bytes));
    client.run(&key(1024)).await.unwrap();
    let error = client.run(&key(1025)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidSql);
    assert!(error.text.contains("a text of at most 1024 bytes, and the value given has 1025"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_too_large_for_a_client_fails_its_result_alone() {
    let (_lake, server) = server().await;
    // This client takes messages of 4 MiB, and a row is never cut.
    let mut flight = server.flight().await;
    let sql = "SELECT repeat('x', 20971519 + value) AS wide FROM generate_series(1, 1)";
    let info = flight.execute(sql.to_owned(), None).await.unwrap();
    let rows = flight.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    let error = rows.try_collect::<Vec<_>>().await.unwrap_err().to_string();
    assert!(error.contains("the limit is"), "{error}");
    let info = flight.execute("SELECT count(*) FROM t".to_owned(), None).await.unwrap();
    assert_eq!(one(&fetch(&mut flight, &info).await), 3);
    // One that takes more gets it.
    let client = server.client().await.unwrap();
    let Answer::Rows(rows) = client.run(sql).await.unwrap() else { panic!("no rows") };
    let batches = rows.collect().await.unwrap();
    assert_eq!(batches[0].column(0).as_string::<i32>().value(0).len(), 20 << 20);
}

/// The cookie of a session that one call makes.
async fn new_session(mut flight: FlightServiceClient<Channel>, token: &str) -> String {
    let query =
        arrow_flight::sql::CommandStatementQuery { query: "SET batch_size = 1234".into(), transaction_id: None };
    let mut request = Request::new(FlightDescriptor::new_cmd(query.as_any().encode_to_vec()));
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let answer = flight.get_flight_info(request).await.unwrap();
    answer.metadata().get("set-cookie").unwrap().to_str().unwrap().split(';').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opens_sessions_without_end_loses_their_own_and_nobody_elses() {
    let lake = TestLake::memory().await;
    lake.run("CREATE USER root PASSWORD 'password of root' ROLE admin; CREATE USER ann PASSWORD 'password of ann'")
        .await;
    let server = TestServer::watched(lake.engine().clone()).await;
    let token = async |user: &str| {
        let mut flight = server.flight().await;
        flight.handshake(user, &format!("password of {user}")).await.unwrap();
        flight.token().unwrap().clone()
    };
    let (ann, root) = (token("ann").await, token("root").await);
    let raw = server.flight().await.into_inner();
    let of_ann = new_session(raw.clone(), &ann).await;
    let first_of_root = new_session(raw.clone(), &root).await;
    for round in 0..100 {
        join_all((0..100).map(|_| new_session(raw.clone(), &root))).await;
        let kept = sample(&metrics(server.http()).await, "boathouse_flight_sessions");
        assert!(kept <= 1000.0, "{kept} sessions are kept after {round} rounds");
    }
    for (token, cookie, kept) in [(&ann, of_ann, true), (&root, first_of_root, false)] {
        let mut flight = server.flight().await;
        flight.set_token(token.clone());
        flight.set_header("cookie", cookie);
        let shown = flight.execute("SHOW batch_size".to_owned(), None).await;
        assert_eq!(shown.is_ok(), kept, "{shown:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_may_be_large() {
    let (_lake, server) = server().await;
    let mut flight = server.flight().await;
    let query = arrow_flight::sql::CommandStatementQuery { query: "SELECT 1".to_owned(), transaction_id: None };
    let any: Any = query.as_any();
    for (kibibytes, fits) in [(48, true), (80, false)] {
        let mut request = Request::new(FlightDescriptor::new_cmd(any.encode_to_vec()));
        let token = format!("Bearer {}", "x".repeat(kibibytes << 10));
        request.metadata_mut().insert("authorization", token.parse().unwrap());
        let answer = flight.inner_mut().get_flight_info(request).await;
        assert_eq!(answer.is_ok(), fits, "{kibibytes} KiB: {answer:?}");
        flight = server.flight().await;
    }
}
