//! One export of one mart, delivered.

use std::{sync::Arc, time::Instant};

use boathouse_storage::{
    Snapshot,
    catalog::{ExportDelivered, ExportFailed, ExportMark, ExportPart, MartExport},
};
use datafusion::arrow::datatypes::FieldRef;

use super::{
    Delivery, Destination, Export, ExportMode, ExportOutcome, ExportReport, Progress,
    claim::OfExport,
    due::{covers, retry_ms},
    rows,
};
use crate::{
    Engine, EngineError, ErrorKind, Outcome,
    catalog::TableName,
    exec::plain_field,
    mart::{
        MartOptions, Point, fingerprint,
        lease::{self, Lease, Taken},
        plan::published,
    },
};

/// Deliveries one behind the other: what is left of one that was interrupted, then the newest version; or once more, when what
/// a process had sent that ended was carried out meanwhile.
const DELIVERIES_MAX: usize = 3;

/// What is to be delivered, and how.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub engine: Arc<Engine>,
    pub options: MartOptions,
    pub mart: TableName,
    pub export: Export,
    /// Also a version that the destination has.
    pub again: bool,
}

/// What a delivery has come to.
struct Done {
    mark: ExportMark,
    /// `None`: the destination had it.
    rows: Option<u64>,
}

/// The newest version of a mart's table, and the one that its last run made: what was done to the table since, as when its
/// files were compacted, is no reason to deliver it.
pub(super) async fn wanted(
    engine: &Engine,
    name: &TableName,
) -> Result<Option<(Arc<Snapshot>, ExportMark)>, EngineError> {
    let document = engine.lake().mart(&name.to_string()).await?;
    let Some(table) = published(engine, name).await? else { return Ok(None) };
    let version = document.published().and_then(|run| run.version).filter(|version| *version <= table.version());
    let mark = ExportMark { table: table.id().to_owned(), version: version.unwrap_or_else(|| table.version()) };
    Ok(Some((table, mark)))
}

impl Order {
    /// Delivers the newest version, unless the destination has the rows of the last run.
    pub async fn carry_out(&self) -> ExportReport {
        let began = Instant::now();
        let mut outcome = ExportOutcome::NotPublished;
        for delivery in 1..=DELIVERIES_MAX {
            match self.attempt().await {
                Ok((ExportOutcome::Failed(error), _))
                    if error.kind == ErrorKind::Conflict && delivery < DELIVERIES_MAX =>
                {
                    tracing::info!(mart = %self.mart, to = self.export.to, %error, "a delivery begins anew");
                }
                Ok((found, is_whole)) => {
                    outcome = found;
                    if is_whole {
                        break;
                    }
                }
                Err(error) => {
                    outcome = ExportOutcome::Failed(error);
                    break;
                }
            }
        }
        self.engine.mart_totals_kept().add_export(&outcome);
        let mart = self.mart.to_string();
        let target = self.export.target(&mart).to_owned();
        ExportReport { to: self.export.to.clone(), target, outcome, took: began.elapsed(), mart }
    }

    /// One delivery; tells whether nothing is left to do.
    async fn attempt(&self) -> Result<(ExportOutcome, bool), EngineError> {
        let (lake, mart) = (self.engine.lake(), self.mart.to_string());
        let id = self.export.id(&mart);
        let Some(destination) = self.options.destinations.get(&self.export.to) else {
            return Err(EngineError::not_found(format!("there is no destination \"{}\"", self.export.to)));
        };
        let Some((table, wanted)) = wanted(&self.engine, &self.mart).await? else {
            return Ok((ExportOutcome::NotPublished, true));
        };
        let document = lake.mart_exports(&mart).await?;
        let delivered = document.exports.get(&id).and_then(|state| state.delivered.as_ref());
        if let Some(delivered) = delivered.filter(|known| !self.again && covers(Some(&known.mark), &wanted)) {
            return Ok((ExportOutcome::UpToDate { version: delivered.mark.version }, true));
        }
        let told = MartExport {
            destination: self.export.to.clone(),
            kind: destination.kind().to_owned(),
            target: self.export.target(&mart).to_owned(),
            mode: self.export.mode.word().to_owned(),
            ..MartExport::default()
        };
        let field = OfExport { lake: lake.clone(), mart, export: id, told };
        let claim = match lease::take(field, self.options.lease).await? {
            Taken::Ours(claim, _) => claim,
            Taken::Busy { holder } => return Ok((ExportOutcome::Busy { holder }, true)),
        };
        self.options.points.pass(Point::ExportTaken);
        let state = claim.state();
        // Another process may have delivered it between the look and the claim.
        let delivered = state.delivered.as_ref().filter(|known| !self.again && covers(Some(&known.mark), &wanted));
        if let Some(delivered) = delivered {
            claim.end(|_| {}).await?;
            return Ok((ExportOutcome::UpToDate { version: delivered.mark.version }, true));
        }
        let ended = tokio::select! {
            ended = self.deliver(destination.as_ref(), &claim, &state, &table, &wanted) => ended,
            lost = claim.beat() => Err(lost),
        };
        self.end(&claim, ended, &wanted).await
    }

    async fn deliver(
        &self,
        destination: &dyn Destination,
        claim: &Lease<OfExport>,
        state: &MartExport,
        table: &Arc<Snapshot>,
        wanted: &ExportMark,
    ) -> Result<Done, EngineError> {
        let mut delivery = self.delivery(table);
        let known = state.delivered.as_ref().map(|delivered| delivered.mark.clone());
        delivery.last = destination.last(&delivery, known).await?;
        if !self.again
            && let Some(mark) = delivery.last.as_ref().filter(|mark| covers(Some(mark), wanted))
        {
            // The process that delivered it ended before it could write that down.
            return Ok(Done { mark: mark.clone(), rows: None });
        }
        let part = state.part.as_ref().filter(|_| destination.goes_on() && !self.again);
        let mut version = table.clone();
        if let Some(part) = part {
            // What was begun is brought to its end first: its rows have names that the receiver knows.
            version = self.version(&part.mark).await.map_err(|error| {
                let message =
                    format!("version {} was delivered in part, and cannot be read any more", part.mark.version);
                EngineError::not_found(message).with_detail(error.to_string()).with_hint(again_hint(self))
            })?;
            delivery.mark = part.mark.clone();
            delivery.since.clone_from(&part.since);
            delivery.columns = columns(&version);
        } else {
            delivery.since = self.since(&delivery, state).await?;
        }
        let names: Vec<String> = version.schema().fields().iter().map(|field| field.name().clone()).collect();
        let since = delivery.since.as_ref().map(|since| since.version);
        let sql = rows::sql(&self.mart, &names, delivery.mark.version, since, destination.is_ordered());
        let Outcome::Rows(rows) = self.engine.session().execute(&sql).await.map_err(EngineError::without_excerpt)?
        else {
            return Err(EngineError::internal("the rows of an export are none"));
        };
        let kept = ExportPart { mark: delivery.mark.clone(), since: delivery.since.clone(), rows: 0 };
        let kept = Some(kept).filter(|_| destination.goes_on() && !self.again);
        if let Some(kept) = kept.as_ref().filter(|_| part.is_none()) {
            // Before the first row: whoever ends from here on has perhaps delivered some of this version.
            claim.change_state(|state| state.part = Some(kept.clone())).await?;
        }
        self.options.points.pass(Point::ExportBegun);
        let progress = Progress::new(claim.clone(), kept, part.map_or(0, |part| part.rows));
        let rows = destination.deliver(&delivery, rows, &progress).await?;
        Ok(Done { mark: delivery.mark, rows: Some(rows) })
    }

    fn delivery(&self, table: &Arc<Snapshot>) -> Delivery {
        let mart = self.mart.to_string();
        let lake = fingerprint::of([self.engine.lake().url().as_str()]);
        Delivery {
            lake: lake.get(..16).unwrap_or_default().to_owned(),
            target: self.export.target(&mart).to_owned(),
            mart,
            mode: self.export.mode,
            key: self.export.key.clone(),
            columns: columns(table),
            mark: ExportMark { table: table.id().to_owned(), version: table.version() },
            last: None,
            since: None,
            again_ms: self.again.then(|| self.options.clock.now_ms()),
            engine: self.engine.clone(),
            points: self.options.points.clone(),
        }
    }

    async fn version(&self, mark: &ExportMark) -> Result<Arc<Snapshot>, EngineError> {
        let version = self.engine.lake().table_version(&self.mart.schema, &self.mart.name, mark.version).await?;
        if version.id() != mark.table {
            let message = format!("version {} of \"{}\" is another table", mark.version, self.mart);
            return Err(EngineError::not_found(message));
        }
        Ok(version)
    }

    /// The version whose rows need not be delivered, where rows add to those that are there.
    async fn since(&self, delivery: &Delivery, state: &MartExport) -> Result<Option<ExportMark>, EngineError> {
        let is_append = match delivery.mode {
            ExportMode::Replace => return Ok(None),
            ExportMode::Merge => false,
            ExportMode::Append => true,
        };
        let Some(last) = delivery.last.as_ref().filter(|_| !self.again) else { return Ok(None) };
        // All rows are right, too, and do not need the old version.
        if !is_append && state.failed.is_some() {
            return Ok(None);
        }
        let types = |columns: &[FieldRef]| -> Vec<_> {
            columns.iter().map(|column| (column.name().clone(), column.data_type().clone())).collect()
        };
        let why = match self.version(last).await {
            Ok(old) if types(&columns(&old)) == types(&delivery.columns) => return Ok(Some(last.clone())),
            Ok(_) => "the table has other columns now".to_owned(),
            Err(error) => error.message,
        };
        match is_append {
            false => Ok(None),
            true => {
                let message =
                    format!("it cannot be told which rows are new since version {}, which was delivered", last.version);
                Err(EngineError::unsupported(message).with_detail(why).with_hint(again_hint(self)))
            }
        }
    }

    /// Gives the claim back, and writes down how it went.
    async fn end(
        &self,
        claim: &Lease<OfExport>,
        ended: Result<Done, EngineError>,
        wanted: &ExportMark,
    ) -> Result<(ExportOutcome, bool), EngineError> {
        let now_ms = self.options.clock.now_ms();
        match ended {
            Ok(Done { mark, rows }) => {
                let delivered = ExportDelivered { mark: mark.clone(), rows, at_ms: now_ms };
                let written = claim.end(|state| {
                    state.delivered = Some(delivered.clone());
                    (state.failed, state.part) = (None, None);
                });
                if let Err(error) = written.await {
                    // A destination with a ledger tells the next process; of others it would be delivered twice.
                    tracing::warn!(mart = %self.mart, to = self.export.to, %error, "a delivery could not be written down");
                }
                self.options.points.pass(Point::ExportTold);
                let outcome = match rows {
                    Some(rows) => ExportOutcome::Delivered { rows, version: mark.version },
                    None => ExportOutcome::UpToDate { version: mark.version },
                };
                Ok((outcome, covers(Some(&mark), wanted)))
            }
            Err(error) => {
                let text = error.to_string();
                let written = claim.end(|state| {
                    let attempts = state.failed.as_ref().map_or(0, |failed| failed.attempts).saturating_add(1);
                    let retry_ms = retry_ms(&error, attempts, now_ms);
                    let (version, error) = (wanted.version, text.clone());
                    state.failed = Some(ExportFailed { version, attempts, at_ms: now_ms, error, retry_ms });
                });
                if let Err(error) = written.await {
                    tracing::warn!(mart = %self.mart, to = self.export.to, %error, "a failure could not be written down");
                }
                Ok((ExportOutcome::Failed(error), true))
            }
        }
    }
}

fn columns(table: &Snapshot) -> Vec<FieldRef> {
    table.schema().fields().iter().map(|field| Arc::new(plain_field(field))).collect()
}

fn again_hint(order: &Order) -> String {
    format!(
        "Bring \"{}\" in order, then boathouse mart export {} --to {} --again delivers all rows.",
        order.export.target(&order.mart.to_string()),
        order.mart,
        order.export.to
    )
}
