//! The points of a run and of a delivery at which what is in the lake, or at a destination, is another than before.
//!
//! A process may end at each of them. A test is told of each as it is passed, and ends its process there.

use std::{fmt, sync::Arc};

macro_rules! points {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// What was just done, or is done next. Closed: a test goes over all.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Point {
            $($(#[$doc])+ $name,)+
        }

        impl Point {
            /// Every one, in the order in which they are passed.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// As it is written here.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }
        }
    };
}

points! {
    /// The lease of a run is in the mart's document.
    RunTaken,
    /// What an earlier process left is told; the schema is there, and comments are those of the definition.
    RunBegun,
    /// Rows that tests put aside are in the quarantine.
    RowsPutAside,
    /// The data files are written, no test has looked at them.
    RowsWritten,
    /// The tests have passed; the commit is next.
    RowsTested,
    /// The commit of the rows, or of those of an interval, is in the log.
    RowsPublished,
    /// The lease is given back, and it is written down how the run went.
    RunTold,
    /// The claim of a delivery is in the document of the mart's exports.
    ExportTaken,
    /// The destination has said what it has; what is delivered is written down where it is delivered in parts.
    ExportBegun,
    /// The rows are at the destination, and nobody sees them yet.
    RowsBrought,
    /// Everybody who reads the destination sees the rows.
    RowsDelivered,
    /// What the destination needs no more is gone.
    ExportCleaned,
    /// The claim is given back, and it is written down what was delivered.
    ExportTold,
}

/// Somebody who is told of the points that are passed; nobody by default. Clones tell the same.
#[derive(Clone, Default)]
pub struct Points(Option<Arc<dyn Fn(Point) + Send + Sync>>);

impl Points {
    /// Calls `told` at each point, on the thread of the work, which waits for it.
    pub fn told_to(told: impl Fn(Point) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(told)))
    }

    pub(super) fn pass(&self, point: Point) {
        if let Some(told) = &self.0 {
            told(point);
        }
    }
}

impl fmt::Debug for Points {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Points").field(&self.0.is_some()).finish()
    }
}
