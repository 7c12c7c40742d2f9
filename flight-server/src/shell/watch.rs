//! Waiting for a statement: progress, Ctrl-C, and how long it took.

use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{ShellError, progress::Progress};

/// How often the progress line is drawn.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Waits for a statement while it draws its progress and listens for Ctrl-C.
pub struct Watch {
    pub progress: Progress,
    ticks: Interval,
    interrupt: BoxFuture<'static, ()>,
    /// Time spent waiting for the engine.
    waited: Duration,
    /// The results are in a pager, so the whole time is the person's and not the statement's.
    pub reader_sets_pace: bool,
}

impl Watch {
    pub fn new(shows_progress: bool, interactive: bool) -> Self {
        let mut ticks = interval(PROGRESS_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let interrupt: BoxFuture<'static, ()> = if interactive {
            Box::pin(async {
                if tokio::signal::ctrl_c().await.is_err() {
                    // Without a handler Ctrl-C ends the process, as it does in a script.
                    std::future::pending::<()>().await;
                }
            })
        } else {
            Box::pin(std::future::pending())
        };
        let progress = Progress::start(shows_progress);
        Self { progress, ticks, interrupt, waited: Duration::ZERO, reader_sets_pace: false }
    }

    /// The future's value; dropping the future, and with it the statement, on Ctrl-C.
    pub async fn wait<T>(&mut self, future: impl Future<Output = T>) -> Result<T, ShellError> {
        tokio::pin!(future);
        let started = Instant::now();
        let result = loop {
            tokio::select! {
                biased;
                () = &mut self.interrupt => break Err(ShellError::Cancelled),
                value = &mut future => break Ok(value),
                _ = self.ticks.tick() => self.progress.draw(),
            }
        };
        self.waited += started.elapsed();
        result
    }

    /// How long the statement took.
    pub fn time(&self) -> Duration {
        if self.reader_sets_pace { self.waited } else { self.progress.elapsed() }
    }
}
