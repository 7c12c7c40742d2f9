//! `LIKE 'x!%' ESCAPE '!'`: the character that takes the meaning from `%` and `_`.
//!
//! DataFusion knows the backslash alone, which needs no ESCAPE. So a pattern that has another one is written with backslashes
//! before anything is planned: whatever looks at patterns (pruning, pushed filters) then reads them one way.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::{
    ast::{Expr, Value, ValueWithSpan, VisitorMut},
    tokenizer::Span,
};

use super::Ast;
use crate::{EngineError, error::Place};

const BACKSLASH: char = '\\';

/// Writes all patterns of a statement with backslashes.
pub(super) fn mend(ast: &mut Ast, sql: &str) -> Result<(), EngineError> {
    let mut mend = Mend::default();
    let _ = ast.visit_mut(&mut mend);
    mend.fault.map_or(Ok(()), |(error, span)| Err(error.at(sql, Place::of_token_span(span))))
}

#[derive(Default)]
struct Mend {
    fault: Option<(EngineError, Span)>,
}

impl Mend {
    fn refuse(&mut self, error: EngineError, span: Span) -> ControlFlow<()> {
        self.fault = Some((error, span));
        ControlFlow::Break(())
    }
}

impl VisitorMut for Mend {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let (Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. }) = expr else {
            return ControlFlow::Continue(());
        };
        let Some((escape, span)) = escape_char.as_ref().and_then(character) else { return ControlFlow::Continue(()) };
        if escape == BACKSLASH {
            return ControlFlow::Continue(());
        }
        let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), span: place }) = pattern.as_mut()
        else {
            let error = EngineError::unsupported("ESCAPE for a pattern that is not a constant is not supported");
            return self.refuse(error.with_hint("Escape with a backslash, which needs no ESCAPE."), span);
        };
        let Some(translated) = translate(text, escape) else {
            let error = EngineError::invalid("the pattern of LIKE ends with its escape character");
            return self.refuse(error.with_hint("Write it twice where it stands for itself."), *place);
        };
        *text = translated;
        *escape_char = None;
        ControlFlow::Continue(())
    }
}

/// The one character that ESCAPE names, and where. What is none is told by the planner.
fn character(value: &ValueWithSpan) -> Option<(char, Span)> {
    let Value::SingleQuotedString(text) = &value.value else { return None };
    let mut chars = text.chars();
    let first = chars.next()?;
    chars.next().is_none().then_some((first, value.span))
}

/// The same pattern with backslashes; `None` when nothing comes after the last escape.
fn translate(pattern: &str, escape: char) -> Option<String> {
    let mut translated = String::with_capacity(pattern.len() + 8);
    let mut chars = pattern.chars();
    while let Some(char) = chars.next() {
        let (taken, literal) = if char == escape { (chars.next()?, true) } else { (char, char == BACKSLASH) };
        if literal {
            translated.push(BACKSLASH);
        }
        translated.push(taken);
    }
    Some(translated)
}

#[cfg(test)]
mod tests {
    use crate::parser::{Ast, parse};

    #[test]
    fn patterns_are_written_with_backslashes() {
        for (sql, tree) in [
            (r"SELECT a LIKE '10!%' ESCAPE '!'", r"SELECT a LIKE '10\%'"),
            (r"SELECT a NOT ILIKE '!!!_%' ESCAPE '!'", r"SELECT a NOT ILIKE '\!\_%'"),
            (r"SELECT a LIKE 'c:\%' ESCAPE '#'", r"SELECT a LIKE 'c:\\%'"),
            (r"SELECT a LIKE 'x\%' ESCAPE '\'", r"SELECT a LIKE 'x\%' ESCAPE '\'"),
            (r"SELECT a LIKE b", r"SELECT a LIKE b"),
            (r"DELETE FROM t WHERE a LIKE '%%%' ESCAPE '%'", r""),
        ] {
            match parse(sql) {
                Ok(Ast::Sql(statement)) => assert_eq!(statement.to_string(), tree),
                Ok(other) => panic!("{sql}: {other:?}"),
                Err(error) => {
                    assert!(tree.is_empty() && error.message.contains("ends with its escape character"), "{error}")
                }
            }
        }
        let error = parse("SELECT a LIKE b ESCAPE '!'").unwrap_err();
        assert!(error.message.contains("not a constant"), "{error}");
    }
}
