//! Who calls, and what they may do: credentials of every kind, on every call.

use std::time::Duration;

use arrow_flight::{
    Action, Criteria, Empty, FlightData, FlightDescriptor, HandshakeRequest, Ticket,
    flight_service_client::FlightServiceClient,
    sql::{CommandStatementQuery, ProstMessageExt},
};
use boathouse_engine::{ErrorKind, Secret};
use boathouse_flight_server::{
    AuthOptions, Clock,
    client::{Answer, Client, Login, connect},
    server::ServerOptions,
};
use boathouse_tests::{TestLake, TestServer, config};
use prost::Message;
use tonic::{Code, IntoRequest, Request, Status, metadata::MetadataMap, transport::Channel};

use crate::support::{ENDLESS, Flight, fetch, number, one, text, until, within};

/// Root is an admin, Ann and Bob are readers; there is the table `t` with one row.
const USERS: &str = "CREATE TABLE t AS SELECT 1 AS a; \
    CREATE USER root PASSWORD 'password of root' ROLE admin; \
    CREATE USER ann PASSWORD 'password of ann'; \
    CREATE USER bob PASSWORD 'password of bob'";

async fn server() -> (TestLake, TestServer) {
    server_with(AuthOptions::default()).await
}

async fn server_with(auth: AuthOptions) -> (TestLake, TestServer) {
    let lake = TestLake::folder_with(config()).await;
    lake.run(USERS).await;
    let options = ServerOptions { drain_max: Duration::from_secs(5), auth, ..ServerOptions::default() };
    let server = TestServer::spawn_with(lake.engine().clone(), options).await;
    (lake, server)
}

async fn client_as(server: &TestServer, user: &str) -> Box<dyn Client> {
    server.client_as(user, &format!("password of {user}")).await.unwrap()
}

/// The text of a token that the caller makes for themselves.
async fn access_token(client: &dyn Client, name: &str) -> String {
    match client.run(&format!("CREATE TOKEN {name} VALID FOR '1 hour'")).await.unwrap() {
        Answer::Rows(rows) => {
            let batches = rows.collect().await.unwrap();
            let column = batches[0].column(0).as_any().downcast_ref::<arrow::array::StringArray>().unwrap();
            column.value(0).to_owned()
        }
        other => panic!("{other:?}"),
    }
}

fn with<T>(message: T, authorization: &str) -> Request<T> {
    let mut request = message.into_request();
    request.metadata_mut().insert("authorization", authorization.parse().unwrap());
    request
}

fn descriptor(sql: &str) -> FlightDescriptor {
    let command = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
    FlightDescriptor::new_cmd(command.as_any().encode_to_vec())
}

fn basic(user: &str, password: &str) -> String {
    // Without padding, as ADBC sends it.
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes = format!("{user}:{password}").into_bytes();
    let digits = bytes.chunks(3).flat_map(|chunk| {
        let number = chunk.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        (0..=chunk.len()).map(move |at| LETTERS[(number >> (18 - 6 * at) & 63) as usize] as char)
    });
    format!("Basic {}", digits.collect::<String>())
}

async fn raw(server: &TestServer) -> FlightServiceClient<Channel> {
    server.flight().await.into_inner()
}

/// The token that a handshake gives for a header.
async fn handshake(server: &TestServer, authorization: &str) -> Result<String, Status> {
    let hello = with(futures::stream::empty::<HandshakeRequest>(), authorization);
    let answer = raw(server).await.handshake(hello).await?;
    Ok(bearer(answer.metadata()).unwrap())
}

fn bearer(metadata: &MetadataMap) -> Option<String> {
    metadata.get("authorization").map(|value| value.to_str().unwrap().to_owned())
}

/// Every call of Flight, each with the header, and how it ended.
async fn every_call(server: &TestServer, authorization: Option<&str>) -> Vec<(&'static str, Status)> {
    fn dress<T>(message: T, authorization: Option<&str>) -> Request<T> {
        match authorization {
            Some(authorization) => with(message, authorization),
            None => message.into_request(),
        }
    }
    let a = authorization;
    let mut flight = raw(server).await;
    let data = || futures::stream::iter([FlightData::default()]);
    let action = |name: &str| Action { r#type: name.to_owned(), body: Default::default() };
    let hello = futures::stream::empty::<HandshakeRequest>();
    let mut ends = vec![
        ("Handshake", flight.handshake(dress(hello, a)).await.map(drop)),
        ("ListFlights", flight.list_flights(dress(Criteria::default(), a)).await.map(drop)),
        ("GetFlightInfo", flight.get_flight_info(dress(descriptor("SELECT 1"), a)).await.map(drop)),
        ("PollFlightInfo", flight.poll_flight_info(dress(descriptor("SELECT 1"), a)).await.map(drop)),
        ("GetSchema", flight.get_schema(dress(descriptor("SELECT 1"), a)).await.map(drop)),
        ("DoGet", flight.do_get(dress(Ticket::default(), a)).await.map(drop)),
        ("DoPut", flight.do_put(dress(data(), a)).await.map(drop)),
        ("DoExchange", flight.do_exchange(dress(data(), a)).await.map(drop)),
        ("ListActions", flight.list_actions(dress(Empty {}, a)).await.map(drop)),
    ];
    for name in ["CreatePreparedStatement", "ClosePreparedStatement", "CancelFlightInfo", "CancelQuery", "CloseSession"]
    {
        ends.push((name, flight.do_action(dress(action(name), a)).await.map(drop)));
    }
    for name in ["SetSessionOptions", "GetSessionOptions", "no_such_action"] {
        ends.push((name, flight.do_action(dress(action(name), a)).await.map(drop)));
    }
    ends.into_iter().map(|(name, end)| (name, end.err().unwrap_or_else(|| Status::ok("")))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_is_answered_without_good_credentials() {
    let (_lake, server) = server().await;
    let token = handshake(&server, &basic("ann", "password of ann")).await.unwrap();
    let forged = format!("{}x", token);
    let bad: Vec<Option<String>> = vec![
        None,
        Some(basic("ann", "password of bob")),
        Some(basic("nobody", "password of ann")),
        Some("Basic %%%".to_owned()),
        Some("Digest x".to_owned()),
        Some("Bearer".to_owned()),
        Some("Bearer x".to_owned()),
        Some("Bearer bht_x_y".to_owned()),
        Some("Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290In0.".to_owned()),
        Some(forged),
    ];
    for authorization in bad {
        for (call, status) in every_call(&server, authorization.as_deref()).await {
            assert_eq!(status.code(), Code::Unauthenticated, "{call} with {authorization:?}: {status:?}");
        }
    }
    for (call, status) in every_call(&server, Some(&token)).await {
        assert_ne!(status.code(), Code::Unauthenticated, "{call}: {status:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_learns_no_names() {
    let (_lake, server) = server().await;
    let said =
        async |user: &str| handshake(&server, &basic(user, "wrong password")).await.unwrap_err().message().to_owned();
    assert_eq!(said("ann").await, "wrong user name or password");
    assert_eq!(said("nobody").await, said("ann").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_buys_a_token_for_the_calls_to_come() {
    let (_lake, server) = server().await;
    let client = client_as(&server, "ann").await;
    assert!(
        text(&*client, "SELECT current_user, session_user, user")
            .await
            .contains("| ann          | ann          | ann  |")
    );
    // A client of another make: the token comes as the payload, too.
    let mut flight = server.flight().await;
    flight.handshake("ann", "password of ann").await.unwrap();
    let info = flight.execute("SELECT count(*) FROM t".to_owned(), None).await.unwrap();
    assert_eq!(one(&fetch(&mut flight, &info).await), 1);
    // And one that shows its password each time gets a token each time.
    let answer =
        raw(&server).await.get_flight_info(with(descriptor("SELECT 1"), &basic("ann", "password of ann"))).await;
    let token = bearer(answer.unwrap().metadata()).unwrap();
    let answer = raw(&server).await.get_flight_info(with(descriptor("SELECT 1"), &token)).await.unwrap();
    assert_eq!(bearer(answer.metadata()), None, "a young token is not renewed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_token_that_is_used_is_renewed_before_it_ends() {
    let lake = TestLake::folder_with(config()).await;
    lake.run(USERS).await;
    let clock = Clock::stopped();
    let options = ServerOptions { clock: clock.clone(), ..ServerOptions::default() };
    let server = TestServer::spawn_with(lake.engine().clone(), options).await;
    let ask = async |token: &str| {
        let answer = raw(&server).await.get_flight_info(with(descriptor("SELECT 1"), token)).await?;
        Ok::<_, Status>(bearer(answer.metadata()))
    };
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let first = handshake(&server, &basic("ann", "password of ann")).await.unwrap();
    clock.advance(hours(5));
    assert_eq!(ask(&first).await.unwrap(), None);
    clock.advance(hours(2));
    let second = ask(&first).await.unwrap().expect("half of its twelve hours are over");
    clock.advance(hours(5));
    let error = ask(&first).await.unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated);
    assert!(error.message().starts_with("the session token has expired"), "{error:?}");
    assert_eq!(ask(&second).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_is_good_until_it_is_dropped() {
    let (_lake, server) = server().await;
    let owner = client_as(&server, "ann").await;
    let token = access_token(&*owner, "job").await;
    let login = || Login::Token(Secret::new(&*token));
    let client = connect(&server.url(), Default::default(), login()).await.unwrap();
    assert!(text(&*client, "SELECT current_user AS u").await.contains("ann"));
    // Fetched once more, CREATE TOKEN makes no second token.
    let error = owner.run("CREATE TOKEN job VALID FOR '1 hour'").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::AlreadyExists, "{error:?}");

    owner.run("DROP TOKEN job").await.unwrap();
    let error = client.run("SELECT 1").await.unwrap_err();
    assert!(error.text.starts_with("the access token is not known"), "{error}");
    let error = connect(&server.url(), Default::default(), login()).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_tokens_are_refused() {
    let (lake, server) = server_with(AuthOptions { session_life: Duration::ZERO, ..AuthOptions::default() }).await;
    // The handshake itself is good; what it gives has expired when it comes back.
    let client = client_as(&server, "ann").await;
    let error = client.run("SELECT 1").await.unwrap_err();
    assert!(error.text.starts_with("the session token has expired"), "{error}");

    let token = {
        let root = basic("root", "password of root");
        let mut flight = raw(&server).await;
        let info =
            flight.get_flight_info(with(descriptor("CREATE TOKEN old VALID FOR '1 hour'"), &root)).await.unwrap();
        let ticket = info.into_inner().endpoint[0].ticket.clone().unwrap();
        let data = flight.do_get(with(ticket, &root)).await.unwrap().into_inner();
        let batches = arrow_flight::decode::FlightRecordBatchStream::new_from_flight_data(
            futures::TryStreamExt::map_err(data, arrow_flight::error::FlightError::from),
        );
        let batches: Vec<_> = futures::TryStreamExt::try_collect(batches).await.unwrap();
        batches[0].column(0).as_any().downcast_ref::<arrow::array::StringArray>().unwrap().value(0).to_owned()
    };
    let bearer = format!("Bearer {token}");
    raw(&server).await.get_flight_info(with(descriptor("SELECT 1"), &bearer)).await.unwrap();
    let age =
        |document: &mut boathouse_storage::catalog::UsersDocument| -> Result<(), boathouse_storage::StorageError> {
            document.tokens.values_mut().for_each(|token| token.expires_ms = 1);
            Ok(())
        };
    lake.engine().lake().change_users(age).await.unwrap();
    // Another statement about users makes this process look again.
    lake.run("ALTER USER bob ROLE reader").await;
    let error = raw(&server).await.get_flight_info(with(descriptor("SELECT 1"), &bearer)).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::Unauthenticated, "the access token has expired"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_dropped_or_disabled_is_out_at_once() {
    let (_lake, server) = server().await;
    let root = client_as(&server, "root").await;
    let (ann, bob) = (client_as(&server, "ann").await, client_as(&server, "bob").await);
    let token = Login::Token(Secret::new(access_token(&*ann, "job").await));
    let by_token = connect(&server.url(), Default::default(), token).await.unwrap();
    assert_eq!(number(&*by_token, "SELECT count(*) FROM t").await, 1);
    root.run("DROP USER ann").await.unwrap();
    root.run("ALTER USER bob DISABLE").await.unwrap();
    for client in [&ann, &bob, &by_token] {
        assert_eq!(client.run("SELECT 1").await.unwrap_err().kind, ErrorKind::Denied);
    }
    assert!(server.client_as("bob", "password of bob").await.is_err());
    // One of the same name is another user: the old session is not hers.
    root.run("CREATE USER ann PASSWORD 'password of ann'").await.unwrap();
    assert_eq!(ann.run("SELECT 1").await.unwrap_err().kind, ErrorKind::Denied);
    // Enabled again, the sessions of before stay ended.
    root.run("ALTER USER bob ENABLE").await.unwrap();
    assert_eq!(bob.run("SELECT 1").await.unwrap_err().kind, ErrorKind::Denied);
    assert_eq!(number(&*client_as(&server, "bob").await, "SELECT count(*) FROM t").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_role_holds_for_open_sessions_at_once() {
    let (_lake, server) = server().await;
    let (root, ann) = (client_as(&server, "root").await, client_as(&server, "ann").await);
    ann.run("SET batch_size = 1000").await.unwrap();
    let error = ann.run("INSERT INTO t VALUES (2)").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    root.run("ALTER USER ann ROLE admin").await.unwrap();
    ann.run("INSERT INTO t VALUES (2)").await.unwrap();
    let told = text(&*ann, "DESCRIBE HISTORY t").await;
    assert!(told.lines().any(|line| line.contains("WRITE") && line.contains("| ann ")), "{told}");
    assert!(text(&*ann, "SHOW batch_size").await.contains("1000"), "the session is the same");
    root.run("ALTER USER ann ROLE reader").await.unwrap();
    assert_eq!(ann.run("INSERT INTO t VALUES (3)").await.unwrap_err().kind, ErrorKind::Denied);
    assert_eq!(number(&*ann, "SELECT count(*) FROM t").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_prepared_as_an_admin_is_checked_when_it_runs() {
    let (lake, server) = server().await;
    lake.run("ALTER USER ann ROLE admin").await;
    let mut ann = logged_in(&server, "ann").await;
    let mut statement = ann.prepare("INSERT INTO t VALUES (2)".to_owned(), None).await.unwrap();
    lake.run("ALTER USER ann ROLE reader").await;
    let error = statement.execute_update().await.unwrap_err().to_string();
    assert!(error.contains("may not run INSERT"), "{error}");
    assert_eq!(lake.text("SELECT count(*) AS n FROM t").await.lines().nth(3), Some("| 1 |"));
}

async fn logged_in(server: &TestServer, user: &str) -> Flight {
    let mut flight = server.flight().await;
    flight.handshake(user, &format!("password of {user}")).await.unwrap();
    flight
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_and_handles_are_good_for_their_owner_alone() {
    let (_lake, server) = server().await;
    let (mut ann, mut bob) = (logged_in(&server, "ann").await, logged_in(&server, "bob").await);
    let info = ann.execute("SELECT a FROM t".to_owned(), None).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let error = bob.do_get(ticket.clone()).await.err().unwrap().to_string();
    assert!(error.contains("this ticket was given to another user"), "{error}");
    // Not even to stop it.
    let body = arrow_flight::CancelFlightInfoRequest::new(info.clone()).encode_to_vec().into();
    let error = bob.do_action(Action { r#type: "CancelFlightInfo".to_owned(), body }).await.err().unwrap().to_string();
    assert!(error.contains("given to another user"), "{error}");
    assert_eq!(fetch(&mut ann, &info).await[0].num_rows(), 1);

    // With another name in it, a ticket is a statement of whoever wrote it.
    let root = logged_in(&server, "root").await.token().unwrap().clone();
    let mut as_root = server.flight().await;
    as_root.set_token(root);
    let info = as_root.execute("SELECT count(*) FROM system.users".to_owned(), None).await.unwrap();
    let forged = replaced(&info.endpoint[0].ticket.clone().unwrap().ticket, b"root", b"bob");
    match bob.do_get(Ticket { ticket: forged.into() }).await {
        Ok(rows) => {
            let rows: Vec<_> = futures::TryStreamExt::try_collect(rows).await.unwrap();
            assert_eq!(one(&rows), 1, "bob sees himself alone");
        }
        Err(error) => panic!("{error}"),
    }
}

/// The same protobuf with another text of the user's name, which is the last field of the ticket within two lengths.
fn replaced(ticket: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    use arrow_flight::sql::{Any, TicketStatementQuery};
    let any = Any::decode(ticket).unwrap();
    let statement: TicketStatementQuery = any.unpack().unwrap().unwrap();
    let mut handle = statement.statement_handle.to_vec();
    assert!(handle.ends_with(from));
    handle.truncate(handle.len() - from.len() - 1);
    handle.push(u8::try_from(to.len()).unwrap());
    handle.extend_from_slice(to);
    TicketStatementQuery { statement_handle: handle.into() }.as_any().encode_to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_and_ends_their_own_statements_alone() {
    let (lake, server) = server().await;
    let mut flight = logged_in(&server, "root").await;
    let info = flight.execute(ENDLESS.to_owned(), None).await.unwrap();
    let mut stream = flight.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    within("the first rows", futures::StreamExt::next(&mut stream)).await.unwrap().unwrap();
    let runs = |query: &boathouse_engine::QueryRecord| &*query.sql == ENDLESS && query.ended.is_none();
    let records = lake.engine().query_records();
    let running = records.iter().find(|query| runs(query)).unwrap();
    assert_eq!(running.origin.user.as_deref(), Some("root"));

    let (ann, root) = (client_as(&server, "ann").await, client_as(&server, "root").await);
    let others = "SELECT count(*) FROM system.queries WHERE user_name IS NULL OR user_name <> 'ann'";
    assert_eq!(number(&*ann, others).await, 0);
    assert!(number(&*root, others).await > 0);
    let kill = format!("KILL QUERY '{}'", running.origin.query_id);
    assert_eq!(ann.run(&kill).await.unwrap_err().kind, ErrorKind::NotFound);
    assert!(lake.engine().query_records().iter().any(|query| runs(query)));
    root.run(&kill).await.unwrap();
    until("the query ends", || lake.engine().statements_active() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_its_users_alone() {
    let (_lake, server) = server().await;
    let (mut ann, mut bob) = (logged_in(&server, "ann").await, logged_in(&server, "bob").await);
    let mut request = descriptor("SET batch_size = 1000").into_request();
    request.metadata_mut().insert("authorization", format!("Bearer {}", ann.token().unwrap()).parse().unwrap());
    let answer = ann.inner_mut().get_flight_info(request).await.unwrap();
    let cookie = answer.metadata().get("set-cookie").unwrap().to_str().unwrap().split(';').next().unwrap().to_owned();
    bob.set_header("cookie", cookie);
    let error = bob.execute("SHOW batch_size".to_owned(), None).await.unwrap_err().to_string();
    assert!(error.contains("the session belongs to another user"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_with_one_key_know_each_others_sessions() {
    let key = Some(Secret::new("a key of thirty-two characters, at least"));
    let (lake, one_server) = server_with(AuthOptions { key: key.clone(), ..AuthOptions::default() }).await;
    let token = handshake(&one_server, &basic("ann", "password of ann")).await.unwrap();
    let options =
        |key| ServerOptions { auth: AuthOptions { key, ..AuthOptions::default() }, ..ServerOptions::default() };
    let two = TestServer::spawn_with(lake.engine().clone(), options(key)).await;
    raw(&two).await.get_flight_info(with(descriptor("SELECT 1"), &token)).await.unwrap();
    let three = TestServer::spawn_with(lake.engine().clone(), options(None)).await;
    let error = raw(&three).await.get_flight_info(with(descriptor("SELECT 1"), &token)).await.unwrap_err();
    assert!(error.message().starts_with("the session token is not known"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_without_users_takes_any_client_unless_it_is_exposed() {
    let lake = TestLake::folder_with(config()).await;
    let open = TestServer::spawn(lake.engine().clone()).await;
    let client = open.client_as("anyone", "any password").await.unwrap();
    assert!(text(&*client, "SELECT current_user AS u").await.contains("local"));
    let options =
        ServerOptions { auth: AuthOptions { open: false, ..AuthOptions::default() }, ..ServerOptions::default() };
    let exposed = TestServer::spawn_with(lake.engine().clone(), options).await;
    let error = exposed.client().await.unwrap().run("SELECT 1").await.unwrap_err();
    assert!(error.text.starts_with("this lake has no users"), "{error}");
    // The first user ends the time of open doors.
    client.run("CREATE USER root PASSWORD 'password of root' ROLE admin").await.unwrap();
    assert_eq!(client.run("SELECT 1").await.unwrap_err().kind, ErrorKind::Denied);
    assert!(text(&*client_as(&exposed, "root").await, "SELECT current_user AS u").await.contains("root"));
}

#[tokio::test(flavor = "multi_thread")]
async fn hashes_are_read_by_nobody() {
    let (lake, server) = server().await;
    let root = client_as(&server, "root").await;
    let folder = lake.path().display();
    for files in
        ["_boathouse/identity/users/*.json", "_boathouse/*/users/*.json", "main/../_boathouse/identity/users/*.json"]
    {
        let error = root.run(&format!("SELECT * FROM read_json('{folder}/{files}')")).await.err();
        let error = error.unwrap_or_else(|| panic!("{files} can be read"));
        assert_eq!(error.kind, ErrorKind::Denied, "{files}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_wrong_passwords_leaves_room_for_queries() {
    let (_lake, server) = server().await;
    let client = client_as(&server, "ann").await;
    let url = server.url();
    let flood: Vec<_> = (0..40)
        .map(|n| {
            let (url, login) = (url.clone(), Login::Password { user: format!("u{n}"), password: Secret::new("wrong") });
            tokio::spawn(async move { connect(&url, Default::default(), login).await.err().map(|error| error.kind) })
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(number(&*client, "SELECT count(*) FROM t").await, 1);
    }
    for attempt in flood {
        let kind = attempt.await.unwrap();
        assert!(matches!(kind, Some(ErrorKind::Denied | ErrorKind::Unavailable)), "{kind:?}");
    }
}
