//! What happens when a commit collides with another writer's: the statement runs again as a whole.
//!
//! What it read may no longer be so, so its names are bound anew, to the newest versions, and it is planned anew. A
//! bounded number of times, each after a random wait, within the statement's time. Statements of one process that collided
//! on a table run again one after the other: they would only be in each other's way.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use boathouse_storage::StorageError;
use datafusion::{arrow::array::RecordBatch, common::ScalarValue};
use tokio::sync::OwnedMutexGuard;

use super::{Context, Outcome, Statement, once};
use crate::{EngineError, ErrorKind, queries::Phase};

/// How often a statement runs again.
const REPLAYS_MAX: u32 = 50;
/// The longest wait grows from the first to the second.
const WAIT_MS_FIRST: u64 = 4;
const WAIT_MS_MAX: u64 = 500;

/// What is put in for a statement's parameters.
#[derive(Debug)]
pub(crate) enum Bound {
    Row(Vec<ScalarValue>),
    /// For a statement that takes all rows at once.
    Rows(Vec<RecordBatch>),
}

impl Bound {
    /// What tells it from others.
    pub fn hash(&self) -> Result<once::Values, EngineError> {
        match self {
            Self::Row(parameters) => once::of_row(parameters),
            Self::Rows(batches) => once::of_rows(batches),
        }
    }

    async fn run(&self, statement: &Statement, context: &Context) -> Result<Outcome, EngineError> {
        match self {
            Self::Row(parameters) => statement.run(context, parameters).await,
            Self::Rows(batches) => statement.run_rows(context, batches).await,
        }
    }
}

/// Runs a statement, again and again while others change what it reads.
pub(crate) async fn run(statement: &Statement, context: &Context, bound: &Bound) -> Result<Outcome, EngineError> {
    let mut outcome = bound.run(statement, context).await;
    let mut replays = Replays::default();
    while replays.next(context, outcome.as_ref().err()).await {
        let again = context.again();
        context.enter(Phase::Planning);
        outcome = Box::pin(async {
            let statement = Statement::of_text(&again).await?;
            context.enter(Phase::Executing);
            bound.run(&statement, &again).await
        })
        .await;
    }
    outcome.map(|outcome| outcome.told(statement.counted())).map_err(|mut error| {
        if collided(&error).is_some() {
            error.hint = Some(format!("It ran {REPLAYS_MAX} times more; try it when fewer others write."));
        }
        error
    })
}

/// The runs of one statement behind its first.
#[derive(Debug, Default)]
pub(crate) struct Replays {
    count: u32,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Replays {
    /// Whether a statement that ended with this error is to run once more, after a wait that this call makes.
    pub async fn next(&mut self, context: &Context, error: Option<&EngineError>) -> bool {
        let Some(table) = error.and_then(collided).filter(|_| self.count < REPLAYS_MAX) else { return false };
        tracing::debug!(replay = self.count, table, "a statement runs again");
        context.replayed();
        match &self.turn {
            None => self.turn = Some(context.engine.turns().take(table).await),
            // Others, of other processes perhaps, run for the first time.
            Some(_) => tokio::time::sleep(wait(self.count)).await,
        }
        self.count += 1;
        true
    }
}

/// The table on which another writer committed what this statement cannot follow. Nothing of it is in the table then.
fn collided(error: &EngineError) -> Option<&str> {
    match error.source.as_ref()?.downcast_ref::<StorageError>()? {
        StorageError::Conflict { table, .. } if error.kind == ErrorKind::Conflict => Some(table),
        _ => None,
    }
}

/// Random, so that statements that collided do not meet again.
fn wait(replay: u32) -> Duration {
    let most = (WAIT_MS_FIRST << replay.min(16)).min(WAIT_MS_MAX);
    Duration::from_millis(RandomState::new().hash_one(replay) % most + 1)
}
