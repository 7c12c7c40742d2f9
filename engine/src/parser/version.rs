//! Older versions of a table, wherever a table is read: in FROM, and behind the name of a table in the grammars of our own.
//!
//! ```text
//! t [FOR] VERSION AS OF 3               t [FOR] TIMESTAMP AS OF '2026-01-31 12:00'
//! t FOR SYSTEM_VERSION AS OF 3          t FOR SYSTEM_TIME AS OF now() - INTERVAL '1 hour'
//! t@v3                                  t@20260131120000000         year to millisecond
//! ```
//! The library's grammar has some of these in dialects that we do not use, so the long forms are taken out of the tokens
//! before it sees them, and put back into its tree afterwards. The short forms are names in its eyes.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::{
    ast::{Expr, Ident, ObjectName, ObjectNamePart, TableFactor, TableVersion, Value, VisitorMut},
    dialect::{Dialect, Precedence},
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Span, Token, TokenWithSpan, Word},
};

use super::{
    Ast,
    clause::{is_nth_word, is_word as is_next_word},
    fault,
    parse::DIALECT,
};
use crate::EngineError;

/// The name of a table that is read, and the version behind it.
#[derive(Debug, Clone)]
pub(crate) struct Versioned {
    pub(crate) name: ObjectName,
    /// `None`: the newest one.
    pub(crate) version: Option<TableVersion>,
}

/// A version that stood behind a name.
#[derive(Debug)]
pub(super) struct Taken {
    /// The name's last word, as it was written.
    name: Ident,
    /// Where its stand-in is: from the name to the end of the version.
    span: Span,
    version: TableVersion,
    is_back: bool,
}

/// Takes the versions out of a statement's tokens.
pub(super) fn take(tokens: Vec<TokenWithSpan>, sql: &str) -> Result<(Vec<TokenWithSpan>, Vec<Taken>), EngineError> {
    let mut taken = Vec::new();
    let is_written = |token: &TokenWithSpan| {
        is_word(token, &["OF"]) || matches!(&token.token, Token::Word(w) if short(&w.value).is_some())
    };
    let first = tokens.iter().find(|token| !matches!(token.token, Token::Whitespace(_)));
    // SHOW COLUMNS FROM t reads its version itself.
    if !tokens.iter().any(is_written) || first.is_some_and(|token| is_word(token, &["SHOW"])) {
        return Ok((tokens, taken));
    }
    let mut kept: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let Some(found) = version_at(&tokens, at, &kept) else {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        };
        let (version, next) = match found {
            Found::Short(version) => (version, at + 2),
            Found::Long { by_time, value } => {
                let mut parser = Parser::new(&DIALECT).with_tokens_with_locations(tokens[value..].to_vec());
                let expr = parser.parse_expr().map_err(|error| fault::from_parser(error, sql, &tokens))?;
                let version = if by_time { TableVersion::TimestampAsOf(expr) } else { TableVersion::VersionAsOf(expr) };
                (version, end_of_value(&tokens, value, parser.index()))
            }
        };
        let Token::Word(word) = &tokens[at].token else { continue };
        let name = word.to_ident(tokens[at].span);
        let span = tokens[at].span.union(&tokens[next - 1].span);
        let text = tokens[at + 1..next].iter().map(|token| token.token.to_string());
        let value = std::iter::once(name.value.clone()).chain(text).collect();
        let stand_in = Word { value, quote_style: Some('"'), keyword: Keyword::NoKeyword };
        kept.push(TokenWithSpan { token: Token::Word(stand_in), span });
        taken.push(Taken { name, span, version, is_back: false });
        at = next;
    }
    Ok((kept, taken))
}

enum Found {
    /// `"t"@v3`: two tokens.
    Short(TableVersion),
    /// `value` is the first token behind AS OF.
    Long { by_time: bool, value: usize },
}

/// Whether a version stands behind the name at `at`; `before` are the tokens before it.
fn version_at(tokens: &[TokenWithSpan], at: usize, before: &[TokenWithSpan]) -> Option<Found> {
    let Token::Word(name) = &tokens[at].token else { return None };
    if name.quote_style.is_none() && NO_NAMES.contains(&name.keyword) || !follows_from(before) {
        return None;
    }
    if name.quote_style.is_some()
        && let Some(Token::Word(next)) = tokens.get(at + 1).map(|token| &token.token)
        && next.quote_style.is_none()
        && next.value.starts_with('@')
    {
        return short(&next.value).map(|(_, version)| Found::Short(version));
    }
    let mut words = (at + 1..tokens.len()).filter(|at| !matches!(tokens[*at].token, Token::Whitespace(_)));
    let mut next = words.next()?;
    let by_system = is_word(&tokens[next], &["FOR"]);
    if by_system {
        next = words.next()?;
    }
    let by_time = is_word(&tokens[next], &["TIMESTAMP"]) || by_system && is_word(&tokens[next], &["SYSTEM_TIME"]);
    let by_number = is_word(&tokens[next], &["VERSION"]) || by_system && is_word(&tokens[next], &["SYSTEM_VERSION"]);
    let (first, second) = (words.next()?, words.next()?);
    let as_of = is_word(&tokens[first], &["AS"]) && is_word(&tokens[second], &["OF"]);
    let value = words.next()?;
    ((by_time || by_number) && as_of).then_some(Found::Long { by_time, value })
}

/// Words that can stand in front of `version AS of`, a column under a name.
const NO_NAMES: &[Keyword] = &[
    Keyword::SELECT,
    Keyword::DISTINCT,
    Keyword::ALL,
    Keyword::NOT,
    Keyword::CASE,
    Keyword::WHERE,
    Keyword::FROM,
    Keyword::JOIN,
    Keyword::AS,
    Keyword::ON,
];

/// Whether the name that comes next, of which parts may be there already, can be that of a table in FROM.
fn follows_from(before: &[TokenWithSpan]) -> bool {
    let mut tokens = before.iter().rev().filter(|token| !matches!(token.token, Token::Whitespace(_)));
    let mut last = tokens.next();
    while last.is_some_and(|token| token.token == Token::Period) {
        tokens.next();
        last = tokens.next();
    }
    last.is_some_and(|token| {
        is_word(token, &["FROM", "JOIN", "USING"]) || matches!(token.token, Token::Comma | Token::LParen)
    })
}

/// Where the value ends that a parser has read: it may have looked past blanks.
fn end_of_value(tokens: &[TokenWithSpan], start: usize, read: usize) -> usize {
    let mut end = (start + read).min(tokens.len());
    while end > start + 1 && matches!(tokens[end - 1].token, Token::Whitespace(_)) {
        end -= 1;
    }
    end
}

fn is_word(token: &TokenWithSpan, words: &[&str]) -> bool {
    match &token.token {
        Token::Word(word) => word.quote_style.is_none() && words.iter().any(|w| word.value.eq_ignore_ascii_case(w)),
        _ => false,
    }
}

/// `t@v3` and `t@20260131120000000`: the name, and the version.
fn short(word: &str) -> Option<(&str, TableVersion)> {
    const TIME_DIGITS: usize = 17;
    let (name, version) = word.rsplit_once('@')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(number) = version.strip_prefix(['v', 'V']).filter(|number| digits(number)) {
        let number = Value::Number(number.to_owned(), false);
        return Some((name, TableVersion::VersionAsOf(Expr::Value(number.into()))));
    }
    if version.len() != TIME_DIGITS || !digits(version) {
        return None;
    }
    let part = |from: usize, to: usize| version.get(from..to).unwrap_or_default();
    let (date, time) =
        ([part(0, 4), part(4, 6), part(6, 8)].join("-"), [part(8, 10), part(10, 12), part(12, 14)].join(":"));
    let text = Value::SingleQuotedString(format!("{date} {time}.{}", part(14, 17)));
    Some((name, TableVersion::TimestampAsOf(Expr::Value(text.into()))))
}

/// Whether a name ends in a version, as `t@v3` does. In double quotes it is a name like any other.
pub(crate) fn is_versioned(name: &ObjectName) -> bool {
    let last = name.0.last().and_then(ObjectNamePart::as_ident).filter(|last| last.quote_style.is_none());
    last.is_some_and(|last| short(&last.value).is_some_and(|(name, _)| !name.is_empty()))
}

/// A table's name and the version behind it, in a grammar of our own.
pub(super) fn named(parser: &mut Parser<'_>) -> Result<Versioned, ParserError> {
    let mut name = parser.parse_object_name(false)?;
    let found = match name.0.last_mut() {
        Some(ObjectNamePart::Identifier(last)) => shortened(parser, last),
        _ => None,
    };
    let version = if found.is_some() { found } else { behind(parser)? };
    Ok(Versioned { name, version })
}

/// Takes `@v3` from a name's last word, or from behind it.
fn shortened(parser: &mut Parser<'_>, last: &mut Ident) -> Option<TableVersion> {
    if last.quote_style.is_none() {
        let (name, version) = short(&last.value).filter(|(name, _)| !name.is_empty())?;
        last.value = name.to_owned();
        return Some(version);
    }
    let next = parser.peek_token_ref();
    let Token::Word(word) = &next.token else { return None };
    let (name, version) = short(&word.value).filter(|_| word.quote_style.is_none())?;
    if !name.is_empty() {
        return None;
    }
    parser.next_token();
    Some(version)
}

/// `[FOR] {VERSION | TIMESTAMP} AS OF x`, if it is there.
pub(super) fn behind(parser: &mut Parser<'_>) -> Result<Option<TableVersion>, ParserError> {
    let skipped = usize::from(is_next_word(parser, "FOR"));
    let begins = |word: &str| {
        let words = [word, "AS", "OF"];
        words.iter().enumerate().all(|(n, word)| is_nth_word(parser, skipped + n, word))
    };
    let by_time = begins("TIMESTAMP") || begins("SYSTEM_TIME");
    if !by_time && !begins("VERSION") && !begins("SYSTEM_VERSION") {
        return Ok(None);
    }
    (0..skipped + 3).for_each(|_| drop(parser.next_token()));
    // A LIKE behind it is the statement's.
    let value = parser.parse_subexpr(DIALECT.prec_value(Precedence::Like))?;
    Ok(Some(if by_time { TableVersion::TimestampAsOf(value) } else { TableVersion::VersionAsOf(value) }))
}

/// Puts the versions back, onto the tables that they belong to.
pub(super) fn put_back(ast: &mut Ast, taken: Vec<Taken>, sql: &str) -> Result<(), EngineError> {
    let mut put = PutBack { taken, misplaced: None };
    let _ = ast.visit_mut(&mut put);
    match put.taken.iter().find(|taken| !taken.is_back).map(|lost| lost.span).or(put.misplaced) {
        None => Ok(()),
        Some(lost) => Err(fault::misplaced_version(lost, sql)),
    }
}

struct PutBack {
    taken: Vec<Taken>,
    /// Of an alias that ends like a version: `FROM t AS s@v1` and `FROM t @v1` would read the newest one.
    misplaced: Option<Span>,
}

impl VisitorMut for PutBack {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let alias = match factor {
            TableFactor::Table { alias, .. }
            | TableFactor::Derived { alias, .. }
            | TableFactor::TableFunction { alias, .. }
            | TableFactor::Function { alias, .. }
            | TableFactor::UNNEST { alias, .. }
            | TableFactor::NestedJoin { alias, .. } => alias.as_ref().map(|alias| &alias.name),
            _ => None,
        };
        if let Some(alias) = alias.filter(|alias| alias.quote_style.is_none() && short(&alias.value).is_some()) {
            self.misplaced = Some(alias.span);
        }
        let TableFactor::Table { name: ObjectName(parts), args: None, version, .. } = factor else {
            return ControlFlow::Continue(());
        };
        let Some(ObjectNamePart::Identifier(last)) = parts.last_mut() else { return ControlFlow::Continue(()) };
        // A query of WITH may be there more than once.
        if let Some(taken) = self.taken.iter_mut().find(|taken| taken.span == last.span) {
            taken.is_back = true;
            *last = taken.name.clone();
            *version = Some(taken.version.clone());
        } else if last.quote_style.is_none()
            && let Some((name, found)) = short(&last.value)
            && !name.is_empty()
        {
            *version = Some(found);
            last.value = name.to_owned();
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use crate::parser::parse;

    fn text(sql: &str) -> String {
        match parse(sql) {
            Ok(super::Ast::Sql(statement)) => statement.to_string(),
            Ok(other) => format!("{other:?}"),
            Err(error) => format!("ERROR {error}"),
        }
    }

    #[test]
    // The library writes an alias before the version.
    fn every_spelling_is_one_tree() {
        for (sql, tree) in [
            ("SELECT * FROM t VERSION AS OF 3", "SELECT * FROM t VERSION AS OF 3"),
            ("SELECT * FROM t FOR VERSION AS OF 3 x", "SELECT * FROM t x VERSION AS OF 3"),
            ("SELECT * FROM t FOR SYSTEM_VERSION AS OF 3", "SELECT * FROM t VERSION AS OF 3"),
            ("SELECT * FROM s.t@v3 AS x", "SELECT * FROM s.t AS x VERSION AS OF 3"),
            ("SELECT * FROM \"T\"@v3", "SELECT * FROM \"T\" VERSION AS OF 3"),
            ("SELECT * FROM lake.s.\"T\" VERSION AS OF 3", "SELECT * FROM lake.s.\"T\" VERSION AS OF 3"),
            ("SELECT * FROM t for timestamp as of 'x' WHERE a", "SELECT * FROM t TIMESTAMP AS OF 'x' WHERE a"),
            ("SELECT * FROM t FOR SYSTEM_TIME AS OF 'x'", "SELECT * FROM t TIMESTAMP AS OF 'x'"),
            ("SELECT * FROM t@20260131123000250", "SELECT * FROM t TIMESTAMP AS OF '2026-01-31 12:30:00.250'"),
            (
                "SELECT * FROM t TIMESTAMP AS OF now() - INTERVAL '1 hour' AS x, (u@v1 JOIN v VERSION AS OF 2 ON a)",
                "SELECT * FROM t AS x TIMESTAMP AS OF now() - INTERVAL '1 hour', (u VERSION AS OF 1 JOIN v VERSION AS OF 2 ON a)",
            ),
        ] {
            assert_eq!(text(sql), tree, "{sql}");
        }
    }

    #[test]
    fn columns_of_these_names_stay_columns() {
        for sql in [
            "SELECT version AS of FROM t",
            "SELECT DISTINCT timestamp AS of FROM t",
            "SELECT a, version AS of FROM t",
            "SELECT t.version AS of, NOT version AS of FROM t",
            "SELECT * FROM t version",
            "SELECT * FROM t AS before, u AS at",
        ] {
            assert_eq!(text(sql), sql);
        }
    }

    #[test]
    fn a_version_belongs_to_a_table_in_from() {
        for sql in [
            "SELECT * FROM t x VERSION AS OF 3",
            "SELECT * FROM t @v3",
            "SELECT * FROM t AS @v3 WHERE a",
            "SELECT * FROM (SELECT 1)@v3",
            "SELECT * FROM (t JOIN u ON a)@v3",
            "SELECT * FROM f(1)@v3",
            "SELECT * FROM (SELECT 1) VERSION AS OF 3",
            "SELECT * FROM 'a.parquet' VERSION AS OF 3",
            "SELECT f(a VERSION AS OF 3)",
        ] {
            assert!(text(sql).starts_with("ERROR VERSION AS OF stands right behind"), "{sql}: {}", text(sql));
        }
    }

    #[test]
    fn an_older_version_is_not_changed() {
        for sql in [
            "DELETE FROM t VERSION AS OF 3",
            "DELETE FROM t@v3 WHERE a = 1",
            "INSERT INTO t VERSION AS OF 3 SELECT 1",
            "INSERT INTO TABLE s.t FOR VERSION AS OF 3 VALUES (1)",
            "INSERT OVERWRITE t TIMESTAMP AS OF '2026-01-01' SELECT 1",
            "UPDATE t VERSION AS OF 3 SET a = 1",
            "UPDATE t@v3 SET a = 1",
            "MERGE INTO t VERSION AS OF 3 USING u ON t.a = u.a WHEN MATCHED THEN DELETE",
            "MERGE INTO t@v3 USING u ON t.a = u.a WHEN MATCHED THEN DELETE",
            "COPY t@v3 FROM 'x.csv'",
            "COPY t VERSION AS OF 3 (a) FROM 'x.csv'",
        ] {
            assert!(text(sql).starts_with("ERROR an older version of a table"), "{sql}: {}", text(sql));
        }
    }

    #[test]
    fn our_own_grammars_take_versions() {
        for sql in [
            "DESCRIBE t@v3",
            "DESC TABLE s.\"T\"@v3",
            "DESCRIBE DETAIL t FOR SYSTEM_TIME AS OF now() - INTERVAL '1 hour'",
            "SHOW COLUMNS FROM t VERSION AS OF 3 LIKE 'a%'",
            "SHOW COLUMNS IN \"t\"@v3",
            "SHOW CREATE TABLE t@v3",
            "COPY t@v3 TO 'x.csv'",
            "COPY t VERSION AS OF 3 (a, b) TO 'x.csv' (HEADER false)",
            "CREATE TABLE c SHALLOW CLONE t@v3",
            "CREATE TABLE c SHALLOW CLONE t TIMESTAMP AS OF '2026-01-01'",
            "RESTORE TABLE t VERSION AS OF 3",
            "RESTORE t TO VERSION AS OF 3",
        ] {
            let found = text(sql);
            assert!(found.contains("VersionAsOf") || found.contains("TimestampAsOf"), "{sql}: {found}");
        }
    }
}
