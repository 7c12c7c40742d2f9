//! Who waits for a run, and may give it up: then it ends as one that failed, publishes nothing, and gives its lease back.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{EngineError, ErrorKind, exec::Stop};

/// One who waits, or nobody, who never goes away.
#[derive(Debug)]
pub(crate) struct Caller {
    has_gone: watch::Sender<bool>,
    /// Of the run that goes on: it is asked where the run does not return to its thread.
    stop: Mutex<Option<Arc<Stop>>>,
}

impl Default for Caller {
    fn default() -> Self {
        Self { has_gone: watch::Sender::new(false), stop: Mutex::default() }
    }
}

impl Caller {
    /// Carries `work` out, unless the caller goes away first.
    pub(super) async fn waits<T>(&self, work: impl Future<Output = Result<T, EngineError>>) -> Result<T, EngineError> {
        let given_up = || {
            let message = "the run was given up: the statement that waited for it was cancelled";
            Err(EngineError::new(ErrorKind::Cancelled, message))
        };
        let mut has_gone = self.has_gone.subscribe();
        tokio::select! {
            biased;
            // The sender is there as long as this.
            _ = has_gone.wait_for(|gone| *gone) => given_up(),
            done = work => match done {
                // It was stopped, and does not know why.
                Err(error) if error.kind == ErrorKind::Cancelled && *self.has_gone.borrow() => given_up(),
                done => done,
            },
        }
    }

    /// What a run that begins now is stopped by.
    pub(super) fn may_stop(&self, stop: Option<Arc<Stop>>) {
        let mut kept = self.stop.lock();
        *kept = stop;
        if *self.has_gone.borrow() {
            kept.iter().for_each(|stop| stop.ask());
        }
    }

    fn leave(&self) {
        self.has_gone.send_replace(true);
        self.stop.lock().iter().for_each(|stop| stop.ask());
    }
}

/// A caller who goes away when this is dropped.
#[derive(Debug)]
pub(crate) struct Waiting(Arc<Caller>);

impl Waiting {
    pub fn new() -> Self {
        Self(Arc::default())
    }

    pub fn caller(&self) -> Arc<Caller> {
        self.0.clone()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.leave();
    }
}
