//! A folder of definitions.

use std::{fs, io, path::Path};

use super::{Definition, Fault};
use crate::EngineError;

/// Definitions of one folder at most.
const FILES_MAX: usize = 10_000;
/// Folders in folders.
const DEPTH_MAX: usize = 16;

/// Reads every `*.sql` of a folder and of those in it, sorted by path. All faults are told, not only the first.
pub fn read_folder(folder: &Path) -> Result<Vec<Definition>, Vec<Fault>> {
    let files = files(folder).map_err(|fault| vec![fault])?;
    let (mut definitions, mut faults) = (Vec::new(), Vec::new());
    for file in files {
        let read = fs::read_to_string(&file).map_err(|error| unreadable(Path::new(&file), &error));
        match read.and_then(|text| Definition::parse(&file, &text)) {
            Ok(definition) => definitions.push(definition),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(definitions) } else { Err(faults) }
}

/// The paths of every `*.sql` of a folder and of those in it, sorted.
pub(super) fn files(folder: &Path) -> Result<Vec<String>, Fault> {
    let mut files = Vec::new();
    walk(folder, 0, &mut files)?;
    files.sort();
    Ok(files)
}

fn walk(folder: &Path, depth: usize, files: &mut Vec<String>) -> Result<(), Fault> {
    let failed = |error: io::Error| unreadable(folder, &error);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            if depth < DEPTH_MAX {
                walk(&path, depth + 1, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "sql") {
            files.push(path.to_string_lossy().into_owned());
        }
        if files.len() > FILES_MAX {
            let error = EngineError::invalid(format!("there are more than {FILES_MAX} definitions"));
            return Err(Fault::new(&folder.to_string_lossy(), None, error.with_hint("Name a folder of marts alone.")));
        }
    }
    Ok(())
}

fn unreadable(path: &Path, error: &io::Error) -> Fault {
    let message = match error.kind() {
        io::ErrorKind::NotFound => "there is no such folder or file".to_owned(),
        io::ErrorKind::InvalidData => "it is not text in UTF-8".to_owned(),
        _ => format!("it could not be read: {error}"),
    };
    let hint = "--marts, or `marts` in the configuration, names a folder of files such as marts.daily_revenue.sql.";
    Fault::new(&path.to_string_lossy(), None, EngineError::not_found(message).with_hint(hint))
}
