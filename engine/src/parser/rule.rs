//! The text of a table's rules: Spark's SQL, which is what every writer of Delta keeps there.
//!
//! [`read`] turns such a text into a tree that can be planned here, [`write`] a person's condition into such a text. Both
//! take only what means the same in both worlds, for a rule that is understood otherwise than it was meant lets wrong
//! rows in: functions are those of a list, and whatever is not known is refused with the reason. Nothing is planned here.

use std::ops::ControlFlow;

use datafusion::{
    arrow::datatypes::{DataType as ArrowType, FieldRef, Fields},
    sql::sqlparser::{
        ast::{
            BinaryOperator, CastKind, CeilFloorKind, DataType, DateTimeField, ExactNumberInfo, Expr, Function,
            FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Query, TimezoneInfo, TypedString, UnaryOperator,
            Value, VisitMut, VisitorMut,
        },
        dialect::DatabricksDialect,
        parser::Parser,
        tokenizer::{Span, Token},
    },
};

use super::{limit, number, planned_type, precedence, rule_function};

/// Why a rule is refused.
#[derive(Debug)]
pub(crate) struct Refused {
    pub reason: String,
    /// In the person's statement; for a rule that is read it means nothing.
    pub span: Option<Span>,
}

impl Refused {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), span: None }
    }
}

/// Parses a rule of a table with these columns. Names in the tree are in quotes, spelled as the table spells them.
pub(crate) fn read(text: &str, columns: &Fields) -> Result<Expr, Refused> {
    if text.contains('\\') {
        return Err(Refused::new("it has a backslash, which Spark takes for an escape"));
    }
    let syntax = |error: datafusion::sql::sqlparser::parser::ParserError| Refused::new(error.to_string());
    let dialect = DatabricksDialect {};
    let parser = Parser::new(&dialect).with_recursion_limit(limit::RECURSION_MAX).try_with_sql(text);
    let mut parser = parser.map_err(syntax)?;
    let mut expr = parser.parse_expr().map_err(syntax)?;
    if parser.peek_token_ref().token != Token::EOF {
        return Err(Refused::new(format!("what follows \"{expr}\" is not understood")));
    }
    precedence::mend_expr(&mut expr);
    walk(&mut expr, &mut Walk { columns, writing: false })?;
    planned_type::mend_expr(&mut expr);
    number::mend_expr(&mut expr).map_err(|error| Refused::new(error.message))?;
    Ok(expr)
}

/// The text that keeps `expr`, an expression of ours over these columns, for every writer of Delta.
pub(crate) fn write(expr: &Expr, columns: &Fields) -> Result<String, Refused> {
    let mut expr = expr.clone();
    precedence::mend_expr(&mut expr);
    walk(&mut expr, &mut Walk { columns, writing: true })?;
    let text = expr.to_string();
    // What cannot be read must not be kept.
    read(&text, columns)?;
    Ok(text)
}

fn walk(expr: &mut Expr, walk: &mut Walk<'_>) -> Result<(), Refused> {
    match VisitMut::visit(expr, walk) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(refused) => Err(refused),
    }
}

struct Walk<'a> {
    columns: &'a Fields,
    /// From our SQL to Spark's, not the other way.
    writing: bool,
}

impl VisitorMut for Walk<'_> {
    type Break = Refused;

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Refused> {
        ControlFlow::Break(Refused::new("it has a query in it"))
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Refused> {
        match self.node(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(refused) => ControlFlow::Break(refused),
        }
    }
}

impl Walk<'_> {
    fn node(&self, expr: &mut Expr) -> Result<(), Refused> {
        match expr {
            Expr::Identifier(ident) => match rule_function::without_brackets(&ident.value) {
                Some(call) if ident.quote_style.is_none() && !self.has(&ident.value) => {
                    if !self.writing {
                        *expr = call;
                    }
                    Ok(())
                }
                _ => self.name(std::slice::from_mut(ident)),
            },
            Expr::CompoundIdentifier(parts) => self.name(parts),
            Expr::Value(value) => literal(&mut value.value, self.writing),
            Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: false }) => {
                self.data_type(data_type)?;
                literal(&mut value.value, self.writing)?;
                if has_zone(data_type) {
                    *expr = rule_function::in_utc(Expr::Value(value.clone()));
                }
                Ok(())
            }
            Expr::Cast { kind, data_type, array: false, format: None, expr: inner } => {
                self.data_type(data_type)?;
                match kind {
                    CastKind::TryCast if has_zone(data_type) => {
                        return Err(Refused::new("TRY_CAST AS TIMESTAMP is not among what rules can say"));
                    }
                    CastKind::TryCast => {}
                    _ if has_zone(data_type) => {
                        let inner = std::mem::replace(inner.as_mut(), Expr::value(Value::Null));
                        *expr = rule_function::in_utc(inner);
                    }
                    _ => *kind = CastKind::Cast,
                }
                Ok(())
            }
            Expr::UnaryOp { op: UnaryOperator::Not | UnaryOperator::Minus | UnaryOperator::Plus, .. } => Ok(()),
            Expr::UnaryOp { op: op @ UnaryOperator::BangNot, .. } => {
                *op = UnaryOperator::Not;
                Ok(())
            }
            Expr::BinaryOp { .. } => self.operator(expr),
            Expr::Extract { field, .. } => date_field(field),
            Expr::Ceil { field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime), .. }
            | Expr::Floor { field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime), .. } => Ok(()),
            Expr::Substring { substring_from: Some(from), .. } => rule_function::from_one(from),
            Expr::Trim { trim_what: None, trim_characters: None, .. } => Ok(()),
            Expr::Like { any: false, escape_char: None, .. } | Expr::ILike { any: false, escape_char: None, .. } => {
                Ok(())
            }
            Expr::Function(function) => {
                if let Some(replaced) = self.function(function)? {
                    *expr = replaced;
                }
                Ok(())
            }
            Expr::Nested(_)
            | Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsTrue(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsDistinctFrom(..)
            | Expr::IsNotDistinctFrom(..)
            | Expr::InList { .. }
            | Expr::Between { .. }
            | Expr::Case { .. } => Ok(()),
            other => Err(Refused::new(format!("\"{other}\" is not among what rules can say"))),
        }
    }

    fn operator(&self, expr: &mut Expr) -> Result<(), Refused> {
        use BinaryOperator as Op;
        let Expr::BinaryOp { left, op, right } = expr else { return Ok(()) };
        match op {
            Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::Modulo | Op::StringConcat => Ok(()),
            Op::Gt | Op::Lt | Op::GtEq | Op::LtEq | Op::Eq | Op::NotEq | Op::And | Op::Or => Ok(()),
            Op::Spaceship => {
                let null = || Box::new(Expr::value(Value::Null));
                let (left, right) = (std::mem::replace(left, null()), std::mem::replace(right, null()));
                *expr = Expr::IsNotDistinctFrom(left, right);
                Ok(())
            }
            other => Err(Refused::new(format!("the operator {other} is not among what rules can say"))),
        }
    }

    fn function(&self, function: &Function) -> Result<Option<Expr>, Refused> {
        let plain = function.filter.is_none()
            && function.over.is_none()
            && function.null_treatment.is_none()
            && function.within_group.is_empty()
            && matches!(function.parameters, FunctionArguments::None);
        let name = match function.name.0.as_slice() {
            [name] if plain => name.as_ident().map(|name| name.value.to_lowercase()),
            _ => None,
        };
        let name = name.ok_or_else(|| Refused::new(format!("\"{function}\" is not among what rules can say")))?;
        let planned = rule_function::planned(&name, arguments(function)?)?;
        Ok(if self.writing { None } else { Some(planned) })
    }

    fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column.name().eq_ignore_ascii_case(name))
    }

    /// A column, or a field of a column that is a struct.
    fn name(&self, parts: &mut [Ident]) -> Result<(), Refused> {
        let mut fields = self.columns;
        let mut parent: Option<String> = None;
        let span = parts.first().map(|part| part.span);
        for part in parts.iter_mut() {
            let Some(field) = self.find(fields, part) else {
                let reason = match parent {
                    Some(parent) => format!("\"{parent}\" has no field \"{}\"", part.value),
                    None => format!("the table has no column \"{}\"", part.value),
                };
                return Err(Refused { reason, span });
            };
            let quote = if self.writing { '`' } else { '"' };
            // Writers that fold names would not find one with capital letters.
            let plain = field.name().chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
                && field.name().starts_with(|c: char| c.is_ascii_lowercase())
                && !super::keywords().contains(&field.name().to_uppercase().as_str());
            part.quote_style = (!(self.writing && plain)).then_some(quote);
            part.value = field.name().clone();
            parent = Some(part.value.clone());
            fields = match field.data_type() {
                ArrowType::Struct(fields) => fields,
                _ => &NO_FIELDS,
            };
        }
        Ok(())
    }

    /// Our SQL folds names without quotes, Spark's compares all names without case.
    fn find<'f>(&self, fields: &'f Fields, part: &Ident) -> Option<&'f FieldRef> {
        let exact = |name: &str| fields.iter().find(|field| field.name() == name);
        match (self.writing, part.quote_style) {
            (true, Some(_)) => exact(&part.value),
            (true, None) => exact(&part.value.to_lowercase()).or_else(|| exact(&part.value)),
            (false, _) => {
                let same = |field: &&FieldRef| field.name().eq_ignore_ascii_case(&part.value);
                exact(&part.value).or_else(|| fields.iter().find(same))
            }
        }
    }

    /// `TIMESTAMP` has a zone in Spark's SQL and none in ours.
    fn data_type(&self, data_type: &mut DataType) -> Result<(), Refused> {
        let (without, with) = (TimezoneInfo::None, TimezoneInfo::WithTimeZone);
        let mapped = match data_type {
            DataType::Boolean | DataType::Bool => DataType::Boolean,
            DataType::TinyInt(None) => DataType::TinyInt(None),
            DataType::SmallInt(None) | DataType::Int2(None) => DataType::SmallInt(None),
            DataType::Int(None) | DataType::Integer(None) | DataType::Int4(None) => DataType::Int(None),
            DataType::BigInt(None) | DataType::Int8(None) => DataType::BigInt(None),
            DataType::Real | DataType::Float4 | DataType::Float(ExactNumberInfo::None) => {
                DataType::Float(ExactNumberInfo::None)
            }
            DataType::Double(ExactNumberInfo::None) | DataType::DoublePrecision | DataType::Float8 => {
                DataType::Double(ExactNumberInfo::None)
            }
            DataType::Decimal(info) | DataType::Numeric(info) | DataType::Dec(info)
                if *info != ExactNumberInfo::None =>
            {
                DataType::Decimal(*info)
            }
            DataType::Varchar(None) | DataType::Text | DataType::String(None) => DataType::String(None),
            DataType::Binary(None) | DataType::Bytea => DataType::Binary(None),
            DataType::Date => DataType::Date,
            DataType::Timestamp(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) if self.writing => {
                DataType::TimestampNtz(None)
            }
            DataType::Timestamp(None, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) if self.writing => {
                DataType::Timestamp(None, without)
            }
            DataType::TimestampNtz(None) if self.writing => DataType::TimestampNtz(None),
            DataType::TimestampNtz(None) => DataType::Timestamp(None, without),
            DataType::Timestamp(None, TimezoneInfo::None) => DataType::Timestamp(None, with),
            other => return Err(Refused::new(format!("the type {other} is not among what rules can say"))),
        };
        *data_type = mapped;
        Ok(())
    }
}

static NO_FIELDS: std::sync::LazyLock<Fields> = std::sync::LazyLock::new(Fields::empty);

/// Text in double quotes is text in Spark's SQL.
fn literal(value: &mut Value, writing: bool) -> Result<(), Refused> {
    match value {
        Value::Null | Value::Boolean(_) | Value::Number(_, false) => Ok(()),
        Value::SingleQuotedString(text) if text.contains(['\'', '\\']) => {
            Err(Refused::new("a text in it has a quote or a backslash, which Spark reads in its own way"))
        }
        Value::SingleQuotedString(_) => Ok(()),
        Value::DoubleQuotedString(text) if !writing && !text.contains(['\'', '"']) => {
            *value = Value::SingleQuotedString(std::mem::take(text));
            Ok(())
        }
        other => Err(Refused::new(format!("\"{other}\" is not among what rules can say"))),
    }
}

/// Only what is read has such a type left: see [`Walk::data_type`].
fn has_zone(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(_, TimezoneInfo::WithTimeZone))
}

fn date_field(field: &DateTimeField) -> Result<(), Refused> {
    use DateTimeField as Field;
    match field {
        Field::Year | Field::Month | Field::Day | Field::Hour | Field::Minute | Field::Quarter => Ok(()),
        other => Err(Refused::new(format!("EXTRACT({other}) is not among what rules can say"))),
    }
}

fn arguments(function: &Function) -> Result<Vec<Expr>, Refused> {
    let refused = || Refused::new(format!("\"{function}\" is not among what rules can say"));
    let list = match &function.args {
        FunctionArguments::None => return Ok(Vec::new()),
        FunctionArguments::List(list) if list.duplicate_treatment.is_none() && list.clauses.is_empty() => list,
        FunctionArguments::List(_) | FunctionArguments::Subquery(_) => return Err(refused()),
    };
    let plain = |argument: &FunctionArg| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr.clone()),
        _ => Err(refused()),
    };
    list.args.iter().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::Field;

    use super::*;

    fn columns() -> Fields {
        let inner = ArrowType::Struct(vec![Field::new("City", ArrowType::Utf8, true)].into());
        let names = [("qty", ArrowType::Int32), ("Name", ArrowType::Utf8), ("at", ArrowType::Date32), ("home", inner)];
        names.into_iter().map(|(name, kind)| Field::new(name, kind, true)).collect::<Vec<_>>().into()
    }

    #[test]
    fn what_others_wrote_is_read_in_their_sense() {
        let cases = [
            ("QTY > 0 AND name != \"x\"", "\"qty\" > 0 AND \"Name\" <> 'x'"),
            ("`Name` <=> 'a'", "\"Name\" IS NOT DISTINCT FROM 'a'"),
            ("year(at) = 2024", "date_part('year', \"at\") = 2024"),
            (
                "CAST(at AS TIMESTAMP) IS NOT NULL",
                "arrow_cast(\"at\", 'Timestamp(Microsecond, Some(\"UTC\"))') IS NOT NULL",
            ),
            ("home.city LIKE 'B%'", "\"home\".\"City\" LIKE 'B%'"),
        ];
        for (text, meaning) in cases {
            assert_eq!(read(text, &columns()).unwrap().to_string(), meaning, "{text}");
        }
    }

    #[test]
    fn what_could_mean_something_else_is_refused() {
        for text in [
            "date_format(at, 'yyyy') = '2024'",
            "concat(Name, 'x') = 'y'",
            "Name RLIKE 'a'",
            "Name = 'a\\'b'",
            "Name = 'it''s'",
            "qty > (SELECT 1)",
            "qty > 0; DROP",
            "gone > 0",
            "substring(Name, 0, 2) = 'a'",
            "dayofweek(at) = 1",
            "qty IN (1, 2) EXTRA",
        ] {
            assert!(read(text, &columns()).is_err(), "{text} was taken");
        }
    }

    #[test]
    fn ours_is_written_in_their_words() {
        let cases = [
            ("QTY > 0", "qty > 0"),
            ("\"Name\"::varchar = 'x'", "CAST(`Name` AS STRING) = 'x'"),
            ("\"at\" < TIMESTAMP '2024-01-01'", "`at` < TIMESTAMP_NTZ '2024-01-01'"),
        ];
        let dialect = datafusion::sql::sqlparser::dialect::GenericDialect {};
        for (sql, text) in cases {
            let expr = Parser::new(&dialect).try_with_sql(sql).unwrap().parse_expr().unwrap();
            assert_eq!(write(&expr, &columns()).unwrap().replace("`at`", "at"), text.replace("`at`", "at"));
        }
    }
}
