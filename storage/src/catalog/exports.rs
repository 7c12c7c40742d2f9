//! Exports of marts: what each destination has of a mart, and how the last attempts went. A document for each mart.
//!
//! Where a destination keeps a ledger of its own, that one counts: what is written here saves looks, and tells people. Where it
//! keeps none, the rows that it has acknowledged are those that are told here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Claim, Document};

/// The exports of one mart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExportsDocument {
    /// By destination and place in it, `warehouse/sales.daily`.
    pub exports: BTreeMap<String, MartExport>,
}

impl Document for ExportsDocument {
    const FOLDER: &'static str = "exports";
    const FORMAT: u32 = 1;

    fn format(&self) -> u32 {
        1
    }
}

/// One export.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MartExport {
    pub destination: String,
    /// Of the destination: `postgres`, `files`, `http`.
    pub kind: String,
    /// The place in it.
    pub target: String,
    pub mode: String,
    /// The last version that it got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered: Option<ExportDelivered>,
    /// What went wrong since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<ExportFailed>,
    /// What it has acknowledged of a version that it does not have as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<ExportPart>,
    /// Stands for failures that somebody was told of, until they are told of the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<String>,
    /// Who delivers now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
}

/// A version of a mart's table. Tables of one name that were made one behind the other have other ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportMark {
    pub table: String,
    pub version: u64,
}

/// A version that a destination has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportDelivered {
    pub mark: ExportMark,
    /// How many were sent; none when the destination told that it had them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Milliseconds since 1970, UTC.
    pub at_ms: i64,
}

/// Attempts that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportFailed {
    /// The version of the table that was to be delivered at least.
    pub version: u64,
    /// How often, one behind the other.
    pub attempts: u32,
    /// The last time, in milliseconds since 1970, UTC.
    pub at_ms: i64,
    pub error: String,
    /// When it is to be tried again; none when it would fail again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_ms: Option<i64>,
}

/// A part of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportPart {
    pub mark: ExportMark,
    /// The version whose rows were left out, because the destination had them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<ExportMark>,
    /// Rows that were acknowledged, from the first on.
    pub rows: u64,
}
