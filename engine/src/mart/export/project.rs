//! Exports of a project's marts, for whoever asks for them.

use super::{ExportReport, deliver::Order};
use crate::{
    EngineError,
    error::did_you_mean,
    mart::{Project, Report},
};

impl Project {
    /// Delivers the exports of these marts, or of all, that the destinations do not have, one behind the other; `told` hears of
    /// each when it is done. `to` leaves out other destinations, `again` delivers also what they have.
    ///
    /// An error when a name is not a mart's, or no mart has an export to `to`; what goes wrong with an export is in its report.
    pub async fn export(
        &self,
        names: &[String],
        to: Option<&str>,
        again: bool,
        mut told: impl FnMut(&ExportReport),
    ) -> Result<Vec<ExportReport>, EngineError> {
        let mut orders = Vec::new();
        let mut known: Vec<&str> = Vec::new();
        let selected = self.selected(names)?;
        for at in &selected {
            let definition = &self.marts[*at].definition;
            for export in &definition.exports {
                known.push(&export.to);
                if to.is_none_or(|to| to == export.to) {
                    let (engine, options) = (self.engine.clone(), self.options.clone());
                    let (mart, export) = (definition.name.clone(), export.clone());
                    orders.push(Order { engine, options, mart, export, again });
                }
            }
        }
        if let Some(to) = to.filter(|_| orders.is_empty()) {
            let error = EngineError::not_found(format!("no export goes to \"{to}\""));
            let hint = did_you_mean(to, known.iter().copied());
            return Err(error.with_hint(hint.unwrap_or_else(|| "A mart's exports are in its definition.".to_owned())));
        }
        let mut reports = Vec::with_capacity(orders.len());
        for order in orders {
            let report = order.carry_out().await;
            told(&report);
            reports.push(report);
        }
        Ok(reports)
    }

    /// The same for marts of a run that are up to date.
    pub async fn export_behind(
        &self,
        run: &[Report],
        told: impl FnMut(&ExportReport),
    ) -> Result<Vec<ExportReport>, EngineError> {
        let good: Vec<String> =
            run.iter().filter(|report| report.outcome.is_good()).map(|report| report.mart.clone()).collect();
        // No name would mean all.
        if good.is_empty() { Ok(Vec::new()) } else { self.export(&good, None, false, told).await }
    }
}
