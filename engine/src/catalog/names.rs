//! Names of tables: parts, defaults, reserved words.

use std::fmt;

use datafusion::{
    common::TableReference,
    sql::{planner::object_name_to_table_reference, sqlparser::ast::ObjectName},
};

use crate::{EngineError, error::convert};

/// A lake is one catalog.
pub(crate) const DEFAULT_CATALOG: &str = "lake";
/// Where names without a schema live, unless the session says otherwise.
pub(crate) const DEFAULT_SCHEMA: &str = "main";

const RESERVED: &[&str] = &["information_schema", "system"];

/// Whether a schema belongs to the system: nothing can be made in it.
pub(crate) fn is_reserved(schema: &str) -> bool {
    RESERVED.contains(&schema)
}

/// A table, view or file list, by schema and name. Letters outside double quotes are lower case already.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TableName {
    pub schema: String,
    pub name: String,
}

impl TableName {
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self { schema: schema.into(), name: name.into() }
    }

    /// Fills in what a name leaves out.
    pub fn of_reference(reference: &TableReference, default_schema: &str) -> Result<Self, EngineError> {
        if let Some(catalog) = reference.catalog()
            && catalog != DEFAULT_CATALOG
        {
            return Err(EngineError::not_found(format!("catalog \"{catalog}\" does not exist"))
                .with_hint(format!("There is one catalog, \"{DEFAULT_CATALOG}\": write schema.table.")));
        }
        Ok(Self::new(reference.schema().unwrap_or(default_schema), reference.table()))
    }

    /// Fills in what a name leaves out.
    pub fn of_object(name: &ObjectName, default_schema: &str) -> Result<Self, EngineError> {
        Self::of_reference(&reference(name)?, default_schema)
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// A name as DataFusion sees it: folded to lower case outside quotes.
pub(crate) fn reference(name: &ObjectName) -> Result<TableReference, EngineError> {
    object_name_to_table_reference(name.clone(), true).map_err(|error| convert(error, None))
}
