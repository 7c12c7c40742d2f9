//! The statements of this process: those that run, and those that ended lately, for `system.queries`, `KILL QUERY`, the log
//! and the metrics.
//!
//! ```text
//! prepare -> Live (planning) --planned--> nothing is kept of it
//!                            --fails----> QueryRecord
//! run     -> Live (queued, planning, running) --ends, however--> QueryRecord -> ring, one line of the log, totals
//! ```
//! Both times a [`Trace`] is told, if the caller has one. A [`Live`] that is dropped before it was told how it ended was given
//! up by its client: it was cancelled.

mod list;
mod live;
mod origin;
mod record;
#[cfg(test)]
mod tests;
mod totals;
mod trace;

pub(crate) use self::{
    list::Queries,
    live::{Live, Phase},
};
pub use self::{
    origin::Origin,
    record::{QueryRecord, QueryState},
    totals::{Durations, QueryTotals},
    trace::{QueryPart, QuerySpan, Trace},
};
