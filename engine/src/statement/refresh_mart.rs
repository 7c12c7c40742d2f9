//! ```text
//! REFRESH MART name [FORCE]
//! ```
//! Runs a mart that a statement made, as `boathouse mart run` does: nothing happens when its rows are those of its inputs,
//! unless FORCE is said. The statement ends when the run does, with its error when nothing was published; a statement that
//! ends before, by its timeout, KILL or its client, ends the run. What the mart exports is delivered by a server of the lake.

use std::sync::Arc;

use datafusion::{common::ScalarValue, sql::sqlparser::ast::ObjectName};

use super::{Context, Outcome, Statement, mart, name};
use crate::{
    EngineError, ErrorKind,
    catalog::TableName,
    mart::{Fault, MartOptions, MartOutcome, Project, Waiting, explain, read_lake, stored_of},
    parser::MartChange,
};

#[derive(Debug)]
pub(crate) struct RefreshMart {
    name: TableName,
    force: bool,
    /// The definition's text, for EXPLAIN.
    text: String,
}

impl RefreshMart {
    pub async fn plan(context: &Context, ast: ObjectName, force: bool) -> Result<Self, EngineError> {
        let name = name::target(context, &ast)?;
        match stored_of(context.engine.lake(), &name).await? {
            Some(stored) => Ok(Self { name, force, text: stored.text }),
            None => Err(mart::unknown(context, &name).await?.at(&context.sql, name::place(&ast))),
        }
    }

    /// The same for EXPLAIN, also of a mart that a file defines.
    pub async fn plan_shown(context: &Context, change: MartChange) -> Result<Self, EngineError> {
        let MartChange::Refresh { name: ast, force } = change else {
            return Err(EngineError::internal("EXPLAIN MART of another statement"));
        };
        let name = name::target(context, &ast)?;
        let text = context.engine.lake().mart(&name.to_string()).await?.definition.text.clone();
        if text.is_empty() || stored_of(context.engine.lake(), &name).await?.is_some() {
            return Self::plan(context, ast, force).await;
        }
        Ok(Self { name, force, text })
    }

    /// What is told of a run that would begin now, and its value.
    pub async fn explained(&self, context: &Context) -> Result<Vec<(String, String)>, EngineError> {
        explain(&context.engine, &self.name, &self.text, self.force).await
    }

    /// Holds nobody's place: the run waits for one of its own.
    pub async fn run(&self, context: &Context, _: &[ScalarValue]) -> Result<Outcome, EngineError> {
        let engine = Arc::clone(&context.engine);
        let definitions = read_lake(&engine).await.map_err(first)?;
        let (project, mut faults) = Project::open_sound(&engine, definitions, MartOptions::of_statements()).await;
        let name = self.name.to_string();
        if !project.names().contains(&name) {
            let own = faults.iter().position(|fault| fault.file.ends_with(&format!(" {name}"))).unwrap_or(0);
            if own < faults.len() {
                faults.swap(0, own);
            }
            return Err(first(faults));
        }
        let waiting = Waiting::new();
        let (project, names, force) = (project.called_by(waiting.caller()), [name.clone()], self.force);
        // A task of its own: when this statement is given up, the run hears of it, and gives its lease back.
        let run = tokio::spawn(async move { project.run(&names, force, |_| {}).await });
        let broken = |error| EngineError::internal("the run of a mart was broken off").with_source(error);
        let reports = run.await.map_err(broken)??;
        drop(waiting);
        match reports.into_iter().next().map(|report| report.outcome) {
            Some(MartOutcome::Succeeded { .. } | MartOutcome::Skipped { .. }) => Ok(Outcome::Done("REFRESH MART")),
            Some(MartOutcome::Failed(error)) => Err(error.without_excerpt()),
            Some(MartOutcome::Blocked { by }) => Err(EngineError::new(
                ErrorKind::Unavailable,
                format!("\"{by}\", which mart \"{name}\" reads, has failed"),
            )),
            Some(MartOutcome::Busy { holder }) => {
                let message = format!("mart \"{name}\" is run by another process: {holder}");
                Err(EngineError::new(ErrorKind::Conflict, message).with_hint("Wait for it, or try again later."))
            }
            None => Err(EngineError::internal("the run of a mart gave no report")),
        }
    }
}

impl Statement {
    /// Whether it only waits for statements that it begins: were it to hold one's place, they might wait for each other.
    pub fn waits_for_others(&self) -> bool {
        matches!(self, Self::RefreshMart(_))
    }
}

/// The fault as an error of this statement.
fn first(faults: Vec<Fault>) -> EngineError {
    match faults.into_iter().next() {
        Some(fault) => {
            let message = format!("{}: {}", fault.file, fault.error.message);
            EngineError { message, ..fault.error.without_excerpt() }
        }
        None => EngineError::internal("a mart without a fault cannot be run"),
    }
}
