//! How many statements run at once, and for how long.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{
    EngineError, ErrorKind,
    queries::{Live, Phase},
};

/// Hands out permits; who gets none waits in line.
#[derive(Debug)]
pub(crate) struct Permits {
    semaphore: Arc<Semaphore>,
    active: Arc<AtomicUsize>,
}

/// The right to run one statement, given back when dropped, and the time by which it must be done.
#[derive(Debug)]
pub(crate) struct Permit {
    _permit: OwnedSemaphorePermit,
    _active: Active,
    timeout: Option<(Duration, Instant)>,
    live: Arc<Live>,
}

#[derive(Debug)]
struct Active(Arc<AtomicUsize>);

impl Active {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Permits {
    pub fn new(running_max: usize) -> Self {
        Self { semaphore: Arc::new(Semaphore::new(running_max.max(1))), active: Arc::default() }
    }

    /// Statements running or waiting.
    pub fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// Waits for a permit to run the statement; the wait counts towards the timeout.
    pub async fn acquire(&self, timeout: Option<Duration>, live: Arc<Live>) -> Result<Permit, EngineError> {
        live.enter(Phase::Queued);
        let permit = live.until_killed(self.wait(timeout)).await.inspect_err(|error| live.failed(error))?;
        live.enter(Phase::Executing);
        let (permit, active, timeout) = permit;
        Ok(Permit { _permit: permit, _active: active, timeout, live })
    }

    async fn wait(
        &self,
        timeout: Option<Duration>,
    ) -> Result<(OwnedSemaphorePermit, Active, Option<(Duration, Instant)>), EngineError> {
        let active = Active::new(&self.active);
        let timeout = timeout.map(|timeout| (timeout, Instant::now() + timeout));
        let acquire = self.semaphore.clone().acquire_owned();
        let permit = match timeout {
            Some((timeout, deadline)) => tokio::time::timeout_at(deadline, acquire)
                .await
                .map_err(|_| timed_out(timeout).with_detail("It waited for other statements to end."))?,
            None => acquire.await,
        };
        let permit =
            permit.map_err(|error| EngineError::internal("no statement can run any more").with_source(error))?;
        Ok((permit, active, timeout))
    }
}

impl Permit {
    /// How long the statement may run, and until when.
    pub fn limit(&self) -> Option<(Duration, std::time::Instant)> {
        self.timeout.map(|(timeout, deadline)| (timeout, deadline.into_std()))
    }

    /// The statement that it is for.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// Runs `work` unless the statement's time is over first, or somebody kills it.
    pub async fn bound<T>(&self, work: impl Future<Output = Result<T, EngineError>>) -> Result<T, EngineError> {
        let work = self.live.until_killed(work);
        match self.timeout {
            Some((timeout, deadline)) => {
                tokio::time::timeout_at(deadline, work).await.unwrap_or_else(|_| Err(timed_out(timeout)))
            }
            None => work.await,
        }
    }
}

/// Runs `work` for at most `timeout`.
pub(crate) async fn within<T>(
    timeout: Option<Duration>,
    work: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    match timeout {
        Some(timeout) => tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| Err(timed_out(timeout))),
        None => work.await,
    }
}

pub(super) fn timed_out(timeout: Duration) -> EngineError {
    EngineError::new(ErrorKind::Cancelled, format!("the statement was cancelled: it ran longer than {timeout:?}"))
        .with_hint("SET statement_timeout = '10min' allows more, 0 any time, unless the server's limit is lower.")
}
