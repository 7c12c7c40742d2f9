//! Who did what: the first line of a log entry, for the table's history.

use std::collections::BTreeMap;

use bytes::Bytes;
use deltalake::kernel::Action;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    CommitInfo,
    commit::{CLIENT, STATEMENT_CHARS_MAX},
    transaction::{Operation, line, now_ms},
};
use crate::StorageError;

pub(super) const ENGINE: &str = concat!("Boathouse/", env!("CARGO_PKG_VERSION"));

/// Who did what, for the history.
pub(super) fn provenance(operation: &Operation, read_version: Option<u64>, blind: bool, info: &CommitInfo) -> Value {
    let Operation { name, parameters, metrics, inserted, updated, deleted } = operation;
    let metrics: BTreeMap<_, _> = metrics.iter().map(|(name, count)| (name, count.to_string())).collect();
    let mut provenance = json!({
        "timestamp": now_ms(),
        "operation": name,
        "operationParameters": parameters,
        "operationMetrics": metrics,
        "rows": { "inserted": inserted, "updated": updated, "deleted": deleted },
        "isBlindAppend": blind,
        "engineInfo": ENGINE,
        "clientVersion": CLIENT,
        "txnId": Uuid::new_v4().to_string(),
    });
    if let Some(fields) = provenance.as_object_mut() {
        if let Some(version) = read_version {
            fields.insert("readVersion".to_owned(), version.into());
        }
        if let Some(statement) = &info.statement {
            let text: String = statement.chars().take(STATEMENT_CHARS_MAX).collect();
            fields.insert("statement".to_owned(), Value::String(text));
        }
        if let Some(user) = &info.user {
            fields.insert("userName".to_owned(), user.clone().into());
        }
        if let Some(hash) = info.key_is_for.as_ref().filter(|_| info.idempotency_key.is_some()) {
            fields.insert("keyIsFor".to_owned(), hash.clone().into());
        }
        if let Some(publication) = &info.publication {
            fields.insert("publication".to_owned(), publication.info().clone());
        }
    }
    provenance
}

/// A log entry of these actions.
pub(super) fn lines_of(provenance: &Value, actions: impl Iterator<Item = Action>) -> Result<Bytes, StorageError> {
    let mut text = json!({ "commitInfo": provenance }).to_string();
    text.push('\n');
    for action in actions {
        text.push_str(&line(&action)?.to_string());
        text.push('\n');
    }
    Ok(Bytes::from(text))
}
