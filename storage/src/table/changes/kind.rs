//! What the rows of a change feed say of themselves, and which tables keep one.

use deltalake::kernel::Protocol;

use crate::Snapshot;

/// The property that makes a table keep a change feed.
pub(crate) const CHANGE_FEED: &str = "delta.enableChangeDataFeed";
const FEATURE: &str = "changeDataFeed";
/// From this version on a protocol lists its features.
const LISTED_WRITER_VERSION: i32 = 7;
/// The columns that readers of a feed see behind those of the table.
pub(crate) const CHANGE_TYPE: &str = "_change_type";
pub(crate) const COMMIT_VERSION: &str = "_commit_version";
pub(crate) const COMMIT_TIMESTAMP: &str = "_commit_timestamp";
pub(crate) const CHANGE_COLUMNS: [&str; 3] = [CHANGE_TYPE, COMMIT_VERSION, COMMIT_TIMESTAMP];

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangeType {
    Insert,
    Delete,
    /// The row as it was before an update.
    UpdatePreimage,
    /// The same row after it.
    UpdatePostimage,
}

impl ChangeType {
    /// As files and queries have it (Delta protocol, "Change Data Files").
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Delete => "delete",
            Self::UpdatePreimage => "update_preimage",
            Self::UpdatePostimage => "update_postimage",
        }
    }
}

impl Snapshot {
    /// Whether commits that follow this version tell which rows they changed. Where a protocol lists its features, the
    /// property counts only together with its feature.
    pub fn keeps_feed(&self) -> bool {
        keeps_feed(self.properties().get(CHANGE_FEED).map(String::as_str), self.protocol())
    }
}

/// The same of a definition.
pub(crate) fn keeps_feed(property: Option<&str>, protocol: &Protocol) -> bool {
    let listed = protocol.min_writer_version() >= LISTED_WRITER_VERSION;
    let features = protocol.writer_features().unwrap_or_default();
    property.is_some_and(|value| value.eq_ignore_ascii_case("true"))
        && (!listed || features.iter().any(|feature| feature.to_string() == FEATURE))
}
