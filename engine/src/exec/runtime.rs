//! The CPU threads: planning and execution run here, never on the threads that serve the network.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};

use super::Stop;
use crate::EngineError;

/// Planners, optimizers and destructors recurse over a statement's tree; what the parser lets through fits in here.
const STACK_BYTES: usize = 64 << 20;

/// A pool of threads of its own.
#[derive(Debug)]
pub(crate) struct CpuRuntime {
    /// Taken only by `drop`.
    runtime: Option<Runtime>,
}

impl CpuRuntime {
    pub fn new(threads: usize) -> Result<Self, EngineError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("boathouse-cpu")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .map_err(|error| EngineError::internal("could not start the CPU threads").with_source(error))?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Starts work on the CPU threads. Dropping the task stops the work.
    pub fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Task<T> {
        match &self.runtime {
            Some(runtime) => Task { handle: Some(runtime.spawn(work)), stop: None },
            None => Task { handle: None, stop: None },
        }
    }
}

impl Drop for CpuRuntime {
    /// The last owner may be a task on another runtime, where waiting is not allowed.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Work on the CPU threads; stops when dropped. A panic in it becomes an error: the others go on.
#[derive(Debug)]
pub(crate) struct Task<T> {
    handle: Option<JoinHandle<T>>,
    /// Asked when the task is dropped before its end.
    stop: Option<Arc<Stop>>,
}

impl<T> Task<T> {
    /// The same, for work that looks at `stop` where it does not return to its thread.
    pub fn stopping(self, stop: Option<Arc<Stop>>) -> Self {
        let mut task = self;
        task.stop = stop;
        task
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, EngineError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(handle) = self.handle.as_mut() else {
            return Poll::Ready(Err(EngineError::internal("the CPU threads have stopped")));
        };
        let ended = ready!(Pin::new(handle).poll(context));
        self.stop = None;
        Poll::Ready(ended.map_err(|error| {
            if error.is_cancelled() {
                EngineError::new(crate::ErrorKind::Cancelled, "the statement was cancelled")
            } else {
                EngineError::internal("the statement failed inside the engine").with_source(error)
            }
        }))
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(stop) = &self.stop {
            stop.ask();
        }
        if let Some(handle) = &self.handle {
            handle.abort();
        }
    }
}
