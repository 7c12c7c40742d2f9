//! Exports against destinations and the mart's columns: what is wrong is told before anything runs.

use datafusion::arrow::datatypes::FieldRef;

use super::{
    super::{columns::no_column, definition::Definition, fault::Fault},
    Destinations, Export, ExportMode,
};
use crate::{EngineError, error::did_you_mean};

/// What is wrong with the exports of a mart that makes these columns.
pub(in crate::mart) fn check(definition: &Definition, columns: &[FieldRef], destinations: &Destinations) -> Vec<Fault> {
    let faults = definition.exports.iter().filter_map(|export| {
        let error = check_one(export, columns, destinations).err()?;
        Some(Fault::new(&definition.file, export.line, error))
    });
    faults.collect()
}

/// Exports that would take the place of another mart's rows, or whose rows another's would.
pub(in crate::mart) fn clashes<'a>(
    definition: &Definition,
    others: impl Iterator<Item = &'a Definition>,
) -> Vec<Fault> {
    let own = definition.name();
    let mut faults = Vec::new();
    for other in others {
        let name = other.name();
        for export in &definition.exports {
            let is_same = |there: &&Export| there.id(&name) == export.id(&own);
            let Some(there) = other.exports.iter().find(is_same) else { continue };
            if export.mode != ExportMode::Replace && there.mode != ExportMode::Replace {
                continue;
            }
            let target = export.target(&own);
            let message = format!("mart \"{name}\" is exported to \"{target}\" of \"{}\", too", export.to);
            let error =
                EngineError::invalid(message).with_detail("With replace, one would take the other's rows away.");
            let hint = "Name another table for one of them, or write mode = \"merge\" or \"append\" for both.";
            faults.push(Fault::new(&definition.file, export.line, error.with_hint(hint)));
        }
    }
    faults
}

fn check_one(export: &Export, columns: &[FieldRef], destinations: &Destinations) -> Result<(), EngineError> {
    for name in &export.key {
        if columns.iter().all(|column| column.name() != name) {
            return Err(no_column(name, columns.iter().map(|column| column.name().as_str())));
        }
    }
    match destinations.get(&export.to) {
        Some(destination) => destination.check(export, columns),
        None if destinations.are_elsewhere() => Ok(()),
        None => Err(unknown(&export.to, destinations)),
    }
}

/// The exports whose destinations this process does not know.
pub(in crate::mart) fn not_from_here(definitions: &[Definition], destinations: &Destinations) -> Vec<Fault> {
    let of = |definition: &Definition| -> Vec<Fault> {
        let missing = definition.exports.iter().filter(|export| destinations.get(&export.to).is_none());
        missing.map(|export| Fault::new(&definition.file, export.line, unknown(&export.to, destinations))).collect()
    };
    definitions.iter().flat_map(of).collect()
}

fn unknown(name: &str, destinations: &Destinations) -> EngineError {
    let known: Vec<&str> = destinations.names().collect();
    let hint = did_you_mean(name, known.iter().copied()).unwrap_or_else(|| match known.as_slice() {
        [] => format!("Write [destinations.{name}] into the configuration, which --config or BOATHOUSE_CONFIG names."),
        known => format!("There are {}.", known.join(", ")),
    });
    EngineError::not_found(format!("there is no destination \"{name}\"")).with_hint(hint)
}
