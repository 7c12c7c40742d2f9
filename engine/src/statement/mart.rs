//! ```text
//! CREATE [OR REPLACE] MART [IF NOT EXISTS] name [WITH (key = value, ...)] AS query
//! ALTER MART name SET (key = value, ...)          NULL takes a key away
//! DROP MART [IF EXISTS] name [WITH TABLE]
//! ```
//! The definition is kept in the lake as the text that a file would hold: one parser, one check, one graph. It is planned
//! when it is made, among the other marts of the lake. DROP MART forgets definition and history, and leaves the table, which
//! a mart of its name that is made later goes on with; WITH TABLE drops it, too, and UNDROP TABLE brings it back.

use boathouse_storage::{
    StorageError,
    catalog::{CatalogDocument, MartDefinition, MartDocument, StoredMart},
    check_name,
};
use chrono::Utc;
use datafusion::{common::ScalarValue, sql::sqlparser::ast::ObjectName};

use super::{
    Context, Outcome, Statement,
    name::{self, Kind},
    refresh_mart::RefreshMart,
};
use crate::{
    EngineError, ErrorKind,
    catalog::TableName,
    error::did_you_mean,
    identity::LOCAL_USER,
    mart::{Text, Written, check_definition, drop_tables, stored, stored_of},
    parser::{
        MartChange,
        mart::{CreateMart, MartOption},
    },
};

#[derive(Debug)]
pub(crate) struct ChangeMart {
    name: TableName,
    action: Action,
}

#[derive(Debug)]
enum Action {
    Create {
        or_replace: bool,
        if_not_exists: bool,
        mart: StoredMart,
        told: MartDefinition,
    },
    /// It is there, and stays.
    Nothing,
    Alter {
        before: StoredMart,
        mart: StoredMart,
        told: MartDefinition,
    },
    Drop {
        with_table: bool,
    },
}

impl Statement {
    pub(super) async fn plan_mart(context: &Context, change: MartChange) -> Result<Self, EngineError> {
        Ok(match change {
            MartChange::Create(create) => Self::Mart(ChangeMart::plan_create(context, create).await?),
            MartChange::Alter { name, options } => Self::Mart(ChangeMart::plan_alter(context, name, options).await?),
            MartChange::Drop { name, if_exists, with_table } => {
                Self::Mart(ChangeMart::plan_drop(context, name, if_exists, with_table).await?)
            }
            MartChange::Refresh { name, force } => Self::RefreshMart(RefreshMart::plan(context, name, force).await?),
        })
    }
}

impl ChangeMart {
    pub async fn plan_create(context: &Context, ast: CreateMart) -> Result<Self, EngineError> {
        let place = name::place(&ast.name);
        let name = name::target(context, &ast.name)?;
        check_place(&name).map_err(|error| error.at(&context.sql, place))?;
        let (or_replace, if_not_exists) = (ast.or_replace, ast.if_not_exists);
        if or_replace && if_not_exists {
            let error = EngineError::invalid("OR REPLACE and IF NOT EXISTS contradict each other");
            return Err(error.at(&context.sql, place));
        }
        if let Some(file) = context.engine.marts_in_files().file(&name) {
            return match if_not_exists {
                true => Ok(Self { name, action: Action::Nothing }),
                false => Err(in_file(&name, &file).at(&context.sql, place)),
            };
        }
        if stored_of(context.engine.lake(), &name).await?.is_some() && !or_replace {
            return match if_not_exists {
                true => Ok(Self { name, action: Action::Nothing }),
                false => Err(taken(&name).at(&context.sql, place)),
            };
        }
        let written = Written::new(&name, &ast.options, &ast.sql, ast.line);
        let text = written.map_err(|error| error.at(&context.sql, place))?.text();
        let told = checked(context, &name, &text).await.map_err(|error| error.at(&context.sql, place))?;
        let mart = kept(context, text);
        Ok(Self { name, action: Action::Create { or_replace, if_not_exists, mart, told } })
    }

    pub async fn plan_alter(context: &Context, ast: ObjectName, options: Vec<MartOption>) -> Result<Self, EngineError> {
        let place = name::place(&ast);
        let at = |error: EngineError| error.at(&context.sql, place);
        let name = name::target(context, &ast)?;
        let Some(before) = stored_of(context.engine.lake(), &name).await? else {
            return Err(at(unknown(context, &name).await?));
        };
        let mut written = Written::of_text(&name, &before.text).map_err(|fault| at(*fault.error))?;
        options.iter().try_for_each(|option| written.set(option)).map_err(at)?;
        let text = written.text();
        let told = checked(context, &name, &text).await.map_err(at)?;
        let mart = kept(context, text);
        Ok(Self { name, action: Action::Alter { before, mart, told } })
    }

    pub async fn plan_drop(
        context: &Context,
        ast: ObjectName,
        if_exists: bool,
        with_table: bool,
    ) -> Result<Self, EngineError> {
        let name = name::target(context, &ast)?;
        if !if_exists && stored_of(context.engine.lake(), &name).await?.is_none() {
            return Err(unknown(context, &name).await?.at(&context.sql, name::place(&ast)));
        }
        Ok(Self { name, action: Action::Drop { with_table } })
    }

    pub async fn run(&self, context: &Context, _: &[ScalarValue]) -> Result<Outcome, EngineError> {
        let lake = context.engine.lake();
        let TableName { schema, name } = &self.name;
        match &self.action {
            Action::Nothing => {}
            Action::Create { or_replace, if_not_exists, mart, told } => {
                match lake.create_schema(schema, None).await {
                    Ok(()) | Err(StorageError::SchemaExists { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
                let insert = |document: &mut CatalogDocument| {
                    if document.marts.contains_key(name) && !or_replace || document.has_entry(name) {
                        return Err(StorageError::TableExists { table: self.name.to_string() });
                    }
                    document.marts.insert(name.clone(), mart.clone());
                    Ok(())
                };
                match lake.change_catalog(schema, &insert).await {
                    Ok(_) => self.tell(context, told).await,
                    // Somebody else was quicker.
                    Err(StorageError::TableExists { .. }) if *if_not_exists => {}
                    Err(StorageError::TableExists { .. }) => return Err(taken(&self.name)),
                    Err(error) => return Err(error.into()),
                }
            }
            Action::Alter { before, mart, told } => {
                let replace = |document: &mut CatalogDocument| match document.marts.get_mut(name) {
                    Some(known) if known == before || known == mart => {
                        *known = mart.clone();
                        Ok(())
                    }
                    _ => Err(StorageError::TableExists { table: self.name.to_string() }),
                };
                match lake.change_catalog(schema, &replace).await {
                    Ok(_) => self.tell(context, told).await,
                    Err(StorageError::TableExists { .. }) => {
                        let message = format!("mart \"{}\" was changed by somebody else meanwhile", self.name);
                        return Err(
                            EngineError::new(ErrorKind::Conflict, message).with_hint("Run the statement again.")
                        );
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Action::Drop { with_table } => {
                let forget = |document: &mut CatalogDocument| {
                    document.marts.remove(name);
                    Ok(())
                };
                match lake.change_catalog(schema, &forget).await {
                    Ok(_) => {}
                    Err(StorageError::SchemaNotFound { .. }) => return Ok(Outcome::Done(self.title())),
                    Err(error) => return Err(error.into()),
                }
                // A run that goes on finds out that its lease is gone.
                lake.change_mart(&self.name.to_string(), |document| *document = MartDocument::default()).await?;
                if *with_table {
                    drop_tables(lake, &self.name).await?;
                }
            }
        }
        Ok(Outcome::Done(self.title()))
    }

    pub fn title(&self) -> &'static str {
        match self.action {
            Action::Create { .. } | Action::Nothing => "CREATE MART",
            Action::Alter { .. } => "ALTER MART",
            Action::Drop { .. } => "DROP MART",
        }
    }

    /// For `system.marts`, before it runs. The definition is kept, whether or not this can be written.
    async fn tell(&self, context: &Context, told: &MartDefinition) {
        let name = self.name.to_string();
        let written = context.engine.lake().change_mart(&name, |document| document.definition = told.clone()).await;
        if let Err(error) = written {
            tracing::warn!(mart = name, %error, "what a mart is could not be written down for system.marts");
        }
    }
}

/// The definition, checked among the other marts. Faults are shown where the statement has them.
async fn checked(context: &Context, name: &TableName, text: &Text) -> Result<MartDefinition, EngineError> {
    let of_statement = |fault| text.fault(fault, &context.sql);
    let definition = text.parse(name).map_err(of_statement)?;
    check_definition(&context.engine, definition).await.map_err(of_statement)
}

fn kept(context: &Context, text: Text) -> StoredMart {
    let user = Some(context.session.identity().name().to_owned()).filter(|name| name != LOCAL_USER);
    StoredMart { text: text.text, changed_by: user, changed_ms: Utc::now().timestamp_millis() }
}

/// Files, flags and the lake know a mart as one text, `schema.table`.
fn check_place(name: &TableName) -> Result<(), EngineError> {
    for (kind, part) in [("schema", &name.schema), ("mart", &name.name)] {
        check_name(kind, part)?;
        if part.contains('.') {
            return Err(StorageError::InvalidName { kind, name: part.clone(), reason: "it holds a dot" }.into());
        }
    }
    Ok(())
}

fn taken(name: &TableName) -> EngineError {
    EngineError::new(ErrorKind::AlreadyExists, format!("mart \"{name}\" already exists"))
        .with_hint("CREATE OR REPLACE MART replaces it; IF NOT EXISTS leaves it.")
}

/// Neither of two marts of one name could be run.
fn in_file(name: &TableName, file: &str) -> EngineError {
    EngineError::new(ErrorKind::AlreadyExists, format!("mart \"{name}\" is defined by a file already: {file}"))
        .with_hint("Give one of them another name, or delete the file.")
}

/// There is no mart of this name that a statement made.
pub(super) async fn unknown(context: &Context, name: &TableName) -> Result<EngineError, EngineError> {
    let lake = context.engine.lake();
    if !lake.mart(&name.to_string()).await?.definition.text.is_empty() {
        let error = EngineError::invalid(format!("mart \"{name}\" is defined by a file, not by a statement"));
        return Ok(error.with_hint("Change or delete the file; boathouse mart run runs it."));
    }
    if let Ok(Some(kind)) = name::find(context, name).await {
        let (what, statement) = match kind {
            Kind::Table => ("a table", "TABLE"),
            Kind::External => ("an external table", "TABLE"),
            Kind::View => ("a view", "VIEW"),
        };
        let error = EngineError::invalid(format!("\"{name}\" is {what}, not a mart"));
        return Ok(error.with_hint(format!("Write {statement} instead of MART.")));
    }
    let known: Vec<String> = stored(lake).await?.into_iter().map(|(name, _)| name.to_string()).collect();
    let mut error = EngineError::not_found(format!("mart \"{name}\" does not exist"));
    error.hint = did_you_mean(&name.to_string(), known.iter().map(String::as_str));
    Ok(error)
}
