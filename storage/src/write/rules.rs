//! What a table demands of its rows beyond types and NOT NULL, and what fills columns that a statement leaves out.
//!
//! The rules are text of Spark SQL in the table's metadata. Nothing here parses them: [`RuleTexts`] says what stands there,
//! the engine turns it into [`Rules`] once for each statement, and [`super::conform`] puts those into every write.

use std::collections::BTreeMap;

use datafusion::logical_expr::Expr;
use deltalake::kernel::{DataType, StructField, StructType};

use super::identity::{Identity, Numbers};
use crate::{Snapshot, StorageError};

/// Stands before the name of a CHECK constraint among the table's properties.
pub const CONSTRAINT_PREFIX: &str = "delta.constraints.";
/// Metadata of a column that the table computes.
pub const GENERATED_KEY: &str = "delta.generationExpression";
/// Metadata of a column with a rule of its own, the older form of a CHECK.
pub(super) const INVARIANT_KEY: &str = "delta.invariants";
/// Metadata of a column with a default value.
pub const DEFAULT_KEY: &str = "CURRENT_DEFAULT";

/// The rules of one table, over columns without a qualifier, types coerced.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    pub checks: Vec<Check>,
    pub generated: Vec<Generated>,
    /// What a column that is left out becomes: expressions without columns.
    pub defaults: Vec<(String, Expr)>,
    /// What identity columns that are left out become.
    pub identities: Vec<Numbers>,
    /// The rows are there already and keep the numbers that they have.
    pub keeps_identities: bool,
}

impl Rules {
    /// Whether these are all the rules of the table: a write that forgot them must not go on.
    pub(super) fn check_complete(&self, table: &Snapshot) -> Result<(), StorageError> {
        let texts = table.rule_texts();
        let given = [self.checks.len(), self.generated.len(), self.defaults.len(), self.identities.len()];
        let wanted = [texts.checks.len(), texts.generated.len(), texts.defaults.len(), texts.identities.len()];
        if given == wanted {
            return Ok(());
        }
        Err(StorageError::Internal { message: format!("a write to \"{}\" does not know its rules", table.name()) })
    }
}

/// A condition that must be TRUE for every row: FALSE and NULL break it, as in other writers of Delta.
#[derive(Debug, Clone)]
pub struct Check {
    /// For people: `constraint "positive"`.
    pub rule: String,
    /// The condition as the table has it.
    pub sql: String,
    pub expr: Expr,
}

/// A column that the table computes from the row's other columns.
#[derive(Debug, Clone)]
pub struct Generated {
    pub column: String,
    pub sql: String,
    pub expr: Expr,
}

/// The rules as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleTexts {
    /// What it is in words, and its condition.
    pub checks: Vec<(String, String)>,
    /// Column and expression.
    pub generated: Vec<(String, String)>,
    /// Column and value.
    pub defaults: Vec<(String, String)>,
    /// Columns that number the rows.
    pub identities: Vec<Identity>,
}

impl RuleTexts {
    /// Whether the table demands nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Snapshot {
    /// The rules that every write must keep.
    pub fn rule_texts(&self) -> RuleTexts {
        texts(self.columns(), self.properties())
    }

    /// What the table says of a column that numbers its rows.
    pub fn identity(&self, column: &str) -> Option<Identity> {
        self.columns().field(column).and_then(Identity::of)
    }

    /// The columns that the table computes itself.
    pub fn is_generated(&self, column: &str) -> bool {
        self.columns().field(column).is_some_and(|field| field.metadata().contains_key(GENERATED_KEY))
    }
}

/// The rules in a definition.
pub(super) fn texts(columns: &StructType, properties: &BTreeMap<String, String>) -> RuleTexts {
    let mut texts = RuleTexts::default();
    for (key, sql) in properties {
        if let Some(name) = key.strip_prefix(CONSTRAINT_PREFIX) {
            texts.checks.push((format!("constraint \"{name}\""), sql.clone()));
        }
    }
    for field in columns.fields() {
        if let Some(sql) = text(field, GENERATED_KEY) {
            texts.generated.push((field.name().clone(), sql));
        }
        if let Some(sql) = text(field, DEFAULT_KEY) {
            texts.defaults.push((field.name().clone(), sql));
        }
        texts.identities.extend(Identity::of(field));
    }
    invariants(columns, "", &mut texts.checks);
    texts
}

/// `{"expression": {"expression": "x > 3"}}` at any column or field of a struct.
fn invariants(columns: &StructType, parent: &str, checks: &mut Vec<(String, String)>) {
    for field in columns.fields() {
        let path = format!("{parent}{}", field.name());
        if let Some(json) = text(field, INVARIANT_KEY) {
            let parsed: Option<serde_json::Value> = serde_json::from_str(&json).ok();
            let inner = parsed.as_ref().and_then(|rule| rule.pointer("/expression/expression")?.as_str());
            checks.push((format!("invariant of column \"{path}\""), inner.map_or(json.clone(), str::to_owned)));
        }
        if let DataType::Struct(inner) = field.data_type() {
            invariants(inner, &format!("{path}."), checks);
        }
    }
}

fn text(field: &StructField, key: &str) -> Option<String> {
    field.metadata().get(key).map(ToString::to_string)
}
