//! Flight SQL: what each call of the protocol does.
//!
//! [`flight`] takes the calls, guards them (panics, shutdown, sessions) and hands each to the file of its area. A query is
//! planned by [`query`] and streamed by [`stream`]; a statement with an effect is run by [`update`], exactly once, whichever
//! call brought it; [`prepared`] makes and binds handles; [`metadata`] describes the server and the lake. The server keeps
//! nothing between calls but [`session`]s that a client asked for, the list of [`running`] statements, [`jobs`] that are polled
//! for, and [`plans`] that save time and can be made again.

mod cancel;
mod encode;
mod flight;
mod ingest;
mod jobs;
mod metadata;
mod note;
mod option;
mod origin;
mod parameters;
mod path;
mod plans;
mod prepared;
mod query;
mod running;
mod session;
mod stream;
mod update;
mod whole;

pub use flight::Service;
pub use jobs::PollOptions;
pub use note::{Note, Parts};
pub use whole::Watched;
