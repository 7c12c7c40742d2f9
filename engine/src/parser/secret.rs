//! Passwords in a statement's text, taken out before anything else sees it.
//!
//! ```text
//! CREATE USER ann PASSWORD 'hunter22'  ->  CREATE USER ann PASSWORD '***'   and, apart from it, hunter22
//! ```
//!
//! From here on nobody holds the text as it was given: not the errors with their excerpts, not the log, not the lists of
//! statements. In a statement about a user every text in quotes is taken out, and all that follows the word PASSWORD up to
//! the next word of the grammar, so that a slip in the spelling shows no password either. (What is shown of statements
//! goes through [`super::redact()`] besides, which knows more secrets than these and reads no grammar.)

use std::borrow::Cow;

use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::{clause, parse::DIALECT};
use crate::{EngineError, identity::Secret};

/// What stands in the place of a secret.
const MASK: &str = "'***'";
/// Words of the grammar behind a user's name: they end a password that is not in quotes.
const WORDS: [&str; 6] = ["WITH", "PASSWORD", "ROLE", "ENABLE", "DISABLE", "RENAME"];

/// A text without its secrets, and these in their order.
#[derive(Debug)]
pub(crate) struct Concealed<'a> {
    pub(crate) sql: Cow<'a, str>,
    pub(crate) secrets: Vec<Secret>,
}

/// Takes the secrets out. An error, without an excerpt, for a text about users that cannot be read as SQL at all.
pub(crate) fn conceal(sql: &str) -> Result<Concealed<'_>, EngineError> {
    let plain = Concealed { sql: Cow::Borrowed(sql), secrets: Vec::new() };
    if !may_hold_secrets(sql) {
        return Ok(plain);
    }
    let tokens = Tokenizer::new(&DIALECT, sql).tokenize_with_location();
    let tokens = tokens.map_err(|error| {
        EngineError::invalid(format!("syntax error: {}", error.message.to_lowercase()))
            .with_hint("The place is not shown, for the statement may hold a password.")
    })?;
    let tokens: Vec<TokenWithSpan> =
        tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    let mut found = Vec::new();
    for statement in tokens.split(|token| token.token == Token::SemiColon) {
        find(statement, &mut found);
    }
    if found.is_empty() {
        return Ok(plain);
    }
    let (mut text, mut secrets) = (String::with_capacity(sql.len()), Vec::new());
    let mut rest = Location { line: 1, column: 1 };
    for Found { start, end, secret } in found {
        text.push_str(&clause::slice(sql, rest, start).unwrap_or_default());
        text.push_str(MASK);
        secrets.push(secret);
        rest = end;
    }
    text.push_str(clause::slice_from(sql, rest).unwrap_or_default());
    Ok(Concealed { sql: Cow::Owned(text), secrets })
}

struct Found {
    start: Location,
    end: Location,
    secret: Secret,
}

/// Without looking at words closely: nearly all texts end here.
fn may_hold_secrets(sql: &str) -> bool {
    let has = |word: &[u8]| sql.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
    has(b"user") && (has(b"create") || has(b"alter"))
}

/// The secrets of one statement.
fn find(tokens: &[TokenWithSpan], found: &mut Vec<Found>) {
    let Some(after) = (0..tokens.len()).find_map(|at| is_about_user(tokens, at)) else { return };
    let mut tokens = tokens.get(after..).unwrap_or_default().iter().peekable();
    let mut after_password = false;
    while let Some(token) = tokens.next() {
        if is_grammar(&token.token) {
            after_password = is_word(&token.token, "PASSWORD");
            continue;
        }
        let Some(mut secret) = quoted(&token.token).or_else(|| after_password.then(|| token.token.to_string())) else {
            continue;
        };
        if after_password && token.token == Token::Eq {
            continue;
        }
        let mut end = token.span.end;
        // A password without quotes may be several tokens.
        while after_password && quoted(&token.token).is_none() {
            let Some(next) = tokens.next_if(|next| !is_grammar(&next.token)) else { break };
            secret.push_str(&next.token.to_string());
            end = next.span.end;
        }
        found.push(Found { start: token.span.start, end, secret: Secret::new(secret) });
    }
}

/// Where the rest begins of a statement that makes or changes a user from this token on; EXPLAIN or PREPARE may stand before.
fn is_about_user(tokens: &[TokenWithSpan], at: usize) -> Option<usize> {
    let word = |at: usize, text: &str| tokens.get(at).is_some_and(|token| is_word(&token.token, text));
    if at > 0 && !word(0, "EXPLAIN") && !word(0, "DESCRIBE") && !word(0, "DESC") && !word(0, "PREPARE") {
        return None;
    }
    if !word(at, "CREATE") && !word(at, "ALTER") {
        return None;
    }
    let user = if word(at + 1, "OR") && word(at + 2, "REPLACE") { at + 3 } else { at + 1 };
    if !word(user, "USER") {
        return None;
    }
    let mut name = user + 1;
    while word(name, "IF") || word(name, "NOT") || word(name, "EXISTS") {
        name += 1;
    }
    let is_name =
        tokens.get(name).is_some_and(|token| matches!(token.token, Token::Word(_)) && !is_grammar(&token.token));
    Some(if is_name { name + 1 } else { name })
}

fn is_grammar(token: &Token) -> bool {
    WORDS.iter().any(|word| is_word(token, word))
}

fn is_word(token: &Token, text: &str) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text))
}

/// What stands in quotes of any kind.
fn quoted(token: &Token) -> Option<String> {
    Some(match token {
        Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text) | Token::NationalStringLiteral(text) => {
            text.clone()
        }
        Token::Word(word) if word.quote_style.is_some() => word.value.clone(),
        Token::DoubleQuotedString(text) | Token::HexStringLiteral(text) | Token::UnicodeStringLiteral(text) => {
            text.clone()
        }
        Token::DollarQuotedString(text) => text.value.clone(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(sql: &str) -> (String, Vec<String>) {
        let concealed = conceal(sql).unwrap();
        (concealed.sql.into_owned(), concealed.secrets.iter().map(|secret| secret.reveal().to_owned()).collect())
    }

    #[test]
    fn a_password_is_taken_out_of_the_text() {
        let (sql, secrets) = shown("CREATE USER ann\n PASSWORD 'hunt''er2' ROLE admin;");
        assert_eq!(sql, "CREATE USER ann\n PASSWORD '***' ROLE admin;");
        assert_eq!(secrets, ["hunt'er2"]);
        let (sql, secrets) = shown("ALTER USER \"Ann B\" PASSWORD $$x$$");
        assert_eq!((sql.as_str(), secrets.as_slice()), ("ALTER USER \"Ann B\" PASSWORD '***'", &["x".to_owned()][..]));
    }

    #[test]
    fn a_slip_shows_no_password() {
        for sql in [
            "CREATE USER ann PASSWROD 'hunter2'",
            "create user if not exists ann password hunter2!",
            "CREATE USER ann PASSWORD = 'hunter2'",
            "ALTER USER ann PASSWORD not-hunter2",
            "CREATE USER ann WITH PASSWORD \"hunter2\" ROLE admin",
            "CREATE OR REPLACE USER ann IDENTIFIED BY 'hunter2'",
            "/* x */ ALTER USER ann SET PASSWORD TO 'hunter2'",
            "SELECT 1; CREATE USER ann PASSWORD 'hunter2'",
            "EXPLAIN CREATE USER ann PASSWORD 'hunter2'",
            "PREPARE p AS ALTER USER ann PASSWORD 'hunter2'",
            "CREATE USER ann PASSWORD 'a' 'hunter2'",
            "CREATE USER PASSWORD 'hunter2'",
        ] {
            let (text, _) = shown(sql);
            assert!(!text.contains("hunter2") && text.contains(MASK), "{sql}: {text}");
        }
        let error = conceal("CREATE USER ann PASSWORD 'hunter2").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn other_statements_keep_their_texts() {
        for sql in [
            "SELECT 'hunter2' AS password, user FROM t",
            "CREATE TABLE users (password VARCHAR DEFAULT 'hunter2')",
            "CREATE VIEW v AS SELECT user, 'x' AS create FROM t",
            "DROP USER ann",
            "CREATE TOKEN t FOR user VALID FOR '30 days'",
        ] {
            assert!(matches!(conceal(sql).unwrap().sql, Cow::Borrowed(text) if text == sql), "{sql}");
        }
    }
}
