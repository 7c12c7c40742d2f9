//! ```text
//! EXPLAIN [ANALYZE] [VERBOSE] [FORMAT { INDENT | TREE }] statement
//! EXPLAIN (ANALYZE, VERBOSE, FORMAT tree) statement
//! EXPLAIN [REFRESH] MART name [FORCE]
//! ```
//! Shows how a statement would run. Only ANALYZE runs it, and only a query: EXPLAIN never writes. ANALYZE adds a row for
//! each scan of a Delta table: its files, those skipped by partition and by statistics, those read, and the bytes read, by tier. A
//! first row tells when the statement would be answered from the result cache; ANALYZE always runs. Of a mart, made by a
//! statement or by a file, it tells what became of its sources since its last run, whether a run would look at the changed
//! rows alone, and why not.

use std::{sync::Arc, time::Instant};

use boathouse_storage::table::{ScanReport, scan_reports};
use datafusion::{
    arrow::datatypes::SchemaRef,
    common::ScalarValue,
    logical_expr::LogicalPlan,
    physical_plan::{ExecutionPlan, display::DisplayableExecutionPlan, execute_stream},
};
use futures::StreamExt;

use super::{
    Context, Outcome, Statement, parameter,
    refresh_mart::RefreshMart,
    rows::{Row, some, text_batch, text_schema},
    show::internal,
};
use crate::{
    EngineError, RowStream,
    cache::Form,
    parser::{self, Ast, ExplainFormat, MartChange},
};

#[derive(Debug)]
pub(crate) struct Explain {
    analyze: bool,
    verbose: bool,
    format: ExplainFormat,
    statement: Box<Statement>,
}

impl Explain {
    pub async fn plan(context: &Context, ast: parser::Explain) -> Result<Self, EngineError> {
        let parser::Explain { analyze, verbose, format, start, statement } = ast;
        if matches!(*statement, Ast::Explain(_)) {
            return Err(EngineError::invalid("EXPLAIN cannot explain itself"));
        }
        let inner = match (statement.is_query(), context.sql.get(start..)) {
            (true, Some(sql)) => context.of_query(Form::Query, sql),
            _ => context.of_no_query(),
        };
        let statement = Box::new(match *statement {
            Ast::Mart(change) if matches!(*change, MartChange::Refresh { .. }) => {
                Statement::RefreshMart(RefreshMart::plan_shown(context, *change).await?)
            }
            statement => Statement::plan(&inner, statement).await?,
        });
        if analyze && !matches!(*statement, Statement::Query(_)) {
            let message = format!("EXPLAIN ANALYZE runs the statement, and {} is not a query", statement.title());
            return Err(EngineError::unsupported(message).with_hint("Leave ANALYZE out."));
        }
        Ok(Self { analyze, verbose, format, statement })
    }

    pub async fn run(&self, context: &Context, parameters: &[ScalarValue]) -> Result<Outcome, EngineError> {
        let mut rows: Vec<Row> = Vec::new();
        let of_merge = matches!(*self.statement, Statement::Merge(_)).then(|| context.for_merge());
        let context = of_merge.as_ref().unwrap_or(context);
        if !matches!(*self.statement, Statement::Query(_)) {
            rows.push(vec![some("statement"), some(self.statement.title())]);
        }
        if let Statement::RefreshMart(refresh) = &*self.statement {
            rows.extend(refresh.explained(context).await?.into_iter().map(|(what, told)| vec![Some(what), Some(told)]));
        }
        if !self.analyze && self.statement.has_kept_rows(context, parameters) {
            rows.push(vec![some("result_cache"), some("result cache: hit")]);
        }
        if let Some(source) = self.statement.source() {
            let values = if matches!(*self.statement, Statement::Execute(_)) { &[] } else { parameters };
            let plan = if values.is_empty() { source.clone() } else { parameter::bind(source, values)? };
            if self.analyze {
                self.measure(context, &plan, &mut rows).await?;
            } else {
                self.show(context, &plan, &mut rows).await?;
            }
        }
        let batch = text_batch(&self.schema(), &rows).map_err(internal)?;
        Ok(Outcome::Rows(RowStream::of_batch(batch)))
    }

    pub fn schema(&self) -> SchemaRef {
        text_schema(&["plan_type", "plan"])
    }

    pub fn source(&self) -> Option<&LogicalPlan> {
        self.statement.source()
    }

    async fn show(&self, context: &Context, plan: &LogicalPlan, rows: &mut Vec<Row>) -> Result<(), EngineError> {
        if self.verbose {
            rows.push(vec![some("initial_logical_plan"), Some(plan.display_indent_schema().to_string())]);
        }
        let optimized = context.state.optimize(plan).map_err(|error| context.error(error))?;
        let logical = match self.verbose {
            true => optimized.display_indent_schema().to_string(),
            false => optimized.display_indent().to_string(),
        };
        rows.push(vec![some("logical_plan"), Some(logical)]);
        // A parameter without a value has no physical plan.
        if parameter::schema(plan).fields().is_empty() {
            let physical = context.physical_plan(plan).await?;
            rows.push(vec![
                some("physical_plan"),
                Some(self.display(&DisplayableExecutionPlan::new(physical.as_ref()))),
            ]);
        }
        Ok(())
    }

    /// Runs the query and throws its rows away.
    async fn measure(&self, context: &Context, plan: &LogicalPlan, rows: &mut Vec<Row>) -> Result<(), EngineError> {
        let physical = context.physical_plan(plan).await?;
        let started = Instant::now();
        let counted = count(context, &physical).await?;
        let elapsed = started.elapsed();
        let metrics = DisplayableExecutionPlan::with_metrics(physical.as_ref());
        rows.push(vec![some("Plan with Metrics"), Some(self.display(&metrics))]);
        rows.extend(scan_reports(physical.as_ref()).iter().map(scan_row));
        rows.push(vec![some("Result"), Some(format!("rows={counted} elapsed={elapsed:.1?}"))]);
        Ok(())
    }

    fn display(&self, plan: &DisplayableExecutionPlan<'_>) -> String {
        match self.format {
            ExplainFormat::Indent => plan.indent(self.verbose).to_string(),
            ExplainFormat::Tree => plan.tree_render().to_string(),
        }
    }
}

async fn count(context: &Context, plan: &Arc<dyn ExecutionPlan>) -> Result<usize, EngineError> {
    let mut batches = execute_stream(plan.clone(), context.task()).map_err(|error| context.error(error))?;
    let mut rows = 0;
    while let Some(batch) = batches.next().await {
        rows += batch.map_err(|error| context.error(error))?.num_rows();
    }
    Ok(rows)
}

fn scan_row(report: &ScanReport) -> Row {
    let mut text = format!(
        "table={} version={} files={} files_skipped_by_partition={} files_skipped_by_statistics={} files_read={} \
         files_hot={} parts_skipped_while_running={} bytes_read={}",
        report.table,
        report.version,
        report.files,
        report.files_skipped_by_partition,
        report.files_skipped_by_statistics,
        report.files_read,
        report.files_hot,
        report.parts_skipped_while_running,
        report.bytes_read,
    );
    if report.files_hot > 0 {
        text.push_str(&format!(" bytes_hot={}", report.bytes_hot));
    }
    // Only a far store has them.
    let (warm, fetched, requests) = (report.bytes_warm, report.bytes_fetched, report.requests);
    if warm > 0 || requests > 0 {
        text.push_str(&format!(" bytes_warm={warm} bytes_fetched={fetched} requests={requests}"));
    }
    vec![some("Scan"), Some(text)]
}
