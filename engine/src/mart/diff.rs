//! In what two versions of a mart's table differ: rows that came, went and changed.
//!
//! ```text
//! rows of the one, counted down, and of the other, counted up --grouped by all columns--> what is left of neither
//!   --grouped by the key, when the mart has one--> a row that went and one that came are one that changed
//! ```
//! It is all grouping, which spills where it must: no version is ever held in memory, and NULL is a value like any other.

use std::{collections::BTreeSet, sync::Arc};

use boathouse_storage::catalog::MartRunState;
use datafusion::arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{FieldRef, Int64Type, SchemaRef},
    util::display::{ArrayFormatter, FormatOptions},
};

use super::{
    audit::{numbers, rows, samples},
    definition::Definition,
    plan::published,
    project::full_name,
    stored::stored_of,
    test_sql::{quoted, table},
};
use crate::{
    Engine, EngineError, Origin,
    catalog::TableName,
    parser,
    queries::Phase,
    session::Pins,
    statement::{Context, data_type::sql_type},
};

/// Which versions, and how much is shown.
#[derive(Debug, Clone, Copy)]
pub struct DiffOptions {
    /// That of the run before the last one up to `to` when nothing is said.
    pub from: Option<u64>,
    /// The newest when nothing is said.
    pub to: Option<u64>,
    /// Rows that are shown of each kind.
    pub samples: usize,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    pub from: u64,
    pub to: u64,
    /// Of both versions.
    pub rows: (u64, u64),
    /// The columns by which a row is known again; without them none changes.
    pub key: Vec<String>,
    pub added: u64,
    pub removed: u64,
    pub changed: u64,
    /// Columns that are in one version alone, or of another type, and are not compared: a text of each.
    pub columns: Vec<String>,
    /// Rows: `+` that came, `-` that went, `~` that changed, with what.
    pub samples: Vec<String>,
}

/// By how much the rows that are equal in all columns became more.
const BY: &str = "\"boathouse difference\"";
/// One row of a version.
const ONE: &str = "\"boathouse row\"";
const CAME: &str = "\"boathouse came\"";
const WENT: &str = "\"boathouse went\"";

/// Compares two versions of a mart's table, by its name.
pub async fn diff(engine: &Arc<Engine>, mart: &str, options: DiffOptions) -> Result<Diff, EngineError> {
    let (on, mart) = (engine.clone(), mart.to_owned());
    engine.runtime().spawn(async move { compared(&on, &mart, options).await }).await?
}

async fn compared(engine: &Arc<Engine>, mart: &str, options: DiffOptions) -> Result<Diff, EngineError> {
    let mart = full_name(mart);
    let (schema, name) = mart.split_once('.').unwrap_or(("main", &mart));
    let name = TableName::new(schema, name);
    let (from, to) = versions(engine, &name, options).await?;
    let live = engine.queries().begin(&Origin::default(), &format!("MART DIFF {name}"), Phase::Queued);
    live.is_a("MART");
    let permit = Arc::new(engine.permits().acquire(None, live).await?);
    let context = Context::new(engine, &engine.session(), "", &Pins::new()).for_run(permit.clone());
    let found = permit.bound(between(&context, &name, from, to, options.samples)).await;
    match &found {
        Ok(_) => permit.live().done(),
        Err(error) => permit.live().failed(error),
    }
    found
}

async fn versions(engine: &Arc<Engine>, name: &TableName, options: DiffOptions) -> Result<(u64, u64), EngineError> {
    let Some(newest) = published(engine, name).await? else {
        let error = EngineError::not_found(format!("mart \"{name}\" was never published"));
        return Err(error.with_hint("boathouse mart run builds it; SHOW MARTS lists what there is."));
    };
    let to = options.to.unwrap_or(newest.version());
    if let Some(wrong) = [options.from, Some(to)].into_iter().flatten().find(|version| *version > newest.version()) {
        let error = EngineError::not_found(format!("mart \"{name}\" has no version {wrong}"));
        return Err(error.with_hint(format!("Its newest is {}.", newest.version())));
    }
    let document = engine.lake().mart(&name.to_string()).await?;
    let runs = document.runs.iter().filter(|run| run.state == MartRunState::Succeeded);
    let runs: BTreeSet<u64> = runs.filter_map(|run| run.version).filter(|version| *version <= to).collect();
    // What was done to the table since its last run, as when its files were compacted, is no run.
    let mut newest_first = runs.into_iter().rev();
    let (last, before) = (newest_first.next(), newest_first.next());
    let from = options.from.or(before).or(last.filter(|version| *version < to)).or(to.checked_sub(1));
    let from = from.ok_or_else(|| {
        let error = EngineError::invalid(format!("mart \"{name}\" has no version before version {to}"));
        error.with_hint("--from names another one.")
    })?;
    Ok((from, to))
}

/// The columns by which a row of a mart is known again, if there are some.
async fn key(context: &Context, name: &TableName) -> Result<Vec<String>, EngineError> {
    let lake = context.engine.lake();
    let text = match stored_of(lake, name).await? {
        Some(stored) => stored.text,
        None => lake.mart(&name.to_string()).await?.definition.text.clone(),
    };
    let Ok(definition) = Definition::parse(&format!("{name}.sql"), &text) else { return Ok(Vec::new()) };
    Ok(definition.row_key())
}

fn version_of(name: &TableName, version: u64) -> String {
    format!("{} VERSION AS OF {version}", table(name))
}

async fn schema_of(context: &Context, name: &TableName, version: u64) -> Result<SchemaRef, EngineError> {
    let query = parser::parse_query(&format!("SELECT * FROM {}", version_of(name, version)))?;
    let plan = context.again().plan_query(*query).await.map_err(EngineError::without_excerpt)?;
    Ok(Arc::new(plan.schema().as_arrow().clone()))
}

async fn between(
    context: &Context,
    name: &TableName,
    from: u64,
    to: u64,
    samples_max: usize,
) -> Result<Diff, EngineError> {
    let (before, after) = (schema_of(context, name, from).await?, schema_of(context, name, to).await?);
    let (common, columns) = columns(&before, &after);
    if common.is_empty() {
        let error = EngineError::unsupported(format!("versions {from} and {to} of mart \"{name}\" share no column"));
        return Err(error.with_hint("Choose two versions of the same table with --from and --to."));
    }
    let mut key = key(context, name).await?;
    if key.iter().any(|column| common.iter().all(|field| field.name() != column)) {
        key.clear();
    }
    let query = Query { name, from, to, common: &common, key: &key };
    let count = async |version| {
        let sql = format!("SELECT count(*) AS n FROM {}", version_of(name, version));
        let counted = numbers(&context.again(), &sql).await?;
        Ok::<u64, EngineError>(unsigned(counted.first().copied().flatten()))
    };
    let rows = (count(from).await?, count(to).await?);
    let counts = numbers(&context.again(), &query.counts()).await?;
    let [added, removed, changed] = [0, 1, 2].map(|at: usize| unsigned(counts.get(at).copied().flatten()));
    let mut diff = Diff { from, to, rows, key: key.clone(), added, removed, changed, columns, samples: Vec::new() };
    for (sign, count) in [('+', added), ('-', removed)] {
        if count > 0 && samples_max > 0 {
            let found = self::rows(&context.again(), &query.rows(sign, samples_max)).await?;
            diff.samples.extend(samples(&found).into_iter().map(|row| format!("{sign} {row}")));
        }
    }
    if changed > 0 && samples_max > 0 {
        let found = self::rows(&context.again(), &query.changes(samples_max)).await?;
        diff.samples.extend(changes(&found, &key)?);
    }
    Ok(diff)
}

fn unsigned(number: Option<i64>) -> u64 {
    number.and_then(|number| u64::try_from(number).ok()).unwrap_or_default()
}

/// The columns that both versions have, of one type, and what is to be said of the others.
fn columns(before: &SchemaRef, after: &SchemaRef) -> (Vec<FieldRef>, Vec<String>) {
    let (mut common, mut others) = (Vec::new(), Vec::new());
    for field in before.fields() {
        let name = field.name();
        match after.fields().iter().find(|other| other.name() == name) {
            Some(other) if other.data_type() == field.data_type() => common.push(field.clone()),
            Some(other) => {
                let (was, is) = (sql_type(field.data_type()), sql_type(other.data_type()));
                others.push(format!("column {name} was {was} and is {is}; it is not compared"));
            }
            None => others.push(format!("column {name} {} went", sql_type(field.data_type()))),
        }
    }
    for field in after.fields().iter().filter(|field| before.fields().iter().all(|other| other.name() != field.name()))
    {
        others.push(format!("column {} {} came", field.name(), sql_type(field.data_type())));
    }
    (common, others)
}

/// The SQL of a comparison.
struct Query<'a> {
    name: &'a TableName,
    from: u64,
    to: u64,
    common: &'a [FieldRef],
    key: &'a [String],
}

impl Query<'_> {
    fn listed(&self) -> String {
        self.common.iter().map(|field| quoted(field.name())).collect::<Vec<_>>().join(", ")
    }

    fn by_key(&self) -> String {
        self.key.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ")
    }

    /// Rows of which one version has more than the other, and by how much.
    fn differing(&self) -> String {
        let (listed, from, to) = (self.listed(), version_of(self.name, self.from), version_of(self.name, self.to));
        format!(
            "SELECT {listed}, sum({ONE}) AS {BY} FROM ((SELECT {listed}, -1 AS {ONE} FROM {from}) UNION ALL \
             (SELECT {listed}, 1 AS {ONE} FROM {to})) AS both_versions GROUP BY {listed} HAVING sum({ONE}) <> 0"
        )
    }

    fn came(over: &str) -> String {
        format!("sum(CASE WHEN {BY} > 0 THEN {BY} ELSE 0 END){over}")
    }

    fn went(over: &str) -> String {
        format!("sum(CASE WHEN {BY} < 0 THEN -{BY} ELSE 0 END){over}")
    }

    /// How many rows came, went and changed.
    fn counts(&self) -> String {
        let (came, went, differing) = (Self::came(""), Self::went(""), self.differing());
        if self.key.is_empty() {
            return format!(
                "SELECT coalesce({came}, 0) AS a, coalesce({went}, 0) AS r, CAST(0 AS BIGINT) AS c FROM ({differing}) AS d"
            );
        }
        let key = self.by_key();
        let both = format!("CASE WHEN {CAME} < {WENT} THEN {CAME} ELSE {WENT} END");
        format!(
            "SELECT coalesce(sum({CAME} - {both}), 0) AS a, coalesce(sum({WENT} - {both}), 0) AS r, \
             coalesce(sum({both}), 0) AS c FROM (SELECT {key}, {came} AS {CAME}, {went} AS {WENT} \
             FROM ({differing}) AS d GROUP BY {key}) AS keys"
        )
    }

    /// Some rows that came or went.
    fn rows(&self, sign: char, most: usize) -> String {
        let (listed, differing) = (self.listed(), self.differing());
        let plain = self.common.iter().filter(|field| !field.data_type().is_nested());
        let order = plain.map(|field| quoted(field.name())).collect::<Vec<_>>().join(", ");
        let order = if order.is_empty() { String::new() } else { format!(" ORDER BY {order}") };
        let is = if sign == '+' { ">" } else { "<" };
        if self.key.is_empty() {
            return format!("SELECT {listed} FROM ({differing}) AS d WHERE {BY} {is} 0{order} LIMIT {most}");
        }
        let other = if sign == '+' { WENT } else { CAME };
        let windows = self.windows();
        format!("SELECT {listed} FROM ({windows}) AS w WHERE {BY} {is} 0 AND {other} = 0{order} LIMIT {most}")
    }

    /// Some rows that changed, as they were and as they are.
    fn changes(&self, most: usize) -> String {
        let (listed, windows, key) = (self.listed(), self.windows(), self.by_key());
        let most = most.saturating_mul(2);
        format!(
            "SELECT {listed}, {BY} FROM ({windows}) AS w WHERE {CAME} > 0 AND {WENT} > 0 ORDER BY {key}, {BY} LIMIT {most}"
        )
    }

    fn windows(&self) -> String {
        let over = format!(" OVER (PARTITION BY {})", self.by_key());
        let (came, went) = (Self::came(&over), Self::went(&over));
        format!("SELECT *, {came} AS {CAME}, {went} AS {WENT} FROM ({}) AS d", self.differing())
    }
}

/// Pairs of rows as texts: `~ id: 1: amount 10 -> 20`.
fn changes(batches: &[RecordBatch], key: &[String]) -> Result<Vec<String>, EngineError> {
    let mut texts = Vec::new();
    let options = FormatOptions::default().with_null("NULL");
    // How a row was, until the one is found that it became.
    let mut was: Option<Vec<(String, String)>> = None;
    for batch in batches {
        let (schema, last) = (batch.schema(), batch.num_columns() - 1);
        let by = batch.column(last).as_primitive_opt::<Int64Type>();
        let by = by.ok_or_else(|| EngineError::internal("a comparison gave something other than a number"))?;
        for row in 0..batch.num_rows() {
            let cell = |at: usize| {
                let value = ArrayFormatter::try_new(batch.column(at).as_ref(), &options);
                let value = value.map_or_else(|_| "?".to_owned(), |value| value.value(row).to_string());
                (schema.field(at).name().clone(), value)
            };
            let cells: Vec<(String, String)> = (0..last).map(cell).collect();
            if by.value(row) < 0 {
                was = Some(cells);
            } else if let Some(was) = was.take() {
                texts.push(changed(&was, &cells, key));
            }
        }
    }
    Ok(texts)
}

fn changed(was: &[(String, String)], is: &[(String, String)], key: &[String]) -> String {
    let of_key = is.iter().filter(|(name, _)| key.contains(name)).map(|(name, value)| format!("{name}: {value}"));
    let others = was.iter().zip(is).filter(|((_, was), (_, is))| was != is);
    let others = others.map(|((name, was), (_, is))| format!("{name} {was} -> {is}"));
    let (of_key, others): (Vec<_>, Vec<_>) = (of_key.collect(), others.collect());
    format!("~ {}: {}", of_key.join(", "), others.join(", "))
}
