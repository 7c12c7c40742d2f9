//! What the benches share: lakes with data in them, kept between runs where that is possible, and the clock.

mod data;
mod measure;

pub use data::{Bench, Store};
pub use measure::{Measured, measure};
use mimalloc::MiMalloc;

/// That of the product: small queries take a fifth longer with the system's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;
