//! Statements that run while their clients do something else: polled by PollFlightInfo, fetched by DoGet.
//!
//! ```text
//! first poll -> Job in the list -> task: Session::run -> rows, bounded ---------> DoGet of each part, once
//!                    ^                                   |
//! next polls --------+---- progress, then its tickets <--+ when all rows are there, or no more have room
//! ```
//! [`list`] knows the jobs of a server by their secret ids and ends those that nobody asks for any more; [`job`] is one, with
//! its state and its rows; [`run`] makes the rows; [`poll`] answers PollFlightInfo and [`fetch`] DoGet.

mod fetch;
mod job;
mod list;
mod poll;
mod run;

pub use fetch::rows;
pub use list::{Jobs, PollOptions};
pub use poll::{handle, poll, poll_again};
