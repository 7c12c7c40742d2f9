//! Options of a session: the settings of SET under the names that Flight gives to catalog and schema.
//!
//! arrow-flight does not define these messages of `Flight.proto`, so they are here. Drivers send them plain, not in an `Any`.

use std::collections::BTreeMap;

use boathouse_engine::{EngineError, ErrorKind, Session};
use bytes::Bytes;
use prost::Message;
use tonic::Status;

use super::{flight::Shared, metadata::CATALOG, session::Caller};
use crate::status;

const CATALOG_OPTION: &str = "catalog";

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

#[derive(Clone, PartialEq, Message)]
struct SetSessionOptionsRequest {
    #[prost(btree_map = "string, message", tag = "1")]
    session_options: BTreeMap<String, OptionValue>,
}

/// Options that were not set, and why; the others were.
#[derive(Clone, PartialEq, Message)]
struct SetSessionOptionsResult {
    #[prost(btree_map = "string, message", tag = "1")]
    errors: BTreeMap<String, Refused>,
}

#[derive(Clone, PartialEq, Message)]
struct Refused {
    #[prost(int32, tag = "1")]
    value: i32,
}

impl Refused {
    const INVALID_NAME: Self = Self { value: 1 };
    const INVALID_VALUE: Self = Self { value: 2 };
    const ERROR: Self = Self { value: 3 };
}

#[derive(Clone, PartialEq, Message)]
struct GetSessionOptionsRequest {}

#[derive(Clone, PartialEq, Message)]
struct GetSessionOptionsResult {
    #[prost(btree_map = "string, message", tag = "1")]
    session_options: BTreeMap<String, OptionValue>,
}

/// The answer to the action `CloseSession`, whose request is empty.
#[derive(Clone, PartialEq, Message)]
pub struct CloseSessionResult {
    #[prost(int32, tag = "1")]
    pub status: i32,
}

impl CloseSessionResult {
    /// The session is closed; also when there was none to close.
    pub const CLOSED: Self = Self { status: 1 };
}

/// The action `SetSessionOptions`: the body of its result.
pub async fn set(shared: &Shared, caller: &mut Caller, body: &[u8]) -> Result<Bytes, Status> {
    let request = SetSessionOptionsRequest::decode(body).map_err(|error| status::malformed(&error.to_string()))?;
    let mut result = SetSessionOptionsResult::default();
    for (name, option) in request.session_options {
        match change(&caller.session, &name, option.value).await {
            Ok(()) => shared.sessions.ran(caller, "SET"),
            Err(refused) => {
                result.errors.insert(name, refused);
            }
        }
    }
    Ok(result.encode_to_vec().into())
}

/// The action `GetSessionOptions`: the body of its result.
pub fn get(session: &Session, body: &[u8]) -> Result<Bytes, Status> {
    GetSessionOptionsRequest::decode(body).map_err(|error| status::malformed(&error.to_string()))?;
    let mut options = session.settings();
    options.push((CATALOG_OPTION.to_owned(), CATALOG.to_owned()));
    let option = |value| OptionValue { value: Some(Value::Text(value)) };
    let session_options = options.into_iter().map(|(name, value)| (name, option(value))).collect();
    Ok(GetSessionOptionsResult { session_options }.encode_to_vec().into())
}

/// As `SET name = 'value'`. The name is one of a setting, not any text.
pub async fn set_one(session: &Session, name: &str, value: &str) -> Result<(), EngineError> {
    session.execute(&format!("SET {name} = '{}'", value.replace('\'', "''"))).await.map(|_| ())
}

async fn change(session: &Session, name: &str, value: Option<Value>) -> Result<(), Refused> {
    let value = match value {
        None => None,
        Some(Value::Text(text)) => Some(text),
        Some(Value::Bool(on)) => Some(on.to_string()),
        Some(Value::Int64(number)) => Some(number.to_string()),
        Some(Value::Double(number)) => Some(number.to_string()),
        Some(Value::Texts(_)) => return Err(Refused::INVALID_VALUE),
    };
    if name == CATALOG_OPTION {
        // There is one.
        return if value.is_none_or(|value| value == CATALOG) { Ok(()) } else { Err(Refused::INVALID_VALUE) };
    }
    if !session.settings().iter().any(|(known, _)| known == name) {
        return Err(Refused::INVALID_NAME);
    }
    let changed = match value {
        Some(value) => set_one(session, name, &value).await,
        None => session.execute(&format!("RESET {name}")).await.map(|_| ()),
    };
    changed.map_err(|error| match error.kind {
        ErrorKind::InvalidSql | ErrorKind::NotFound => Refused::INVALID_VALUE,
        _ => Refused::ERROR,
    })
}
