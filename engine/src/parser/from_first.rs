//! `FROM t` alone is `SELECT * FROM t`, as in DuckDB. DataFusion would see a query without columns.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::{
    ast::{Select, SelectFlavor, SelectItem, VisitorMut, WildcardAdditionalOptions},
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan, Word},
};

use super::Ast;

/// Puts `SELECT *` before a FROM that begins a query, so that WHERE and all the rest may follow it: in a statement, behind
/// INSERT INTO, in parentheses, behind AS and UNION.
pub(super) fn put_in(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    let mut before = Before::new();
    while at < tokens.len() {
        if before.begins_query(&tokens[at].token) && !selects(&tokens[at..]) {
            let span = tokens[at].span;
            let select = Word { value: "SELECT".to_owned(), quote_style: None, keyword: Keyword::SELECT };
            let put = [Token::Word(select), Token::Mul].map(|token| TokenWithSpan { token, span });
            tokens.splice(at..at, put);
            at += 2;
            before.awaits = None;
        }
        before.step(&tokens[at].token);
        at += 1;
    }
}

/// What stands before a token.
struct Before {
    last: Keyword,
    earlier: Keyword,
    /// Nothing, or EXPLAIN.
    is_start: bool,
    is_paren: bool,
    depth: usize,
    /// How deep WITH or INSERT INTO stands whose query is still to come.
    awaits: Option<usize>,
}

impl Before {
    fn new() -> Self {
        let (last, earlier) = (Keyword::NoKeyword, Keyword::NoKeyword);
        Self { last, earlier, is_start: true, is_paren: false, depth: 0, awaits: None }
    }

    fn begins_query(&self, token: &Token) -> bool {
        const SETS: [Keyword; 3] = [Keyword::UNION, Keyword::EXCEPT, Keyword::INTERSECT];
        let is_set = SETS.contains(&self.last) || self.last == Keyword::ALL && SETS.contains(&self.earlier);
        let is_awaited = self.awaits == Some(self.depth) && self.last != Keyword::DISTINCT;
        keyword(token) == Keyword::FROM
            && (self.is_start || self.is_paren || self.last == Keyword::AS || is_set || is_awaited)
    }

    fn step(&mut self, token: &Token) {
        let keyword = keyword(token);
        match (token, keyword) {
            (Token::Whitespace(_), _) => return,
            (Token::LParen, _) => self.depth += 1,
            (Token::RParen, _) => self.depth = self.depth.saturating_sub(1),
            (_, Keyword::WITH) if self.is_start || self.is_paren => self.awaits = Some(self.depth),
            (_, Keyword::INTO | Keyword::OVERWRITE) if self.last == Keyword::INSERT => self.awaits = Some(self.depth),
            (_, Keyword::SELECT | Keyword::VALUES | Keyword::DELETE | Keyword::UPDATE | Keyword::MERGE)
                if self.awaits == Some(self.depth) =>
            {
                self.awaits = None;
            }
            _ => {}
        }
        self.is_start = self.is_start && matches!(keyword, Keyword::EXPLAIN | Keyword::ANALYZE | Keyword::VERBOSE);
        self.is_paren = *token == Token::LParen;
        (self.earlier, self.last) = (self.last, keyword);
    }
}

fn keyword(token: &Token) -> Keyword {
    match token {
        Token::Word(word) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    }
}

/// Whether `FROM t SELECT a` is said, up to the end of this query.
fn selects(tokens: &[TokenWithSpan]) -> bool {
    let mut depth = 0;
    for token in tokens {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => return false,
            Token::RParen => depth -= 1,
            Token::SemiColon => return false,
            Token::Word(word) if depth == 0 && word.quote_style.is_none() => match word.keyword {
                Keyword::SELECT => return true,
                Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT => return false,
                _ => {}
            },
            _ => {}
        }
    }
    false
}

/// Puts the star in where `FROM t` alone is a subquery.
pub(super) fn mend(ast: &mut Ast) {
    let _ = ast.visit_mut(&mut Mend);
}

struct Mend;

impl VisitorMut for Mend {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        if select.flavor == SelectFlavor::FromFirstNoSelect {
            select.projection = vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())];
        }
        // `FROM t SELECT a` differs in nothing but the order of its words.
        select.flavor = SelectFlavor::Standard;
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use crate::parser::parse;

    #[test]
    fn from_may_come_first() {
        for (sql, tree) in [
            ("FROM t", "SELECT * FROM t"),
            (" FROM t WHERE a > 1 LIMIT 2;", "SELECT * FROM t WHERE a > 1 LIMIT 2"),
            ("FROM t SELECT a", "SELECT a FROM t"),
            ("FROM t UNION SELECT a FROM u", "SELECT * FROM t UNION SELECT a FROM u"),
            ("SELECT a FROM (FROM t@v1)", "SELECT a FROM (SELECT * FROM t VERSION AS OF 1)"),
            ("SELECT EXTRACT(YEAR FROM a) AS b FROM t", "SELECT EXTRACT(YEAR FROM a) AS b FROM t"),
            ("INSERT INTO u FROM t WHERE a > 1", "INSERT INTO u SELECT * FROM t WHERE a > 1"),
            ("INSERT INTO u (a) FROM t WHERE a > 1", "INSERT INTO u (a) SELECT * FROM t WHERE a > 1"),
            ("INSERT INTO u FROM t SELECT a", "INSERT INTO u SELECT a FROM t"),
            ("SELECT a FROM (FROM t WHERE a > 1)", "SELECT a FROM (SELECT * FROM t WHERE a > 1)"),
            ("FROM t UNION ALL FROM u WHERE a > 1", "SELECT * FROM t UNION ALL SELECT * FROM u WHERE a > 1"),
            (
                "WITH q AS (FROM t WHERE a > 1) FROM q LIMIT 2",
                "WITH q AS (SELECT * FROM t WHERE a > 1) SELECT * FROM q LIMIT 2",
            ),
            ("DELETE FROM t WHERE a IN (FROM u WHERE b)", "DELETE FROM t WHERE a IN (SELECT * FROM u WHERE b)"),
            ("UPDATE t SET a = 1 FROM u WHERE b", "UPDATE t SET a = 1 FROM u WHERE b"),
            ("SELECT explain FROM t WHERE a IS DISTINCT FROM b", "SELECT explain FROM t WHERE a IS DISTINCT FROM b"),
        ] {
            let Ok(super::Ast::Sql(statement)) = parse(sql) else { panic!("{sql}") };
            assert_eq!(statement.to_string(), tree);
        }
    }
}
