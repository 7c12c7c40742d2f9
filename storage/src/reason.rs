//! Why an object store failed, as far as a caller acts on it, from anywhere in a chain of causes.

use std::{error::Error, io};

/// What a caller can do about a store's failure differs by these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreReason {
    NotFound,
    /// No credentials, wrong ones, or no right to it.
    Denied,
    /// The object lies in an archive, and cannot be read before it is restored.
    Archived,
    AlreadyExists,
    /// The disk is full or a quota is used up.
    Full,
    Unsupported,
    /// Anything that may pass: the network, the other side.
    Unavailable,
}

impl StoreReason {
    /// The innermost reason in a chain of causes; `None` when no store is among them.
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut found = None;
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(store) = error.downcast_ref::<object_store::Error>() {
                found = Some(Self::of_store(store));
            } else if let Some(io) = error.downcast_ref::<io::Error>() {
                found = Self::of_io(io).or(found);
            }
            next = error.source();
            if next.is_none() && says_archived(error) {
                found = Some(Self::Archived);
            }
            if next.is_none() && matches!(found, None | Some(Self::Unavailable)) && says_denied(error) {
                found = Some(Self::Denied);
            }
        }
        found
    }

    fn of_store(error: &object_store::Error) -> Self {
        use object_store::Error as Store;
        match error {
            Store::NotFound { .. } => Self::NotFound,
            Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => Self::Denied,
            Store::AlreadyExists { .. } | Store::Precondition { .. } => Self::AlreadyExists,
            Store::NotSupported { .. } | Store::NotImplemented { .. } | Store::InvalidPath { .. } => Self::Unsupported,
            _ => Self::Unavailable,
        }
    }

    fn of_io(error: &io::Error) -> Option<Self> {
        match error.kind() {
            io::ErrorKind::NotFound => Some(Self::NotFound),
            io::ErrorKind::PermissionDenied => Some(Self::Denied),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Some(Self::Full),
            _ => None,
        }
    }
}

/// S3's code for an object of GLACIER, DEEP_ARCHIVE or an archive tier; the client takes it for a lack of rights.
fn says_archived(error: &(dyn Error + 'static)) -> bool {
    let text = error.to_string();
    text.contains("non-2xx status code: 403") && text.contains("<Code>InvalidObjectState</Code>")
}

/// The S3 client tells so only where it asks for one object; elsewhere the answer's status is in its words.
fn says_denied(error: &(dyn Error + 'static)) -> bool {
    let text = error.to_string();
    ["non-2xx status code: 403", "non-2xx status code: 401"].iter().any(|status| text.contains(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_reason_counts() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = object_store::Error::Generic { store: "disk", source: Box::new(full) };
        assert_eq!(StoreReason::of(&error), Some(StoreReason::Full));
        assert_eq!(StoreReason::of(&std::fmt::Error), None);
        let archived =
            "Server returned non-2xx status code: 403 Forbidden: <Error><Code>InvalidObjectState</Code></Error>";
        let error = object_store::Error::PermissionDenied { path: "a".to_owned(), source: archived.into() };
        assert_eq!(StoreReason::of(&error), Some(StoreReason::Archived));
        let refused = "Server returned non-2xx status code: 403 Forbidden: <Error/>";
        let error = object_store::Error::Generic { store: "S3", source: refused.into() };
        assert_eq!(StoreReason::of(&error), Some(StoreReason::Denied));
    }
}
