//! Statements that run now, so that another call or the end of the server can stop them.

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use arrow_flight::FlightData;
use parking_lot::Mutex;
use tokio::sync::watch;
use tonic::Status;
use uuid::Uuid;

/// All running statements of a server.
#[derive(Debug, Default)]
pub struct Running {
    /// No more calls are taken; those that run may end.
    leaving: AtomicBool,
    /// Told when the server ends.
    closed: watch::Sender<bool>,
    /// Told when the client cancels; by user and by the id in the statement's ticket. A ticket may be redeemed many times at
    /// once, and an id that someone else made up is another statement.
    statements: Mutex<HashMap<Name, Weak<watch::Sender<bool>>>>,
    sent: Sent,
}

/// What went to clients.
#[derive(Debug, Default)]
struct Sent {
    rows: AtomicU64,
    bytes: AtomicU64,
}

/// Rows encoded for clients since the server began, and the bytes of their messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentTotals {
    pub rows: u64,
    pub bytes: u64,
}

/// User and id.
type Name = (String, String);

/// A running statement. It counts as running until this is dropped.
#[derive(Debug)]
pub struct Run {
    name: Name,
    server: Arc<Running>,
    cancelled: Arc<watch::Sender<bool>>,
}

impl Running {
    /// Enters a statement of a user under the id of its ticket.
    pub fn enter(self: &Arc<Self>, user: &str, id: &str) -> Run {
        let name = (user.to_owned(), id.to_owned());
        let mut statements = self.statements.lock();
        let cancelled = statements.get(&name).and_then(Weak::upgrade).unwrap_or_default();
        statements.insert(name.clone(), Arc::downgrade(&cancelled));
        Run { name, server: self.clone(), cancelled }
    }

    /// Stops a statement of a user; whether there was one.
    pub fn cancel(&self, user: &str, id: &str) -> bool {
        let name = (user.to_owned(), id.to_owned());
        let statement = self.statements.lock().get(&name).and_then(Weak::upgrade);
        statement.map(|cancelled| cancelled.send_replace(true)).is_some()
    }

    /// The server is about to end.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// Statements whose rows are being fetched.
    pub fn count(&self) -> usize {
        self.statements.lock().len()
    }

    /// Counts rows that go to a client.
    pub fn sends(&self, rows: usize, messages: &[FlightData]) {
        let bytes = messages.iter().map(|message| message.data_header.len() + message.data_body.len()).sum::<usize>();
        self.sent.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.sent.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub fn sent(&self) -> SentTotals {
        SentTotals { rows: self.sent.rows.load(Ordering::Relaxed), bytes: self.sent.bytes.load(Ordering::Relaxed) }
    }

    /// Stops all statements, those to come too.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Runs `work` until the server ends.
    pub async fn until_closed<T>(&self, work: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        tokio::select! {
            biased;
            reason = self.ended() => Err(reason),
            result = work => result,
        }
    }

    /// Waits for the end of the server.
    pub async fn ended(&self) -> Status {
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
        closing()
    }
}

impl Run {
    /// The id of the ticket; one of another form names no query.
    pub fn query_id(&self) -> Uuid {
        Uuid::parse_str(&self.name.1).unwrap_or_default()
    }

    pub fn server(&self) -> &Arc<Running> {
        &self.server
    }

    /// Waits for the reason to stop.
    pub async fn stopped(&self) -> Status {
        let mut cancelled = self.cancelled.subscribe();
        tokio::select! {
            biased;
            reason = self.server.ended() => reason,
            _ = cancelled.wait_for(|cancelled| *cancelled) => Status::cancelled("statement cancelled on request"),
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let mut statements = self.server.statements.lock();
        // Under the lock nobody can take another share of it.
        if Arc::strong_count(&self.cancelled) == 1 {
            statements.remove(&self.name);
        }
    }
}

fn closing() -> Status {
    Status::unavailable("the server is shutting down\nHINT: Run the statement again in a moment.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_statement_can_be_cancelled_while_it_runs_and_not_after() {
        let running = Arc::new(Running::default());
        let (first, second) = (running.enter("u", "a"), running.enter("u", "a"));
        drop(first);
        assert!(!running.cancel("v", "a"));
        assert!(running.cancel("u", "a"));
        assert_eq!(second.stopped().await.code(), tonic::Code::Cancelled);
        drop(second);
        assert!(!running.cancel("u", "a"));
        assert!(running.statements.lock().is_empty());
    }

    #[tokio::test]
    async fn the_end_of_the_server_stops_everything() {
        let running = Arc::new(Running::default());
        let run = running.enter("u", "a");
        running.close();
        assert_eq!(run.stopped().await.code(), tonic::Code::Unavailable);
        let call = running.until_closed(std::future::pending::<Result<(), Status>>());
        assert_eq!(call.await.unwrap_err().code(), tonic::Code::Unavailable);
    }
}
