//! What a folder cannot say: views, comments, external locations, marts that SQL made, tables being dropped. One small versioned JSON
//! document per schema under `<lake>/_boathouse/catalog/<schema>/<20-digit version>.json`, replaced by put-if-absent of
//! the next version. Lose that folder and no row is lost. Users are a document of their own kind ([`UsersDocument`]),
//! and so is each mart ([`MartDocument`]), and what destinations outside of the lake have of it ([`ExportsDocument`]).

mod claim;
mod documents;
mod exports;
mod folders;
mod marts;
mod users;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use claim::Claim;
pub(crate) use documents::{Document, Documents, backoff};
pub use exports::{ExportDelivered, ExportFailed, ExportMark, ExportPart, ExportsDocument, MartExport};
pub use marts::{
    MartCause, MartColumn, MartDefinition, MartDocument, MartInput, MartLate, MartLateness, MartLease, MartRun,
    MartRunState, MartTest, MartTestState,
};
pub use users::{AccessToken, Role, Secret, User, UsersDocument};

/// The document of one schema.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CatalogDocument {
    /// The schema was dropped (and may be created again).
    pub dropped: bool,
    pub comment: Option<String>,
    pub views: BTreeMap<String, View>,
    pub external_tables: BTreeMap<String, ExternalTable>,
    /// Table name -> the definition of the mart that keeps it, for those that a statement made.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub marts: BTreeMap<String, StoredMart>,
    /// Table name -> the folder that it lies in, for tables that do not lie in the folder of their name: renamed ones.
    pub renamed: BTreeMap<String, String>,
    /// Names that a rename is about to give away, each with the rename's token.
    pub claims: BTreeMap<String, String>,
    /// Table folder name -> Delta table ids that were dropped; such a table does not exist any more, its files are deleted.
    pub dropped_tables: BTreeMap<String, Vec<String>>,
    /// Table folder name -> those of the dropped tables whose files stay for a while, so that UNDROP can bring them back.
    pub kept_tables: BTreeMap<String, KeptTable>,
    /// Table folder name -> shallow clones that read its files.
    pub clones: BTreeMap<String, Vec<TableClone>>,
    /// Table folder name -> statements that are about to use files of old versions again or to delete such files, in the
    /// order in which they came.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub holds: BTreeMap<String, Vec<Hold>>,
}

impl Document for CatalogDocument {
    const FOLDER: &'static str = "catalog";
    const FORMAT: u32 = 4;

    /// Renamed tables came with the second format: who does not know them would see the tables under their old names. Holds
    /// came with the third: who does not know them would delete files that another statement counts on. Marts came with the
    /// fourth: who does not know them would lose them with its next change.
    fn format(&self) -> u32 {
        match self {
            Self { marts, .. } if !marts.is_empty() => 4,
            Self { holds, .. } if !holds.is_empty() => 3,
            Self { renamed, claims, .. } if !renamed.is_empty() || !claims.is_empty() => 2,
            _ => 1,
        }
    }
}

/// A statement that is at work on a table's old files (`lake/holds.rs`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub token: String,
    /// Milliseconds since 1970, UTC.
    pub since_ms: i64,
    /// Moves while the statement lives.
    pub beat: u64,
    #[serde(flatten)]
    pub purpose: Purpose,
}

/// What a [`Hold`] is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "purpose", rename_all = "snake_case")]
pub enum Purpose {
    /// VACUUM.
    Delete,
    /// RESTORE to this version of the table in this folder.
    Restore { schema: String, folder: String, version: u64 },
    /// SHALLOW CLONE of it.
    Clone { schema: String, folder: String, version: u64 },
}

/// A dropped table that can be brought back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptTable {
    pub id: String,
    /// The table's name, unless it is the folder's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Milliseconds since 1970, UTC.
    pub dropped_ms: i64,
}

/// A table that reads files of another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableClone {
    pub schema: String,
    /// The name of its folder.
    pub name: String,
    /// Its Delta table id: another table under its name is no clone.
    pub id: String,
}

/// A stored query.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct View {
    /// The SELECT as the person wrote it.
    pub sql: String,
    /// Column names from `CREATE VIEW v (a, b)`, or empty.
    #[serde(default)]
    pub columns: Vec<String>,
    #[serde(default)]
    pub comment: Option<String>,
}

/// The definition of a mart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StoredMart {
    /// As a file would say it: a block in TOML, then the query.
    pub text: String,
    /// Who made or changed it last, where the lake has users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_by: Option<String>,
    /// Milliseconds since 1970, UTC.
    #[serde(default)]
    pub changed_ms: i64,
}

/// Files or a Delta table elsewhere, known by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ExternalTable {
    /// `delta`, `parquet`, `csv` or `json`.
    pub format: String,
    pub location: String,
    /// Column definitions as SQL text (`a INT NOT NULL, b VARCHAR`), or empty to infer them.
    #[serde(default)]
    pub columns: String,
    #[serde(default)]
    pub partition_columns: Vec<String>,
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    #[serde(default)]
    pub comment: Option<String>,
}
