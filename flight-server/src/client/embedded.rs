//! The engine in this process.

use std::sync::Arc;

use async_trait::async_trait;
use boathouse_engine::{Engine, EngineConfig, Outcome, Session};
use futures::TryStreamExt;

use super::{Answer, Client, ClientError, Names, Parts, Rows, TableNames};

/// A session of an engine in this process.
#[derive(Debug)]
pub struct Embedded {
    engine: Arc<Engine>,
    session: Arc<Session>,
    location: String,
}

impl Embedded {
    /// Opens the lake at `url`, which must exist.
    pub async fn open(url: &str, config: EngineConfig) -> Result<Self, ClientError> {
        let engine = Engine::open(url, config).await?;
        Ok(Self::new(&engine, url))
    }

    /// A new session of an engine that is open already; `location` is what the prompt and messages call it.
    pub fn new(engine: &Arc<Engine>, location: &str) -> Self {
        Self { engine: engine.clone(), session: engine.session(), location: location.to_owned() }
    }
}

#[async_trait]
impl Client for Embedded {
    async fn run(&self, sql: &str) -> Result<Answer, ClientError> {
        let outcome = self.session.execute(sql).await?;
        let (count, parts) = (outcome.count().unwrap_or_default(), Parts::of(&outcome));
        Ok(match outcome {
            Outcome::Rows(rows) => Answer::Rows(Rows::new(rows.schema(), rows.map_err(ClientError::from))),
            Outcome::Changed { .. } => Answer::Changed { rows: count, parts },
            Outcome::Done(tag) => Answer::Done(tag.to_owned()),
        })
    }

    async fn names(&self) -> Result<Names, ClientError> {
        let schemas = self.session.schemas().await?;
        let mut tables = Vec::new();
        for schema in &schemas {
            for entry in self.session.tables(schema).await? {
                // A damaged table must not take completion away from the others.
                let columns = match self.session.table_columns(schema, &entry.name).await {
                    Ok(columns) => columns.schema.fields().iter().map(|field| field.name().clone()).collect(),
                    Err(_) => Vec::new(),
                };
                tables.push(TableNames { schema: schema.clone(), name: entry.name, columns });
            }
        }
        let settings = self.session.settings().into_iter().map(|(name, _)| name).collect();
        Ok(Names { schemas, tables, functions: self.session.functions(), settings })
    }

    async fn idle(&self) {
        self.engine.idle().await;
    }

    fn location(&self) -> &str {
        &self.location
    }
}
