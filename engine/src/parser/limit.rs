//! How long and how deep a statement may be.
//!
//! Parsers, planners and destructors recurse over the tree of a statement. The bounds here keep that recursion well
//! inside the stack of the CPU threads, and are checked on the tokens, before a tree exists.

use datafusion::sql::sqlparser::{
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan},
};

use super::fault;
use crate::{EngineError, ErrorKind};

/// Recursive calls of the parser.
pub(super) const RECURSION_MAX: usize = 400;
/// Brackets and CASEs inside one another.
const BRACKETS_MAX: usize = 200;
/// Tokens in one run between commas, with those of the runs around it: bounds chains such as `a OR b OR c OR ...`,
/// which make a tree as deep as they are long and take time that grows with its square to plan.
const RUN_TOKENS_MAX: usize = 4_000;

/// Checked before anything looks at the text.
pub(crate) fn check_size(sql: &str, bytes_max: usize) -> Result<(), EngineError> {
    if sql.len() <= bytes_max {
        return Ok(());
    }
    let message = format!("the statement has {} bytes, more than the {bytes_max} allowed", sql.len());
    Err(EngineError::new(ErrorKind::Exhausted, message).with_hint("Load large data with COPY ... FROM a file."))
}

pub(super) fn check_tokens(tokens: &[TokenWithSpan], sql: &str) -> Result<(), EngineError> {
    let mut runs: Vec<usize> = Vec::new();
    let (mut run, mut around, mut prefixes) = (0, 0, 0);
    for token in tokens {
        match &token.token {
            Token::Whitespace(_) => continue,
            Token::Minus | Token::Plus | Token::Tilde => prefixes += 1,
            Token::Word(word) if word.keyword == Keyword::NOT => prefixes += 1,
            _ => prefixes = 0,
        }
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                runs.push(run);
                around += run;
                run = 0;
            }
            Token::Word(word) if word.keyword == Keyword::CASE && word.quote_style.is_none() => {
                runs.push(run);
                around += run;
                run = 0;
            }
            Token::RParen | Token::RBracket | Token::RBrace => (run, around) = close(&mut runs, around),
            Token::Word(word) if word.keyword == Keyword::END && word.quote_style.is_none() => {
                (run, around) = close(&mut runs, around);
            }
            Token::Comma | Token::SemiColon => run = 0,
            _ => {}
        }
        run += 1;
        if runs.len() > BRACKETS_MAX || prefixes > BRACKETS_MAX {
            return Err(fault::at_token(too_deep(), token, sql));
        }
        if run + around > RUN_TOKENS_MAX {
            let error = EngineError::new(ErrorKind::Exhausted, "an expression of the statement is too long")
                .with_hint("Use IN with a list, a join with VALUES, or several statements.");
            return Err(fault::at_token(error, token, sql));
        }
    }
    Ok(())
}

fn close(runs: &mut Vec<usize>, around: usize) -> (usize, usize) {
    match runs.pop() {
        Some(run) => (run, around - run),
        None => (0, around),
    }
}

pub(super) fn too_deep() -> EngineError {
    EngineError::new(ErrorKind::Exhausted, "the statement is nested too deep")
        .with_hint(format!("At most {BRACKETS_MAX} levels fit; use WITH to name the inner parts."))
}

#[cfg(test)]
mod tests {
    use super::check_size;
    use crate::parser::parse;

    fn refused(sql: &str) -> String {
        parse(sql).unwrap_err().message
    }

    #[test]
    fn deep_nesting_is_refused() {
        let n = 10_000;
        assert_eq!(refused(&format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n))), "the statement is nested too deep");
        assert_eq!(refused(&format!("SELECT {}1", "- ".repeat(n))), "the statement is nested too deep");
        assert_eq!(refused(&format!("SELECT {}true", "NOT ".repeat(n))), "the statement is nested too deep");
        assert_eq!(
            refused(&format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(n), " END".repeat(n))),
            "the statement is nested too deep"
        );
    }

    #[test]
    fn long_chains_are_refused_and_long_lists_are_not() {
        let n = 30_000;
        assert_eq!(refused(&format!("SELECT 1{}", " + 1".repeat(n))), "an expression of the statement is too long");
        assert!(parse(&format!("SELECT 1 IN (1{})", ", 1".repeat(n))).is_ok());
    }

    #[test]
    fn a_long_text_is_refused_before_it_is_read() {
        assert_eq!(
            check_size("SELECT 1 + 1", 10).unwrap_err().message,
            "the statement has 12 bytes, more than the 10 allowed"
        );
    }
}
