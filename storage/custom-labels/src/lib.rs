//! A stand-in for the crate `custom-labels`, through which Vortex names its tasks for a profiler.
//!
//! The real one needs a C++ compiler and libclang to build, which a machine with nothing but a Rust toolchain does not
//! have; we use none of its profilers. This has the three items that `vortex-io` calls (`src/runtime/tokio.rs`), and
//! they pass on what they are given.

pub mod asynchronous;
mod labelset;

pub use labelset::Labelset;
