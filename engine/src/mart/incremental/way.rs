//! The way of a run, or the reason why it is a full one.

use std::sync::Arc;

use boathouse_storage::Snapshot;
use datafusion::{
    arrow::datatypes::FieldRef,
    catalog::{TableProvider, view::ViewTable},
    logical_expr::{EmptyRelation, LogicalPlan},
};

use super::{
    super::{
        plan::Inputs,
        project::{Mart, Project},
        publish::is_defined_so,
        strategy::Strategy,
    },
    basis::Basis,
    delta::{Side, delta},
    groups,
    merge::{self, Parts},
    publish::{Changes, rows_name},
    settled::check_settled,
    shape::{Grouped, is_text},
    source::{Change, Sources},
};
use crate::{EngineError, ErrorKind, catalog::TableName, statement::Context};

const COLUMN_MAPPING: &str = "delta.columnMapping.mode";

/// How a run brings the table to what its sources are now.
pub(super) enum Way {
    /// No row of a source changed.
    Nothing,
    /// Rows are added.
    Append,
    /// The numbers of changed rows are put together with those in the table.
    Merge,
    /// Groups that have a changed row are made anew.
    Groups,
}

impl Way {
    /// As people are told of it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing to do",
            Self::Append => "append",
            Self::Merge => "merge",
            Self::Groups => "groups",
        }
    }

    /// What it does.
    pub fn text(&self) -> &'static str {
        match self {
            Self::Nothing => "no row of its sources changed",
            Self::Append => "rows of the added rows are added",
            Self::Merge => "counts and sums of the changed rows are put together with those in the table",
            Self::Groups => "groups that have a changed row are made anew, of all of their rows",
        }
    }
}

/// What becomes of the sources of a mart.
pub(super) struct Looked {
    /// Name, the version that the last run read, the one that this run reads, and what became of the rows.
    pub sources: Vec<(String, Option<u64>, u64, String)>,
    /// The error is the reason for a full run.
    pub way: Result<Planned, String>,
}

/// A run that looks at changed rows.
pub(super) struct Planned {
    pub way: Way,
    changes: Changes,
    rows: Rows,
}

/// Where the rows come from.
enum Rows {
    Plan(LogicalPlan),
    /// They are made of these groups when the keys are known.
    Of(Box<Grouped>, LogicalPlan),
}

impl Planned {
    /// The rows, which may have to read keys of changed groups; the error is the reason for a full run.
    pub async fn ready(self, context: &Context, mart: &Mart) -> Result<Ready, String> {
        let names: Vec<String> = mart.columns.iter().map(|column| column.name().clone()).collect();
        let plan = match self.rows {
            Rows::Plan(plan) => plan,
            Rows::Of(grouped, keys) => groups::rows(context, &grouped, &names, keys).await?,
        };
        let rows = (rows_name(&mart.definition), Arc::new(ViewTable::new(plan, None)) as _);
        Ok(Ready { way: self.way, changes: self.changes, rows })
    }
}

/// A run whose statement can be carried out.
pub(super) struct Ready {
    pub way: Way,
    pub changes: Changes,
    /// The rows, and the name by which the statement knows them.
    pub rows: (TableName, Arc<dyn TableProvider>),
}

/// Looks at a mart whose table is `target`, with the versions of `inputs`. Nothing is written.
pub(super) async fn looked_at(
    project: &Project,
    mart: &Mart,
    inputs: &Inputs,
    target: Option<&Arc<Snapshot>>,
) -> Looked {
    let full = |why: String| Looked { sources: Vec::new(), way: Err(why) };
    let basis = match allowed(project, mart, inputs, target).await {
        Ok(basis) => basis,
        Err(why) => return full(why),
    };
    let plan = &inputs.plan;
    let sources = match Sources::of(&inputs.bound, plan, &basis).await {
        Ok(sources) => sources,
        Err(why) => return full(why),
    };
    let told = sources.all().map(|source| {
        let became = match &source.change {
            Change::None => "no row changed".to_owned(),
            Change::Added(_) => "rows were added".to_owned(),
            Change::Changed(_) => "rows were changed or deleted".to_owned(),
            Change::Unknown(why) => why.clone(),
        };
        (source.name.to_string(), source.before, source.now, became)
    });
    let told = told.collect();
    Looked { sources: told, way: planned(&sources, plan, mart) }
}

/// Whether the table is what the last run made of the same definition.
async fn allowed(
    project: &Project,
    mart: &Mart,
    inputs: &Inputs,
    target: Option<&Arc<Snapshot>>,
) -> Result<Basis, String> {
    let definition = &mart.definition;
    if definition.strategy != Strategy::Full {
        let word = definition.strategy.word();
        return Err(format!("strategy = \"{word}\" says itself which rows a run replaces"));
    }
    if let Some(test) = definition.tests.iter().find(|test| test.on_violation.takes_rows()) {
        return Err(format!("the test \"{}\" keeps rows out of the table, and looks at all", test.name));
    }
    let Some(target) = target else { return Err("it was never run".to_owned()) };
    if !is_defined_so(definition, &mart.columns, target) {
        return Err("its table is another one than the definition says".to_owned());
    }
    // A name can have been given to another column since, without a word of a row.
    if target.properties().get(COLUMN_MAPPING).is_some_and(|mode| !mode.eq_ignore_ascii_case("none")) {
        return Err(format!("its table has {COLUMN_MAPPING}, so its columns may have been exchanged"));
    }
    let Some(now) = &inputs.basis else {
        return Err(inputs.strange.clone().unwrap_or_else(|| "its inputs cannot be told".to_owned()));
    };
    let basis = Basis::of(&project.engine, target).await?;
    if basis.text == *now {
        return Ok(basis);
    }
    Err(match basis.definition == definition.fingerprint {
        true => {
            "a view or a table that it reads has another definition now, or the time zone or the program is another"
                .to_owned()
        }
        false => "its definition is another one than at the last run".to_owned(),
    })
}

/// Whether a statement may have failed because changed rows cannot be read any more, or because of how it reads them.
pub(super) fn may_be_of_changes(error: &EngineError) -> bool {
    !matches!(error.kind, ErrorKind::Cancelled | ErrorKind::Conflict | ErrorKind::Denied | ErrorKind::Unavailable)
}

fn planned(sources: &Sources<'_>, plan: &LogicalPlan, mart: &Mart) -> Result<Planned, String> {
    for source in sources.all() {
        if let Change::Unknown(why) = &source.change {
            return Err(format!("{}: {why}", source.name));
        }
    }
    let nothing = || {
        let schema = plan.schema().clone();
        let rows = Rows::Plan(LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema }));
        Ok(Planned { way: Way::Nothing, changes: Changes::Added, rows })
    };
    if sources.changed_in(plan).is_none() {
        return nothing();
    }
    if let Some(found) = Grouped::find(plan)? {
        let grouped = Grouped::of(sources, found, &mart.columns)?;
        let partitions = &mart.definition.partition_by;
        let cut = |column: &FieldRef| is_text(column.data_type()) && partitions.contains(column.name());
        if let Some(column) = grouped.keys.iter().map(|at| &mart.columns[*at]).find(|column| cut(column)) {
            let name = column.name();
            return Err(format!("{name} of the GROUP BY is in partition_by, where an empty text becomes NULL"));
        }
        grouped.check_settled()?;
        let keys = grouped.keys.clone();
        if let Some(Parts { rows, combined, count }) = merge::parts(sources, &grouped, &mart.columns)? {
            let changes = Changes::Numbers { keys, combined, count };
            return Ok(Planned { way: Way::Merge, changes, rows: Rows::Plan(rows) });
        }
        let changes = Changes::Groups { keys };
        return match groups::keys(sources, &grouped)? {
            Some(changed) => Ok(Planned { way: Way::Groups, changes, rows: Rows::Of(Box::new(grouped), changed) }),
            None => nothing(),
        };
    }
    let come = delta(sources, plan, Side::Come)?;
    if delta(sources, plan, Side::Gone)?.is_some() {
        let changed = sources.all().find(|source| matches!(source.change, Change::Changed(_)));
        let name = changed.map(|source| source.name.to_string()).unwrap_or_default();
        return Err(format!("rows of {name} were changed or deleted, and without GROUP BY theirs are not found again"));
    }
    check_settled(plan)?;
    match come {
        Some(rows) => Ok(Planned { way: Way::Append, changes: Changes::Added, rows: Rows::Plan(rows) }),
        None => nothing(),
    }
}
