//! What a program wants to know of an error: a `google.rpc.Status` in the trailer `grpc-status-details-bin`, with one
//! `google.rpc.ErrorInfo` that holds the kind, its SQLSTATE and the id of the query.
//!
//! The messages are written by hand: they are three, and they never change.

use boathouse_engine::ErrorKind;
use bytes::Bytes;
use prost::Message;
use tonic::{Code, Status};
use uuid::Uuid;

use super::{MALFORMED, bounded, kind};

/// Who gives the meaning to the reasons below.
const DOMAIN: &str = "boathouse";
const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.ErrorInfo`.
#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
    #[prost(btree_map = "string, string", tag = "3")]
    metadata: std::collections::BTreeMap<String, String>,
}

/// The same status with its details, and short enough for every client. One that has details keeps them.
pub fn detailed(status: Status, query_id: Uuid) -> Status {
    if !status.details().is_empty() {
        return status;
    }
    let message = bounded(status.message().to_owned());
    let (reason, sqlstate) = meaning(&status);
    let metadata = [("query_id", query_id.to_string()), ("sqlstate", sqlstate.to_owned())];
    let info = ErrorInfo {
        reason: reason.to_owned(),
        domain: DOMAIN.to_owned(),
        metadata: metadata.map(|(key, value)| (key.to_owned(), value)).into(),
    };
    // Some clients take code and message from here instead of from their own trailers.
    let rpc = RpcStatus {
        code: status.code() as i32,
        message: message.clone(),
        details: vec![Any { type_url: ERROR_INFO.to_owned(), value: info.encode_to_vec() }],
    };
    let details = Bytes::from(rpc.encode_to_vec());
    // Not the message: it may hold a part of the statement, and that a secret.
    tracing::debug!(%query_id, sqlstate, "a call failed");
    Status::with_details_and_metadata(status.code(), message, details, status.metadata().clone())
}

/// The kind's name and the SQLSTATE that stands for it.
fn meaning(status: &Status) -> (&'static str, &'static str) {
    if status.code() == Code::InvalidArgument && status.message().starts_with(MALFORMED) {
        return ("MALFORMED_REQUEST", "08P01");
    }
    if status.code() == Code::Unauthenticated {
        return ("UNAUTHENTICATED", "28000");
    }
    let kind = kind(status.code());
    let sqlstate = match kind {
        ErrorKind::InvalidSql => "42000",
        ErrorKind::NotFound => "42704",
        ErrorKind::AlreadyExists => "42710",
        ErrorKind::Denied => "42501",
        ErrorKind::Unsupported => "0A000",
        ErrorKind::Conflict => "40001",
        ErrorKind::Exhausted => "53000",
        ErrorKind::Unavailable => "57P03",
        ErrorKind::Cancelled => "57014",
        ErrorKind::Corrupt => "XX001",
        ErrorKind::Internal => "XX000",
    };
    (kind.as_str(), sqlstate)
}

#[cfg(test)]
mod tests {
    use boathouse_engine::EngineError;

    use super::{super::from_engine, *};

    #[test]
    fn programs_find_kind_state_and_query() {
        let id = Uuid::new_v4();
        let status = detailed(Status::aborted("no"), id);
        let rpc = RpcStatus::decode(status.details()).unwrap();
        assert_eq!((rpc.code, rpc.message.as_str()), (Code::Aborted as i32, "no"));
        let info = ErrorInfo::decode(&*rpc.details[0].value).unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("CONFLICT", "boathouse"));
        assert_eq!(info.metadata["sqlstate"], "40001");
        assert_eq!(info.metadata["query_id"], id.to_string());
        // A second hand adds nothing.
        assert_eq!(detailed(status.clone(), Uuid::new_v4()).details(), status.details());
    }

    #[test]
    fn every_kind_has_a_code_and_an_sqlstate_of_its_own() {
        for (kind, code, sqlstate) in [
            (ErrorKind::InvalidSql, Code::InvalidArgument, "42000"),
            (ErrorKind::NotFound, Code::NotFound, "42704"),
            (ErrorKind::AlreadyExists, Code::AlreadyExists, "42710"),
            (ErrorKind::Denied, Code::PermissionDenied, "42501"),
            (ErrorKind::Unsupported, Code::Unimplemented, "0A000"),
            (ErrorKind::Conflict, Code::Aborted, "40001"),
            (ErrorKind::Exhausted, Code::ResourceExhausted, "53000"),
            (ErrorKind::Unavailable, Code::Unavailable, "57P03"),
            (ErrorKind::Cancelled, Code::Cancelled, "57014"),
            (ErrorKind::Corrupt, Code::DataLoss, "XX001"),
            (ErrorKind::Internal, Code::Internal, "XX000"),
        ] {
            let message = "no".to_owned();
            let error = EngineError { kind, message, excerpt: None, detail: None, hint: None, source: None };
            let status = from_engine(error);
            assert_eq!((status.code(), meaning(&status)), (code, (kind.as_str(), sqlstate)));
        }
    }

    #[test]
    fn a_request_that_breaks_the_protocol_is_told_from_wrong_sql() {
        assert_eq!(meaning(&super::super::malformed("x")).1, "08P01");
        assert_eq!(meaning(&Status::invalid_argument("x")).1, "42000");
    }

    #[test]
    fn who_is_not_known_is_told_from_who_may_not() {
        assert_eq!(meaning(&Status::unauthenticated("x")).1, "28000");
        assert_eq!(meaning(&Status::permission_denied("x")).1, "42501");
    }
}
