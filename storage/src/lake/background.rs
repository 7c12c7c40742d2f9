//! What goes on behind statements that have ended: one piece of work per table at a time, for which a process that ends
//! may wait.

use std::{collections::HashSet, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The tables of a lake for which something is being done.
#[derive(Debug, Default)]
pub(crate) struct Background {
    running: Mutex<HashSet<String>>,
    ended: Notify,
}

/// Work for one table; it has ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Work {
    background: Arc<Background>,
    location: String,
}

impl Background {
    /// `None` while something is being done for this table.
    pub(crate) fn begin(self: &Arc<Self>, location: &str) -> Option<Work> {
        let begun = self.running.lock().insert(location.to_owned());
        begun.then(|| Work { background: self.clone(), location: location.to_owned() })
    }

    /// Waits until nothing is being done.
    pub(crate) async fn idle(&self) {
        loop {
            let ended = self.ended.notified();
            if self.running.lock().is_empty() {
                return;
            }
            ended.await;
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.background.running.lock().remove(&self.location);
        self.background.ended.notify_waiters();
    }
}
