//! How many statements run at once, and for how long.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{
    EngineError, ErrorKind,
    queries::{Live, Phase},
};

/// How long a statement keeps its place while it waits for its client.
const CLIENT_PATIENCE: Duration = Duration::from_secs(1);

/// Hands out permits; who gets none waits in line.
#[derive(Debug)]
pub(crate) struct Permits {
    semaphore: Arc<Semaphore>,
    active: Arc<AtomicUsize>,
}

/// The right to run one statement, given back when dropped, and the time by which it must be done.
#[derive(Debug)]
pub(crate) struct Permit {
    /// `None` while the statement waits for its client, and others run in its place.
    place: Mutex<Option<OwnedSemaphorePermit>>,
    places: Arc<Semaphore>,
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
        let (place, places) = (Mutex::new(Some(permit)), self.semaphore.clone());
        Ok(Permit { place, places, _active: active, timeout, live })
    }

    /// For a statement that only waits for others, which have permits of their own: it takes nobody's place.
    pub fn without_place(&self, timeout: Option<Duration>, live: Arc<Live>) -> Permit {
        live.enter(Phase::Executing);
        let timeout = timeout.map(|timeout| (timeout, Instant::now() + timeout));
        let (place, places) = (Mutex::new(None), self.semaphore.clone());
        Permit { place, places, _active: Active::new(&self.active), timeout, live }
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

    /// Waits for the statement's client, who may take rows slowly or send them slowly, or do neither for ever: then others
    /// run in its place, and it goes on in line behind those who wait by then. What it holds of the memory stays its own.
    pub async fn wait_for_client<T>(&self, wait: impl Future<Output = T>) -> T {
        tokio::pin!(wait);
        if let Ok(waited) = tokio::time::timeout(CLIENT_PATIENCE, &mut wait).await {
            return waited;
        }
        drop(self.place.lock().take());
        let waited = wait.await;
        // Nobody closes the semaphore.
        let place = self.places.clone().acquire_owned().await.ok();
        *self.place.lock() = place;
        waited
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

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::sync::oneshot;

    use super::*;
    use crate::{Origin, queries::Queries};

    async fn acquire(permits: &Permits, queries: &Arc<Queries>) -> Permit {
        let live = queries.begin(&Origin::default(), "SELECT 1", Phase::Queued);
        permits.acquire(None, live).await.unwrap()
    }

    #[tokio::test]
    async fn who_waits_for_a_client_holds_nobody_up() {
        let (permits, queries) = (Permits::new(1), Arc::<Queries>::default());
        let slow = acquire(&permits, &queries).await;
        let (client, gone) = oneshot::channel::<()>();
        let mut waiting = Box::pin(slow.wait_for_client(gone));
        let next = tokio::select! {
            next = acquire(&permits, &queries) => next,
            _ = &mut waiting => panic!("the client said nothing"),
        };
        client.send(()).unwrap();
        assert!(waiting.as_mut().now_or_never().is_none(), "its place is taken");
        drop(next);
        waiting.await.unwrap();
        assert!(acquire(&permits, &queries).now_or_never().is_none(), "it has its place again");
        drop(slow);
        acquire(&permits, &queries).await;
    }
}
