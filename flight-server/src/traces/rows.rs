//! The answer of a DoGet, followed until its client has it: the call ends with its last row.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::{Instant, SystemTime},
};

use arrow_flight::FlightData;
use futures::{Stream, StreamExt, stream::BoxStream};
use tonic::{Code, Status};

use super::call::Open;

type Rows = BoxStream<'static, Result<FlightData, Status>>;

/// The same rows; their call ends with them.
pub fn follow(rows: Rows, call: Open) -> Rows {
    if call.call().is_none() {
        return rows;
    }
    Followed { rows, call, began: SystemTime::now(), clock: Instant::now(), messages: 0, bytes: 0 }.boxed()
}

struct Followed {
    rows: Rows,
    call: Open,
    began: SystemTime,
    clock: Instant,
    messages: u64,
    bytes: u64,
}

impl Stream for Followed {
    type Item = Result<FlightData, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.rows.poll_next_unpin(context);
        match &next {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(message))) => {
                self.messages += 1;
                self.bytes += (message.data_header.len() + message.data_body.len()) as u64;
            }
            Poll::Ready(Some(Err(status))) => self.end(status.code()),
            Poll::Ready(None) => self.end(Code::Ok),
        }
        next
    }
}

impl Followed {
    fn end(&mut self, code: Code) {
        if let Some(call) = self.call.call() {
            call.fetched(self.began, self.clock.elapsed(), self.messages, self.bytes);
        }
        self.call.end_as(code);
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        // The client went away; nothing, when the rows have ended.
        self.end(Code::Cancelled);
    }
}
