//! Types that the planner takes otherwise than tables do, said in its words before anything is planned.
//!
//! `TIMESTAMP` without a precision ends at microseconds, as in Delta and in Postgres. DataFusion plans it with nanoseconds,
//! which end in the year 2262: `CAST('9999-12-31' AS TIMESTAMP)` would fail. So the precision is put in. Bytes are `BYTEA` for
//! it and nothing else, so `BINARY` and its like become that. What CREATE TABLE makes of types is in `statement/data_type.rs`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, DataType, Expr, Statement, StructField, TableFactor, TypedString, VisitMut, VisitorMut,
};

use super::Ast;

const MICROSECONDS: u64 = 6;

/// Puts precisions and names in everywhere in a statement.
pub(super) fn mend(ast: &mut Ast) {
    let _ = ast.visit_mut(&mut Mend::default());
}

/// The same for an expression that stands alone.
pub(super) fn mend_expr(expr: &mut Expr) {
    let _ = VisitMut::visit(expr, &mut Mend::default());
}

#[derive(Default)]
struct Mend {
    /// Inside how many calls that stand in FROM: `generate_series` takes nanoseconds only.
    calls: usize,
}

fn is_call(factor: &TableFactor) -> bool {
    matches!(factor, TableFactor::Table { args: Some(_), .. } | TableFactor::Function { .. })
}

impl VisitorMut for Mend {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            _ if self.calls > 0 => {}
            Expr::Cast { data_type, .. } | Expr::TypedString(TypedString { data_type, .. }) => mend_type(data_type),
            Expr::Convert { data_type: Some(data_type), .. } => mend_type(data_type),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        self.calls += usize::from(is_call(factor));
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        self.calls -= usize::from(is_call(factor));
        ControlFlow::Continue(())
    }

    fn pre_visit_statement(&mut self, statement: &mut Statement) -> ControlFlow<()> {
        if let Statement::Prepare { data_types, .. } = statement {
            data_types.iter_mut().for_each(mend_type);
        }
        ControlFlow::Continue(())
    }
}

fn mend_type(data_type: &mut DataType) {
    match data_type {
        DataType::Timestamp(precision @ None, _) | DataType::Datetime(precision @ None) => {
            *precision = Some(MICROSECONDS);
        }
        DataType::Binary(None) | DataType::Varbinary(None) | DataType::Blob(None) | DataType::Bytes(None) => {
            *data_type = DataType::Bytea;
        }
        DataType::Array(
            ArrayElemTypeDef::AngleBracket(item)
            | ArrayElemTypeDef::SquareBracket(item, _)
            | ArrayElemTypeDef::Parenthesis(item),
        ) => mend_type(item),
        DataType::Struct(fields, _) => {
            fields.iter_mut().for_each(|StructField { field_type, .. }| mend_type(field_type));
        }
        DataType::Map(key, value) => {
            mend_type(key);
            mend_type(value);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::parser::parse;

    #[test]
    fn every_timestamp_has_its_precision() {
        let Ok(crate::parser::Ast::Sql(statement)) = parse(
            "SELECT CAST(a AS TIMESTAMP), a::TIMESTAMP WITH TIME ZONE, TIMESTAMP '9999-12-31', a::TIMESTAMP(9), \
             a::ARRAY<TIMESTAMP>",
        ) else {
            panic!("it does not parse");
        };
        let text = statement.to_string();
        assert_eq!(text.matches("TIMESTAMP(6)").count(), 4, "{text}");
        assert_eq!(text.matches("TIMESTAMP(9)").count(), 1, "{text}");
    }

    #[test]
    fn bytes_have_the_name_that_the_planner_knows() {
        let Ok(crate::parser::Ast::Sql(statement)) = parse("SELECT CAST(a AS BINARY), a::VARBINARY, a::BLOB, a::BYTEA")
        else {
            panic!("it does not parse");
        };
        assert_eq!(statement.to_string().matches("BYTEA").count(), 4, "{statement}");
    }
}
