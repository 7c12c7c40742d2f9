//! `1e100` is a DOUBLE, as in DuckDB and Spark.
//!
//! DataFusion reads every number with a point or an exponent as a decimal: `1.5` is exact, but `1e300` has more digits than
//! decimals have, and `1e100` comes out wrong. So a number with an exponent says its type before anything is planned. Its
//! digits stay: a column of exact numbers takes it only when the DOUBLE is what was written.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::{
    ast::{
        CastKind, DataType, ExactNumberInfo, Expr, Ident, SelectItem, SetExpr, Statement, UnaryOperator, Value,
        VisitMut, VisitorMut,
    },
    tokenizer::Span,
};

use super::Ast;
use crate::{EngineError, error::Place};

/// Gives numbers their type everywhere in a statement.
pub(super) fn mend(ast: &mut Ast, sql: &str) -> Result<(), EngineError> {
    // A setting's value is a text.
    if matches!(ast, Ast::Sql(statement) if matches!(**statement, Statement::Set(_))) {
        return Ok(());
    }
    if let Ast::Sql(statement) = &mut *ast
        && let Statement::Query(query) = statement.as_mut()
    {
        name_numbers(&mut query.body);
    }
    let mut mend = Mend::default();
    let _ = ast.visit_mut(&mut mend);
    match mend.too_large {
        None => Ok(()),
        Some((number, span)) => Err(too_large(&number).at(sql, Place::of_token_span(span))),
    }
}

/// A column of the answer that is such a number is called as it was written.
fn name_numbers(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => {
            for item in &mut select.projection {
                if let SelectItem::UnnamedExpr(expr) = item
                    && is_double(expr)
                {
                    let alias = Ident::with_quote('"', expr.to_string());
                    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
                }
            }
        }
        // The first one names the columns.
        SetExpr::SetOperation { left, .. } => name_numbers(left),
        _ => {}
    }
}

fn is_double(expr: &Expr) -> bool {
    match expr {
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => is_double(expr),
        Expr::Value(value) => matches!(&value.value, Value::Number(text, false) if text.contains(['e', 'E'])),
        _ => false,
    }
}

/// `.5E+3` as `0.5e3`: as texts of numbers are written.
fn plain(number: &str) -> String {
    let number = number.replace('_', "").to_ascii_lowercase();
    let (digits, exponent) = number.split_once('e').unwrap_or((number.as_str(), "0"));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{whole}{point}{fraction}e{}", exponent.trim_start_matches('+'))
}

/// The same for an expression that stands alone.
pub(super) fn mend_expr(expr: &mut Expr) -> Result<(), EngineError> {
    let mut mend = Mend::default();
    let _ = VisitMut::visit(expr, &mut mend);
    mend.too_large.map_or(Ok(()), |(number, _)| Err(too_large(&number)))
}

fn too_large(number: &str) -> EngineError {
    EngineError::invalid(format!("{number} is too large for a DOUBLE, which ends at 1.7976931348623157e308"))
}

#[derive(Default)]
struct Mend {
    too_large: Option<(String, Span)>,
}

impl VisitorMut for Mend {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::Value(value) = expr else { return ControlFlow::Continue(()) };
        let Value::Number(text, false) = &value.value else { return ControlFlow::Continue(()) };
        if !text.contains(['e', 'E']) {
            return ControlFlow::Continue(());
        }
        let Ok(number) = text.replace('_', "").parse::<f64>() else { return ControlFlow::Continue(()) };
        if number.is_infinite() {
            self.too_large = Some((text.clone(), value.span));
            return ControlFlow::Break(());
        }
        value.value = Value::SingleQuotedString(plain(text));
        let text = Box::new(std::mem::replace(expr, Expr::value(Value::Null)));
        let data_type = DataType::Double(ExactNumberInfo::None);
        *expr = Expr::Cast { kind: CastKind::Cast, expr: text, data_type, array: false, format: None };
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use crate::parser::parse;

    #[test]
    fn an_exponent_makes_a_double() {
        for (sql, tree) in [
            (
                "SELECT 1e100, -2.5E-3, a + .5E+3",
                "SELECT CAST('1e100' AS DOUBLE) AS \"1e100\", -CAST('2.5e-3' AS DOUBLE) AS \"-2.5E-3\", \
                 a + CAST('0.5e3' AS DOUBLE)",
            ),
            (
                "SELECT 1e2 AS a UNION SELECT 2e2",
                "SELECT CAST('1e2' AS DOUBLE) AS a UNION SELECT CAST('2e2' AS DOUBLE)",
            ),
            ("INSERT INTO t SELECT 1e2, 1e2", "INSERT INTO t SELECT CAST('1e2' AS DOUBLE), CAST('1e2' AS DOUBLE)"),
            ("SELECT 9007199254740993e0 AS a", "SELECT CAST('9007199254740993e0' AS DOUBLE) AS a"),
            ("SELECT 1.5, 10, 'e'", "SELECT 1.5, 10, 'e'"),
            ("UPDATE t SET a = 1e2", "UPDATE t SET a = CAST('1e2' AS DOUBLE)"),
            ("SET memory = 1e9", "SET memory = 1e9"),
        ] {
            let Ok(super::Ast::Sql(statement)) = parse(sql) else { panic!("{sql}") };
            assert_eq!(statement.to_string(), tree);
        }
        assert!(parse("SELECT 1e400").is_err_and(|error| error.message.contains("too large for a DOUBLE")));
    }
}
