//! A receiver of batches: rows are posted as JSON, so that they get into systems which have no tables.
//!
//! ```text
//! rows, in the same order each time -> batch -> POST, under a key --2xx-> written down in the lake -> the next
//!                                                                 --else-> again, under the same key
//! ```
//! A receiver that keeps the keys takes each batch once, whatever ends when; one that does not may get the last batch twice.

mod destination;
mod options;
mod rows;
#[cfg(test)]
mod tests;

pub use destination::HttpExports;
pub use options::HttpOptions;
