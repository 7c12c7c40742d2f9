//! What a run would do, and why: nothing is written.

use std::{collections::BTreeSet, sync::Arc};

use boathouse_storage::{Snapshot, StorageError, catalog::MartInput};
use datafusion::logical_expr::LogicalPlan;

use super::{
    PROGRAM, fingerprint,
    interval::Interval,
    ledger::SEEN,
    project::{Mart, Project},
    run::Mode,
    steps::Step,
};
use crate::{
    Engine, EngineError,
    cache::{detach, is_fixed},
    catalog::TableName,
    session::Pins,
    statement::{Context, data_type::sql_type},
};

/// A mart, and what a run would do with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    pub mart: String,
    pub strategy: &'static str,
    pub change: Change,
    /// The tables that it reads, through views, marts among them.
    pub reads: Vec<String>,
    /// Name and type.
    pub columns: Vec<(String, String)>,
    pub tests: usize,
    /// Where its rows go: destination, place in it, and what becomes of rows there.
    pub exports: Vec<(String, String, &'static str)>,
    /// Those that would be carried out, by their beginnings, in this order.
    pub intervals: Vec<String>,
}

/// Why a mart would run, or that it would not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It was never published.
    New,
    /// Its definition is another one than that which was published.
    Definition,
    /// What it reads changed: the table, the version that was read, if it was, and the version now, if it is there.
    Inputs(Vec<(String, Option<u64>, Option<u64>)>),
    /// These marts that it reads would run.
    Upstream(Vec<String>),
    /// Intervals are over that it was not run for.
    Time,
    /// Somebody else changed the rows of its table.
    Rows,
    /// Its rows cannot be told from its inputs alone, so it always runs.
    Always,
    UpToDate,
}

impl Project {
    /// What a run of these marts, or of all, would do.
    pub async fn plan(&self, names: &[String]) -> Result<Vec<Planned>, EngineError> {
        let (project, selected) = (self.clone(), self.selected(names)?);
        let work = async move {
            let (mut planned, mut will_run) = (Vec::new(), BTreeSet::new());
            for at in selected {
                let (change, steps) = project.change(at, &will_run).await?;
                if change != Change::UpToDate {
                    will_run.insert(at);
                }
                planned.push(project.marts[at].planned(change, &steps));
            }
            Ok(planned)
        };
        self.engine.runtime().spawn(work).await?
    }

    async fn change(&self, at: usize, will_run: &BTreeSet<usize>) -> Result<(Change, Vec<Step>), EngineError> {
        let mart = &self.marts[at];
        let steps = |target: Option<&Snapshot>, inputs| self.steps(mart, target, inputs, Mode::Stale);
        let Some(target) = published(&self.engine, &mart.definition.name).await? else {
            return Ok((Change::New, steps(None, None)));
        };
        let target: &Snapshot = &target;
        let upstream = mart.upstream.iter().filter(|read| will_run.contains(read));
        let upstream: Vec<String> = upstream.map(|read| self.marts[*read].definition.name()).collect();
        if !upstream.is_empty() {
            return Ok((Change::Upstream(upstream), steps(Some(target), None)));
        }
        let inputs = Inputs::of(&mart.context(&self.engine, &Pins::new()), mart).await?;
        if self.mode_now(mart, Some(target), inputs.number(), Mode::Stale).await? == Mode::Forced {
            return Ok((Change::Rows, self.steps(mart, Some(target), inputs.number(), Mode::Forced)));
        }
        let steps = steps(Some(target), inputs.number());
        if steps.is_empty() {
            return Ok((Change::UpToDate, steps));
        }
        let Some(number) = inputs.number() else { return Ok((Change::Always, steps)) };
        if mart.definition.interval.is_some() && target.transaction(SEEN) == Some(number) {
            return Ok((Change::Time, steps));
        }
        let document = self.engine.lake().mart(&mart.definition.name()).await?;
        let change = match document.published() {
            Some(run) if run.definition != mart.definition.fingerprint => Change::Definition,
            Some(run) => Change::Inputs(differences(&run.inputs, &inputs.tables)),
            None => Change::Inputs(Vec::new()),
        };
        Ok((change, steps))
    }
}

impl Mart {
    fn planned(&self, change: Change, steps: &[Step]) -> Planned {
        let columns = self.columns.iter().map(|field| (field.name().clone(), sql_type(field.data_type())));
        Planned {
            mart: self.definition.name(),
            strategy: self.definition.strategy.word(),
            change,
            reads: self.reads.iter().map(ToString::to_string).collect(),
            columns: columns.collect(),
            tests: self.definition.tests.len(),
            exports: self
                .definition
                .exports
                .iter()
                .map(|export| {
                    let target = export.target(&self.definition.name()).to_owned();
                    (export.to.clone(), target, export.mode.word())
                })
                .collect(),
            intervals: steps.iter().filter_map(|step| step.interval.as_ref()).map(Interval::name).collect(),
        }
    }
}

/// The mart's table, when a run of it was ever published.
pub(super) async fn published(engine: &Engine, name: &TableName) -> Result<Option<Arc<Snapshot>>, EngineError> {
    match engine.lake().table(&name.schema, &name.name).await {
        Ok(table) => Ok(Some(table).filter(|table| table.transaction(PROGRAM).is_some())),
        Err(StorageError::TableNotFound { .. } | StorageError::SchemaNotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What a run reads.
pub(super) struct Inputs {
    /// The versions, for this run and those behind it.
    pub pins: Pins,
    pub tables: Vec<MartInput>,
    /// Equal for equal rows; `None` when nothing can be told of them.
    pub fingerprint: Option<String>,
    /// Stands for the definition and for what names stand for, versions aside; `None` where there is no fingerprint.
    pub basis: Option<String>,
    /// Why there is none.
    pub strange: Option<String>,
    /// The query, and where its names were bound.
    pub plan: LogicalPlan,
    pub bound: Context,
}

impl Inputs {
    /// Binds the names of the mart's query in `context`.
    pub async fn of(context: &Context, mart: &Mart) -> Result<Self, EngineError> {
        let plan = context.analyze(context.plan_query(mart.definition.sample()?).await?)?;
        let in_lake = detach(plan.clone(), &context.pinned).map_err(|error| context.error(error))?.is_some();
        let fixed = is_fixed(&plan).map_err(|error| context.error(error))?;
        let told = context.pinned.lasting().filter(|_| in_lake && fixed);
        let fingerprint = told.map(|told| {
            let definition = std::iter::once(mart.definition.fingerprint.clone());
            fingerprint::of(definition.chain(told))
        });
        let basis = context.pinned.standing().filter(|_| fingerprint.is_some()).map(|names| {
            let zone = context.state.config_options().execution.time_zone.clone().unwrap_or_default();
            let said = [mart.definition.fingerprint.clone(), env!("CARGO_PKG_VERSION").to_owned(), zone];
            fingerprint::of(said.into_iter().chain(names))
        });
        let strange = match (in_lake, fixed, &basis) {
            (_, false, _) => Some("it calls a function that looks at more than its arguments, such as now()"),
            (false, ..) => Some("it reads what has no versions, such as files or tables of the system"),
            (true, true, None) => {
                Some("it reads a table outside of the lake, or at a version that moves with the time")
            }
            (true, true, Some(_)) => None,
        };
        let strange = strange.map(str::to_owned);
        let pins = context.pinned.pins();
        let tables =
            pins.iter().map(|(table, version)| MartInput { table: table.clone(), version: *version }).collect();
        Ok(Self { pins, tables, fingerprint, basis, strange, plan, bound: context.clone() })
    }

    /// What stands for definition and inputs in a commit.
    pub fn number(&self) -> Option<i64> {
        self.fingerprint.as_deref().map(fingerprint::number)
    }
}

fn differences(before: &[MartInput], now: &[MartInput]) -> Vec<(String, Option<u64>, Option<u64>)> {
    let version =
        |of: &[MartInput], table: &str| of.iter().find(|input| input.table == table).map(|input| input.version);
    let names: BTreeSet<&str> = before.iter().chain(now).map(|input| input.table.as_str()).collect();
    let each = names.into_iter().map(|name| (name.to_owned(), version(before, name), version(now, name)));
    each.filter(|(_, before, now)| before != now).collect()
}
