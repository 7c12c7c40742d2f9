//! `anomaly`: a number that a run is about to publish, against those of the runs before it. Statistical process control over
//! the mart's own history: what is farther from their mean than some standard deviations is a violation.
//!
//! ```toml
//! [[test]]
//! anomaly = "row_count"            # or an expression over the table: "sum(revenue)"
//! sigma = 3                        # how many standard deviations are right
//! runs = 20                        # of how many runs before it
//! min_runs = 5                     # with fewer, nothing is a violation
//! ```
//! The numbers stand in the documents of the runs that published rows. What failed for one is not among them, so a run that
//! is repeated fails again; with on_violation = "warn" a new level becomes the usual one by itself.

use std::collections::BTreeMap;

use boathouse_storage::catalog::{MartDocument, MartRunState};
use datafusion::arrow::{
    array::{Array, AsArray},
    datatypes::Float64Type,
};

use super::{audit::rows, header, test_sql::table};
use crate::{EngineError, catalog::TableName, parser, statement::Context};

const SIGMA: f64 = 3.0;
const RUNS: u32 = 20;
/// As many runs as a document keeps.
const RUNS_MAX: u32 = 50;
const MIN_RUNS: u32 = 5;
/// Two runs of one query over equal rows may add up in another order.
const ROUNDING: f64 = 1e-9;

/// What is watched, and how closely.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Anomaly {
    /// `None` is the count of rows.
    expression: Option<String>,
    sigma: f64,
    runs: u32,
    min_runs: u32,
}

/// Numbers of the runs before, of each test, newest first.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeMap<String, Vec<f64>>);

impl Known {
    /// Of the runs that published rows, without the newest of them where `but_last` says so.
    pub fn of(document: &MartDocument, but_last: bool) -> Self {
        let mut known: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        let runs = document.runs.iter().rev().filter(|run| run.state == MartRunState::Succeeded);
        for test in runs.skip(usize::from(but_last)).flat_map(|run| &run.tests) {
            if let Some(value) = test.value {
                known.entry(test.name.clone()).or_default().push(value);
            }
        }
        Self(known)
    }
}

impl Anomaly {
    /// Checks what is written; `None` when the test is another one.
    pub fn of(written: &header::Test) -> Result<Option<Self>, EngineError> {
        let header::Test { anomaly, sigma, runs, min_runs, .. } = written;
        let Some(metric) = anomaly else {
            let given = [("sigma", sigma.is_some()), ("runs", runs.is_some()), ("min_runs", min_runs.is_some())];
            return match given.iter().find(|(_, given)| *given) {
                Some((key, _)) => {
                    let error = EngineError::invalid(format!("{key} has no meaning without anomaly"));
                    Err(error.with_hint("Leave it out, or write anomaly = \"row_count\"."))
                }
                None => Ok(None),
            };
        };
        let expression = match metric.trim() {
            "row_count" => None,
            expression => {
                parser::parse_condition(expression)
                    .map_err(|error| EngineError { message: format!("anomaly: {}", error.message), ..error })?;
                Some(expression.to_owned())
            }
        };
        let (sigma, runs) = (sigma.unwrap_or(SIGMA), runs.unwrap_or(RUNS));
        let min_runs = min_runs.unwrap_or(MIN_RUNS.min(runs));
        if !(sigma.is_finite() && sigma > 0.0) {
            return Err(EngineError::invalid(format!("sigma = {sigma} is not a number above 0")));
        }
        if !(2..=RUNS_MAX).contains(&runs) || !(2..=runs).contains(&min_runs) {
            let error = EngineError::invalid(format!("runs = {runs} with min_runs = {min_runs} is not right"));
            return Err(error.with_hint(format!("From 2 to {RUNS_MAX} runs, and no more than that as min_runs.")));
        }
        Ok(Some(Self { expression, sigma, runs, min_runs }))
    }

    pub fn name(&self) -> String {
        format!("anomaly({})", self.expression.as_deref().unwrap_or("row_count"))
    }

    /// The number, where it is not the count of rows. The count beside it refuses what is no aggregate.
    pub fn sql(&self, from: &TableName) -> Option<String> {
        let expression = self.expression.as_ref()?;
        // A comment at its end must not swallow the rest.
        Some(format!("SELECT CAST(({expression}\n) AS DOUBLE) AS value, count(*) AS n FROM {} AS mart", table(from)))
    }

    /// The number of a table.
    pub async fn value(&self, context: &Context, from: &TableName, count: u64) -> Result<Option<f64>, EngineError> {
        let Some(sql) = self.sql(from) else { return Ok(Some(count as f64)) };
        let batches = rows(context, &sql).await?;
        let row = batches.iter().find(|batch| batch.num_rows() > 0);
        let row = row.ok_or_else(|| EngineError::internal("a test gave no row"))?;
        let numbers = row.column(0).as_primitive_opt::<Float64Type>();
        let numbers = numbers.ok_or_else(|| EngineError::internal("a test gave something other than a number"))?;
        Ok(numbers.is_valid(0).then(|| numbers.value(0)).filter(|value| value.is_finite()))
    }

    /// What is wrong with a number, beside those that are known of the test.
    pub fn judge(&self, test: &str, value: Option<f64>, known: &Known) -> Option<String> {
        let known = known.0.get(test).map(Vec::as_slice).unwrap_or_default();
        let known = &known[..known.len().min(self.runs as usize)];
        if known.len() < self.min_runs as usize {
            return None;
        }
        let count = known.len() as f64;
        let mean = known.iter().sum::<f64>() / count;
        // Of a sample.
        let variance = known.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let width = (self.sigma * variance.sqrt()).max(ROUNDING * mean.abs());
        let (least, most) = (mean - width, mean + width);
        if value.is_some_and(|value| (least..=most).contains(&value)) {
            return None;
        }
        let shown = value.map_or_else(|| "there is no value".to_owned(), shown);
        let (mean, least, most) = (self::shown(mean), self::shown(least), self::shown(most));
        let count = known.len();
        Some(format!("{shown}; the last {count} runs had {mean} on average, from {least} to {most} is usual"))
    }
}

/// A number with as many digits as people look at.
fn shown(value: f64) -> String {
    let text = if value.abs() < 1e15 { format!("{value:.2}") } else { format!("{value:e}") };
    text.strip_suffix(".00").map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anomaly(toml: &str) -> Result<Option<Anomaly>, EngineError> {
        Anomaly::of(&toml::from_str(toml).unwrap())
    }

    fn judged(toml: &str, value: Option<f64>, known: &[f64]) -> Option<String> {
        let known = Known([("t".to_owned(), known.to_vec())].into());
        anomaly(toml).unwrap().unwrap().judge("t", value, &known)
    }

    const COUNT: &str = "anomaly = \"row_count\"\nsigma = 2\nmin_runs = 3";

    #[test]
    fn what_is_far_from_the_mean_is_unusual() {
        let known = [98.0, 100.0, 102.0];
        assert_eq!(judged(COUNT, Some(104.0), &known), None);
        assert_eq!(judged(COUNT, Some(96.0), &known), None);
        assert_eq!(
            judged(COUNT, Some(104.5), &known).unwrap(),
            "104.50; the last 3 runs had 100 on average, from 96 to 104 is usual"
        );
        assert!(judged(COUNT, Some(95.0), &known).is_some() && judged(COUNT, None, &known).is_some());
        // Too few to tell, and numbers that were always the same.
        assert_eq!(judged(COUNT, Some(1.0), &known[1..]), None);
        assert_eq!(judged(COUNT, Some(0.1 + 0.2), &[0.3, 0.3, 0.3]), None);
        assert!(judged(COUNT, Some(26.0), &[25.0; 5]).is_some());
        // Only the newest count.
        let runs = "anomaly = \"row_count\"\nruns = 3\nmin_runs = 3";
        assert!(judged(runs, Some(5.0), &[1.0, 1.0, 1.0, 99.0]).is_some());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(anomaly("unique = \"a\"").unwrap(), None);
        for (toml, expected) in [
            ("unique = \"a\"\nsigma = 3", "sigma has no meaning without anomaly\nHINT: "),
            ("anomaly = \"sum(\"", "anomaly: "),
            ("anomaly = \"row_count\"\nsigma = 0", "sigma = 0 is not a number above 0"),
            ("anomaly = \"row_count\"\nruns = 1", "runs = 1 with min_runs = 1 is not right\nHINT: From 2 to 50 runs"),
            ("anomaly = \"row_count\"\nruns = 5\nmin_runs = 6", "runs = 5 with min_runs = 6 is not right"),
        ] {
            let text = anomaly(toml).unwrap_err().to_string();
            assert!(text.starts_with(expected), "{toml}\n{text}");
        }
    }
}
