//! Statements that run while their clients do something else: polled by PollFlightInfo, fetched by DoGet.
//!
//! ```text
//! first poll -> Job in the list -> task: Session::run -> rows, bounded ---------> DoGet of each part, once
//!                    ^                                   |
//! next polls --------+---- progress, then its tickets <--+ when all rows are there, or no more have room
//! ```
//! So do queries whose rows go to several streams: their job begins with the first DoGet, and each stream takes what comes next.
//!
//! [`list`] knows the jobs of a server by their secret ids and ends those that nobody asks for any more; [`job`] is one, with
//! its state and its rows; [`run`] makes the rows; [`poll`] answers PollFlightInfo,
//! [`spread`] GetFlightInfo and [`fetch`] DoGet.

mod fetch;
mod job;
mod list;
mod poll;
mod run;
mod spread;

pub use fetch::rows;
pub use list::{Jobs, PollOptions};
pub use poll::{handle, poll, poll_again};
pub use spread::spread;
