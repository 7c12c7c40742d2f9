//! Options of a session as drivers set and ask them, and tables as flights of plain Flight.

use std::collections::BTreeMap;

use arrow_flight::{Action, Criteria, FlightDescriptor, flight_descriptor::DescriptorType};
use futures::TryStreamExt;
use prost::Message;

use crate::support::{Flight, fetch, server, table};

#[derive(Clone, PartialEq, Message)]
struct OptionValue {
    #[prost(oneof = "Value", tags = "1, 2, 3, 4, 5")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Value {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(sfixed64, tag = "3")]
    Int64(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    Texts(Texts),
}

#[derive(Clone, PartialEq, Message)]
struct Texts {
    #[prost(string, repeated, tag = "1")]
    values: Vec<String>,
}

/// SetSessionOptionsRequest and GetSessionOptionsResult have this shape.
#[derive(Clone, PartialEq, Message)]
struct Options {
    #[prost(btree_map = "string, message", tag = "1")]
    session_options: BTreeMap<String, OptionValue>,
}

#[derive(Clone, PartialEq, Message)]
struct Errors {
    #[prost(btree_map = "string, message", tag = "1")]
    errors: BTreeMap<String, ErrorValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ErrorValue {
    #[prost(int32, tag = "1")]
    value: i32,
}

async fn act<T: Message + Default>(
    flight: &mut Flight,
    name: &str,
    request: &impl Message,
    cookie: Option<&str>,
) -> (T, Option<String>) {
    let action = Action { r#type: name.to_owned(), body: request.encode_to_vec().into() };
    let mut request = tonic::Request::new(action);
    if let Some(cookie) = cookie {
        request.metadata_mut().insert("cookie", cookie.parse().unwrap());
    }
    let response = flight.inner_mut().do_action(request).await.unwrap();
    let cookie = response.metadata().get("set-cookie").map(|cookie| cookie.to_str().unwrap().to_owned());
    let results: Vec<_> = response.into_inner().try_collect().await.unwrap();
    (T::decode(&*results[0].body).unwrap(), cookie.map(|cookie| cookie.split(';').next().unwrap().to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn options_are_the_settings_of_the_session() {
    let (lake, server) = server().await;
    lake.run("CREATE SCHEMA s; CREATE TABLE s.only_here AS SELECT 1 AS x").await;
    let mut flight = server.flight().await;
    let options = |options: Vec<(&str, Option<Value>)>| Options {
        session_options: options.into_iter().map(|(name, value)| (name.to_owned(), OptionValue { value })).collect(),
    };
    let text = |text: &str| Some(Value::Text(text.to_owned()));
    let request = options(vec![
        ("catalog", text("lake")),
        ("schema", text("s")),
        ("batch_size", Some(Value::Int64(1234))),
        ("result_cache", Some(Value::Bool(false))),
        ("no_such; DROP TABLE t", text("1")),
        ("time_zone", text("Nowhere")),
        ("target_partitions", Some(Value::Texts(Texts { values: vec!["1".to_owned()] }))),
    ]);
    let (errors, cookie): (Errors, _) = act(&mut flight, "SetSessionOptions", &request, None).await;
    let errors: Vec<_> = errors.errors.iter().map(|(name, error)| (name.as_str(), error.value)).collect();
    assert_eq!(errors, [("no_such; DROP TABLE t", 1), ("target_partitions", 2), ("time_zone", 2)]);
    let cookie = cookie.as_deref();
    flight.set_header("cookie", cookie.unwrap());
    let info = flight.execute("SELECT x FROM only_here".to_owned(), None).await.unwrap();
    assert!(table(&fetch(&mut flight, &info).await).contains("| 1 |"));

    let (found, _): (Options, _) = act(&mut flight, "GetSessionOptions", &Options::default(), cookie).await;
    for (name, value) in [("catalog", "lake"), ("schema", "s"), ("batch_size", "1234"), ("result_cache", "false")] {
        assert_eq!(found.session_options[name].value, text(value), "{name}");
    }
    // One without a value goes back to its default, and another catalog is refused.
    let request = options(vec![("schema", None), ("catalog", text("other"))]);
    let (errors, _): (Errors, _) = act(&mut flight, "SetSessionOptions", &request, cookie).await;
    assert_eq!(errors.errors.keys().collect::<Vec<_>>(), ["catalog"]);
    let (found, _): (Options, _) = act(&mut flight, "GetSessionOptions", &Options::default(), cookie).await;
    assert_eq!(found.session_options["schema"].value, text("main"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_listed_and_read_by_path() {
    let (lake, server) = server().await;
    lake.run("CREATE SCHEMA s; CREATE VIEW s.\"odd \"\"name\" AS SELECT 7 AS x").await;
    let mut flight = server.flight().await;
    let mut list = async |pattern: &str| -> Vec<Vec<String>> {
        let criteria = Criteria { expression: pattern.as_bytes().to_vec().into() };
        let flights = flight.inner_mut().list_flights(criteria).await.unwrap().into_inner();
        let flights: Vec<_> = flights.try_collect().await.unwrap();
        flights.into_iter().map(|info| info.flight_descriptor.unwrap().path).collect()
    };
    assert_eq!(list("main.%").await, [["main", "t"]]);
    assert!(list("").await.contains(&vec!["s".to_owned(), "odd \"name".to_owned()]));
    assert!(list("nothing").await.is_empty());

    let mut flight = server.flight().await;
    for (path, expected) in [
        (vec!["s", "odd \"name"], Some("| 7 |")),
        (vec!["lake", "main", "t"], Some("| 3 |")),
        (vec!["t"], Some("| two |")),
        (vec!["main", "nowhere"], None),
        (vec!["a", "b", "c"], None),
        (vec![], None),
    ] {
        let descriptor = FlightDescriptor {
            r#type: DescriptorType::Path as i32,
            path: path.iter().map(|part| (*part).to_owned()).collect(),
            ..FlightDescriptor::default()
        };
        let schema = flight.inner_mut().get_schema(descriptor.clone()).await;
        let info = flight.inner_mut().get_flight_info(descriptor).await;
        assert_eq!((schema.is_ok(), info.is_ok()), (expected.is_some(), expected.is_some()), "{path:?}");
        let (Ok(info), Some(expected)) = (info, expected) else { continue };
        let info = info.into_inner();
        assert_eq!(schema.unwrap().into_inner().schema, info.schema);
        let rows = fetch(&mut flight, &info).await;
        assert!(table(&rows).contains(expected), "{path:?}: {}", table(&rows));
    }
}
