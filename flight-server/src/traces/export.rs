//! Spans on their way to the collector: a bounded queue, and one task that sends it in batches.
//!
//! A collector that is slow or gone costs memory up to the queue's bound, then spans, which are counted; statements notice
//! nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};

use super::{TraceError, TraceOptions, collector::Collector, otlp::Span};

/// Spans that wait.
const QUEUE_MAX: usize = 4096;
/// Spans of one request, which are about 1 KiB each.
const BATCH_MAX: usize = 512;
/// How long a span waits for others that go with it.
const COMPANY_WAIT: Duration = Duration::from_secs(1);
/// What is there when the server ends has this long to get away.
const FLUSH_MAX: Duration = Duration::from_secs(3);
/// W3C Trace Context, level 2: these bits of an id are random, and by them shares are taken. Those of a UUID are.
const RANDOM_BITS: u32 = 56;

/// Where spans are handed in. Safe to use from many threads; never waits.
#[derive(Debug)]
pub struct Traces {
    /// Until the end.
    queue: Mutex<Option<mpsc::Sender<Span>>>,
    counts: Arc<Counts>,
    /// Ids whose random bits are below are not traced.
    threshold: u64,
}

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

/// Spans since the server began, by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TraceTotals {
    pub sent: u64,
    /// The collector did not take them.
    pub failed: u64,
    /// There was no room for them while the collector was slow.
    pub dropped: u64,
}

/// The task that sends.
#[derive(Debug)]
pub struct Exporter {
    queue: mpsc::Receiver<Span>,
    collector: Collector,
    endpoint: String,
    counts: Arc<Counts>,
    /// The last request failed, and the log says so.
    failing: bool,
}

impl Traces {
    /// Nothing is sent until [`Exporter::run`] is. Within a Tokio runtime.
    pub fn open(options: &TraceOptions) -> Result<(Arc<Self>, Exporter), TraceError> {
        let collector = Collector::new(options)?;
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        let counts = Arc::new(Counts::default());
        let threshold = threshold(options.sample);
        let traces = Arc::new(Self { queue: Mutex::new(Some(sender)), counts: counts.clone(), threshold });
        Ok((traces, Exporter { queue, collector, endpoint: options.endpoint.clone(), counts, failing: false }))
    }

    /// Whether a trace that no client decided for is one of the share that is wanted: the same for all of its spans, here and
    /// on other servers.
    pub(super) fn wants(&self, trace: u128) -> bool {
        let random = trace & ((1 << RANDOM_BITS) - 1);
        random >= u128::from(self.threshold)
    }

    /// Hands a span in; drops and counts it when there is no room.
    pub(super) fn send(&self, span: Span) {
        let taken = self.queue.lock().as_ref().is_some_and(|queue| queue.try_send(span).is_ok());
        if !taken {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// No more spans will come. Waits for `exporter` to send what is there, as far as that goes within [`FLUSH_MAX`].
    pub async fn end(&self, mut exporter: JoinHandle<()>) {
        *self.queue.lock() = None;
        if timeout(FLUSH_MAX, &mut exporter).await.is_err() {
            exporter.abort();
            tracing::warn!("the last traces are lost: the collector did not take them in time");
        }
    }

    pub fn totals(&self) -> TraceTotals {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        TraceTotals { sent: of(&self.counts.sent), failed: of(&self.counts.failed), dropped: of(&self.counts.dropped) }
    }
}

impl Exporter {
    /// Sends until there is nothing left after [`Traces::end`].
    pub async fn run(mut self) {
        loop {
            let mut batch = Vec::new();
            if self.queue.recv_many(&mut batch, BATCH_MAX).await == 0 {
                return;
            }
            let until = Instant::now() + COMPANY_WAIT;
            while batch.len() < BATCH_MAX {
                let room = BATCH_MAX - batch.len();
                match timeout_at(until, self.queue.recv_many(&mut batch, room)).await {
                    Ok(1..) => {}
                    // No more will come, or not soon.
                    Ok(0) | Err(_) => break,
                }
            }
            self.send(batch).await;
        }
    }

    async fn send(&mut self, batch: Vec<Span>) {
        let spans = batch.len() as u64;
        match self.collector.send(batch).await {
            Ok(rejected) => {
                self.counts.sent.fetch_add(spans.saturating_sub(rejected), Ordering::Relaxed);
                self.counts.failed.fetch_add(rejected.min(spans), Ordering::Relaxed);
                if std::mem::take(&mut self.failing) {
                    tracing::info!(endpoint = self.endpoint, "traces are sent again");
                }
            }
            Err(status) => {
                self.counts.failed.fetch_add(spans, Ordering::Relaxed);
                // Once, not every second.
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(endpoint = self.endpoint, spans, %status, "could not send traces; they are lost");
                }
            }
        }
    }
}

fn threshold(sample: f64) -> u64 {
    // From 0, for all, to 2^56, for none: exact in both.
    ((1.0 - sample.clamp(0.0, 1.0)) * (1u64 << RANDOM_BITS) as f64) as u64
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn a_share_of_all_queries_is_traced() {
        for (sample, least, most) in [(0.0, 0, 0), (0.25, 150, 350), (1.0, 1000, 1000)] {
            let options = TraceOptions { sample, ..TraceOptions::to("http://127.0.0.1:1") };
            let (traces, _) = Traces::open(&options).unwrap();
            let count = (0..1000).filter(|_| traces.wants(Uuid::new_v4().as_u128())).count();
            assert!((least..=most).contains(&count), "{sample}: {count}");
        }
    }

    #[tokio::test]
    async fn what_has_no_room_is_counted() {
        let (traces, exporter) = Traces::open(&TraceOptions::to("http://127.0.0.1:1")).unwrap();
        for _ in 0..QUEUE_MAX + 7 {
            traces.send(Span::default());
        }
        assert_eq!(traces.totals(), TraceTotals { dropped: 7, ..TraceTotals::default() });
        drop(exporter);
    }
}
