//! All that is known of a mart, for people who look it up: what the definition says, and how its runs went.

use std::sync::Arc;

use boathouse_storage::catalog::{MartColumn, MartDocument, MartLateness};
use futures::{StreamExt, TryStreamExt, stream};

use super::{
    freshness::lateness,
    header::Block,
    interval::Intervals,
    project::{Mart, Project},
};
use crate::EngineError;

/// Documents read together.
const READS_AT_ONCE: usize = 16;

/// A mart.
#[derive(Debug, Clone)]
pub struct About {
    pub name: String,
    /// What defines it: the path of a file, or `CREATE MART name`.
    pub file: String,
    pub description: Option<String>,
    pub owner: Option<String>,
    pub tags: Vec<String>,
    pub strategy: &'static str,
    pub key: Vec<String>,
    pub partition_by: Vec<String>,
    pub interval: Option<String>,
    /// When a server runs it.
    pub refresh: Option<String>,
    /// How old its rows may be.
    pub freshness: Option<String>,
    /// How late it is.
    pub late: Option<MartLateness>,
    pub columns: Vec<MartColumn>,
    pub tests: Vec<AboutTest>,
    /// Names of the tables that it reads, marts among them.
    pub reads: Vec<String>,
    pub sql: String,
    pub runs: Arc<MartDocument>,
}

/// A test of a mart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AboutTest {
    pub name: String,
    pub on_violation: &'static str,
}

impl Project {
    /// What is known of these marts, or of all, in their order, at a time in milliseconds since 1970, UTC.
    pub async fn about(&self, names: &[String]) -> Result<Vec<About>, EngineError> {
        let (project, selected) = (self.clone(), self.selected(names)?);
        let work = async move {
            let each = stream::iter(selected).map(|at| {
                let project = &project;
                async move {
                    let mart = &project.marts[at];
                    let document = project.engine.lake().mart(&mart.definition.name()).await?;
                    Ok::<_, EngineError>(mart.about(document, project.options.clock.now_ms()))
                }
            });
            each.buffered(READS_AT_ONCE).try_collect().await
        };
        self.engine.runtime().spawn(work).await?
    }
}

impl Mart {
    fn about(&self, document: Arc<MartDocument>, now_ms: i64) -> About {
        let definition = &self.definition;
        let tests = definition
            .tests
            .iter()
            .map(|test| AboutTest { name: test.name.clone(), on_violation: test.on_violation.word() });
        let text = definition.text.as_str();
        let sql = Block::find(&definition.file, text).map_or(text, |block| &text[block.query..]);
        About {
            name: definition.name(),
            file: definition.file.clone(),
            description: definition.description.clone(),
            owner: definition.owner.clone(),
            tags: definition.tags.clone(),
            strategy: definition.strategy.word(),
            key: definition.key.clone(),
            partition_by: definition.partition_by.clone(),
            interval: definition.interval.as_ref().map(Intervals::told),
            refresh: definition.refresh.as_ref().map(ToString::to_string),
            freshness: definition.freshness.map(|freshness| freshness.to_string()),
            late: definition.freshness.and_then(|freshness| lateness(freshness, &document, now_ms)),
            columns: self.told_columns(),
            tests: tests.collect(),
            reads: self.reads.iter().map(ToString::to_string).collect(),
            sql: sql.trim().to_owned(),
            runs: document,
        }
    }
}
