//! Older versions of tables in a query.
//!
//! Each (table, version) becomes a name of its own, `t#3`, which no table can have; the planner finds it like any other,
//! and plans and results are kept under it. The version is read from the text when names are looked up, so it is a constant.

use std::{collections::BTreeMap, fmt, ops::ControlFlow, sync::Arc};

use boathouse_storage::{Snapshot, StorageError};
use datafusion::{
    arrow::datatypes::{DataType, TimeUnit},
    common::ScalarValue,
    sql::sqlparser::ast::{
        self, Expr, Ident, ObjectName, ObjectNamePart, Statement, TableAlias, TableFactor, TableVersion, VisitMut,
        VisitorMut,
    },
};

use super::{Pinned, Relation, TableName, is_reserved};
use crate::{
    EngineError,
    error::Place,
    parser::Versioned,
    statement::{Context, constant},
};

/// A table at a version or a time, or its changes up to then.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Travel {
    pub table: TableName,
    /// `None`: the newest version.
    pub at: Option<At>,
    /// The changes from this version on, in place of the rows.
    pub changes_from: Option<At>,
}

/// Which version of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum At {
    Version(u64),
    /// The newest one at this time, in milliseconds since 1970, UTC.
    Time(i64),
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "{version}"),
            Self::Time(time_ms) => match chrono::DateTime::from_timestamp_millis(*time_ms) {
                Some(time) => write!(f, "{}", time.format("%Y-%m-%dT%H:%M:%S%.3fZ")),
                None => write!(f, "{time_ms}ms"),
            },
        }
    }
}

impl Travel {
    /// `t#3`, of changes `t#3..5`: a name that no folder of a lake can have.
    fn name(&self) -> TableName {
        let at = self.at.map(|at| at.to_string()).unwrap_or_default();
        let at = self.changes_from.map_or(at.clone(), |from| format!("{from}..{at}"));
        TableName::new(&self.table.schema, format!("{}#{at}", self.table.name))
    }
}

/// A table or view that a statement other than a query names, with the version that it asks for.
#[derive(Debug, Clone)]
pub(crate) struct TableAt {
    pub table: TableName,
    pub at: Option<At>,
}

impl TableAt {
    /// What a statement names: it is there, else the error shows the place.
    pub async fn find(context: &Context, named: &Versioned) -> Result<Self, EngineError> {
        let Versioned { name, version: Some(version) } = named else {
            return Ok(Self { table: context.known_table(&named.name).await?, at: None });
        };
        let place = |error: EngineError| error.at(&context.sql, crate::statement::name_place(name));
        let found = Self { table: context.table_name(name)?, at: Some(context.at(version).map_err(place)?) };
        context.table_provider(&found.name(context)).await.map_err(place)?;
        Ok(found)
    }

    /// The name that stands for it in the catalog of `context`.
    pub fn name(&self, context: &Context) -> TableName {
        let Self { table, at } = self.clone();
        match at {
            None => table,
            Some(_) => context.pinned.travel(Travel { table, at, changes_from: None }),
        }
    }
}

/// The tables at older versions that one statement reads, by the names that stand for them.
#[derive(Debug, Default)]
pub(super) struct Travels {
    found: BTreeMap<TableName, Travel>,
    /// Some were given by an expression that gives another version at another time.
    moving: bool,
}

impl Pinned {
    /// The name under which a table at a version is known from now on.
    pub(super) fn travel(&self, travel: Travel) -> TableName {
        let name = travel.name();
        self.travels.lock().found.entry(name.clone()).or_insert(travel);
        name
    }

    /// The table and the version that a name stands for.
    pub(super) fn travel_of(&self, name: &TableName) -> Option<Travel> {
        self.travels.lock().found.get(name).cloned()
    }

    /// Whether the text alone tells which versions are read.
    pub(super) fn travels_are_fixed(&self) -> bool {
        !self.travels.lock().moving
    }

    /// The snapshot of a table at a version: of one in the lake, or of an external one.
    pub(super) async fn travelled(&self, travel: &Travel) -> Result<Relation, EngineError> {
        let Travel { table, at, .. } = travel;
        if is_reserved(&table.schema) {
            return Err(no_versions(table, "a table of the system"));
        }
        let document = self.document(&table.schema).await?;
        if document.views.contains_key(&table.name) {
            let hint = match travel.changes_from {
                None => "Write the version behind the tables that the view reads, in a query of your own.",
                Some(_) => "Read the changes of the tables that the view reads.",
            };
            return Err(no_versions(table, "a view").with_hint(hint));
        }
        let snapshot = match document.external_tables.get(&table.name) {
            Some(external) if external.format != "delta" => {
                return Err(no_versions(table, "an external table of files"));
            }
            // Whether its location may be read is asked where it is scanned.
            Some(external) => return Ok(Relation::External(Arc::new(external.clone()))),
            None => match self.wanted_or(travel, *at) {
                Some(at) => self.table_as_of(table, at).await,
                // The version that the whole statement reads.
                None => return Box::pin(self.require(table)).await,
            },
        };
        match snapshot {
            Err(StorageError::TableNotFound { .. }) => Err(self.unknown_table(table).await),
            found => Ok(Relation::Table(found?)),
        }
    }

    async fn table_as_of(&self, table: &TableName, at: At) -> Result<Arc<Snapshot>, StorageError> {
        let TableName { schema, name } = table;
        let version = match at {
            At::Version(version) => version,
            At::Time(time_ms) => {
                let newest = self.lake.table(schema, name).await?;
                self.lake.version_at(&newest, time_ms).await?
            }
        };
        self.lake.table_version(schema, name, version).await
    }

    /// A time that was looked up before stays the version that it was.
    fn wanted_or(&self, travel: &Travel, at: Option<At>) -> Option<At> {
        self.wanted(&travel.name().to_string()).map(At::Version).or(at)
    }

    /// The snapshot of an external Delta table at a version.
    pub(super) async fn travelled_external(
        &self,
        travel: &Travel,
        location: &url::Url,
    ) -> Result<Arc<Snapshot>, EngineError> {
        let snapshot = match self.wanted_or(travel, travel.at) {
            Some(at) => self.external_at(location, at).await?,
            None => self.table_at(location).await?,
        };
        self.pin(travel.name().to_string(), snapshot.version());
        Ok(snapshot)
    }

    /// The snapshot of an external Delta table that a name stands for, at a version or the newest one.
    pub(crate) async fn external_snapshot(
        &self,
        name: &TableName,
        location: &url::Url,
    ) -> Result<Arc<Snapshot>, EngineError> {
        match self.travel_of(name) {
            Some(travel) => self.travelled_external(&travel, location).await,
            None => self.table_at(location).await,
        }
    }

    async fn external_at(&self, location: &url::Url, at: At) -> Result<Arc<Snapshot>, StorageError> {
        let version = match at {
            At::Version(version) => version,
            At::Time(time_ms) => {
                let newest = self.lake.table_at(location, None).await?;
                self.lake.version_at(&newest, time_ms).await?
            }
        };
        self.lake.table_at(location, Some(version)).await
    }
}

fn no_versions(table: &TableName, what: &str) -> EngineError {
    EngineError::unsupported(format!("\"{table}\" is {what}: only Delta tables have versions"))
}

impl Context {
    /// Puts the names of tables at versions where the statement names a table and a version.
    pub(super) fn bind_versions(&self, statement: &mut Statement, sql: &str) -> Result<(), EngineError> {
        match VisitMut::visit(statement, &mut BindVersions { context: self, sql }) {
            ControlFlow::Break(error) => Err(*error),
            ControlFlow::Continue(()) => Ok(()),
        }
    }

    /// Reads VERSION AS OF or TIMESTAMP AS OF.
    pub(crate) fn at(&self, version: &TableVersion) -> Result<At, EngineError> {
        match version {
            TableVersion::VersionAsOf(expr) => self.constant_version(expr).map(At::Version),
            TableVersion::TimestampAsOf(expr) | TableVersion::ForSystemTimeAsOf(expr) => {
                self.constant_time(expr).map(At::Time)
            }
            TableVersion::Function(_) | TableVersion::Changes { .. } => {
                Err(EngineError::unsupported(format!("{version} is not supported")).with_hint("Write VERSION AS OF 3."))
            }
        }
    }

    fn constant_version(&self, expr: &Expr) -> Result<u64, EngineError> {
        let wrong = || EngineError::invalid(format!("a version is a whole number from 0, not {expr}"));
        let value = self.constant(expr)?;
        if !value.data_type().is_integer() && !matches!(value, ScalarValue::Utf8(_) | ScalarValue::Utf8View(_)) {
            return Err(wrong());
        }
        match value.cast_to(&DataType::UInt64) {
            Ok(ScalarValue::UInt64(Some(version))) if i64::try_from(version).is_ok() => Ok(version),
            _ => Err(wrong()),
        }
    }

    /// A text or a time without a zone is read in the session's zone.
    pub(crate) fn constant_time(&self, expr: &Expr) -> Result<i64, EngineError> {
        let wrong = || {
            EngineError::invalid(format!("{expr} is not a time"))
                .with_hint("Write TIMESTAMP AS OF '2026-01-31 12:00:00', or a version with VERSION AS OF.")
        };
        let mut value = self.constant(expr)?;
        if let ScalarValue::Utf8(Some(text)) = &mut value
            && text.len() == "2026-01-31 12:00".len()
        {
            // The library's reading of times asks for seconds.
            text.push_str(":00");
        }
        match value.data_type() {
            DataType::Utf8 | DataType::Utf8View | DataType::Timestamp(..) | DataType::Date32 => {}
            _ => return Err(wrong()),
        }
        let zone = self.state.config_options().execution.time_zone.clone().unwrap_or_else(|| "UTC".to_owned());
        match value.cast_to(&DataType::Timestamp(TimeUnit::Microsecond, Some(zone.into()))) {
            Ok(ScalarValue::TimestampMicrosecond(Some(time), _)) => Ok(time.div_euclid(1_000)),
            _ => Err(wrong()),
        }
    }

    /// The value of an expression that stands where a version does.
    pub(crate) fn constant(&self, expr: &Expr) -> Result<ScalarValue, EngineError> {
        if matches!(expr, Expr::Value(value) if matches!(value.value, ast::Value::Placeholder(_))) {
            return Err(EngineError::unsupported("a parameter as the version of a table is not supported")
                .with_hint("Write the version into the text: it is chosen before parameters are known."));
        }
        if !is_literal(expr) {
            self.pinned.travels.lock().moving = true;
        }
        constant(self, expr.clone())
    }
}

/// Whether an expression is the same whenever it is looked at. Others may be, too.
fn is_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Value(_) | Expr::TypedString(_) => true,
        Expr::Cast { expr, .. } | Expr::Nested(expr) => is_literal(expr),
        _ => false,
    }
}

struct BindVersions<'a> {
    context: &'a Context,
    sql: &'a str,
}

impl VisitorMut for BindVersions<'_> {
    type Break = Box<EngineError>;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Box<EngineError>> {
        let TableFactor::Table { name, alias, version, .. } = factor else { return ControlFlow::Continue(()) };
        let Some(given) = version.take() else { return ControlFlow::Continue(()) };
        let idents: Vec<&Ident> = name.0.iter().filter_map(ObjectNamePart::as_ident).collect();
        let (Some(first), Some(last)) = (idents.first(), idents.last()) else { return ControlFlow::Continue(()) };
        let span = first.span.union(&last.span);
        let context = self.context;
        let travel = TableName::of_object(name, context.default_schema())
            .and_then(|table| context.at(&given).map(|at| Travel { table, at: Some(at), changes_from: None }))
            .map_err(|error| Box::new(error.at(self.sql, Place::of_token_span(span))));
        let travel = match travel {
            Ok(travel) => travel,
            Err(error) => return ControlFlow::Break(error),
        };
        if alias.is_none() {
            *alias = Some(TableAlias { explicit: true, name: (*last).clone(), columns: Vec::new(), at: None });
        }
        let bound = context.pinned.travel(travel);
        let part = |text: String| {
            let mut ident = Ident::with_quote('"', text);
            ident.span = span;
            ident
        };
        *name = ObjectName::from(vec![part(bound.schema), part(bound.name)]);
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests;
