//! Exports: a mart's rows on their way to destinations outside of the lake, behind each run that published some.
//!
//! ```text
//! definition (to, table, mode, key) --known destination? columns?--faults--> nothing runs
//! newest version of the mart's table -> claim -> what does the destination have? --that, or more--> done
//!                                             -> rows (all, or those that were not there) -> destination -> written down
//! ```
//! A destination ([`Destination`]) carries out a delivery so that a repetition delivers nothing twice: by a ledger that it
//! writes in the same transaction as the rows, by a manifest that is replaced in one step, or by keys that the receiver
//! knows again. What is written down in the lake comes behind it, and may be lost. Destinations that are reached over the
//! network live above this crate; [`files`] and [`DeltaExports`] are those that object stores carry.

mod check;
mod claim;
mod definition;
mod deliver;
mod delta;
mod destination;
mod due;
mod exporter;
pub mod files;
mod manifest;
mod progress;
mod project;
mod report;
mod rows;
#[cfg(test)]
mod tests;
mod told;

pub(super) use self::{
    check::{check, clashes, not_from_here},
    definition::written,
    exporter::Exporter,
};
pub use self::{
    definition::{Export, ExportMode},
    delta::DeltaExports,
    destination::{Delivery, Destination, Destinations},
    progress::Progress,
    report::{ExportOutcome, ExportReport},
};
