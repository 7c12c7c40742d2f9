//! Warm blocks: parts of data files of far stores, kept in memory and on local disk as they are.
//!
//! Data files never change under their name (Delta protocol), so a block is right for ever or not there at all: a missing,
//! wrong or damaged one costs time, never a row. Between the hot copies above, which hold whole files decoded for speed, and
//! the store below.
//!
//! ```text
//!   Parquet reader ──> WarmFile ──> Blocks ─┬─ memory
//!   (one file)          which blocks,       ├─ a folder on local disk
//!                       one GET for         └─ the store: who comes first fetches, others wait for it;
//!                       neighbours              admission says whether it is kept on disk
//! ```
//!
//! In reading order: `key` is what a block is a part of, `layout` which blocks a range needs, `blocks` where they are kept,
//! `shelf` is those of one kind, `outage` how long its disk is left alone, `admission` which of them on disk, `flight` fetches what is not there, `fill` are those that somebody asked for,
//! `ledger` tells whose they are, `file` is what a reader sees, `written` what a writer leaves.

mod admission;
mod blocks;
mod file;
mod fill;
mod flight;
mod key;
mod layout;
mod ledger;
mod options;
mod outage;
mod shelf;
#[cfg(test)]
mod tests;
mod written;

pub(crate) use blocks::Blocks;
pub(crate) use file::{Keep, Meters, WarmFile};
pub(crate) use fill::Fill;
pub(crate) use ledger::TableMark;
pub use options::WarmOptions;
pub(crate) use written::{BeingWritten, Written};
