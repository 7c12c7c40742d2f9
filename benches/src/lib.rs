//! What the benches share: lakes with data in them, kept between runs where that is possible, and the clock.

mod data;
mod measure;

pub use data::{Bench, Store};
pub use measure::{Measured, measure};
