//! `WITH SCHEMA EVOLUTION` of an INSERT or a MERGE: no grammar below knows it, so it is taken from the tokens.
//!
//! It stands after INSERT or MERGE, or after the table's name of an INSERT.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

const CLAUSE: [&str; 3] = ["WITH", "SCHEMA", "EVOLUTION"];

/// Takes the clause out of the tokens of an INSERT or a MERGE. True when it was there.
pub(super) fn take(tokens: &mut Vec<TokenWithSpan>) -> bool {
    let words: Vec<usize> = (0..tokens.len()).filter(|at| !is_space(&tokens[*at])).collect();
    let word_at = |n: usize, word: &str| words.get(n).is_some_and(|at| is_word(&tokens[*at], word));
    let begins = |from: usize| CLAUSE.iter().enumerate().all(|(n, word)| word_at(from + n, word));
    let Some(verb) = (0..words.len()).find(|n| word_at(*n, "INSERT") || word_at(*n, "MERGE")) else { return false };
    let found = match begins(verb + 1) {
        true => Some(verb + 1),
        false if word_at(verb, "MERGE") => return false,
        false => {
            let mut next = verb + 1;
            // An INSERT that is a name somewhere else has no INTO behind it.
            if !word_at(next, "INTO") && !word_at(next, "OVERWRITE") {
                return false;
            }
            next += 1 + usize::from(word_at(next + 1, "INTO"));
            next += 1 + usize::from(word_at(next, "TABLE"));
            // The name: words with points between them.
            while words.get(next).is_some_and(|at| tokens[*at].token == Token::Period) {
                next += 2;
            }
            begins(next).then_some(next)
        }
    };
    let Some(found) = found else { return false };
    let removed: Vec<usize> = words.iter().skip(found).take(CLAUSE.len()).copied().collect();
    let mut at = 0;
    tokens.retain(|_| {
        at += 1;
        !removed.contains(&(at - 1))
    });
    true
}

fn is_space(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Whitespace(_))
}

fn is_word(token: &TokenWithSpan, word: &str) -> bool {
    matches!(&token.token, Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
}
