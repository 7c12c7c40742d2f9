//! What the benches share: lakes with data in them, kept between runs where that is possible, the clock, and the end.

mod data;
mod end;
mod measure;

pub use data::{Bench, Store};
pub use end::end;
pub use measure::{Measured, measure};
use mimalloc::MiMalloc;

/// That of the product: small queries take a fifth longer with the system's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;
