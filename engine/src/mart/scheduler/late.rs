//! Marts whose rows are too old, looked for at each pass, whether or not somebody runs them.

use parking_lot::Mutex;

use super::{
    super::{
        freshness::{Freshness, News, news},
        notice::Notice,
    },
    Scheduler,
};
use crate::EngineError;

impl Scheduler {
    /// Tells of marts that are late, and of those that are so no more.
    pub(super) async fn judge_freshness(&mut self, now_ms: i64) {
        for definition in self.source.definitions().iter() {
            let Some(freshness) = definition.freshness else { continue };
            let mart = definition.name();
            match self.lateness(&mart, freshness, now_ms).await {
                Ok(None) => {}
                Ok(Some(notice)) => {
                    tracing::warn!(mart, kind = notice.kind.word(), why = notice.error, "the age of a mart's rows");
                    self.hear(Some(notice));
                }
                Err(error) => tracing::warn!(mart, %error, "it could not be told how old a mart's rows are"),
            }
        }
    }

    /// The news, if it is this server that tells it: the one that writes it down.
    async fn lateness(&self, mart: &str, freshness: Freshness, now_ms: i64) -> Result<Option<Notice>, EngineError> {
        let lake = self.engine.lake();
        if news(mart, freshness, &*lake.mart(mart).await?, now_ms).is_none() {
            return Ok(None);
        }
        let told = Mutex::new(None);
        lake.change_mart(mart, |document| {
            *told.lock() = match news(mart, freshness, document, now_ms) {
                Some(News::Late(late, notice)) => {
                    document.late = Some(late);
                    Some(notice)
                }
                Some(News::OnTime(notice)) => {
                    document.late = None;
                    Some(notice)
                }
                None => None,
            };
        })
        .await?;
        Ok(told.into_inner())
    }
}
