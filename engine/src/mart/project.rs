//! All marts of a folder, checked against each other and against the lake: the only way to run any.
//!
//! ```text
//! names --> what each reads --> order --> each planned, what it reads of other marts as they will be --> tests planned
//! ```
//! All faults are told; with one of them nothing runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use datafusion::{
    arrow::datatypes::{FieldRef, Schema},
    datasource::empty::EmptyTable,
};

use super::{
    Clock, LeaseTimes, PROGRAM, audit,
    caller::Caller,
    columns::{columns, no_column},
    definition::Definition,
    export::{self, Destinations},
    fault::Fault,
    graph, lag,
    point::Points,
    quarantine, scd2,
    strategy::Strategy,
    test::{Check, Test},
};
use crate::{
    Engine, EngineError,
    cache::is_fixed,
    catalog::{Relation, TableName},
    error::did_you_mean,
    session::Pins,
    statement::Context,
};

/// How marts are run.
#[derive(Debug, Clone, Default)]
pub struct MartOptions {
    pub clock: Clock,
    pub lease: LeaseTimes,
    /// Where marts may be exported to.
    pub destinations: Destinations,
    /// Who is told how far runs and deliveries are.
    pub points: Points,
}

impl MartOptions {
    /// For statements: what they publish is delivered by the servers of the lake, which know the destinations.
    pub(crate) fn of_statements() -> Self {
        Self { destinations: Destinations::elsewhere(), ..Self::default() }
    }

    /// For a server: rows wait for no destination that another server of the lake may know.
    pub(super) fn of_server(&self) -> Self {
        Self { destinations: self.destinations.clone().or_elsewhere(), ..self.clone() }
    }
}

/// The marts of a folder, in an order in which each comes behind those that it reads.
#[derive(Debug, Clone)]
pub struct Project {
    pub(super) engine: Arc<Engine>,
    pub(super) options: MartOptions,
    pub(super) marts: Arc<[Mart]>,
    pub(super) caller: Arc<Caller>,
}

/// One mart, planned.
#[derive(Debug)]
pub(super) struct Mart {
    pub definition: Definition,
    /// Of its table.
    pub columns: Vec<FieldRef>,
    /// The tables that its query reads, through views, and those that its tests do.
    pub reads: BTreeSet<TableName>,
    /// The marts among them, by their places.
    pub upstream: Vec<usize>,
}

impl Project {
    /// Checks the definitions. Reads the lake; never writes.
    pub async fn open(
        engine: &Arc<Engine>,
        definitions: Vec<Definition>,
        options: MartOptions,
    ) -> Result<Self, Vec<Fault>> {
        let (project, faults) = Self::open_sound(engine, definitions, options).await;
        if faults.is_empty() { Ok(project) } else { Err(faults) }
    }

    /// The marts that can be run, without those that have a fault and those that read one of these. A cycle leaves none.
    pub(crate) async fn open_sound(
        engine: &Arc<Engine>,
        definitions: Vec<Definition>,
        options: MartOptions,
    ) -> (Self, Vec<Fault>) {
        let (on, own, to) = (engine.clone(), engine.clone(), options.destinations.clone());
        let checked = engine.runtime().spawn(async move { checked(&on, definitions, &to).await }).await;
        let stopped = |error| Checked {
            faults: vec![Fault::new("the check of the definitions", None, error)],
            ..Checked::default()
        };
        let Checked { marts, faults } = checked.unwrap_or_else(stopped);
        (Self { engine: own, options, marts: marts.into(), caller: Arc::default() }, faults)
    }

    /// The same, whose runs end when somebody has gone away.
    pub(crate) fn called_by(self, caller: Arc<Caller>) -> Self {
        Self { caller, ..self }
    }

    /// Names of all marts, in their order.
    pub fn names(&self) -> Vec<String> {
        self.marts.iter().map(|mart| mart.definition.name()).collect()
    }

    /// Which of these marts, or of all, reads what, as text.
    pub fn graph(&self, names: &[String]) -> Result<String, EngineError> {
        let known = self.names();
        let shown: Vec<(&str, Vec<(String, bool)>)> = self
            .selected(names)?
            .into_iter()
            .map(|at| {
                let reads = self.marts[at].reads.iter().map(ToString::to_string);
                (known[at].as_str(), reads.map(|read| (read.clone(), known.contains(&read))).collect())
            })
            .collect();
        Ok(graph::text(&shown))
    }

    /// The places of the marts of these names, in order; of all when none is named. One without a schema is of `main`.
    pub(super) fn selected(&self, names: &[String]) -> Result<Vec<usize>, EngineError> {
        let known = self.names();
        let names: Vec<String> = names.iter().map(|name| full_name(name)).collect();
        for name in &names {
            if !known.contains(name) {
                let error = EngineError::not_found(format!("there is no mart \"{name}\""));
                let hint = did_you_mean(name, known.iter().map(String::as_str));
                return Err(error.with_hint(hint.unwrap_or_else(|| format!("There are {}.", known.join(", ")))));
            }
        }
        Ok((0..known.len()).filter(|at| names.is_empty() || names.contains(&known[*at])).collect())
    }
}

/// The name of a mart with its schema, as statements find it.
pub fn full_name(name: &str) -> String {
    if name.contains('.') { name.to_owned() } else { format!("main.{name}") }
}

impl Mart {
    /// Where its query is planned, and its tests are: names as they are, or at the versions given.
    pub fn context(&self, engine: &Arc<Engine>, pins: &Pins) -> Context {
        Context::new(engine, &engine.session(), &self.definition.text, &Pins::new()).fixed_at(pins.clone())
    }
}

/// Marts that can be run, and what is wrong with others. Those that read a mart that cannot be run are not among the first.
#[derive(Default)]
struct Checked {
    marts: Vec<Mart>,
    faults: Vec<Fault>,
}

async fn checked(engine: &Arc<Engine>, mut definitions: Vec<Definition>, to: &Destinations) -> Checked {
    let twice = names_twice(&definitions);
    definitions.sort_by(|a, b| a.name.cmp(&b.name));
    let places: BTreeMap<TableName, usize> =
        definitions.iter().enumerate().map(|(at, definition)| (definition.name.clone(), at)).collect();
    let (mut reads, mut checked, mut broken) = (Vec::new(), Checked::default(), BTreeSet::new());
    checked.faults.extend(twice);
    for (at, definition) in definitions.iter().enumerate() {
        // They stand side by side.
        let is_named_so = |other: Option<&Definition>| other.is_some_and(|other| other.name == definition.name);
        if is_named_so(definitions.get(at + 1)) || at > 0 && is_named_so(definitions.get(at - 1)) {
            reads.push(BTreeSet::new());
            broken.insert(at);
            continue;
        }
        match names_read(engine, definition, &places).await {
            Ok(names) => reads.push(names),
            Err(fault) => {
                reads.push(BTreeSet::new());
                broken.insert(at);
                checked.faults.push(fault);
            }
        }
    }
    let edges: Vec<Vec<usize>> = reads
        .iter()
        .zip(&definitions)
        .map(|(names, own)| {
            names.iter().filter(|name| **name != own.name).filter_map(|name| places.get(name).copied()).collect()
        })
        .collect();
    let order = match graph::order(&edges) {
        Ok(order) => order,
        Err(cycle) => {
            checked.faults.push(cycle_fault(&definitions, &cycle));
            return checked;
        }
    };
    let mut waiting: Vec<Option<(Definition, BTreeSet<TableName>)>> =
        definitions.into_iter().zip(reads).map(Some).collect();
    let (mut planned, mut placed) = (BTreeMap::new(), BTreeMap::new());
    for at in order {
        let Some((definition, reads)) = waiting[at].take() else { continue };
        // What is wrong with a mart is told once, not again for all that read it.
        if broken.contains(&at) || edges[at].iter().any(|read| broken.contains(read)) {
            broken.insert(at);
            continue;
        }
        let found = plan(engine, &definition, &planned).await.and_then(|columns| {
            let mut faults = export::check(&definition, &columns, to);
            faults.extend(export::clashes(&definition, checked.marts.iter().map(|mart| &mart.definition)));
            let reads = edges[at].iter().filter_map(|read| placed.get(read));
            faults.extend(lag::check(&definition, reads.map(|read: &usize| &checked.marts[*read].definition)));
            if faults.is_empty() { Ok(columns) } else { Err(faults) }
        });
        match found {
            Ok(columns) => {
                planned.insert(definition.name.clone(), columns.clone());
                placed.insert(at, checked.marts.len());
                let upstream = edges[at].iter().filter_map(|read| placed.get(read).copied()).collect();
                checked.marts.push(Mart { definition, columns, reads, upstream });
            }
            Err(found) => {
                broken.insert(at);
                checked.faults.extend(found);
            }
        }
    }
    checked
}

/// A fault for each that has the name of one before it; none of them can be run.
fn names_twice(definitions: &[Definition]) -> Vec<Fault> {
    let mut first: BTreeMap<&TableName, &str> = BTreeMap::new();
    let mut faults = Vec::new();
    for definition in definitions {
        if let Some(other) = first.insert(&definition.name, &definition.file) {
            let message = format!("two marts have the name \"{}\"", definition.name);
            let error = EngineError::invalid(message).with_detail(format!("The other one is {other}."));
            faults.push(Fault::new(&definition.file, 1, error.with_hint("Give one of them another name.")));
        }
    }
    faults
}

async fn names_read(
    engine: &Arc<Engine>,
    definition: &Definition,
    marts: &BTreeMap<TableName, usize>,
) -> Result<BTreeSet<TableName>, Fault> {
    let context = Context::new(engine, &engine.session(), &definition.text, &Pins::new());
    let names = context.names_read(&definition.query, |name| marts.contains_key(name)).await;
    let mut names = names.map_err(|error| Fault::new(&definition.file, None, error))?;
    if names.contains(&definition.name) {
        let error = EngineError::invalid(format!("mart \"{}\" reads itself", definition.name));
        let hint = "Read the tables that it is made of.";
        return Err(Fault::new(&definition.file, None, error.with_hint(hint)));
    }
    for test in &definition.tests {
        if let Check::Relationships { to, .. } = &test.check {
            names.insert(to.clone());
        }
    }
    Ok(names)
}

fn cycle_fault(definitions: &[Definition], cycle: &[usize]) -> Fault {
    let names: Vec<String> = cycle.iter().map(|at| definitions[*at].name()).collect();
    let file = cycle.first().map(|at| definitions[*at].file.as_str()).unwrap_or_default();
    let error = EngineError::invalid(format!("marts read each other in a cycle: {}", names.join(" -> ")));
    Fault::new(
        file,
        None,
        error.with_hint("Take one of these reads away, or move what both need into a mart of its own."),
    )
}

/// The columns of the mart's table, when query and tests can be planned.
async fn plan(
    engine: &Arc<Engine>,
    definition: &Definition,
    marts: &BTreeMap<TableName, Vec<FieldRef>>,
) -> Result<Vec<FieldRef>, Vec<Fault>> {
    let at = |error| Fault::new(&definition.file, None, error);
    check_name_is_free(engine, definition).await.map_err(|fault| vec![fault])?;
    let context = planning(engine, definition, marts);
    let query = definition.sample().map_err(|error| vec![at(error)])?;
    let plan = context.plan_query(query).await.map_err(|error| vec![at(error)])?;
    let parameters = plan.get_parameter_names().map_err(|error| vec![at(context.error(error))])?;
    if let Some(parameter) = parameters.iter().min() {
        let error = EngineError::unsupported(format!("a mart has no parameters, but its query has {parameter}"));
        return Err(vec![at(error.with_hint("Write a value; $start and $end are those of an interval."))]);
    }
    let plan = context.analyze(plan).map_err(|error| vec![at(error)])?;
    let fixed = is_fixed(&plan).map_err(|error| vec![at(context.error(error))])?;
    let columns = columns(&context, definition, plan).map_err(|fault| vec![fault])?;
    if definition.strategy == Strategy::Scd2 && !fixed {
        let error = EngineError::unsupported("strategy = \"scd2\" needs a query that gives the same rows again");
        return Err(vec![at(error.with_hint("Take functions such as now() and random() out of the query."))]);
    }
    let mut faults = Vec::new();
    for test in &definition.tests {
        if let Err(error) = check_test(engine, definition, marts, &columns, test, fixed).await {
            faults.push(Fault::new(&definition.file, test.line, error));
        }
    }
    if faults.is_empty() { Ok(columns) } else { Err(faults) }
}

/// Where marts that are not built yet have the columns that they will have.
fn planning(engine: &Arc<Engine>, definition: &Definition, marts: &BTreeMap<TableName, Vec<FieldRef>>) -> Context {
    let context = Context::new(engine, &engine.session(), &definition.text, &Pins::new());
    for (name, columns) in marts {
        context.pinned.keep_provider(name.clone(), Arc::new(EmptyTable::new(Arc::new(Schema::new(columns.clone())))));
    }
    context
}

async fn check_name_is_free(engine: &Arc<Engine>, definition: &Definition) -> Result<(), Fault> {
    let context = Context::new(engine, &engine.session(), "", &Pins::new());
    let mut names = vec![(definition.name.clone(), PROGRAM)];
    if !quarantine::tests(definition).is_empty() {
        names.push((quarantine::name(&definition.name), quarantine::PROGRAM));
    }
    for (name, program) in names {
        if engine.lake().catalog(&name.schema).await.is_err() {
            continue;
        }
        let relation = context.pinned.relation(&name).await;
        let kind = match relation.map_err(|error| Fault::new(&definition.file, None, error))? {
            None => continue,
            Some(Relation::Table(table)) if table.transaction(program).is_some() => continue,
            Some(Relation::Table(_)) => "table",
            Some(Relation::View(_)) => "view",
            Some(Relation::External(_)) => "external table",
        };
        let error = EngineError::invalid(format!("there is a {kind} \"{name}\" already, which no mart has made"));
        let hint = "Give the mart another name, or rename or drop what is there.";
        return Err(Fault::new(&definition.file, 1, error.with_hint(hint)));
    }
    Ok(())
}

async fn check_test(
    engine: &Arc<Engine>,
    definition: &Definition,
    marts: &BTreeMap<TableName, Vec<FieldRef>>,
    columns: &[FieldRef],
    test: &Test,
    fixed: bool,
) -> Result<(), EngineError> {
    for name in test.check.columns() {
        let names = columns.iter().map(|field| field.name().as_str());
        let Some(field) = columns.iter().find(|field| field.name() == name) else { return Err(no_column(name, names)) };
        if matches!(test.check, Check::Freshness { .. }) && !field.data_type().is_temporal() {
            let error = EngineError::invalid(format!("column \"{name}\" is neither a date nor a time"));
            return Err(error.with_hint("freshness is about a DATE or a TIMESTAMP."));
        }
    }
    // Rows that do not get into the table are looked at before.
    let columns = if test.on_violation.takes_rows() { scd2::given(definition, columns) } else { columns };
    if test.on_violation.takes_rows() && !fixed {
        let message =
            format!("on_violation = \"{}\" needs a query that gives the same rows again", test.on_violation.word());
        let hint = "Take functions such as now() and random() out of the query, or write warn or fail.";
        return Err(EngineError::unsupported(message).with_hint(hint));
    }
    let context = planning(engine, definition, marts);
    let own = Arc::new(EmptyTable::new(Arc::new(Schema::new(columns.to_vec()))));
    context.pinned.keep_provider(definition.name.clone(), own);
    audit::check(&context, &definition.name, test).await
}
