//! The change feed of a table: which rows each of some versions took, brought and changed.
//!
//! ```text
//! commits from .. to ──load──> files, typed; told wrong ranges ──scan──> table's columns | what happened, when
//! ```
//! `kind` says what a feed's rows say of themselves and which tables keep one, `readable` which older columns can be read
//! as newer ones, `load` reads the commits, `scan` is the provider that queries scan.

mod kind;
mod load;
mod readable;
mod scan;

pub(super) use kind::COMMIT_VERSION;
pub(crate) use kind::{CHANGE_COLUMNS, CHANGE_FEED, CHANGE_TYPE, ChangeType};
pub use load::Since;
pub use scan::{ChangeFeed, change_feed};
