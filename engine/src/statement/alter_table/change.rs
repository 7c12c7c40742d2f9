//! What an action of ALTER TABLE changes, and what the rows must fulfil for it.

use boathouse_storage::{
    Snapshot,
    write::{CONSTRAINT_PREFIX, Change, Check, Identity},
};

use super::{column, path, tier};
use crate::{
    EngineError,
    catalog::TableName,
    error::{Place, did_you_mean},
    parser::{
        alter::{Action, ColumnChange},
        create,
    },
    statement::{Context, definition, property, rules},
};

/// An action against one version of its table.
#[derive(Debug, Default)]
pub(super) struct Planned {
    pub changes: Vec<Change>,
    /// As other writers call it in the history.
    pub operation: &'static str,
    pub wanted: Option<Wanted>,
    /// The identity column whose numbers go on behind those that are in the table.
    pub synced: Option<Identity>,
}

/// What every row must fulfil.
#[derive(Debug)]
pub(super) enum Wanted {
    /// A value in a column, or in a field of a STRUCT: the names that lead there.
    NotNull(Vec<String>),
    Check(Check),
}

pub(super) fn plan(
    context: &Context,
    table: &TableName,
    snapshot: &Snapshot,
    action: &Action,
) -> Result<Planned, EngineError> {
    match action {
        Action::AddColumns { if_not_exists, columns } => {
            let changes = column::add(context, table, snapshot, *if_not_exists, columns)?;
            Ok(Planned { changes, operation: "ADD COLUMNS", ..Planned::default() })
        }
        Action::DropColumns { if_exists, paths } => {
            let changes = column::drop_all(context, table, snapshot, *if_exists, paths)?;
            Ok(Planned { changes, operation: "DROP COLUMNS", ..Planned::default() })
        }
        Action::RenameColumn { path, to } => {
            let path = path::of_field(context, table, snapshot, path)?;
            let change = Change::RenameColumn { to: column::new_name(&path, to), path };
            Ok(Planned { changes: vec![change], operation: "RENAME COLUMN", ..Planned::default() })
        }
        Action::AlterColumn { path, change: ColumnChange::SyncIdentity } => {
            let found = path::find(context, table, snapshot, path)?.join(".");
            let Some(identity) = snapshot.identity(&found) else {
                let error = EngineError::invalid(format!("column \"{found}\" of table \"{table}\" numbers no rows"));
                let error = error.with_hint("Only columns GENERATED ... AS IDENTITY can be synchronized.");
                return Err(error.at(&context.sql, path.first().and_then(|ident| Place::of_token_span(ident.span))));
            };
            Ok(Planned { operation: "SYNC IDENTITY", synced: Some(identity), ..Planned::default() })
        }
        Action::AlterColumn { path, change } => {
            let operation = "CHANGE COLUMN";
            let found = path::of_change(context, table, snapshot, path, change)?;
            let wanted = match change {
                ColumnChange::SetNotNull => Some(Wanted::NotNull(found.clone())),
                _ => None,
            };
            let change = column::change(context, table, snapshot, found, change)?;
            Ok(Planned { changes: vec![change], operation, wanted, synced: None })
        }
        Action::AddConstraint(check) => add_constraint(context, snapshot, check),
        Action::DropConstraint { if_exists, name } => {
            let changes = drop_constraint(context, table, snapshot, *if_exists, name)?;
            Ok(Planned { changes, operation: "DROP CONSTRAINT", ..Planned::default() })
        }
        Action::SetProperties(pairs) => {
            let schema = snapshot.schema();
            let columns: Vec<_> = schema.fields().iter().cloned().collect();
            let set = pairs.iter().map(|(key, value)| property::check(key, value, &columns));
            let changes = set.map(|pair| pair.map(|(key, value)| Change::SetProperty { key, value }));
            Ok(Planned {
                changes: changes.collect::<Result<_, _>>()?,
                operation: "SET TBLPROPERTIES",
                ..Planned::default()
            })
        }
        Action::UnsetProperties { if_exists, keys } => {
            let changes = unset(table, snapshot, *if_exists, keys)?;
            Ok(Planned { changes, operation: "UNSET TBLPROPERTIES", ..Planned::default() })
        }
        Action::SetTier(wanted) => Ok(Planned {
            changes: tier::set(context, table, snapshot, wanted)?,
            operation: "SET TBLPROPERTIES",
            ..Planned::default()
        }),
        Action::UnsetTier => {
            Ok(Planned { changes: tier::unset(snapshot), operation: "UNSET TBLPROPERTIES", ..Planned::default() })
        }
        Action::Comment(comment) => {
            let change = Change::CommentTable { comment: comment.clone() };
            Ok(Planned { changes: vec![change], operation: "CHANGE TABLE COMMENT", ..Planned::default() })
        }
    }
}

fn add_constraint(context: &Context, snapshot: &Snapshot, check: &create::Check) -> Result<Planned, EngineError> {
    let taken = |name: &str| snapshot.properties().contains_key(&format!("{CONSTRAINT_PREFIX}{name}"));
    let name = match &check.name {
        Some(ident) => {
            let name = definition::constraint_name(context, ident)?;
            if taken(&name) {
                let message = format!("constraint \"{name}\" of table \"{}\" is there already", snapshot.name());
                let error = EngineError::new(crate::ErrorKind::AlreadyExists, message);
                return Err(error.at(&context.sql, Place::of_token_span(ident.span)));
            }
            name
        }
        None => {
            let numbered = (2..).map(|n| format!("check{n}"));
            std::iter::once("check".to_owned()).chain(numbered).find(|name| !taken(name)).unwrap_or_default()
        }
    };
    let schema = snapshot.schema();
    let text = definition::check(context, &schema, &check.condition)?;
    let expr = rules::condition(context, &text, &schema).map_err(EngineError::internal)?;
    let rule = format!("constraint \"{name}\"");
    Ok(Planned {
        changes: vec![Change::AddConstraint { name, text: text.clone() }],
        operation: "ADD CONSTRAINT",
        wanted: Some(Wanted::Check(Check { rule, sql: text, expr })),
        synced: None,
    })
}

fn drop_constraint(
    context: &Context,
    table: &TableName,
    snapshot: &Snapshot,
    if_exists: bool,
    ident: &datafusion::sql::sqlparser::ast::Ident,
) -> Result<Vec<Change>, EngineError> {
    let known: Vec<&str> = snapshot.properties().keys().filter_map(|key| key.strip_prefix(CONSTRAINT_PREFIX)).collect();
    // Other writers compare them without case.
    match known.iter().find(|name| name.eq_ignore_ascii_case(&ident.value)) {
        Some(name) => Ok(vec![Change::DropConstraint { name: (*name).to_owned() }]),
        None if if_exists => Ok(Vec::new()),
        None => {
            let message = format!("table \"{table}\" has no constraint \"{}\"", ident.value);
            let mut error = EngineError::not_found(message);
            error.hint = did_you_mean(&ident.value, known);
            Err(error.at(&context.sql, Place::of_token_span(ident.span)))
        }
    }
}

fn unset(table: &TableName, snapshot: &Snapshot, if_exists: bool, keys: &[String]) -> Result<Vec<Change>, EngineError> {
    let mut changes = Vec::new();
    for key in keys {
        if key.starts_with(CONSTRAINT_PREFIX) {
            return Err(EngineError::invalid(format!("property \"{key}\" is a constraint"))
                .with_hint("ALTER TABLE ... DROP CONSTRAINT drops it."));
        }
        let is_delta = key.to_ascii_lowercase().starts_with("delta.");
        let same = |known: &&String| *known == key || (is_delta && known.eq_ignore_ascii_case(key));
        match snapshot.properties().keys().find(same) {
            Some(known) => changes.push(Change::UnsetProperty { key: known.clone() }),
            None if if_exists => {}
            None => {
                let mut error = EngineError::not_found(format!("table \"{table}\" has no property \"{key}\""));
                error.hint = did_you_mean(key, snapshot.properties().keys().map(String::as_str));
                return Err(error);
            }
        }
    }
    Ok(changes)
}
