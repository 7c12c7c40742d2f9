//! Marts whose definitions statements made. They lie in the lake's catalog, those of a schema in its document, and are of one
//! graph with those of a folder.

use std::sync::Arc;

use boathouse_storage::{
    Lake, StorageError,
    catalog::{MartDefinition, MartDocument, StoredMart},
    write,
};

use super::{MartOptions, PROGRAM, definition::Definition, fault::Fault, project::Project, quarantine, written::file};
use crate::{Engine, EngineError, catalog::TableName};

/// Definitions as they lie in the lake.
pub(crate) type Stored = Vec<(TableName, StoredMart)>;

/// All of a lake, by name.
pub(crate) async fn stored(lake: &Lake) -> Result<Stored, EngineError> {
    let mut stored = Vec::new();
    for schema in lake.schemas().await? {
        match lake.catalog(&schema).await {
            Ok(document) => {
                let of = |(name, mart): (&String, &StoredMart)| (TableName::new(&schema, name), mart.clone());
                stored.extend(document.marts.iter().map(of));
            }
            // Dropped since.
            Err(StorageError::SchemaNotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    stored.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(stored)
}

/// The one of a name.
pub(crate) async fn stored_of(lake: &Lake, name: &TableName) -> Result<Option<StoredMart>, EngineError> {
    match lake.catalog(&name.schema).await {
        Ok(document) => Ok(document.marts.get(&name.name).cloned()),
        Err(StorageError::SchemaNotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a mart that a statement made was dropped since its definition was read.
pub(super) async fn is_gone(lake: &Lake, definition: &Definition) -> Result<bool, EngineError> {
    let name = &definition.name;
    Ok(definition.file == file(name) && stored_of(lake, name).await?.is_none())
}

/// Reads them, and tells which cannot be read.
pub(super) fn parsed(stored: &Stored) -> (Vec<Definition>, Vec<Fault>) {
    let (mut definitions, mut faults) = (Vec::new(), Vec::new());
    for (name, mart) in stored {
        match Definition::parse(&file(name), &mart.text) {
            Ok(definition) => definitions.push(definition),
            Err(fault) => faults.push(fault),
        }
    }
    (definitions, faults)
}

/// The definitions that statements made. All faults are told, not only the first.
pub async fn read_lake(engine: &Arc<Engine>) -> Result<Vec<Definition>, Vec<Fault>> {
    let lake = engine.lake().clone();
    let read = engine.runtime().spawn(async move { stored(&lake).await }).await;
    let stored =
        read.and_then(|stored| stored).map_err(|error| vec![Fault::new("the marts of the lake", None, error)])?;
    match parsed(&stored) {
        (definitions, faults) if faults.is_empty() => Ok(definitions),
        (_, faults) => Err(faults),
    }
}

/// Checks a definition that is to be kept among the others of the lake. Gives what people are told of it.
pub(crate) async fn check(engine: &Arc<Engine>, definition: Definition) -> Result<MartDefinition, Fault> {
    let (name, own) = (definition.name.clone(), definition.file.clone());
    let others = stored(engine.lake()).await.map_err(|error| Fault::new(&own, None, error))?;
    // One that cannot be read is a fault of its own.
    let (others, _) = parsed(&others);
    let all = others.into_iter().filter(|other| other.name != name).chain([definition]).collect();
    let (project, faults) = Project::open_sound(engine, all, MartOptions::of_statements()).await;
    if let Some(mart) = project.marts.iter().find(|mart| mart.definition.name == name) {
        return Ok(mart.told());
    }
    let (mut of_it, of_others): (Vec<_>, Vec<_>) = faults.into_iter().partition(|fault| fault.file == own);
    if !of_it.is_empty() {
        return Err(of_it.swap_remove(0));
    }
    Err(match of_others.into_iter().next() {
        Some(Fault { file, error, .. }) => {
            let message = format!("{file}: {}", error.message);
            Fault::new(&own, None, EngineError { message, ..error.without_excerpt() })
        }
        None => Fault::new(&own, None, EngineError::internal("a mart without a fault cannot be run")),
    })
}

/// Drops the tables of a mart that are there: its own, and that of rows that tests kept out. UNDROP TABLE brings them back.
pub(crate) async fn drop_tables(lake: &Lake, name: &TableName) -> Result<(), EngineError> {
    for (table, program) in [(name.clone(), PROGRAM), (quarantine::name(name), quarantine::PROGRAM)] {
        let TableName { schema, name } = &table;
        match lake.table(schema, name).await {
            Ok(table) if table.transaction(program).is_none() => continue,
            Ok(_) => {}
            Err(StorageError::TableNotFound { .. } | StorageError::SchemaNotFound { .. }) => continue,
            Err(error) => return Err(error.into()),
        }
        match write::hide_table(lake, schema, name).await {
            Ok(()) | Err(StorageError::TableNotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Whether nothing is known of a mart: it never ran, or it was dropped.
pub(crate) fn is_unknown(document: &MartDocument) -> bool {
    *document == MartDocument::default()
}
