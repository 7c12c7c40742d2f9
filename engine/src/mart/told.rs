//! What people are told of a mart, and how long they let it run.

use boathouse_storage::catalog::{MartColumn, MartDefinition};
use datafusion::arrow::datatypes::FieldRef;

use super::{duration, project::Mart};
use crate::{EngineError, ErrorKind, statement::data_type::sql_type};

impl Mart {
    /// Ends when a run of it has taken too long, with what is to be said then.
    pub(super) async fn too_long(&self) -> EngineError {
        let Some(timeout) = self.definition.timeout else { return std::future::pending().await };
        tokio::time::sleep(timeout).await;
        let message = format!("the run took longer than its timeout, {}", duration::text(timeout));
        EngineError::new(ErrorKind::Cancelled, message).with_hint("Make the query cheaper, or timeout longer.")
    }

    /// What people are told of it.
    pub(super) fn told(&self) -> MartDefinition {
        let definition = &self.definition;
        MartDefinition {
            text: definition.text.clone(),
            strategy: definition.strategy.word().to_owned(),
            description: definition.description.clone(),
            owner: definition.owner.clone(),
            tags: definition.tags.clone(),
            columns: self.told_columns(),
            reads: self.reads.iter().map(ToString::to_string).collect(),
            fingerprint: definition.fingerprint.clone(),
            refresh: definition.refresh.as_ref().map(ToString::to_string),
            freshness: definition.freshness.map(|freshness| freshness.to_string()),
        }
    }

    /// Its columns in their order, with what the definition says of them.
    pub(super) fn told_columns(&self) -> Vec<MartColumn> {
        let column = |field: &FieldRef| {
            let declared = self.definition.columns.iter().find(|column| column.name == *field.name());
            MartColumn {
                name: field.name().clone(),
                data_type: sql_type(field.data_type()),
                not_null: !field.is_nullable(),
                description: field.metadata().get("comment").cloned(),
                owner: declared.and_then(|column| column.owner.clone()),
                tags: declared.map(|column| column.tags.clone()).unwrap_or_default(),
            }
        };
        self.columns.iter().map(column).collect()
    }
}
