//! Whether the lake can be reached.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use boathouse_engine::Engine;
use tokio::{sync::Mutex, time::timeout};

/// A store that does not answer for this long is not reached.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// An answer is good for this long, however many ask.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// Asks the store, at most once at a time and once a second.
#[derive(Debug)]
pub struct Ready {
    engine: Arc<Engine>,
    last: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl Ready {
    pub fn new(engine: &Arc<Engine>) -> Self {
        Self { engine: engine.clone(), last: Mutex::default() }
    }

    /// The error says what is wrong, in one line without the store's own words, which may hold more than others should know.
    pub async fn check(&self) -> Result<(), String> {
        let mut last = self.last.lock().await;
        if let Some((_, answer)) = last.as_ref().filter(|(at, _)| at.elapsed() < GOOD_FOR) {
            return answer.clone();
        }
        let answer = match timeout(ANSWER_MAX, self.engine.session().schemas()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the lake cannot be reached");
                Err("the lake cannot be reached; the log says why".to_owned())
            }
            Err(_) => Err(format!("the lake did not answer within {ANSWER_MAX:?}")),
        };
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}
