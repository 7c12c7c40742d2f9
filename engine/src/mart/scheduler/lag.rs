//! Marts that may be behind what they read, looked at: whether one must run now for that to hold.

use std::collections::BTreeMap;

use super::{
    super::{
        definition::Definition,
        due::{self, Due},
        lag::{Lagging, changed, early_ms, resolved},
    },
    Scheduler, Versions, versions,
};
use crate::{EngineError, catalog::TableName};

impl Scheduler {
    /// How far behind each mart may be that has a lag, in milliseconds.
    pub(super) async fn lags(&self, definitions: &[Definition]) -> BTreeMap<TableName, i64> {
        let mut marts = BTreeMap::new();
        for definition in definitions {
            let Some(lag) = definition.refresh.as_ref().and_then(|refresh| refresh.lag) else { continue };
            let document = self.engine.lake().mart(&definition.name()).await.unwrap_or_default();
            let reads = self.reads.get(&definition.name());
            marts.insert(definition.name.clone(), Lagging { lag, early_ms: early_ms(&document), reads });
        }
        resolved(&marts)
    }

    /// Whether a mart with a lag is due, with the versions that what it reads has now.
    pub(super) async fn look_at_lag(
        &mut self,
        definition: &Definition,
        lags: &BTreeMap<TableName, i64>,
        now_ms: i64,
    ) -> Result<(Due, Option<Versions>), EngineError> {
        let name = definition.name();
        let seen = self.seen.entry(name.clone()).or_default();
        if let Some(until_ms) = seen.waits_for_commit(now_ms) {
            return Ok((Due::At(until_ms), None));
        }
        let versions = versions(&self.engine, self.reads.get(&name)).await?;
        let is_told = versions.as_ref().is_some_and(|all| all.iter().all(|(_, version)| version.is_some()));
        if is_told && seen.versions == versions {
            seen.same_ms = seen.same_ms.map(|_| now_ms);
            return Ok((Due::Done, None));
        }
        let document = self.engine.lake().mart(&name).await?;
        let published = document.published().filter(|run| run.definition == definition.fingerprint);
        let Some((of, run)) = versions.as_deref().zip(published) else {
            return Ok((due::lag(&document, None, now_ms), versions));
        };
        let changed = changed(of, run);
        if changed.is_empty() {
            (seen.versions, seen.same_ms) = (versions, Some(now_ms));
            return Ok((Due::Done, None));
        }
        let Some(lag) = lags.get(&definition.name) else { return Ok((Due::Done, None)) };
        // The time that marts took up which it reads is a part of its own.
        let taken = changed.iter().filter_map(|read| lags.get(*read)).max().copied().unwrap_or_default();
        let left = lag.saturating_sub(early_ms(&document)).saturating_sub(taken).max(0);
        let begin_ms = seen.same_ms.unwrap_or(run.started_ms).saturating_add(left);
        Ok((due::lag(&document, Some(begin_ms), now_ms), versions))
    }
}
