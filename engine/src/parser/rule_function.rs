//! Functions that rules may call: those that mean the same in Spark's SQL and here, under the names of both.

use datafusion::sql::sqlparser::{
    ast::{
        CaseWhen, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments,
        Ident, ObjectName, Value, ValueWithSpan, helpers::attached_token::AttachedToken,
    },
    tokenizer::Span,
};

use super::rule::Refused;

/// Spark's name, ours, and how many arguments it takes.
const SAME: &[(&str, &str, std::ops::RangeInclusive<usize>)] = &[
    ("abs", "abs", 1..=1),
    ("ceil", "ceil", 1..=1),
    ("char_length", "character_length", 1..=1),
    ("character_length", "character_length", 1..=1),
    ("coalesce", "coalesce", 1..=64),
    ("contains", "contains", 2..=2),
    ("current_date", "current_date", 0..=0),
    ("current_timestamp", "now", 0..=0),
    ("endswith", "ends_with", 2..=2),
    ("exp", "exp", 1..=1),
    ("floor", "floor", 1..=1),
    ("greatest", "greatest", 2..=64),
    ("ifnull", "coalesce", 2..=2),
    ("least", "least", 2..=64),
    ("length", "character_length", 1..=1),
    ("ln", "ln", 1..=1),
    ("lower", "lower", 1..=1),
    ("ltrim", "ltrim", 1..=1),
    ("now", "now", 0..=0),
    ("nullif", "nullif", 2..=2),
    ("nvl", "coalesce", 2..=2),
    ("pow", "power", 2..=2),
    ("power", "power", 2..=2),
    ("round", "round", 1..=2),
    ("rtrim", "rtrim", 1..=1),
    ("sqrt", "sqrt", 1..=1),
    ("startswith", "starts_with", 2..=2),
    ("trim", "trim", 1..=1),
    ("upper", "upper", 1..=1),
];
/// Parts of a date, each a function of its own in Spark.
const PARTS: &[(&str, &str)] = &[
    ("year", "year"),
    ("quarter", "quarter"),
    ("month", "month"),
    ("day", "day"),
    ("dayofmonth", "day"),
    ("hour", "hour"),
    ("minute", "minute"),
    ("second", "second"),
];

/// The call as it is planned here.
pub(super) fn planned(name: &str, arguments: Vec<Expr>) -> Result<Expr, Refused> {
    if let Some((_, ours, count)) = SAME.iter().find(|(theirs, ..)| *theirs == name) {
        if !count.contains(&arguments.len()) {
            return Err(Refused::new(format!("{name} does not take {} values", arguments.len())));
        }
        let call = call(ours, arguments);
        return Ok(if *ours == "now" { in_utc(call) } else { call });
    }
    let part = PARTS.iter().find(|(theirs, _)| *theirs == name);
    match (name, part, <[Expr; 1]>::try_from(arguments)) {
        (_, Some((_, part)), Ok([value])) => Ok(call("date_part", vec![text(part), value])),
        ("date" | "to_date", _, Ok([value])) => Ok(cast(value, DataType::Date)),
        ("isnull", _, Ok([value])) => Ok(Expr::IsNull(Box::new(value))),
        ("isnotnull", _, Ok([value])) => Ok(Expr::IsNotNull(Box::new(value))),
        (_, _, Ok([_])) => Err(unknown(name)),
        (_, _, Err(arguments)) => several(name, arguments),
    }
}

fn several(name: &str, mut arguments: Vec<Expr>) -> Result<Expr, Refused> {
    match (name, arguments.as_mut_slice()) {
        ("substring" | "substr", [_, from] | [_, from, _]) => {
            from_one(from)?;
            Ok(call("substr", arguments))
        }
        ("date_trunc", [unit, _]) if is_part(unit) => Ok(call("date_trunc", arguments)),
        ("date_part", [unit, _]) if is_part(unit) => Ok(call("date_part", arguments)),
        ("if", [condition, yes, no]) => Ok(Expr::Case {
            case_token: AttachedToken::empty(),
            end_token: AttachedToken::empty(),
            operand: None,
            conditions: vec![CaseWhen { condition: condition.clone(), result: yes.clone() }],
            else_result: Some(Box::new(no.clone())),
        }),
        _ => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> Refused {
    Refused::new(format!("the function {name} is not among those that rules can call"))
}

/// `CURRENT_DATE`, which is a call without brackets.
pub(super) fn without_brackets(word: &str) -> Option<Expr> {
    match word.to_lowercase().as_str() {
        "current_timestamp" => Some(in_utc(call("now", Vec::new()))),
        "current_date" => Some(call("current_date", Vec::new())),
        _ => None,
    }
}

/// A time with a zone, whatever the session's zone is: rows are judged the same for everyone.
pub(super) fn in_utc(value: Expr) -> Expr {
    call("arrow_cast", vec![value, text("Timestamp(Microsecond, Some(\"UTC\"))")])
}

/// Spark counts 0 as 1 and negative places from the end.
pub(super) fn from_one(from: &Expr) -> Result<(), Refused> {
    let whole = match from {
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => digits.parse::<u32>().ok(),
        _ => None,
    };
    match whole {
        Some(1..) => Ok(()),
        _ => Err(Refused::new("substring starts at a number from 1")),
    }
}

fn is_part(unit: &Expr) -> bool {
    let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(unit), .. }) = unit else { return false };
    ["year", "quarter", "month", "day", "hour", "minute"].contains(&unit.to_lowercase().as_str())
}

fn text(value: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(value.to_owned()))
}

fn cast(value: Expr, data_type: DataType) -> Expr {
    Expr::Cast {
        kind: datafusion::sql::sqlparser::ast::CastKind::Cast,
        expr: Box::new(value),
        data_type,
        array: false,
        format: None,
    }
}

fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let argument = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    let args = FunctionArgumentList {
        duplicate_treatment: None,
        args: arguments.into_iter().map(argument).collect(),
        clauses: Vec::new(),
    };
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident { value: name.to_owned(), quote_style: None, span: Span::empty() }]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(args),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
