//! Labels of asynchronous work.

/// A future that could carry labels.
pub trait Label: Future + Sized {
    /// The future as it is.
    fn with_current_labels(self) -> Self {
        self
    }
}

impl<F: Future> Label for F {}
