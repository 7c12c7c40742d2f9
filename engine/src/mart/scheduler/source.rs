//! Definitions: those of a folder, read again when a file in it changed, and those that statements made.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use super::super::{
    definition::Definition,
    fault::Fault,
    folder::{files, read_folder},
    stored::{Stored, parsed, stored},
};
use crate::Engine;

/// The last definitions that had no fault in them.
#[derive(Debug)]
pub(super) struct Source {
    folder: Option<PathBuf>,
    stamp: Option<Stamp>,
    of_files: Vec<Definition>,
    /// Of the files as they are now.
    faults_of_files: Vec<String>,
    /// As they were last read; `None` before that, and when the lake could not be reached.
    stored: Option<Stored>,
    of_statements: Vec<Definition>,
    faults_of_statements: Vec<String>,
    /// All.
    definitions: Arc<[Definition]>,
    faults: Vec<String>,
}

/// Path, time of the last change and bytes of each file.
type Stamp = Vec<(String, Option<SystemTime>, u64)>;

impl Source {
    /// Nothing was read yet.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self {
            folder,
            stamp: None,
            of_files: Vec::new(),
            faults_of_files: Vec::new(),
            stored: None,
            of_statements: Vec::new(),
            faults_of_statements: Vec::new(),
            definitions: Arc::new([]),
            faults: Vec::new(),
        }
    }

    pub fn definitions(&self) -> Arc<[Definition]> {
        self.definitions.clone()
    }

    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// Reads what changed, and tells whether there are other definitions now.
    pub async fn look(&mut self, engine: &Engine) -> bool {
        let (files, statements) = (self.look_at_files(engine), self.look_at_statements(engine).await);
        self.faults = self.faults_of_files.iter().chain(&self.faults_of_statements).cloned().collect();
        if files || statements {
            self.definitions = self.of_files.iter().chain(&self.of_statements).cloned().collect();
        }
        files || statements
    }

    /// With a fault in one of the files the definitions from before stay.
    fn look_at_files(&mut self, engine: &Engine) -> bool {
        let Some(folder) = &self.folder else { return false };
        let stamp = stamp(folder);
        if stamp.as_ref().is_ok_and(|stamp| self.stamp.as_ref() == Some(stamp)) {
            return false;
        }
        // What is wrong with a file is not found out again before one changed.
        let read = stamp.map_err(|fault| vec![fault]).and_then(|stamp| {
            self.stamp = Some(stamp);
            read_folder(folder)
        });
        match read {
            Ok(definitions) => {
                self.faults_of_files.clear();
                engine.marts_in_files().are(&definitions);
                self.of_files = definitions;
                true
            }
            Err(faults) => {
                self.faults_of_files = faults.iter().map(ToString::to_string).collect();
                false
            }
        }
    }

    /// A definition that cannot be read stops no other: each was checked when it was made.
    async fn look_at_statements(&mut self, engine: &Engine) -> bool {
        match stored(engine.lake()).await {
            Ok(stored) if Some(&stored) == self.stored.as_ref() => false,
            Ok(stored) => {
                let (definitions, faults) = parsed(&stored);
                self.faults_of_statements = faults.iter().map(ToString::to_string).collect();
                let changed = definitions.len() + self.of_statements.len() > 0;
                (self.stored, self.of_statements) = (Some(stored), definitions);
                changed
            }
            Err(error) => {
                self.stored = None;
                self.faults_of_statements = vec![format!("the marts of the lake could not be read: {error}")];
                false
            }
        }
    }
}

fn stamp(folder: &Path) -> Result<Stamp, Fault> {
    let of = |file: String| {
        let metadata = std::fs::metadata(&file).ok();
        let changed = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
        (file, changed, metadata.map_or(0, |metadata| metadata.len()))
    };
    Ok(files(folder)?.into_iter().map(of).collect())
}
