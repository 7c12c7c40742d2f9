//! Clauses that other products have in a statement and that are not carried out here: each told by its name, at its place.

use datafusion::sql::sqlparser::{
    dialect::GenericDialect,
    tokenizer::{Token, TokenWithSpan, Tokenizer},
};

use super::Context;
use crate::{EngineError, error::Place};

/// Whether the clause is there, what it is called, the words that it begins with (none where it has none of its own), and
/// what to do instead.
pub(super) type Clause = (bool, &'static str, &'static str, &'static str);

/// Refuses the first clause that is there. `statement` is the place of one without words.
pub(super) fn refuse(
    context: &Context,
    clauses: impl IntoIterator<Item = Clause>,
    statement: Option<Place>,
) -> Result<(), EngineError> {
    match clauses.into_iter().find(|(is_there, ..)| *is_there) {
        Some((_, what, words, hint)) => {
            let error = EngineError::unsupported(format!("{what} is not supported")).with_hint(hint);
            Err(error.at(&context.sql, place(&context.sql, words).or(statement)))
        }
        None => Ok(()),
    }
}

/// Where a clause of the statement itself begins: the last place of its words outside of all parentheses.
fn place(sql: &str, words: &str) -> Option<Place> {
    let words: Vec<&str> = words.split_whitespace().collect();
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().ok()?;
    let mut depth = 0_usize;
    let mut outside: Vec<&TokenWithSpan> = Vec::with_capacity(tokens.len());
    for token in &tokens {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            Token::Whitespace(_) => continue,
            _ if depth > 0 => continue,
            _ => {}
        }
        outside.push(token);
    }
    let is_word = |(token, word): (&&TokenWithSpan, &&str)| match &token.token {
        Token::Word(found) => found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word),
        _ => false,
    };
    let mut runs = outside.windows(words.len().max(1)).rev();
    let found = runs.find(|run| !words.is_empty() && run.iter().zip(&words).all(is_word))?;
    Place::of_token_span(found.first()?.span.union(&found.last()?.span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clause_begins_at_its_last_words_outside_of_parentheses() {
        let column = |sql: &str, words: &str| place(sql, words).map(|place| (place.column, place.column_end));
        assert_eq!(column("DELETE FROM t RETURNING *", "RETURNING"), Some((15, 24)));
        assert_eq!(column("UPDATE t SET returning = 1 returning a", "RETURNING"), Some((28, 37)));
        assert_eq!(column("INSERT INTO t SELECT 1 ON\n  CONFLICT DO NOTHING", "ON CONFLICT"), Some((24, usize::MAX)));
        assert_eq!(column("UPDATE t SET a = (SELECT 1 LIMIT 1), \"LIMIT\" = 2", "LIMIT"), None);
        assert_eq!(column("UPDATE t SET a = 1", ""), None);
    }
}
