//! `WITH SCHEMA EVOLUTION` of an INSERT or a MERGE, `BY NAME` of an INSERT: no grammar below knows them, so they are taken from
//! the tokens.
//!
//! The one stands after INSERT or MERGE, or after the table's name of an INSERT, where the other stands, too.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

const CLAUSE: [&str; 3] = ["WITH", "SCHEMA", "EVOLUTION"];
const BY_NAME: [&str; 2] = ["BY", "NAME"];

/// Takes the clause out of the tokens of an INSERT or a MERGE. True when it was there.
pub(super) fn take(tokens: &mut Vec<TokenWithSpan>) -> bool {
    let words = words(tokens);
    let Some(verb) = verb(tokens, &words) else { return false };
    let found = match begins(tokens, &words, verb + 1, &CLAUSE) {
        true => Some(verb + 1),
        false => behind_table(tokens, &words, verb).filter(|at| begins(tokens, &words, *at, &CLAUSE)),
    };
    found.is_some_and(|at| remove(tokens, &words, at, CLAUSE.len()))
}

/// Takes `BY NAME` from behind the table's name of an INSERT. True when it was there.
pub(super) fn take_by_name(tokens: &mut Vec<TokenWithSpan>) -> bool {
    let words = words(tokens);
    let behind = verb(tokens, &words).and_then(|verb| behind_table(tokens, &words, verb));
    let found = behind.filter(|at| begins(tokens, &words, *at, &BY_NAME));
    found.is_some_and(|at| remove(tokens, &words, at, BY_NAME.len()))
}

/// The places of all tokens that are no space.
fn words(tokens: &[TokenWithSpan]) -> Vec<usize> {
    (0..tokens.len()).filter(|at| !is_space(&tokens[*at])).collect()
}

fn word_at(tokens: &[TokenWithSpan], words: &[usize], n: usize, word: &str) -> bool {
    words.get(n).is_some_and(|at| is_word(&tokens[*at], word))
}

fn begins(tokens: &[TokenWithSpan], words: &[usize], from: usize, clause: &[&str]) -> bool {
    clause.iter().enumerate().all(|(n, word)| word_at(tokens, words, from + n, word))
}

/// Where the first INSERT or MERGE is, among the words.
fn verb(tokens: &[TokenWithSpan], words: &[usize]) -> Option<usize> {
    (0..words.len()).find(|n| word_at(tokens, words, *n, "INSERT") || word_at(tokens, words, *n, "MERGE"))
}

/// What comes behind the name of an INSERT's table, among the words.
fn behind_table(tokens: &[TokenWithSpan], words: &[usize], verb: usize) -> Option<usize> {
    let is = |n: usize, word: &str| word_at(tokens, words, n, word);
    let mut next = verb + 1;
    // An INSERT that is a name somewhere else has no INTO behind it.
    if is(verb, "MERGE") || !is(next, "INTO") && !is(next, "OVERWRITE") {
        return None;
    }
    next += 1 + usize::from(is(next + 1, "INTO"));
    next += 1 + usize::from(is(next, "TABLE"));
    // The name: words with points between them.
    while words.get(next).is_some_and(|at| tokens[*at].token == Token::Period) {
        next += 2;
    }
    Some(next)
}

fn remove(tokens: &mut Vec<TokenWithSpan>, words: &[usize], from: usize, count: usize) -> bool {
    let removed: Vec<usize> = words.iter().skip(from).take(count).copied().collect();
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
