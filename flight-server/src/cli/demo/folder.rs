//! Where the demo may write: a new folder, an empty one, or its own.

use std::{fs, path::Path, sync::Arc};

use arrow::{array::RecordBatchReader, datatypes::SchemaRef};
use boathouse_engine::{Engine, ErrorKind};

use crate::{
    client::ClientError,
    tpch::{self, TABLES},
};

const HINT: &str = "HINT: Choose another folder with --lake.";

/// The folder's path as text. Refuses a file, and a folder that holds something other than a lake.
pub fn check(folder: &Path) -> Result<String, ClientError> {
    let Some(text) = folder.to_str() else {
        return Err(refused(ErrorKind::InvalidSql, format!("the name of \"{}\" is not UTF-8", folder.display())));
    };
    if !folder.exists() {
        return Ok(text.to_owned());
    }
    if !folder.is_dir() {
        return Err(refused(ErrorKind::AlreadyExists, format!("\"{text}\" is not a folder")));
    }
    let unreadable = |error| refused(ErrorKind::Unavailable, format!("could not read \"{text}\": {error}"));
    let is_empty = fs::read_dir(folder).map_err(unreadable)?.next().is_none();
    let is_lake = folder.join("_boathouse").is_dir() || folder.join("main").is_dir();
    if !is_empty && !is_lake {
        return Err(refused(ErrorKind::AlreadyExists, format!("\"{text}\" is not empty and not a lake")));
    }
    Ok(text.to_owned())
}

/// Refuses a lake with tables of another's: the demo would replace those that have its names.
pub async fn check_tables(engine: &Arc<Engine>, lake: &str) -> Result<(), ClientError> {
    let session = engine.session();
    let present = session.tables("main").await?;
    let first = TABLES[0].name;
    // The demo makes this table before any other.
    if !present.is_empty() && !present.iter().any(|entry| entry.name == first) {
        let text = format!("\"{lake}\" is a lake that the demo did not make: it has no table \"{first}\"");
        return Err(refused(ErrorKind::AlreadyExists, text));
    }
    for table in &TABLES {
        check_table(engine, lake, "main", table.name, &tpch::rows(table, 0.001, 1, 1).schema()).await?;
    }
    Ok(())
}

/// Refuses a lake that has a table of this name with other columns.
pub async fn check_table(
    engine: &Arc<Engine>,
    lake: &str,
    schema: &str,
    table: &str,
    ours: &SchemaRef,
) -> Result<(), ClientError> {
    let session = engine.session();
    let present = match session.tables(schema).await {
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(()),
        present => present?,
    };
    if !present.iter().any(|entry| entry.name == table) {
        return Ok(());
    }
    let there = session.table_columns(schema, table).await?.schema;
    if ours.fields().iter().map(|field| field.name()).eq(there.fields().iter().map(|field| field.name())) {
        return Ok(());
    }
    let name = if schema == "main" { table.to_owned() } else { format!("{schema}.{table}") };
    let text = format!("the lake \"{lake}\" has a table \"{name}\" that the demo did not make");
    Err(refused(ErrorKind::AlreadyExists, text))
}

fn refused(kind: ErrorKind, text: String) -> ClientError {
    ClientError::new(kind, format!("{text}\n{HINT}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_new_an_empty_or_a_lakes_folder_will_do() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check(&folder.path().join("new")).is_ok());
        assert!(check(folder.path()).is_ok());
        let file = folder.path().join("notes.txt");
        fs::write(&file, "mine").unwrap();
        assert!(check(&file).unwrap_err().text.contains("is not a folder"));
        let error = check(folder.path()).unwrap_err();
        assert!(error.text.contains("is not empty and not a lake") && error.text.contains("--lake"), "{error}");
        fs::create_dir(folder.path().join("_boathouse")).unwrap();
        assert!(check(folder.path()).is_ok());
    }
}
