//! What the shell is connected to: terminals, their size, and whether colours are wanted.

use std::{
    env,
    io::{self, IsTerminal},
};

/// Used when a terminal does not tell its size.
const SIZE_DEFAULT: (usize, usize) = (80, 24);

/// Facts about the standard streams, found once at start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Screen {
    pub input_is_terminal: bool,
    pub output_is_terminal: bool,
    pub errors_are_terminal: bool,
    /// `NO_COLOR` is unset and the terminal can show colours.
    colors_wanted: bool,
}

impl Screen {
    pub fn detect() -> Self {
        let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self {
            input_is_terminal: io::stdin().is_terminal(),
            output_is_terminal: io::stdout().is_terminal(),
            errors_are_terminal: io::stderr().is_terminal(),
            colors_wanted: !no_color && !dumb,
        }
    }

    /// A person types and reads.
    pub fn is_interactive(&self) -> bool {
        self.input_is_terminal && self.output_is_terminal
    }

    pub fn colors(&self) -> bool {
        self.output_is_terminal && self.colors_wanted
    }

    pub fn error_colors(&self) -> bool {
        self.errors_are_terminal && self.colors_wanted
    }

    /// Columns and lines of the terminal now.
    pub fn size(&self) -> (usize, usize) {
        match crossterm::terminal::size() {
            Ok((columns, lines)) if columns > 0 && lines > 0 => (columns.into(), lines.into()),
            _ => SIZE_DEFAULT,
        }
    }
}
