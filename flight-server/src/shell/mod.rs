//! The SQL shell: `boathouse sql`.
//!
//! One shell over the one [`crate::client::Client`] interface, so a lake in this process and a server behind
//! `grpc://host:port` look alike. Text goes [`script`] (lines to statements and commands) -> [`run`] (one after another,
//! cancelled by Ctrl-C) -> [`output`] (rows as text) -> [`out`] (terminal with a pager, pipe or file). The interactive part
//! is [`repl`] with its editor, completion and colours. The shell knows no SQL beyond where a statement ends.

mod command;
mod complete;
mod describe;
mod editor;
mod error;
mod highlight;
mod history;
mod lex;
mod nearest;
mod out;
pub mod output;
mod page;
mod progress;
mod repl;
mod run;
mod screen;
mod script;
mod settings;
mod watch;

#[cfg(test)]
mod tests;

pub use error::ShellError;
pub use out::Out;
pub use repl::interact;
pub use run::{Flow, Shell};
pub use screen::Screen;
pub use settings::Settings;
