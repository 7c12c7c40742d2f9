//! SQL tests: statements and the answers expected, in `.slt` files (sqllogictest), run twice.
//!
//! [`run_file`] runs one file on a fresh lake of its own, through a `Session` or through a real Flight server
//! ([`Through`]); [`complete_file`] writes the answers into it. [`world`] makes lake, server and scratch folder,
//! [`format`] turns values into text.

pub mod format;
mod run;
mod world;

pub use run::{complete_file, run_file};
pub use world::{Through, Worlds};
