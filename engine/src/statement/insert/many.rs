//! INSERT ... VALUES ($1, $2) for many rows of parameters at once: one plan, one commit.
//!
//! Run for each row by itself, a thousand rows are a thousand commits. When each value of the one row given is a parameter
//! or a constant, the rows of parameters are the rows to insert, and a table in memory can take the place of VALUES.
//! Values are held to what a single run holds them to: none may lose anything in its column's type.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, RecordBatch},
        compute::{CastOptions, cast, cast_with_options, kernels::cmp::not_distinct},
        datatypes::{DataType, Field, Schema},
    },
    common::{Column, ScalarValue},
    datasource::{MemTable, provider_as_source},
    error::DataFusionError,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Values, expr::Placeholder},
};

use super::{Insert, is_literal, misfit};
use crate::{
    EngineError,
    statement::{Context, Outcome, parameter},
};

impl Insert {
    /// Whether [`Insert::run_rows`] may take the place of a run for each row.
    pub fn takes_rows(&self) -> bool {
        let Some(row) = self.only_row() else { return false };
        let mut parameters: Vec<&str> = row.iter().filter_map(placeholder).collect();
        let count = parameters.len();
        parameters.sort_unstable();
        parameters.dedup();
        count > 0 && parameters.len() == count && row.iter().all(|expr| placeholder(expr).is_some() || is_literal(expr))
    }

    /// Inserts a row for each row of parameters, all in one commit.
    pub async fn run_rows(&self, context: &Context, batches: &[RecordBatch]) -> Result<Outcome, EngineError> {
        let Some(row) = self.only_row() else {
            return Err(EngineError::internal("a statement that cannot take rows of parameters got some"));
        };
        let schema = Arc::new(parameter::schema(&self.rows));
        let mut rows = Vec::with_capacity(batches.len());
        let (mut before, total) = (0, batches.iter().map(RecordBatch::num_rows).sum());
        for batch in batches {
            rows.push(fit(&schema, batch, before, total)?);
            before += batch.num_rows();
        }
        let table = MemTable::try_new(schema, vec![rows]).map_err(|error| context.error(error))?;
        let scan = LogicalPlanBuilder::scan("parameters", provider_as_source(Arc::new(table)), None)?;
        let values = row.iter().enumerate().map(|(index, expr)| {
            let value = match placeholder(expr) {
                Some(id) => Expr::Column(Column::new_unqualified(id.trim_start_matches('$'))),
                None => expr.clone(),
            };
            value.alias(format!("value {}", index + 1))
        });
        let plan = scan.project(values.collect::<Vec<_>>())?.build()?;
        self.append(context, plan).await
    }

    /// The row of VALUES, when the statement adds one and nothing else.
    fn only_row(&self) -> Option<&[Expr]> {
        if self.overwrite.is_some() || self.replaced.is_some() {
            return None;
        }
        match &self.rows {
            LogicalPlan::Values(Values { values, .. }) if values.len() == 1 => Some(&values[0]),
            _ => None,
        }
    }
}

/// The parameter that an expression is.
fn placeholder(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Placeholder(Placeholder { id, .. }) => Some(id),
        _ => None,
    }
}

/// Parameters under their types. Clients name them as they like: the place counts.
fn fit(schema: &Arc<Schema>, batch: &RecordBatch, before: usize, total: usize) -> Result<RecordBatch, EngineError> {
    let (expected, given) = (schema.fields().len(), batch.num_columns());
    if expected != given {
        let expected = parameter::counted(expected);
        return Err(EngineError::invalid(format!("the statement has {expected}, but {given} were given")));
    }
    let columns = schema.fields().iter().zip(batch.columns());
    let columns = columns.map(|(field, column)| fit_column(field, column, before, total));
    Ok(RecordBatch::try_new(schema.clone(), columns.collect::<Result<_, _>>()?).map_err(DataFusionError::from)?)
}

fn fit_column(field: &Field, given: &ArrayRef, before: usize, total: usize) -> Result<ArrayRef, EngineError> {
    let plain = match given.data_type() {
        DataType::Dictionary(_, value) => cast(given, value).map_err(DataFusionError::from)?,
        _ => given.clone(),
    };
    if plain.data_type() == field.data_type() {
        return Ok(plain);
    }
    let refused = |row: usize| {
        let value = ScalarValue::try_from_array(&plain, row)?;
        let detail = format!("Row {} of {total} parameter rows; no row was applied.", before + row + 1);
        Ok::<_, EngineError>(misfit(field, &value).with_detail(detail))
    };
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let fits = |values: &ArrayRef| cast_with_options(values, field.data_type(), &options);
    let fitted = match fits(&plain) {
        Ok(fitted) => fitted,
        Err(error) => {
            let first = (0..plain.len()).find(|row| fits(&plain.slice(*row, 1)).is_err());
            return Err(first.map(refused).transpose()?.unwrap_or_else(|| DataFusionError::from(error).into()));
        }
    };
    // Text is parsed, which loses nothing.
    if !plain.data_type().is_string() {
        let back = cast(&fitted, plain.data_type());
        let same = back.and_then(|back| not_distinct(&back, &plain)).map_err(DataFusionError::from)?;
        if let Some(row) = (0..same.len()).find(|row| !same.value(*row)) {
            return Err(refused(row)?);
        }
    }
    Ok(fitted)
}
