//! ```text
//! KILL [QUERY] 'id'
//! ```
//! Ends a running statement, whichever session runs it (an admin any, everyone else their own): its client gets an error
//! that says so, its memory and its permit are free, and nothing of it is committed that is not committed yet.
//! `system.queries` knows the ids.

use datafusion::common::ScalarValue;
use uuid::Uuid;

use super::{Context, Outcome};
use crate::{EngineError, error::Place, parser::Kill};

#[derive(Debug)]
pub(crate) struct KillQuery {
    id: Uuid,
    place: Option<Place>,
}

impl KillQuery {
    pub fn plan(context: &Context, ast: Kill) -> Result<Self, EngineError> {
        let place = Place::of_token_span(ast.span);
        let id = Uuid::parse_str(&ast.id).map_err(|_| {
            EngineError::invalid(format!("\"{}\" is not the id of a query", ast.id))
                .with_hint("system.queries lists them.")
                .at(&context.sql, place)
        })?;
        Ok(Self { id, place })
    }

    pub async fn run(&self, context: &Context, _: &[ScalarValue]) -> Result<Outcome, EngineError> {
        let caller = context.session.identity();
        context.engine.queries().kill(self.id, &caller).map_err(|error| error.at(&context.sql, self.place))?;
        Ok(Outcome::Done("KILL QUERY"))
    }
}
