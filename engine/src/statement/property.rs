//! Table properties: those of Delta and our own are checked, all others are kept as they are.
//!
//! One of these that this product would keep without acting on it is refused: nobody should believe that it works.

use std::collections::BTreeMap;

use boathouse_storage::{Snapshot, maintain::TierPolicy, write::CONSTRAINT_PREFIX};
use datafusion::arrow::datatypes::{FieldRef, Schema};

use crate::{EngineError, error::did_you_mean};

/// What a property's value must look like.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Boolean,
    /// A whole number, at least as large as this.
    Number(i64),
    /// `interval 30 days`
    Interval,
    /// Names of columns with commas between them.
    Columns,
    /// The name of a column.
    Column,
    /// `90 days`, longer than nothing.
    Age,
    /// One of these words.
    Word(&'static [&'static str]),
}

const DELTA: &[(&str, Shape)] = &[
    ("delta.appendOnly", Shape::Boolean),
    ("delta.checkpointInterval", Shape::Number(1)),
    // Ids in place of names are for tables that other systems convert.
    ("delta.columnMapping.mode", Shape::Word(&["name"])),
    ("delta.dataSkippingNumIndexedCols", Shape::Number(-1)),
    ("delta.dataSkippingStatsColumns", Shape::Columns),
    ("delta.deletedFileRetentionDuration", Shape::Interval),
    ("delta.enableChangeDataFeed", Shape::Boolean),
    ("delta.enableDeletionVectors", Shape::Boolean),
    ("delta.enableExpiredLogCleanup", Shape::Boolean),
    ("delta.enableInCommitTimestamps", Shape::Boolean),
    ("delta.enableTypeWidening", Shape::Boolean),
    ("delta.isolationLevel", Shape::Word(&["WriteSerializable", "Serializable"])),
    ("delta.logRetentionDuration", Shape::Interval),
];

/// INSERT and MERGE add columns that the table does not have, without being asked.
const SCHEMA_EVOLUTION: &str = "boathouse.schemaEvolution";
/// Clients are told that these columns tell the rows apart. Nothing enforces it.
pub(crate) const PRIMARY_KEY: &str = "boathouse.primaryKey";
const OWN: &[(&str, Shape)] = &[
    (PRIMARY_KEY, Shape::Columns),
    (SCHEMA_EVOLUTION, Shape::Boolean),
    // See `TierPolicy`.
    (TIER_COLD_AFTER, Shape::Age),
    (TIER_HOT, Shape::Age),
    (TIER_ON, Shape::Column),
];
/// Rows of this age are cold, and until this age hot, by this column.
pub(super) const TIER_COLD_AFTER: &str = TierPolicy::PROPERTIES[0];
pub(super) const TIER_ON: &str = TierPolicy::PROPERTIES[1];
pub(super) const TIER_HOT: &str = TierPolicy::PROPERTIES[2];

/// Checks what the properties of a table say together.
pub(super) fn check_together(
    properties: &BTreeMap<String, String>,
    columns: &Schema,
    partition_columns: &[String],
) -> Result<(), EngineError> {
    TierPolicy::parse(properties, columns, partition_columns).map(drop).map_err(|reason| {
        EngineError::invalid(reason).with_hint(
            "ALTER TABLE t SET TIER (hot = '30 days', cold_after = '90 days', on = column) makes one, with one of the \
             times or both; UNSET TIER takes it away.",
        )
    })
}

/// Whether statements may add columns to the table without `WITH SCHEMA EVOLUTION`.
pub(super) fn evolves(table: &Snapshot) -> bool {
    table.properties().get(SCHEMA_EVOLUTION).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// The columns that tell the table's rows apart, by the word of whoever has set the property; none when nobody has, or when
/// another writer has since renamed or dropped one of them.
pub(crate) fn primary_key(table: &Snapshot) -> Vec<String> {
    let Some(named) = table.properties().get(PRIMARY_KEY) else { return Vec::new() };
    let columns: Vec<FieldRef> = table.schema().fields().iter().cloned().collect();
    let mut key: Vec<String> = Vec::new();
    for name in named.split(',').map(str::trim) {
        if !is_column(name, &columns) {
            return Vec::new();
        }
        if key.iter().all(|known| known != name) {
            key.push(name.to_owned());
        }
    }
    key
}

/// Checks one property of a table with these columns. Known names are taken in any case and kept in theirs.
pub(crate) fn check(key: &str, value: &str, columns: &[FieldRef]) -> Result<(String, String), EngineError> {
    let lower = key.to_ascii_lowercase();
    let (known, whose) = match lower.split_once('.') {
        Some(("delta", _)) => (DELTA, "Delta"),
        Some(("boathouse", _)) => (OWN, "Boathouse"),
        _ => return Ok((key.into(), value.into())),
    };
    let Some((name, shape)) = known.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)) else {
        if lower.starts_with(CONSTRAINT_PREFIX) {
            return Err(EngineError::invalid(format!("property \"{key}\" is a constraint"))
                .with_hint("ALTER TABLE t ADD CONSTRAINT name CHECK (condition) adds one."));
        }
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let hint = did_you_mean(key, names.iter().copied());
        return Err(EngineError::unsupported(format!("table property \"{key}\" is not supported"))
            .with_hint(hint.unwrap_or_else(|| format!("Properties of {whose} are {}.", names.join(", ")))));
    };
    let wanted = match shape {
        Shape::Boolean if !matches!(value.to_ascii_lowercase().as_str(), "true" | "false") => "true or false".into(),
        Shape::Number(least) if !value.parse::<i64>().is_ok_and(|number| number >= *least) => {
            format!("a whole number from {least}")
        }
        Shape::Interval if !is_interval(value) => "an interval such as 'interval 30 days'".into(),
        Shape::Columns => match value.split(',').map(str::trim).find(|name| !is_column(name, columns)) {
            Some(name) => format!("a list of the table's columns, and \"{name}\" is none"),
            None => return Ok((name.to_string(), value.into())),
        },
        Shape::Column if !is_column(value, columns) => "the name of a column".into(),
        Shape::Column => return Ok((name.to_string(), value.into())),
        Shape::Age if TierPolicy::parse_age(value).is_err() => "a length of time such as '90 days'".into(),
        Shape::Word(words) => match words.iter().find(|word| word.eq_ignore_ascii_case(value)) {
            Some(word) => return Ok((name.to_string(), (*word).into())),
            None => words.join(" or "),
        },
        Shape::Boolean | Shape::Number(_) | Shape::Interval | Shape::Age => {
            return Ok((name.to_string(), value.to_ascii_lowercase()));
        }
    };
    Err(EngineError::invalid(format!("table property \"{name}\" is {wanted}; the value given is \"{value}\"")))
}

fn is_column(name: &str, columns: &[FieldRef]) -> bool {
    columns.iter().any(|column| column.name() == name)
}

/// `interval 1 week`, the word `interval` being optional.
fn is_interval(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let words: Vec<&str> = lower.split_whitespace().filter(|word| *word != "interval").collect();
    const UNITS: &[&str] = &["week", "day", "hour", "minute", "second", "millisecond", "microsecond", "nanosecond"];
    match words.as_slice() {
        [number, unit] => number.parse::<u64>().is_ok() && UNITS.contains(&unit.strip_suffix('s').unwrap_or(unit)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delta_properties_are_checked_and_others_kept() {
        let check = |key: &str, value: &str| check(key, value, &[]).map(|(_, value)| value);
        assert_eq!(check("owner", "me").unwrap(), "me");
        assert_eq!(check("Boathouse.schemaevolution", "True").unwrap(), "true");
        assert!(check("boathouse.schemaEvolution", "maybe").is_err());
        assert!(check("boathouse.somethingElse", "true").is_err());
        assert_eq!(check("delta.appendonly", "TRUE").unwrap(), "true");
        assert_eq!(check("delta.logRetentionDuration", "interval 7 days").unwrap(), "interval 7 days");
        assert!(check("delta.logRetentionDuration", "soon").is_err());
        assert!(check("delta.checkpointInterval", "0").is_err());
        assert_eq!(check("delta.columnmapping.mode", "NAME").unwrap(), "name");
        assert!(check("delta.columnMapping.mode", "id").is_err());
        assert!(check("delta.dataSkippingStatsColumns", "a").is_err());
    }
}
