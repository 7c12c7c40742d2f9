//! What callers see of a statement: planned, and done.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use datafusion::arrow::datatypes::{Schema, SchemaRef};

use super::{Context, Statement, insert::Insert};
use crate::{
    EngineError, Identity, Origin, RowStream,
    queries::{Live, Phase},
    session::Pins,
};

/// A planned statement. It can run several times, with other parameters each time.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) context: Context,
    pub(crate) statement: Arc<Statement>,
    parameters: Schema,
    pins: Pins,
    origin: Origin,
    /// Microseconds of planning that no run has counted yet.
    planning_us: AtomicU64,
}

/// What running a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Returns rows and changes nothing.
    Rows,
    /// Changes rows; the answer is a count, see [`Counted`].
    Change,
    /// Changes a definition or a setting; there is no answer but success.
    Define,
}

/// What a statement that changes rows tells of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Counted {
    /// How many it inserted, updated and deleted, in sum.
    #[default]
    Sum,
    /// The sum, and each number of its own: MERGE.
    Apart,
    /// How many it inserted, and each number of its own: an INSERT that takes the place of rows, which went for those.
    Inserted,
}

impl Counted {
    /// Whether the rows inserted, updated and deleted are told besides the one number.
    pub fn tells_parts(self) -> bool {
        self != Self::Sum
    }
}

impl Prepared {
    pub(crate) fn new(context: Context, statement: Statement, live: &Live) -> Self {
        let parameters = statement.parameters();
        let pins = context.pinned.pins();
        live.is_a(statement.title());
        let (origin, planning) = (live.origin().clone(), live.planned());
        let planning_us = AtomicU64::new(u64::try_from(planning.as_micros()).unwrap_or(u64::MAX));
        Self { context, statement: Arc::new(statement), parameters, pins, origin, planning_us }
    }

    /// The same plan, to be run for another caller.
    pub fn called_by(&self, origin: &Origin) -> Self {
        Self {
            context: self.context.clone(),
            statement: self.statement.clone(),
            parameters: self.parameters.clone(),
            pins: self.pins.clone(),
            origin: origin.clone(),
            planning_us: AtomicU64::new(0),
        }
    }

    /// A run begins. The first one has the time of planning.
    pub(crate) fn begin(&self) -> Arc<Live> {
        let live = self.context.engine.queries().begin(&self.origin, &self.context.sql, Phase::Queued);
        live.is_a(self.statement.title());
        live.was_planned(Duration::from_micros(self.planning_us.swap(0, Ordering::Relaxed)));
        live
    }

    pub fn sql(&self) -> &str {
        &self.context.sql
    }

    /// The rows' schema as it goes over the wire (no views, no dictionaries); empty unless [`Effect::Rows`].
    pub fn schema(&self) -> SchemaRef {
        self.statement.schema()
    }

    /// One field per parameter, named `1`, `2`, ... in order, with the type that planning found (Utf8 when it found none).
    pub fn parameters(&self) -> &Schema {
        &self.parameters
    }

    pub fn effect(&self) -> Effect {
        self.statement.effect()
    }

    /// What it tells of the rows that it changes.
    pub fn counted(&self) -> Counted {
        self.statement.counted()
    }

    /// Whether it runs at once, without waiting for others: it changes the session, or ends a query.
    pub fn is_instant(&self) -> bool {
        self.statement.is_instant()
    }

    /// An error unless `identity` may run it.
    pub fn check_right(&self, identity: &Identity) -> Result<(), EngineError> {
        self.statement.check_right(identity)
    }

    /// Whether the order of its rows means nothing, so that they may be handed out in any.
    pub fn is_unordered(&self) -> bool {
        self.statement.query(&[]).is_some_and(|(query, _)| query.is_unordered())
    }

    /// Whether this plan means the same however long ago it was made, so that it need not be made again.
    pub fn is_lasting(&self) -> bool {
        self.statement.insert().is_some_and(Insert::is_lasting)
    }

    /// Whether [`crate::Session::run_rows`] can run it.
    pub fn takes_rows(&self) -> bool {
        self.statement.insert().is_some_and(Insert::takes_rows)
    }

    /// Versions of the tables that this plan reads.
    pub fn pins(&self) -> &Pins {
        &self.pins
    }
}

/// What a statement did.
#[derive(Debug)]
pub enum Outcome {
    Rows(RowStream),
    Changed {
        inserted: u64,
        updated: u64,
        deleted: u64,
        version: Option<u64>,
        counted: Counted,
    },
    /// A definition or setting changed; the command tag as psql prints it, `CREATE TABLE`.
    Done(&'static str),
}

impl Outcome {
    /// The one number of rows that the client of a statement is told who changed some.
    pub fn count(&self) -> Option<u64> {
        match self {
            Self::Changed { inserted, counted: Counted::Inserted, .. } => Some(*inserted),
            Self::Changed { inserted, updated, deleted, .. } => Some(inserted + updated + deleted),
            Self::Rows(_) | Self::Done(_) => None,
        }
    }

    /// The same, told as `counted` says.
    pub(crate) fn told(self, counted: Counted) -> Self {
        match self {
            Self::Changed { inserted, updated, deleted, version, .. } => {
                Self::Changed { inserted, updated, deleted, version, counted }
            }
            other => other,
        }
    }
}
