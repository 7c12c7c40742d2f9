//! ```text
//! SET [SESSION] name { = | TO } value      RESET name      RESET ALL
//! SET TIME ZONE value                      USE [SCHEMA] schema      SET SCHEMA schema
//! ```
//!
//! Settings belong to the session and apply to the statements after. [`super::settings`] lists them.

use datafusion::{
    common::ScalarValue,
    sql::sqlparser::ast::{self, ContextModifier, Expr, ObjectName, Use, Value},
};

use super::{Context, Outcome, settings::Change};
use crate::{EngineError, catalog::is_reserved};

#[derive(Debug)]
pub(crate) struct Set {
    action: Action,
}

#[derive(Debug)]
enum Action {
    Set(Change),
    Reset(String),
    ResetAll,
}

impl Set {
    pub async fn plan(context: &Context, set: ast::Set) -> Result<Self, EngineError> {
        let change = match set {
            ast::Set::SingleAssignment { scope, hivevar: false, variable, values } => {
                if let Some(scope @ (ContextModifier::Local | ContextModifier::Global)) = scope {
                    return Err(EngineError::unsupported(format!("SET {} is not supported", scope.to_string().trim()))
                        .with_hint("Write SET name = value: settings belong to the session."));
                }
                let [value] = values.as_slice() else {
                    return Err(EngineError::invalid(format!("\"{variable}\" takes one value")));
                };
                Change::new(&setting_name(&variable), &text(value)?)?
            }
            ast::Set::SetTimeZone { value, .. } => Change::new("time_zone", &text(&value)?)?,
            other => {
                return Err(EngineError::unsupported(format!("{other} is not supported"))
                    .with_hint("Write SET name = value; SHOW SETTINGS lists the names."));
            }
        };
        check_schema(context, &change).await?;
        Ok(Self { action: Action::Set(change) })
    }

    pub async fn plan_use(context: &Context, target: Use) -> Result<Self, EngineError> {
        let schema = match target {
            Use::Object(name) | Use::Schema(name) | Use::Database(name) => context.known_schema(&name).await?,
            Use::Default => crate::catalog::DEFAULT_SCHEMA.to_owned(),
            other => {
                return Err(
                    EngineError::unsupported(format!("{other} is not supported")).with_hint("Write USE schema.")
                );
            }
        };
        let change = Change::new("schema", &schema)?;
        Ok(Self { action: Action::Set(change) })
    }

    pub fn plan_reset(name: Option<ObjectName>) -> Result<Self, EngineError> {
        let action = match name {
            None => Action::ResetAll,
            Some(name) => Action::Reset(setting_name(&name)),
        };
        Ok(Self { action })
    }

    pub async fn run(&self, context: &Context, _: &[ScalarValue]) -> Result<Outcome, EngineError> {
        match &self.action {
            Action::Set(change) => context.session.change_settings(|settings, _| settings.apply(change))?,
            Action::Reset(name) => {
                context.session.change_settings(|settings, defaults| settings.reset(Some(name), defaults))?;
                return Ok(Outcome::Done("RESET"));
            }
            Action::ResetAll => {
                context.session.change_settings(|settings, defaults| settings.reset(None, defaults))?;
                return Ok(Outcome::Done("RESET"));
            }
        }
        Ok(Outcome::Done("SET"))
    }
}

/// `datafusion.execution.batch_size` as well as `batch_size`.
fn setting_name(name: &ObjectName) -> String {
    let parts: Vec<String> = name
        .0
        .iter()
        .map(|part| part.as_ident().map_or_else(|| part.to_string(), |ident| ident.value.clone()))
        .collect();
    parts.join(".")
}

/// The text of a literal or of a bare word.
fn text(value: &Expr) -> Result<String, EngineError> {
    match value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => Ok(text.clone()),
            Value::Number(number, _) => Ok(number.clone()),
            Value::Boolean(on) => Ok(on.to_string()),
            other => Err(EngineError::invalid(format!("{other} is not a value of a setting"))),
        },
        Expr::Identifier(ident) => Ok(ident.value.clone()),
        Expr::CompoundIdentifier(idents) => {
            Ok(idents.iter().map(|ident| ident.value.as_str()).collect::<Vec<_>>().join("."))
        }
        other => Err(EngineError::invalid(format!("{other} is not a value of a setting"))
            .with_hint("Write a number, a word or a text in single quotes.")),
    }
}

async fn check_schema(context: &Context, change: &Change) -> Result<(), EngineError> {
    let Some(schema) = change.schema() else { return Ok(()) };
    let known = context.engine.lake().schemas().await?;
    if is_reserved(schema) || known.iter().any(|known| known == schema) {
        return Ok(());
    }
    Err(context.pinned.unknown_schema(schema).await)
}
