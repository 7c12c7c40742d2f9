//! What the run read that made the rows of a table: told by its commit, so that rows and bookkeeping are one.

use std::collections::BTreeMap;

use boathouse_storage::Snapshot;
use serde_json::Value;

use super::super::PROGRAM;
use crate::Engine;

/// The last run of a mart.
pub(super) struct Basis {
    /// Stands for the definition and for what names stood for, versions aside.
    pub text: String,
    pub definition: String,
    /// The versions of tables.
    pub inputs: BTreeMap<String, u64>,
}

impl Basis {
    /// Of the rows that are in a table; else the reason why it cannot be told.
    pub async fn of(engine: &Engine, table: &Snapshot) -> Result<Self, String> {
        let said = engine.lake().published(table, PROGRAM).await;
        let said = said.map_err(|error| format!("the commit of its last run cannot be read: {error}"))?;
        let said = said.ok_or_else(|| {
            "the rows of its table were changed since its last run, or the commit of that run is not in the log any more"
                .to_owned()
        })?;
        let text = |key: &str| said.get(key).and_then(Value::as_str).map(str::to_owned);
        let basis = text("basis").ok_or_else(|| "its last run did not write down what it rests on".to_owned())?;
        let inputs = said.get("inputs").and_then(Value::as_array).into_iter().flatten().filter_map(|input| {
            let table = input.get("table").and_then(Value::as_str)?;
            Some((table.to_owned(), input.get("version").and_then(Value::as_u64)?))
        });
        Ok(Self { text: basis, definition: text("definition").unwrap_or_default(), inputs: inputs.collect() })
    }
}
