//! `FROM t` alone is `SELECT * FROM t`, as in DuckDB. DataFusion would see a query without columns.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::{
    ast::{Select, SelectFlavor, SelectItem, VisitorMut, WildcardAdditionalOptions},
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan, Word},
};

use super::Ast;

/// Puts `SELECT *` before a FROM that begins a statement or stands behind AS, so that WHERE and all the rest may follow it.
pub(super) fn put_in(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    let mut before: Option<Keyword> = None;
    while at < tokens.len() {
        let keyword = match &tokens[at].token {
            Token::Whitespace(_) => None,
            Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
            _ => Some(Keyword::NoKeyword),
        };
        if keyword == Some(Keyword::FROM) && matches!(before, None | Some(Keyword::AS)) && !selects(&tokens[at..]) {
            let span = tokens[at].span;
            let select = Word { value: "SELECT".to_owned(), quote_style: None, keyword: Keyword::SELECT };
            let put = [Token::Word(select), Token::Mul].map(|token| TokenWithSpan { token, span });
            tokens.splice(at..at, put);
            at += 2;
        }
        before = keyword.or(before);
        at += 1;
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
        ] {
            let Ok(super::Ast::Sql(statement)) = parse(sql) else { panic!("{sql}") };
            assert_eq!(statement.to_string(), tree);
        }
    }
}
