//! A stand-in for the crate `custom-labels`, through which Vortex names its tasks for a profiler.
//!
//! The real one needs a C++ compiler and libclang to build, which a machine with nothing but a Rust toolchain does not
//! have; we use none of its profilers. This has the three items that `vortex-io` calls (`src/runtime/tokio.rs`), and
//! they pass on what they are given.

/// Labels of asynchronous work.
pub mod asynchronous {
    /// A future that could carry labels.
    pub trait Label: Future + Sized {
        /// The future as it is.
        fn with_current_labels(self) -> Self {
            self
        }
    }

    impl<F: Future> Label for F {}
}

/// A set of labels: always empty.
#[derive(Debug)]
pub struct Labelset;

impl Labelset {
    /// The empty set.
    pub fn clone_from_current() -> Labelset {
        Labelset
    }

    /// Calls `work`.
    pub fn enter<R>(&mut self, work: impl FnOnce() -> R) -> R {
        work()
    }
}
