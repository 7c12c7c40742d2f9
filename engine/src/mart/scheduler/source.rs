//! The folder of definitions, read again when a file in it changed.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use super::super::{
    definition::Definition,
    fault::Fault,
    folder::{files, read_folder},
};

/// The last definitions of a folder that had no fault in them.
#[derive(Debug)]
pub(super) struct Source {
    folder: PathBuf,
    stamp: Option<Stamp>,
    definitions: Arc<[Definition]>,
    /// Of the files as they are now.
    faults: Vec<String>,
}

/// Path, time of the last change and bytes of each file.
type Stamp = Vec<(String, Option<SystemTime>, u64)>;

impl Source {
    /// Nothing was read yet.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, stamp: None, definitions: Arc::new([]), faults: Vec::new() }
    }

    pub fn definitions(&self) -> Arc<[Definition]> {
        self.definitions.clone()
    }

    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// Reads the files if one changed, and tells whether there are other definitions now. With a fault in one of them those
    /// from before stay.
    pub fn look(&mut self) -> bool {
        let stamp = stamp(&self.folder);
        if stamp.as_ref().is_ok_and(|stamp| self.stamp.as_ref() == Some(stamp)) {
            return false;
        }
        // What is wrong with a file is not found out again before one changed.
        let read = stamp.map_err(|fault| vec![fault]).and_then(|stamp| {
            self.stamp = Some(stamp);
            read_folder(&self.folder)
        });
        match read {
            Ok(definitions) => {
                self.faults.clear();
                self.definitions = definitions.into();
                true
            }
            Err(faults) => {
                self.faults = faults.iter().map(ToString::to_string).collect();
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
