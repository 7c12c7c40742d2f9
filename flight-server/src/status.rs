//! Engine errors to gRPC statuses and back: the only place that knows both.
//!
//! Each kind has a code of its own, so a client of ours gets back the kind that the engine gave, and one of another make
//! gets the code that its users know. The message is the whole text that a person sees. What went wrong inside goes to
//! the log under an id, and only the id to the client.

mod details;

use std::{any::Any, error::Error, future::Future, panic::AssertUnwindSafe};

use boathouse_engine::{EngineError, ErrorKind};
use futures::FutureExt;
use tonic::{Code, Status};
use uuid::Uuid;

pub use details::detailed;

/// gRPC sends messages in headers, once as text and once within the details, and clients bound all headers of an answer to
/// 8 KB. So many of them are for the message.
const HEADER_BYTES_MAX: usize = 7000;
/// How the message of a request begins that does not follow the protocol.
const MALFORMED: &str = "malformed request";

/// What the client gets for an error of the engine. Logs errors that are the server's fault.
pub fn from_engine(error: EngineError) -> Status {
    if matches!(error.kind, ErrorKind::Internal | ErrorKind::Corrupt) {
        let text = causes(error.message.clone(), error.source());
        if error.kind == ErrorKind::Internal {
            return logged(&text);
        }
        tracing::error!(error = text, "data is damaged");
    }
    Status::new(code(error.kind), bounded(error.to_string()))
}

/// "internal error" and an id for the client, the error and its causes for the log under the same id.
pub fn internal(error: &(dyn Error + 'static)) -> Status {
    logged(&causes(error.to_string(), error.source()))
}

/// Runs a part of a request. When it panics, this request fails as an internal error and the server lives on.
pub async fn guarded<T>(work: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|payload| Err(panicked(&*payload)))
}

fn panicked(payload: &(dyn Any + Send)) -> Status {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "unknown panic".to_owned());
    logged(&format!("panic: {text}"))
}

/// A request that does not follow the protocol: `what` is wrong with it.
pub fn malformed(what: &str) -> Status {
    Status::invalid_argument(format!("{MALFORMED}: {what}"))
}

/// A part of the protocol that this server does not offer, and what to do instead.
pub fn unsupported(what: &str, hint: &str) -> Status {
    Status::unimplemented(format!("{what} not supported\nHINT: {hint}"))
}

/// The kind of a status that a server sent.
pub fn kind(code: Code) -> ErrorKind {
    match code {
        Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => ErrorKind::InvalidSql,
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists => ErrorKind::AlreadyExists,
        Code::PermissionDenied | Code::Unauthenticated => ErrorKind::Denied,
        Code::Unimplemented => ErrorKind::Unsupported,
        Code::Aborted => ErrorKind::Conflict,
        Code::ResourceExhausted => ErrorKind::Exhausted,
        Code::Unavailable => ErrorKind::Unavailable,
        Code::Cancelled | Code::DeadlineExceeded => ErrorKind::Cancelled,
        Code::DataLoss => ErrorKind::Corrupt,
        Code::Ok | Code::Unknown | Code::Internal => ErrorKind::Internal,
    }
}

fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::InvalidSql => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::Denied => Code::PermissionDenied,
        ErrorKind::Unsupported => Code::Unimplemented,
        ErrorKind::Conflict => Code::Aborted,
        ErrorKind::Exhausted => Code::ResourceExhausted,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::Corrupt => Code::DataLoss,
        ErrorKind::Internal => Code::Internal,
    }
}

fn logged(text: &str) -> Status {
    let id = Uuid::new_v4();
    tracing::error!(%id, error = text, "internal error");
    Status::internal(format!("internal error {id}\nHINT: The server's log tells more under this id."))
}

fn causes(mut text: String, mut cause: Option<&(dyn Error + 'static)>) -> String {
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn bounded(mut text: String) -> String {
    // As text a byte is one, or three where it is escaped; within the details, in base64, four thirds.
    let cost = |char: char| match char {
        char if char.is_ascii_alphanumeric() => 7,
        char => 13 * char.len_utf8(),
    };
    let mut thirds = 3 * HEADER_BYTES_MAX;
    let end = text.char_indices().find(|(_, char)| {
        let fits = thirds.checked_sub(cost(*char));
        thirds = fits.unwrap_or(thirds);
        fits.is_none()
    });
    if let Some((end, _)) = end {
        text.truncate(end);
        text.push_str(" ...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [ErrorKind; 11] = [
        ErrorKind::InvalidSql,
        ErrorKind::NotFound,
        ErrorKind::AlreadyExists,
        ErrorKind::Denied,
        ErrorKind::Unsupported,
        ErrorKind::Conflict,
        ErrorKind::Exhausted,
        ErrorKind::Unavailable,
        ErrorKind::Cancelled,
        ErrorKind::Corrupt,
        ErrorKind::Internal,
    ];

    fn error(kind: ErrorKind, message: &str) -> EngineError {
        EngineError { kind, message: message.to_owned(), excerpt: None, detail: None, hint: None, source: None }
    }

    #[test]
    fn every_kind_survives_the_wire() {
        for expected in KINDS {
            assert_eq!(kind(from_engine(error(expected, "no")).code()), expected);
        }
    }

    #[test]
    fn internal_errors_keep_their_text_from_the_client() {
        let status = from_engine(error(ErrorKind::Internal, "secret path"));
        assert!(status.message().starts_with("internal error "), "{}", status.message());
        assert!(!status.message().contains("secret"));
    }

    /// A log of this thread's alone.
    #[derive(Clone, Default)]
    struct Log(std::sync::Arc<parking_lot::Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_log_has_the_causes_of_an_internal_error_under_the_id_that_the_client_has() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
        let cause = std::io::Error::other("the disk is on fire");
        let error = EngineError { source: Some(Box::new(cause)), ..error(ErrorKind::Internal, "could not write") };
        let status = tracing::subscriber::with_default(subscriber, || from_engine(error));
        let id = status.message().lines().next().and_then(|line| line.strip_prefix("internal error ")).unwrap();
        let log = String::from_utf8(log.0.lock().clone()).unwrap();
        assert!(log.contains(id) && log.contains("could not write: the disk is on fire"), "{log}");
        assert!(!status.message().contains("fire"), "{}", status.message());
    }

    #[tokio::test]
    async fn a_panic_fails_its_request_only() {
        let status = guarded::<()>(async { panic!("secret {}", 1) }).await.unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("secret"), "{}", status.message());
        assert_eq!(guarded(async { Ok(1) }).await.unwrap(), 1);
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        for text in ["ä".repeat(10_000), "a".repeat(10_000), "a b\n".repeat(3_000)] {
            let status = detailed(from_engine(error(ErrorKind::InvalidSql, &text)), Uuid::nil());
            assert!(status.message().ends_with(" ...") && status.message().len() > 1000, "{}", status.message().len());
            let headers = status.into_http::<()>().into_parts().0.headers;
            let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
            assert!(bytes <= 8 << 10, "{bytes}");
        }
        assert_eq!(bounded("short".to_owned()), "short");
    }
}
