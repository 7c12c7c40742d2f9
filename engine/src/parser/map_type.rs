//! `MAP<K, V>`, as in Spark, is `MAP(K, V)`, as in DuckDB: the library's grammar knows one of them only.
//!
//! `map < a` compares a column, so the angle brackets are taken for those of a type only where two types that are known stand
//! in them.

use datafusion::sql::sqlparser::{
    ast::DataType,
    keywords::Keyword,
    parser::Parser,
    tokenizer::{Token, TokenWithSpan},
};

use super::{limit::RECURSION_MAX, parse::DIALECT};

/// Tokens of one type at most.
const TYPE_TOKENS_MAX: usize = 1_000;
/// Types that the library does not know, and we do.
const OTHER_TYPES: [&str; 4] = ["BYTE", "SHORT", "LONG", "TIMESTAMP_LTZ"];

/// Gives every type of this spelling the other one.
pub(super) fn put_in(tokens: &mut Vec<TokenWithSpan>) {
    // From the back: a map inside of another is in the grammar's spelling when the outer one is read.
    for at in (0..tokens.len()).rev() {
        if !is_map(&tokens[at].token) {
            continue;
        }
        let Some(open) = next(tokens, at + 1).filter(|open| tokens[*open].token == Token::Lt) else { continue };
        if let Some((inside, used)) = arguments(&tokens[open + 1..]) {
            let begin = TokenWithSpan { token: Token::LParen, span: tokens[open].span };
            tokens.splice(open..open + 1 + used, std::iter::once(begin).chain(inside));
        }
    }
}

fn is_map(token: &Token) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.keyword == Keyword::MAP)
}

/// The first token from `at` on that is no space.
fn next(tokens: &[TokenWithSpan], at: usize) -> Option<usize> {
    (at..tokens.len()).find(|at| !matches!(tokens[*at].token, Token::Whitespace(_)))
}

/// `K, V>` as `K, V)`, and how many of the tokens it takes the place of.
fn arguments(tokens: &[TokenWithSpan]) -> Option<(Vec<TokenWithSpan>, usize)> {
    // `>>` closes two brackets, of which one may be ours.
    let (mut single, mut origins) = (Vec::new(), Vec::new());
    for (origin, token) in tokens.iter().take(TYPE_TOKENS_MAX).enumerate() {
        match &token.token {
            Token::ShiftRight => {
                let close = TokenWithSpan { token: Token::Gt, span: token.span };
                single.extend([close.clone(), close]);
                origins.extend([origin, origin]);
            }
            _ => {
                single.push(token.clone());
                origins.push(origin);
            }
        }
    }
    let parser = Parser::new(&DIALECT).with_recursion_limit(RECURSION_MAX);
    let mut parser = parser.with_tokens_with_locations(single.clone());
    let key = parser.parse_data_type().ok()?;
    parser.expect_token(&Token::Comma).ok()?;
    let value = parser.parse_data_type().ok()?;
    if !is_known(&key) || !is_known(&value) {
        return None;
    }
    let end = next(&single, parser.index()).filter(|end| single[*end].token == Token::Gt)?;
    let origin = origins[end];
    let rest = (origins.get(end + 1) == Some(&origin)).then(|| single[end + 1].clone());
    single[end].token = Token::RParen;
    single.truncate(end + 1);
    single.extend(rest);
    Some((single, origin + 1))
}

/// Any word could be a type of someone's.
fn is_known(data_type: &DataType) -> bool {
    match data_type {
        DataType::Custom(name, _) => OTHER_TYPES.contains(&name.to_string().to_uppercase().as_str()),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    use super::*;

    fn rewritten(sql: &str) -> String {
        let mut tokens = Tokenizer::new(&DIALECT, sql).tokenize_with_location().unwrap();
        put_in(&mut tokens);
        tokens.iter().map(|token| token.token.to_string()).collect()
    }

    #[test]
    fn angle_brackets_of_a_map_become_parentheses() {
        for (sql, same) in [
            ("CREATE TABLE t (m MAP<VARCHAR, INT>)", "CREATE TABLE t (m MAP(VARCHAR, INT))"),
            ("x::MAP < INT , LONG >", "x::MAP ( INT , LONG )"),
            ("a ARRAY<MAP<INT, DECIMAL(5, 2)>>", "a ARRAY<MAP(INT, DECIMAL(5, 2))>"),
            ("m MAP<INT, ARRAY<INT>>", "m MAP(INT, ARRAY<INT>)"),
            ("m MAP<INT, ARRAY<ARRAY<INT>>>", "m MAP(INT, ARRAY<ARRAY<INT>>)"),
            ("m MAP<MAP<INT, DATE>, MAP<INT, STRUCT<a INT>>>", "m MAP(MAP(INT, DATE), MAP(INT, STRUCT<a INT>))"),
            ("s STRUCT<m MAP<INT, INT>, b INT>", "s STRUCT<m MAP(INT, INT), b INT>"),
            ("s STRUCT<l ARRAY<MAP<INT, INT>>>", "s STRUCT<l ARRAY<MAP(INT, INT)>>"),
        ] {
            assert_eq!(rewritten(sql), same);
        }
    }

    #[test]
    fn a_column_is_still_compared() {
        for sql in
            ["SELECT map < a, b > c FROM t", "SELECT * FROM t WHERE map < 5 AND x > 3", "\"MAP\"<INT, INT>", "MAP<INT>"]
        {
            assert_eq!(rewritten(sql), sql);
        }
    }
}
