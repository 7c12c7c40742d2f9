//! A run that looks at changed rows.

use std::sync::Arc;

use boathouse_storage::{Snapshot, StorageError};
use futures::{FutureExt, future::BoxFuture};

use super::{
    super::{
        run::{Running, carry_out},
        steps::Step,
    },
    publish::statement,
    way::{Ready, looked_at, may_be_of_changes},
};
use crate::{EngineError, statement::Context};

impl Running<'_> {
    /// Publishes what changed rows make of the table, where that is all that a full run would change; `None` where it is not,
    /// or where changed rows cannot be read any more.
    pub(in crate::mart) async fn write_changes(
        &self,
        context: &Context,
        step: &Step,
        target: Option<&Arc<Snapshot>>,
        look: impl Fn(Arc<Snapshot>) -> BoxFuture<'static, Result<(), StorageError>> + Clone + Send + Sync + 'static,
    ) -> Option<Result<(), EngineError>> {
        let (mart, name) = (self.mart, &self.mart.definition.name);
        let planned = match looked_at(self.project, mart, self.inputs, target).await.way {
            Ok(planned) => planned.ready(context, mart).await,
            Err(why) => Err(why),
        };
        let Ready { way, changes, rows } = match planned {
            Ok(planned) => planned,
            Err(why) => {
                tracing::debug!(mart = %name, why, "the run is a full one");
                return None;
            }
        };
        tracing::debug!(mart = %name, way = way.word(), "the run looks at changed rows");
        let (table, before) = (name.to_string(), target.map(|table| table.version()));
        let audit = move |staged: Arc<Snapshot>| {
            // What changed rows make of one version they may not make of another.
            if before.map(|version| version + 1) != Some(staged.version()) {
                let (table, source) = (table.clone(), "another version came between".into());
                return async move { Err(StorageError::Conflict { table, source }) }.boxed();
            }
            look(staged)
        };
        let ast = statement(&mart.definition, &mart.columns, &changes);
        let context = match self.publication(step, target, audit) {
            Ok(publication) => context.again().with_given(vec![rows]).publishing(publication),
            Err(error) => return Some(Err(error)),
        };
        let written = match ast {
            Ok(ast) => carry_out(&context, ast).await,
            Err(error) => Err(error),
        };
        match written {
            // Files of rows that went may be gone by now; if it was something else, the full run meets it, too.
            Err(error) if may_be_of_changes(&error) && self.found.lock().version.is_none() => {
                tracing::info!(mart = %name, %error, "changed rows cannot be read: the run is a full one");
                None
            }
            written => Some(written),
        }
    }
}
