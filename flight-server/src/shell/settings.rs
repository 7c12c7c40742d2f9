//! What the person can switch.

use super::output::Format;

/// The shell's own settings; SQL's are behind `SET`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    pub format: Format,
    /// Print the time of each statement.
    pub timing: bool,
    /// Show results larger than the screen in a pager.
    pub pager: bool,
}

impl Settings {
    /// A person at a terminal wants times and a pager; a script does not.
    pub fn new(format: Format, interactive: bool) -> Self {
        Self { format, timing: interactive, pager: interactive }
    }
}
