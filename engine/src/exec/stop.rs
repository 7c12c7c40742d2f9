//! Whether anybody still waits for a statement, for work that looks up seldom.
//!
//! A task that is given up stops when it next returns to its thread. A nested loop join that finds nothing returns after
//! each batch of one side has met all rows of the other: minutes, while its rows are wanted by nobody, its time is over,
//! and another statement needs the thread. So such a join lends its thread to the others, and its condition looks at
//! the statement's [`Stop`] each time it is evaluated.

use std::{
    cell::RefCell,
    fmt,
    hash::{Hash, Hasher},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use datafusion::{
    arrow::{
        array::RecordBatch,
        datatypes::{FieldRef, Schema, SchemaRef},
    },
    common::{Result, internal_err},
    execution::{RecordBatchStream, SendableRecordBatchStream},
    logical_expr::ColumnarValue,
    physical_expr::PhysicalExpr,
};
use futures::{Stream, StreamExt};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::permit::timed_out;
use crate::{EngineError, ErrorKind};

/// One statement's end before its time: asked for by who gives it up, or due. An extension of its session's configuration.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    asked: AtomicBool,
    limit: Option<(Duration, Instant)>,
}

impl Stop {
    /// For a statement that may run for the first part of `limit`, until the second.
    pub fn new(limit: Option<(Duration, Instant)>) -> Arc<Self> {
        Arc::new(Self { asked: AtomicBool::new(false), limit })
    }

    pub fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    fn check(&self) -> Result<(), EngineError> {
        if self.asked.load(Ordering::Relaxed) {
            return Err(EngineError::new(ErrorKind::Cancelled, "the statement was cancelled"));
        }
        match self.limit {
            Some((timeout, deadline)) if Instant::now() >= deadline => Err(timed_out(timeout)),
            _ => Ok(()),
        }
    }
}

thread_local! {
    /// The statement whose rows this thread is making, as far as [`StoppableStream`] knows.
    static CURRENT: RefCell<Option<Arc<Stop>>> = const { RefCell::new(None) };
}

/// Rows that may take minutes from one batch to the next, made under a condition that is [`Watched`].
pub(super) struct StoppableStream {
    rows: SendableRecordBatchStream,
    stop: Option<Arc<Stop>>,
}

impl StoppableStream {
    pub fn new(rows: SendableRecordBatchStream, stop: Option<Arc<Stop>>) -> Self {
        Self { rows, stop }
    }
}

impl Stream for StoppableStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let before = CURRENT.replace(self.stop.clone());
        let poll = lending_the_thread(|| self.rows.poll_next_unpin(context));
        CURRENT.set(before);
        poll
    }
}

impl RecordBatchStream for StoppableStream {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}

/// Runs `work` while another thread takes over the tasks that wait for this one.
fn lending_the_thread<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// A condition that is an error once the statement is to stop; shown as the condition alone.
#[derive(Debug)]
pub(super) struct Watched {
    condition: Arc<dyn PhysicalExpr>,
}

impl Watched {
    pub fn new(condition: Arc<dyn PhysicalExpr>) -> Self {
        Self { condition }
    }
}

impl PartialEq for Watched {
    fn eq(&self, other: &Self) -> bool {
        self.condition.eq(&other.condition)
    }
}

impl Eq for Watched {}

impl Hash for Watched {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.condition.hash(state);
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt(f)
    }
}

impl PhysicalExpr for Watched {
    fn return_field(&self, input: &Schema) -> Result<FieldRef> {
        self.condition.return_field(input)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        CURRENT.with_borrow(|stop| stop.as_ref().map_or(Ok(()), |stop| stop.check()))?;
        self.condition.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.condition]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        match (children.pop(), children.is_empty()) {
            (Some(condition), true) => Ok(Arc::new(Self { condition })),
            _ => internal_err!("a watched condition has one child"),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt_sql(f)
    }
}
