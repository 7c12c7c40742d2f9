//! The order in which a place is looked for.

use super::{mention, probe, tree};
use crate::{EngineError, ErrorKind, parser, statement::Context};

/// A longer text is a program's, which counts no carets.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// The same error with the line of the fault, when it can be found. May be called for faults of `prepare` and of planning for
/// execution; `is_physical` says which.
pub(crate) async fn locate(context: &Context, error: EngineError, is_physical: bool) -> EngineError {
    let of_statement = match error.kind {
        ErrorKind::InvalidSql
        | ErrorKind::NotFound
        | ErrorKind::AlreadyExists
        | ErrorKind::Denied
        | ErrorKind::Unsupported => true,
        ErrorKind::Conflict
        | ErrorKind::Exhausted
        | ErrorKind::Unavailable
        | ErrorKind::Cancelled
        | ErrorKind::Corrupt
        | ErrorKind::Internal => false,
    };
    if error.excerpt.is_some() || !of_statement || context.sql.len() > TEXT_BYTES_MAX {
        return error;
    }
    let mentions = mention::find(&error.message, &context.sql);
    if let Some(mention::Found::One(place)) = mentions {
        return error.at(&context.sql, place);
    }
    let Ok(ast) = parser::parse(&context.sql) else { return error };
    if let Some(place) = tree::named_by_number(&ast, &error.message) {
        return error.at(&context.sql, place);
    }
    if let Some(place) = probe::smallest(context, &ast, &error.message, is_physical).await {
        return error.at(&context.sql, place);
    }
    let place = match mentions {
        Some(mention::Found::One(place) | mention::Found::Many(place)) => Some(place),
        None => mention::clause(&error.message, &context.sql),
    };
    error.at(&context.sql, place)
}
