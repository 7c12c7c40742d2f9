//! The files that a plan reads, noted while it is planned.

use std::sync::Arc;

use datafusion::catalog::Session;
use parking_lot::Mutex;

use crate::{
    Account, Lake, Snapshot,
    warm::{Fill, Meters},
};

/// Collects the files that the scans of one plan are left with. It lies among the extensions of the configuration of the
/// session in which the plan is made, and where the plan runs, too, the blocks that its scans read are kept as asked for.
/// Safe to share between tasks.
#[derive(Debug)]
pub struct WantedFiles {
    scans: Mutex<Vec<(Arc<Snapshot>, Vec<usize>)>>,
    pub(super) fill: Option<Arc<Fill>>,
    /// Of the statement's account.
    pub(super) meters: Meters,
}

impl WantedFiles {
    /// None so far; what is read goes into the near tiers of `lake`, and on the account of `session`, if it has one.
    pub fn of(lake: &Lake, session: &dyn Session) -> Arc<Self> {
        let account = session.config().get_extension::<Account>();
        let meters = account.map(|account| account.meters().clone()).unwrap_or_default();
        let fill = lake.warm().map(|blocks| Fill::new(blocks.fill_bytes_max()));
        Arc::new(Self { scans: Mutex::default(), fill, meters })
    }

    /// Whether a table of the lake is read at all.
    pub fn has_tables(&self) -> bool {
        !self.scans.lock().is_empty()
    }

    /// Notes the files of a scan that is planned in `session`, by their positions in the index.
    pub(crate) fn note(session: &dyn Session, snapshot: &Arc<Snapshot>, files: &[usize]) {
        if let Some(wanted) = session.config().get_extension::<Self>() {
            wanted.scans.lock().push((snapshot.clone(), files.to_vec()));
        }
    }

    /// Where the blocks that scans of `session` read are to be noted.
    pub(crate) fn fill_of(session: &dyn Session) -> Option<Arc<Fill>> {
        session.config().get_extension::<Self>().and_then(|wanted| wanted.fill.clone())
    }

    pub(super) fn scans(&self) -> Vec<(Arc<Snapshot>, Vec<usize>)> {
        self.scans.lock().clone()
    }
}
