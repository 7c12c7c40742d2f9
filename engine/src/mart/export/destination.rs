//! Where rows go: what a destination must do, and what it is told of a delivery.

use std::{collections::BTreeMap, fmt, sync::Arc};

use async_trait::async_trait;
use boathouse_storage::catalog::ExportMark;
use datafusion::arrow::datatypes::FieldRef;

use super::{Export, ExportMode, Progress};
use crate::{
    Engine, EngineError, RowStream,
    mart::{Point, Points},
};

/// A place outside of the lake.
#[async_trait]
pub trait Destination: fmt::Debug + Send + Sync {
    /// As the configuration calls it.
    fn kind(&self) -> &'static str;

    /// What is wrong with an export of these columns, as far as that shows without asking the place itself.
    fn check(&self, export: &Export, columns: &[FieldRef]) -> Result<(), EngineError>;

    /// Whether a delivery that was interrupted must be brought to its end before another version is delivered, because the
    /// place knows rows again by [`Delivery::name`] alone.
    fn goes_on(&self) -> bool {
        false
    }

    /// Whether they come in the same order each time, for a place that has a part of them by then. Others are spared the sort.
    fn is_ordered(&self) -> bool {
        false
    }

    /// The version that it has, by its own ledger. Where there is none, by what is written down in the lake (`known`).
    async fn last(&self, delivery: &Delivery, known: Option<ExportMark>) -> Result<Option<ExportMark>, EngineError> {
        let _ = delivery;
        Ok(known)
    }

    /// Delivers `rows`, all or none as far as the place can do that, and gives their number. It must find out, in the same
    /// step, when it has another version by then than [`Delivery::last`], and deliver nothing.
    async fn deliver(&self, delivery: &Delivery, rows: RowStream, progress: &Progress) -> Result<u64, EngineError>;
}

/// One version of a mart, on its way to one place.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub mart: String,
    /// Stands for the lake: the same text for the same one.
    pub lake: String,
    /// The place in the destination.
    pub target: String,
    pub mode: ExportMode,
    pub key: Vec<String>,
    /// Of the mart's table.
    pub columns: Vec<FieldRef>,
    pub mark: ExportMark,
    /// The version that the destination has.
    pub last: Option<ExportMark>,
    /// The rows are those that the table did not have in this version; `None`: they are all.
    pub since: Option<ExportMark>,
    /// It is delivered once more, though the place has it, for somebody who asked for that at this time.
    pub again_ms: Option<i64>,
    pub(super) engine: Arc<Engine>,
    pub(super) points: Points,
}

impl Delivery {
    /// Tells how far the delivery is, for a destination that knows.
    pub fn pass(&self, point: Point) {
        self.points.pass(point);
    }

    /// Names these rows: equal for the same ones, whoever delivers them, and however often.
    pub fn name(&self) -> String {
        let table = self.mark.table.get(..8).unwrap_or(&self.mark.table);
        let since = self.since.as_ref().map(|since| format!("v{}-", since.version)).unwrap_or_default();
        let again = self.again_ms.map(|ms| format!("/again-{ms}")).unwrap_or_default();
        format!("{}/{table}/{since}v{}{again}", self.mart, self.mark.version)
    }
}

/// The destinations of the configuration, by name.
#[derive(Debug, Clone, Default)]
pub struct Destinations {
    known: BTreeMap<String, Arc<dyn Destination>>,
    is_elsewhere: bool,
}

impl Destinations {
    /// For a process that delivers nothing: those who do know their destinations.
    pub fn elsewhere() -> Self {
        Self { known: BTreeMap::new(), is_elsewhere: true }
    }

    /// For a server: what it does not know, another server of the lake may.
    pub(in crate::mart) fn or_elsewhere(self) -> Self {
        Self { is_elsewhere: true, ..self }
    }

    /// Whether nothing can be said of a name that is not known here.
    pub(super) fn are_elsewhere(&self) -> bool {
        self.is_elsewhere
    }

    pub fn get(&self, name: &str) -> Option<&Arc<dyn Destination>> {
        self.known.get(name)
    }

    /// Sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.known.keys().map(String::as_str)
    }
}

impl FromIterator<(String, Arc<dyn Destination>)> for Destinations {
    fn from_iter<I: IntoIterator<Item = (String, Arc<dyn Destination>)>>(all: I) -> Self {
        Self { known: all.into_iter().collect(), is_elsewhere: false }
    }
}
