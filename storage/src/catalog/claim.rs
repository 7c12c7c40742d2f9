//! Who is at something that one process at a time may do.

use serde::{Deserialize, Serialize};

/// The right to do something, in the document that it is about. One whose beat has stopped belongs to a process that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    pub token: String,
    /// Who has it, for people.
    pub holder: String,
    /// Moves while its holder lives.
    pub beat: u64,
}
