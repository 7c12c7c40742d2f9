//! Actions on columns: types and defaults judged.

use boathouse_storage::{
    Snapshot,
    write::{Change, DEFAULT_KEY, Position},
};
use datafusion::{arrow::datatypes::Field, sql::sqlparser::ast::Ident};

use super::path::{self, find, written};
use crate::{
    EngineError,
    catalog::TableName,
    error::Place,
    parser::alter::{self, ColumnChange, NewColumn, Path},
    statement::{Context, create_table, data_type, definition},
};

/// The new name of the column at `path`.
pub(super) fn new_name(path: &[String], to: &Ident) -> String {
    written(to, path.len() == 1)
}

pub(super) fn add(
    context: &Context,
    table: &TableName,
    snapshot: &Snapshot,
    if_not_exists: bool,
    columns: &[NewColumn],
) -> Result<Vec<Change>, EngineError> {
    let mut changes = Vec::with_capacity(columns.len());
    for new in columns {
        let at = |error: EngineError| error.at(&context.sql, Place::of_token_span(new.column.name.span));
        let mut path = path::of_struct(context, table, snapshot, &new.outer, &new.column.name)?;
        let is_there = {
            let mut whole: Path = new.outer.clone();
            whole.push(new.column.name.clone());
            find(context, table, snapshot, &whole).is_ok()
        };
        let name = written(&new.column.name, new.outer.is_empty());
        match (is_there, if_not_exists) {
            (true, true) => continue,
            (true, false) => {
                let message = format!("column \"{name}\" of table \"{table}\" is there already");
                let error = EngineError::new(crate::ErrorKind::AlreadyExists, message);
                return Err(at(error.with_hint("ADD COLUMN IF NOT EXISTS leaves it.")));
            }
            (false, _) => {}
        }
        path.push(name.clone());
        let field = new_field(context, table, new, name).map_err(at)?;
        changes.push(Change::AddColumn {
            path,
            field,
            position: position(new.position.as_ref(), new.outer.is_empty()),
        });
    }
    Ok(changes)
}

fn new_field(context: &Context, table: &TableName, new: &NewColumn, name: String) -> Result<Field, EngineError> {
    let column = &new.column;
    let refused = |what: &str, hint: &str| {
        Err(EngineError::unsupported(format!("a new column cannot be {what}")).with_hint(hint))
    };
    if column.not_null {
        return refused(
            "NOT NULL",
            "The rows that are there have no value: add the column, fill it, then SET NOT NULL.",
        );
    }
    if column.identity.is_some() {
        return refused(
            "an identity column",
            "The rows that are there have no numbers: CREATE OR REPLACE TABLE makes the table anew.",
        );
    }
    if column.generated.is_some() {
        return refused(
            "GENERATED",
            "The rows that are there have no value: CREATE OR REPLACE TABLE makes the table anew.",
        );
    }
    if !column.checks.is_empty() {
        return refused("checked", "Add the column, fill it, then ADD CONSTRAINT.");
    }
    let typed = create_table::columns(context, std::slice::from_ref(column))?;
    let Some(field) = typed.first() else { return Err(EngineError::internal("a column was lost")) };
    let mut field = field.as_ref().clone().with_name(name);
    if let Some(value) = &column.default {
        if !new.outer.is_empty() {
            return refused("a field with DEFAULT", "Only columns have defaults.");
        }
        let text = definition::default(context, &table.to_string(), &field, value)?;
        let mut metadata = field.metadata().clone();
        metadata.insert(DEFAULT_KEY.to_owned(), text);
        field.set_metadata(metadata);
    }
    Ok(field)
}

fn position(position: Option<&alter::Position>, is_column: bool) -> Position {
    match position {
        None => Position::Last,
        Some(alter::Position::First) => Position::First,
        Some(alter::Position::After(ident)) => Position::After(written(ident, is_column)),
    }
}

pub(super) fn drop_all(
    context: &Context,
    table: &TableName,
    snapshot: &Snapshot,
    if_exists: bool,
    paths: &[Path],
) -> Result<Vec<Change>, EngineError> {
    let wanted = paths.iter().filter(|path| !(if_exists && find(context, table, snapshot, path).is_err()));
    wanted.map(|path| Ok(Change::DropColumn { path: path::of_field(context, table, snapshot, path)? })).collect()
}

pub(super) fn change(
    context: &Context,
    table: &TableName,
    snapshot: &Snapshot,
    path: Vec<String>,
    change: &ColumnChange,
) -> Result<Change, EngineError> {
    let is_column = path.len() == 1;
    let only_columns = |what: &str| {
        Err(EngineError::unsupported(format!("{what} for a field of a STRUCT is not supported"))
            .with_hint("Change the column that holds it."))
    };
    Ok(match change {
        ColumnChange::SetDefault(_) | ColumnChange::DropDefault if !is_column => return only_columns("DEFAULT"),
        ColumnChange::SetNotNull => Change::Nullable { path, nullable: false },
        ColumnChange::DropNotNull => Change::Nullable { path, nullable: true },
        ColumnChange::Comment(comment) => Change::CommentColumn { path, comment: comment.clone() },
        ColumnChange::Type(sql) => Change::Widen { path, data_type: data_type::arrow_type(sql)? },
        ColumnChange::Move(to) => Change::MoveColumn { position: position(Some(to), is_column), path },
        ColumnChange::SyncIdentity => return Err(EngineError::internal("numbers are no change of a column")),
        ColumnChange::DropDefault => Change::Default { column: path.join("."), text: None },
        ColumnChange::SetDefault(value) => {
            let column = path.join(".");
            if snapshot.is_generated(&column) {
                let message = format!("column \"{column}\" is computed by the table and has no default");
                return Err(EngineError::invalid(message));
            }
            if snapshot.identity(&column).is_some() {
                let message = format!("column \"{column}\" numbers the rows and has no default");
                return Err(EngineError::invalid(message));
            }
            let schema = snapshot.schema();
            let field = schema.field_with_name(&column).map_err(|_| EngineError::internal("a column was lost"))?;
            let text = definition::default(context, &table.to_string(), field, value)?;
            Change::Default { column, text: Some(text) }
        }
    })
}
