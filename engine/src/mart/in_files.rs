//! Which marts the folder of this process defines: a statement that would define one of them again is told so.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::definition::Definition;
use crate::catalog::TableName;

/// Names, and the file of each. Empty in a process that knows no folder.
#[derive(Debug, Default)]
pub(crate) struct InFiles(Mutex<BTreeMap<TableName, String>>);

impl InFiles {
    /// These were read, and no others.
    pub(super) fn are(&self, definitions: &[Definition]) {
        let files = definitions.iter().map(|definition| (definition.name.clone(), definition.file.clone()));
        *self.0.lock() = files.collect();
    }

    pub fn file(&self, mart: &TableName) -> Option<String> {
        self.0.lock().get(mart).cloned()
    }
}
