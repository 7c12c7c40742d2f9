//! Tests carried out: over the version that a run is about to publish, over rows that are on their way, over what is there.

use std::sync::Arc;

use boathouse_storage::catalog::{MartTest, MartTestState};
use datafusion::{
    arrow::{
        array::{Array, AsArray, RecordBatch},
        datatypes::Int64Type,
        util::display::{ArrayFormatter, FormatOptions},
    },
    physical_plan::collect,
};

use super::{
    anomaly::Known,
    test::{Check, OnViolation, Test},
    test_sql,
};
use crate::{EngineError, catalog::TableName, parser, statement::Context};

/// Characters of a row that is shown.
const SAMPLE_CHARS_MAX: usize = 300;

/// What was found.
#[derive(Debug, Clone, Default)]
pub(super) struct Audited {
    /// Of the table.
    pub rows: u64,
    pub tests: Vec<MartTest>,
}

impl Audited {
    /// Why nothing may be published.
    pub fn refusal(&self) -> Option<String> {
        let failed: Vec<&MartTest> = self.tests.iter().filter(|test| test.state == MartTestState::Failed).collect();
        let names: Vec<String> = failed.iter().map(|test| format!("\"{}\"", test.name)).collect();
        match names.as_slice() {
            [] => None,
            [one] => Some(format!("the test {one} failed")),
            more => Some(format!("{} tests failed: {}", more.len(), more.join(", "))),
        }
    }
}

/// Carries out `tests` over what `from` stands for in the context, at a time in milliseconds since 1970. `known` are the
/// numbers of the runs before.
pub(super) async fn audit(
    context: &Context,
    from: &TableName,
    tests: &[&Test],
    known: &Known,
    now_ms: i64,
) -> Result<Audited, EngineError> {
    let measures: Vec<String> = tests.iter().filter_map(|test| test_sql::measure(&test.check)).collect();
    let mut numbers = numbers(context, &test_sql::scan(from, &measures)).await?.into_iter();
    let rows = numbers.next().flatten().and_then(|rows| u64::try_from(rows).ok()).unwrap_or_default();
    let mut audited = Audited { rows, tests: Vec::with_capacity(tests.len()) };
    for test in tests {
        let in_test = |error: EngineError| EngineError {
            message: format!("the test \"{}\" cannot be carried out: {}", test.name, error.message),
            ..error
        };
        let (found, value) = match (&test.check, test_sql::count(&test.check, from)) {
            (Check::Anomaly(anomaly), _) => (None, anomaly.value(context, from, rows).await.map_err(in_test)?),
            (_, None) => (numbers.next().flatten(), None),
            (_, Some(sql)) => (self::numbers(context, &sql).await.map_err(in_test)?.first().copied().flatten(), None),
        };
        let (violations, whole) = match &test.check {
            Check::Anomaly(anomaly) => {
                let whole = anomaly.judge(&test.name, value, known);
                (u64::from(whole.is_some()), whole)
            }
            check => violations(check, found, rows, now_ms),
        };
        let samples = match (violations, test_sql::samples(&test.check, from)) {
            (0, _) => Vec::new(),
            (_, Some(sql)) => samples(&self::rows(context, &sql).await.map_err(in_test)?),
            (_, None) => whole.into_iter().collect(),
        };
        let state = match (violations, test.on_violation) {
            (0, _) => MartTestState::Passed,
            (_, OnViolation::Warn) => MartTestState::Warned,
            (_, OnViolation::Fail) => MartTestState::Failed,
            (_, OnViolation::Drop) => MartTestState::Dropped,
            (_, OnViolation::Quarantine) => MartTestState::Quarantined,
        };
        let (name, on_violation) = (test.name.clone(), test.on_violation.word().to_owned());
        audited.tests.push(MartTest { name, on_violation, state, violations, samples, value });
    }
    Ok(audited)
}

/// How many violations a number means, and what is wrong with the whole.
fn violations(check: &Check, found: Option<i64>, rows: u64, now_ms: i64) -> (u64, Option<String>) {
    match check {
        Check::RowCount { min, max } => {
            let wrong = min.is_some_and(|min| rows < min) || max.is_some_and(|max| rows > max);
            let bound = |bound: &Option<u64>| bound.map_or_else(|| "any".to_owned(), |bound| bound.to_string());
            let whole = format!("{rows} rows; from {} to {} are right", bound(min), bound(max));
            (u64::from(wrong), wrong.then_some(whole))
        }
        Check::Freshness { max_age, .. } => match found {
            None => (1, Some("there is no value".to_owned())),
            Some(newest_us) => {
                let age_ms = now_ms.saturating_sub(newest_us.div_euclid(1000));
                let late = i128::from(age_ms) > i128::try_from(max_age.as_millis()).unwrap_or(i128::MAX);
                (u64::from(late), late.then(|| format!("the newest value is {} old", age(age_ms))))
            }
        },
        _ => (found.and_then(|count| u64::try_from(count).ok()).unwrap_or_default(), None),
    }
}

fn age(ms: i64) -> String {
    let minutes = ms / 60_000;
    match (minutes / (24 * 60), minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// Plans everything that [`audit`] would do. Reads no row.
pub(super) async fn check(context: &Context, from: &TableName, test: &Test) -> Result<(), EngineError> {
    let texts = [
        test_sql::measure(&test.check).map(|measure| test_sql::scan(from, &[measure])),
        test_sql::count(&test.check, from),
        test_sql::samples(&test.check, from),
        match &test.check {
            Check::Anomaly(anomaly) => anomaly.sql(from),
            _ => None,
        },
    ];
    for sql in texts.into_iter().flatten() {
        let planned = async { context.analyze(context.plan_query(*parser::parse_query(&sql)?).await?) };
        // The person has not written this text.
        planned.await.map_err(EngineError::without_excerpt)?;
    }
    Ok(())
}

pub(super) async fn rows(context: &Context, sql: &str) -> Result<Vec<RecordBatch>, EngineError> {
    let context = context.with_sql(&Arc::from(sql));
    let plan = context.analyze(context.plan_query(*parser::parse_query(sql)?).await?)?;
    let physical = context.physical_plan(&plan).await?;
    collect(physical, context.task()).await.map_err(|error| context.error(error).without_excerpt())
}

/// The only row of a query, whose columns are all numbers.
pub(super) async fn numbers(context: &Context, sql: &str) -> Result<Vec<Option<i64>>, EngineError> {
    let batches = rows(context, sql).await?;
    let row = batches.iter().find(|batch| batch.num_rows() > 0);
    let row = row.ok_or_else(|| EngineError::internal("a test gave no row"))?;
    let number = |column: &Arc<dyn Array>| {
        let numbers = column.as_primitive_opt::<Int64Type>();
        let numbers = numbers.ok_or_else(|| EngineError::internal("a test gave something other than a number"))?;
        Ok(numbers.is_valid(0).then(|| numbers.value(0)))
    };
    row.columns().iter().map(number).collect()
}

/// Rows as texts: `day: 2026-01-01, revenue: -3`.
pub(super) fn samples(batches: &[RecordBatch]) -> Vec<String> {
    let mut texts = Vec::new();
    let options = FormatOptions::default().with_null("NULL");
    for batch in batches {
        let schema = batch.schema();
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
                let value =
                    ArrayFormatter::try_new(column.as_ref(), &options).map(|value| value.value(row).to_string());
                format!("{}: {}", field.name(), value.unwrap_or_else(|_| "?".to_owned()))
            });
            let text = cells.collect::<Vec<_>>().join(", ");
            texts.push(match text.char_indices().nth(SAMPLE_CHARS_MAX) {
                Some((cut, _)) => format!("{}...", &text[..cut]),
                None => text,
            });
        }
    }
    texts
}
