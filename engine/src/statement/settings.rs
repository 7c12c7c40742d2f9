//! What SET may change: one table of names, with type, range and meaning.
//!
//! The library has hundreds of options, and some of them change the process or the answers. Only those below can be set;
//! the rest are fixed by [`base_config`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use datafusion::{common::config::ConfigOptions, execution::config::SessionConfig};

use crate::{
    EngineConfig, EngineError,
    catalog::{DEFAULT_CATALOG, DEFAULT_SCHEMA},
    error::did_you_mean,
};

/// A setting's place: an option of the library's, or ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Option(&'static str),
    DynamicFilters,
    Schema,
    StatementTimeout,
    IdempotencyKey,
    ParallelEndpoints,
    ResultCache,
    VacuumRetentionCheck,
}

/// Of a setting that is a text: sessions are many, and keys are written into tables.
const TEXT_BYTES_MAX: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    /// A whole number in a range.
    Number(u64, u64),
    Text,
    TimeZone,
    Duration,
}

#[derive(Debug, Clone, Copy)]
struct Setting {
    name: &'static str,
    target: Target,
    kind: Kind,
    doc: &'static str,
}

const fn option(name: &'static str, key: &'static str, kind: Kind, doc: &'static str) -> Setting {
    Setting { name, target: Target::Option(key), kind, doc }
}

/// Sorted by name.
const SETTINGS: &[Setting] = &[
    option(
        "batch_size",
        "datafusion.execution.batch_size",
        Kind::Number(64, 1 << 20),
        "Rows that operators hand to one another at once.",
    ),
    Setting {
        name: "dynamic_filters",
        target: Target::DynamicFilters,
        kind: Kind::Bool,
        doc: "Let joins and ORDER BY ... LIMIT tell scans, while they run, which rows they no longer need.",
    },
    Setting {
        name: "idempotency_key",
        target: Target::IdempotencyKey,
        kind: Kind::Text,
        doc: "The next statement that changes rows of a table does so once for this key; sent again, it gets the first answer.",
    },
    option(
        "join_reordering",
        "datafusion.optimizer.join_reordering",
        Kind::Bool,
        "Let statistics choose the side of a join that is built.",
    ),
    Setting {
        name: "parallel_endpoints",
        target: Target::ParallelEndpoints,
        kind: Kind::Number(1, 64),
        doc: "Into how many streams the rows of a query go that has no order, for clients of Flight that fetch several at once.",
    },
    option(
        "parquet_pushdown_filters",
        "datafusion.execution.parquet.pushdown_filters",
        Kind::Bool,
        "Evaluate filters while Parquet pages are decoded.",
    ),
    option(
        "parquet_reorder_filters",
        "datafusion.execution.parquet.reorder_filters",
        Kind::Bool,
        "Evaluate cheap filters first when filters are pushed down.",
    ),
    option(
        "prefer_hash_join",
        "datafusion.optimizer.prefer_hash_join",
        Kind::Bool,
        "Join by hash; when off, by sorting, which can spill to disk.",
    ),
    option(
        "repartition_aggregations",
        "datafusion.optimizer.repartition_aggregations",
        Kind::Bool,
        "Aggregate in parallel by group.",
    ),
    option("repartition_joins", "datafusion.optimizer.repartition_joins", Kind::Bool, "Join in parallel by key."),
    Setting {
        name: "result_cache",
        target: Target::ResultCache,
        kind: Kind::Bool,
        doc: "Answer a query from the rows of an earlier one, when nothing that it reads has changed.",
    },
    Setting {
        name: "schema",
        target: Target::Schema,
        kind: Kind::Text,
        doc: "Where names without a schema are looked up.",
    },
    Setting {
        name: "statement_timeout",
        target: Target::StatementTimeout,
        kind: Kind::Duration,
        doc: "A statement that runs longer is cancelled; 0 is never. Never longer than the server's own limit.",
    },
    option(
        "target_partitions",
        "datafusion.execution.target_partitions",
        Kind::Number(1, 1024),
        "Parts of a query that run at once.",
    ),
    option(
        "time_zone",
        "datafusion.execution.time_zone",
        Kind::TimeZone,
        "Zone of timestamps with a zone that are written without one.",
    ),
    Setting {
        name: "vacuum_retention_check",
        target: Target::VacuumRetentionCheck,
        kind: Kind::Bool,
        doc: "Refuse VACUUM with a retention of less than seven days.",
    },
];

/// Other spellings.
const ALIASES: &[(&str, &str)] =
    &[("timezone", "time_zone"), ("search_path", "schema"), ("current_schema", "schema"), ("schema_name", "schema")];

/// Enough to make the work on each batch worth its beginning.
const BATCH_ROWS: usize = 8192;
/// However little memory there is.
const BATCH_ROWS_MIN: usize = 256;

/// How every session starts: what is fixed, and the defaults of what is not.
pub(crate) fn base_config(config: &EngineConfig) -> SessionConfig {
    let mut options = ConfigOptions::new();
    options.catalog.create_default_catalog_and_schema = false;
    options.catalog.default_catalog = DEFAULT_CATALOG.to_owned();
    options.catalog.default_schema = DEFAULT_SCHEMA.to_owned();
    options.catalog.information_schema = false;
    options.sql_parser.collect_spans = true;
    // 0.06 - 0.01 is 0.05, as in Postgres and Databricks.
    options.sql_parser.parse_float_as_decimal = true;
    // Tables keep plain text: casts to text need no other kind.
    options.sql_parser.map_string_types_to_utf8view = false;
    options.execution.time_zone = Some("UTC".to_owned());
    options.execution.target_partitions = config.threads.max(1);
    // A smaller side of up to so many bytes is built once for all threads instead of sending both sides to the thread of
    // their key: DataFusion alone over Parquet, TPC-H at scale 1, takes 6.92 s of CPU so, and 7.46 s with its own 1 MiB.
    options.optimizer.hash_join_single_partition_threshold = 100 << 20;
    options.execution.spill_compression = datafusion::common::config::SpillCompression::Lz4Frame;
    // Each sort sets this aside to merge what it spilled; under little memory the default is all there is.
    let share = config.memory_bytes_max / (8 * config.threads.max(1));
    options.execution.sort_spill_reservation_bytes = share.clamp(64 << 10, 10 << 20);
    // "Larger than the largest so far" skips files by statistics that leave NaN out, which max would have found.
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    SessionConfig::from(options).with_batch_size(batch_rows(config))
}

/// Rows on their way are counted by nobody, and every thread has several batches of them: rows of 8 KB in batches of 8,192
/// took a join under a limit of 384 MiB to 634 MiB in 5.5 s, and in batches of 2,048 to 334 in 3.9 s.
fn batch_rows(config: &EngineConfig) -> usize {
    const BYTES_PER_ROW: usize = 64 << 10;
    let affordable = config.memory_bytes_max / (BYTES_PER_ROW * config.threads.max(1));
    match affordable.checked_ilog2() {
        Some(power) => (1 << power).clamp(BATCH_ROWS_MIN, BATCH_ROWS),
        None => BATCH_ROWS_MIN,
    }
}

/// The settings of one session.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub config: SessionConfig,
    pub statement_timeout: Option<Duration>,
    pub result_cache: bool,
    /// Taken by the next statement that changes rows.
    pub idempotency_key: Option<String>,
    pub vacuum_retention_check: bool,
    pub parallel_endpoints: usize,
    /// Names of those that were changed, even to the value that they had.
    touched: BTreeSet<&'static str>,
    /// What tells plans and rows of this session from those of one with the engine's defaults.
    pub changed: Arc<BTreeMap<&'static str, String>>,
}

/// One setting as SHOW SETTINGS lists it.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub name: &'static str,
    pub value: String,
    pub default: String,
    pub doc: &'static str,
}

/// A change that has been checked. Making it cannot fail.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    setting: Setting,
    value: String,
}

impl Settings {
    pub fn new(config: &EngineConfig) -> Self {
        Self {
            config: base_config(config),
            statement_timeout: config.statement_timeout,
            result_cache: true,
            idempotency_key: None,
            vacuum_retention_check: true,
            parallel_endpoints: 1,
            touched: BTreeSet::new(),
            changed: Arc::default(),
        }
    }

    /// The value of a setting, `NotFound` with the nearest name when there is none.
    pub fn get(&self, name: &str) -> Result<(&'static str, String), EngineError> {
        let setting = find(name)?;
        Ok((setting.name, self.value(&setting)))
    }

    pub fn list(&self, defaults: &Settings) -> Vec<Listed> {
        SETTINGS
            .iter()
            .map(|setting| Listed {
                name: setting.name,
                value: self.value(setting),
                default: defaults.value(setting),
                doc: setting.doc,
            })
            .collect()
    }

    /// Name and value of those that are not what the session started with, sorted. Asked for by every statement of a
    /// client, so it does not look at the others: the library lists all its options to give one.
    pub fn differences(&self, defaults: &Settings) -> Vec<(String, String)> {
        let touched = SETTINGS.iter().filter(|setting| self.touched.contains(setting.name));
        touched
            .map(|setting| (setting, self.value(setting)))
            .filter(|(setting, value)| *value != defaults.value(setting))
            .map(|(setting, value)| (setting.name.to_owned(), value))
            .collect()
    }

    pub fn apply(&mut self, change: &Change) -> Result<(), EngineError> {
        self.touched.insert(change.setting.name);
        match change.setting.target {
            Target::Option(key) => self.config.options_mut().set(key, &change.value)?,
            Target::DynamicFilters => {
                let (options, on) = (&mut self.config.options_mut().optimizer, change.value == "true");
                options.enable_join_dynamic_filter_pushdown = on;
                options.enable_topk_dynamic_filter_pushdown = on;
            }
            Target::Schema => self.config.options_mut().catalog.default_schema = change.value.clone(),
            Target::StatementTimeout => self.statement_timeout = parse_duration(&change.value)?,
            Target::IdempotencyKey => self.idempotency_key = Some(change.value.clone()).filter(|key| !key.is_empty()),
            Target::ParallelEndpoints => self.parallel_endpoints = change.value.parse().unwrap_or(1),
            Target::ResultCache => self.result_cache = change.value == "true",
            Target::VacuumRetentionCheck => self.vacuum_retention_check = change.value == "true",
        }
        // How long a query may run, whether it is looked for and how it is fetched changes nothing of its rows.
        let of_plans = !matches!(
            change.setting.target,
            Target::StatementTimeout
                | Target::ResultCache
                | Target::VacuumRetentionCheck
                | Target::IdempotencyKey
                | Target::ParallelEndpoints
        );
        if of_plans {
            Arc::make_mut(&mut self.changed).insert(change.setting.name, change.value.clone());
        }
        Ok(())
    }

    /// Sets one setting, or all, back to what the session started with.
    pub fn reset(&mut self, name: Option<&str>, defaults: &Settings) -> Result<(), EngineError> {
        match name {
            None => *self = defaults.clone(),
            Some(name) => {
                let setting = find(name)?;
                let value = defaults.value(&setting);
                self.apply(&Change { setting, value })?;
                Arc::make_mut(&mut self.changed).remove(setting.name);
            }
        }
        Ok(())
    }

    fn value(&self, setting: &Setting) -> String {
        match setting.target {
            Target::Option(key) => self
                .config
                .options()
                .entries()
                .into_iter()
                .find(|entry| entry.key == key)
                .and_then(|entry| entry.value)
                .unwrap_or_default(),
            Target::DynamicFilters => self.config.options().optimizer.enable_join_dynamic_filter_pushdown.to_string(),
            Target::Schema => self.config.options().catalog.default_schema.clone(),
            Target::StatementTimeout => match self.statement_timeout {
                Some(timeout) => format!("{timeout:?}"),
                None => "0".to_owned(),
            },
            Target::IdempotencyKey => self.idempotency_key.clone().unwrap_or_default(),
            Target::ParallelEndpoints => self.parallel_endpoints.to_string(),
            Target::ResultCache => self.result_cache.to_string(),
            Target::VacuumRetentionCheck => self.vacuum_retention_check.to_string(),
        }
    }
}

impl Change {
    /// Checks name, type and range.
    pub fn new(name: &str, value: &str) -> Result<Self, EngineError> {
        let setting = find(name)?;
        let value = value.trim();
        match setting.kind {
            Kind::Bool => Self::bool(setting, value),
            Kind::Number(low, high) => match value.replace('_', "").parse::<u64>() {
                Ok(number) if (low..=high).contains(&number) => Ok(Self { setting, value: number.to_string() }),
                _ => Err(wrong(&setting, value, &format!("a whole number from {low} to {high}"))),
            },
            Kind::Text if value.is_empty() => Err(wrong(&setting, value, "a name")),
            Kind::Text if value.len() > TEXT_BYTES_MAX => Err(EngineError::invalid(format!(
                "\"{}\" is a text of at most {TEXT_BYTES_MAX} bytes, and the value given has {}",
                setting.name,
                value.len()
            ))),
            Kind::Text => Ok(Self { setting, value: value.to_owned() }),
            Kind::TimeZone => {
                let valid = value.parse::<datafusion::arrow::array::timezone::Tz>().is_ok();
                if valid {
                    Ok(Self { setting, value: value.to_owned() })
                } else {
                    Err(wrong(&setting, value, "a zone such as UTC, Europe/Paris or +02:00"))
                }
            }
            Kind::Duration => match parse_duration(value) {
                Ok(_) => Ok(Self { setting, value: value.to_owned() }),
                Err(_) => Err(wrong(&setting, value, "a time such as 500ms, 30s, 10min, 1h, or 0 for none")),
            },
        }
    }

    /// Whether this is the default schema, which must exist.
    pub fn schema(&self) -> Option<&str> {
        (self.setting.target == Target::Schema).then_some(self.value.as_str())
    }

    fn bool(setting: Setting, value: &str) -> Result<Self, EngineError> {
        let on = match value.to_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => true,
            "false" | "off" | "no" | "0" => false,
            _ => return Err(wrong(&setting, value, "true or false")),
        };
        Ok(Self { setting, value: on.to_string() })
    }
}

fn find(name: &str) -> Result<Setting, EngineError> {
    let lower = name.to_lowercase();
    let plain = ALIASES.iter().find(|(alias, _)| *alias == lower).map_or(lower.as_str(), |(_, name)| name);
    let found = SETTINGS
        .iter()
        .find(|setting| setting.name == plain || matches!(setting.target, Target::Option(key) if key == plain));
    found.copied().ok_or_else(|| {
        let mut error = EngineError::not_found(format!("there is no setting \"{name}\""));
        error.hint = did_you_mean(plain, SETTINGS.iter().map(|setting| setting.name))
            .or_else(|| Some("SHOW SETTINGS lists those that SET accepts.".to_owned()));
        error
    })
}

fn wrong(setting: &Setting, value: &str, expected: &str) -> EngineError {
    EngineError::invalid(format!("\"{}\" must be {expected}, not \"{value}\"", setting.name)).with_hint(setting.doc)
}

/// `0`, `250` (milliseconds, as in Postgres), `250ms`, `30s`, `10min`, `1h`.
fn parse_duration(text: &str) -> Result<Option<Duration>, EngineError> {
    let text = text.trim().to_lowercase();
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit.trim() {
        "" | "ms" => 0.001,
        "s" | "sec" | "second" | "seconds" => 1.0,
        "m" | "min" | "minute" | "minutes" => 60.0,
        "h" | "hour" | "hours" => 3600.0,
        _ => return Err(EngineError::invalid(format!("\"{text}\" is not a time"))),
    };
    let number: f64 =
        number.parse().map_err(|error| EngineError::invalid(format!("\"{text}\" is not a time")).with_source(error))?;
    let duration = Duration::try_from_secs_f64(number * seconds)
        .map_err(|error| EngineError::invalid(format!("\"{text}\" is too long")).with_source(error))?;
    Ok((!duration.is_zero()).then_some(duration))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_exists_and_the_table_is_sorted() {
        let settings = Settings::new(&EngineConfig::default());
        assert!(SETTINGS.is_sorted_by_key(|setting| setting.name));
        for setting in SETTINGS {
            if let Target::Option(key) = setting.target {
                assert!(settings.config.options().entries().iter().any(|entry| entry.key == key), "{key}");
            }
        }
    }

    #[test]
    fn little_memory_makes_small_batches() {
        let rows = |bytes: usize, threads| {
            let config = EngineConfig { memory_bytes_max: bytes, threads, ..EngineConfig::default() };
            base_config(&config).batch_size()
        };
        assert_eq!([rows(2 << 30, 2), rows(1 << 30, 2), rows(384 << 20, 2), rows(1 << 20, 2)], [8192, 8192, 2048, 256]);
        assert_eq!([rows(0, 0), rows(8 << 30, 64), rows(usize::MAX, 1)], [256, 2048, 8192]);
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration("0").unwrap(), None);
        assert_eq!(parse_duration("250").unwrap(), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("1.5s").unwrap(), Some(Duration::from_millis(1500)));
        assert_eq!(parse_duration("10 min").unwrap(), Some(Duration::from_secs(600)));
        assert!(parse_duration("soon").is_err());
        assert!(parse_duration("-1s").is_err());
    }

    #[test]
    fn values_are_checked() {
        assert!(Change::new("batch_size", "8_192").is_ok());
        assert!(Change::new("datafusion.execution.batch_size", "8192").is_ok());
        assert_eq!(
            Change::new("batch_size", "0").unwrap_err().message,
            "\"batch_size\" must be a whole number from 64 to 1048576, not \"0\""
        );
        assert_eq!(Change::new("batchsize", "1").unwrap_err().hint.as_deref(), Some("Did you mean \"batch_size\"?"));
        assert!(Change::new("datafusion.runtime.memory_limit", "1G").is_err());
        assert!(Change::new("time_zone", "Nowhere").is_err());
    }
}
