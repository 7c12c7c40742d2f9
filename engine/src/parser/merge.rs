//! MERGE: sqlparser's tree, made by a grammar of our own that also takes `UPDATE SET *` and `INSERT *`.
//!
//! `UPDATE SET *` has no assignments, `INSERT *` and `INSERT ROW` have no columns and no values: the statement file says
//! what they stand for.

use datafusion::sql::sqlparser::{
    ast::{
        Merge, MergeAction, MergeClause, MergeClauseKind, MergeInsertExpr, MergeInsertKind, MergeUpdateExpr,
        OutputClause, helpers::attached_token::AttachedToken,
    },
    keywords::Keyword,
    parser::{IsOptional, Parser, ParserError},
    tokenizer::Token,
};

/// Parses from the word MERGE to the end of the last clause.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Merge, ParserError> {
    let merge_token = AttachedToken(parser.next_token());
    let into = parser.parse_keyword(Keyword::INTO);
    let table = parser.parse_table_factor()?;
    parser.expect_keyword(Keyword::USING)?;
    let source = parser.parse_table_factor()?;
    parser.expect_keyword(Keyword::ON)?;
    let on = Box::new(parser.parse_expr()?);
    let mut clauses = Vec::new();
    while parser.parse_keyword(Keyword::WHEN) {
        clauses.push(clause(parser)?);
    }
    if clauses.is_empty() {
        return parser.expected("WHEN [NOT] MATCHED", parser.peek_token());
    }
    let output = match parser.parse_keyword(Keyword::RETURNING) {
        true => {
            let returning_token = AttachedToken(parser.get_current_token().clone());
            Some(OutputClause::Returning { returning_token, select_items: parser.parse_projection()? })
        }
        false => None,
    };
    Ok(Merge { merge_token, optimizer_hints: Vec::new(), into, table, source, on, clauses, output })
}

fn clause(parser: &mut Parser<'_>) -> Result<MergeClause, ParserError> {
    let when_token = AttachedToken(parser.get_current_token().clone());
    let not = parser.parse_keyword(Keyword::NOT);
    parser.expect_keyword(Keyword::MATCHED)?;
    let clause_kind = match not {
        true if parser.parse_keywords(&[Keyword::BY, Keyword::SOURCE]) => MergeClauseKind::NotMatchedBySource,
        true if parser.parse_keywords(&[Keyword::BY, Keyword::TARGET]) => MergeClauseKind::NotMatchedByTarget,
        true => MergeClauseKind::NotMatched,
        false => MergeClauseKind::Matched,
    };
    let predicate = match parser.parse_keyword(Keyword::AND) {
        true => Some(parser.parse_expr()?),
        false => None,
    };
    parser.expect_keyword(Keyword::THEN)?;
    let inserts = matches!(clause_kind, MergeClauseKind::NotMatched | MergeClauseKind::NotMatchedByTarget);
    let action = match inserts {
        true if parser.parse_keyword(Keyword::INSERT) => MergeAction::Insert(insert(parser)?),
        true => {
            return parser.expected("INSERT: nothing else is done with rows that are not there", parser.peek_token());
        }
        false if parser.parse_keyword(Keyword::UPDATE) => MergeAction::Update(update(parser)?),
        false if parser.parse_keyword(Keyword::DELETE) => {
            MergeAction::Delete { delete_token: AttachedToken(parser.get_current_token().clone()) }
        }
        false => return parser.expected("UPDATE or DELETE", parser.peek_token()),
    };
    Ok(MergeClause { when_token, clause_kind, predicate, action })
}

fn update(parser: &mut Parser<'_>) -> Result<MergeUpdateExpr, ParserError> {
    let update_token = AttachedToken(parser.get_current_token().clone());
    parser.expect_keyword(Keyword::SET)?;
    let assignments = match parser.consume_token(&Token::Mul) {
        true => Vec::new(),
        false => parser.parse_comma_separated(Parser::parse_assignment)?,
    };
    Ok(MergeUpdateExpr { update_token, assignments, update_predicate: None, delete_predicate: None })
}

fn insert(parser: &mut Parser<'_>) -> Result<MergeInsertExpr, ParserError> {
    let insert_token = AttachedToken(parser.get_current_token().clone());
    let all = parser.consume_token(&Token::Mul) || parser.parse_keyword(Keyword::ROW);
    let columns = match all {
        true => Vec::new(),
        false => parser.parse_parenthesized_qualified_column_list(IsOptional::Optional, false)?,
    };
    if !all {
        parser.expect_keyword(Keyword::VALUES)?;
    }
    let kind_token = AttachedToken(parser.get_current_token().clone());
    let kind = if all { MergeInsertKind::Row } else { MergeInsertKind::Values(parser.parse_values(false, false)?) };
    Ok(MergeInsertExpr { insert_token, columns, kind_token, kind, insert_predicate: None })
}

#[cfg(test)]
mod tests {
    use crate::parser::parse;

    #[test]
    fn every_clause_parses() {
        let clauses = [
            "WHEN MATCHED AND s.gone THEN DELETE",
            "WHEN MATCHED THEN UPDATE SET a = s.a, b = 2",
            "WHEN MATCHED THEN UPDATE SET *",
            "WHEN NOT MATCHED THEN INSERT (a, b) VALUES (s.a, 2)",
            "WHEN NOT MATCHED BY TARGET AND s.a > 1 THEN INSERT VALUES (s.a, 2)",
            "WHEN NOT MATCHED THEN INSERT *",
            "WHEN NOT MATCHED BY SOURCE AND t.a > 1 THEN UPDATE SET b = NULL",
            "WHEN NOT MATCHED BY SOURCE THEN DELETE",
        ];
        for clause in clauses {
            let sql = format!("MERGE INTO t USING (SELECT 1 AS a) AS s ON t.a = s.a {clause}");
            assert!(parse(&sql).is_ok(), "{sql}: {:?}", parse(&sql).err());
        }
        let sql = format!("MERGE INTO t USING s ON t.a = s.a {}", clauses.join(" "));
        assert!(parse(&sql).is_ok());
    }
}
