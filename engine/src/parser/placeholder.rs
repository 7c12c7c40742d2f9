//! `?` as a parameter, as ODBC, JDBC and Python's DB-API write it: the first is `$1`, the second `$2`.
//!
//! Done on tokens, so that the numbers follow the text whatever the clauses' order in the AST. The same text is numbered
//! the same way each time it is parsed, so a statement may be kept as it was written.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::{EngineError, error::Place};

/// Numbers every `?`. A text that also has `$1` is refused: which parameter a `?` means would be a guess.
pub(super) fn number(tokens: Vec<TokenWithSpan>, sql: &str) -> Result<Vec<TokenWithSpan>, EngineError> {
    if !tokens.iter().any(|token| is_question(&token.token)) {
        return Ok(tokens);
    }
    if let Some(named) = tokens.iter().find(|token| matches!(&token.token, Token::Placeholder(text) if text != "?")) {
        return Err(EngineError::invalid(format!("parameters are written both as ? and as {}", named.token))
            .with_hint("Write all of them one way.")
            .at(sql, Place::of_token_span(named.span)));
    }
    let mut numbered = Vec::with_capacity(tokens.len());
    let mut count = 0;
    for token in tokens {
        if !is_question(&token.token) {
            numbered.push(token);
            continue;
        }
        count += 1;
        // Without a blank between them, the tokenizer takes the sign of a JSON or geometry operator.
        let rest = match token.token {
            Token::QuestionMarkDash => Some(Token::Minus),
            Token::QuestionMarkDoubleVerticalBar => Some(Token::StringConcat),
            _ => None,
        };
        let span = token.span;
        numbered.push(TokenWithSpan { token: Token::Placeholder(format!("${count}")), span });
        numbered.extend(rest.map(|token| TokenWithSpan { token, span }));
    }
    Ok(numbered)
}

fn is_question(token: &Token) -> bool {
    match token {
        Token::Placeholder(text) => text == "?",
        Token::Question | Token::QuestionMarkDash | Token::QuestionMarkDoubleVerticalBar => true,
        _ => false,
    }
}
