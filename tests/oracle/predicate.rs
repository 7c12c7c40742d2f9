//! Random predicates over a table's columns, as SQL.

use crate::{chance::Chance, kind::Kind};

/// Columns that a predicate may name: as SQL writes them, with their types.
pub type Columns = [(String, Kind)];

pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A predicate of at most `depth` levels of AND, OR and NOT.
pub fn predicate(chance: &mut Chance, columns: &Columns, depth: usize) -> String {
    let beside = |chance: &mut Chance, name: &str, kind: Kind| between_columns(chance, columns, name, kind);
    tree(chance, columns, depth, &beside)
}

/// One that statistics are expected to decide: it compares columns with literals only, and none of them floats, whose
/// NaN no statistics tell of.
pub fn decidable(chance: &mut Chance, columns: &Columns, depth: usize) -> String {
    let columns: Vec<(String, Kind)> = columns.iter().filter(|(_, kind)| !kind.is_float()).cloned().collect();
    tree(chance, &columns, depth, &|_, name, _| format!("{name} IS NOT NULL"))
}

type Beside<'a> = &'a dyn Fn(&mut Chance, &str, Kind) -> String;

fn tree(chance: &mut Chance, columns: &Columns, depth: usize, beside: Beside) -> String {
    if depth > 0 && !chance.once_in(3) {
        let left = tree(chance, columns, depth - 1, beside);
        return match chance.below(6) {
            0 => format!("NOT ({left})"),
            1 | 2 => format!("({left} OR {})", tree(chance, columns, depth - 1, beside)),
            _ => format!("({left} AND {})", tree(chance, columns, depth - 1, beside)),
        };
    }
    let (name, kind) = chance.pick(columns).clone();
    match chance.below(12) {
        0 => format!("{name} IS NULL"),
        1 => format!("{name} IS NOT NULL"),
        2 => list(chance, &name, kind),
        3 => format!("{name} BETWEEN {} AND {}", literal(chance, kind), literal(chance, kind)),
        4 => format!("{name} IS DISTINCT FROM {}", literal_or_null(chance, kind)),
        5 => special(chance, &name, kind),
        6 => beside(chance, &name, kind),
        7 => format!("{} {} {name}", literal(chance, kind), comparison(chance)),
        _ => format!("{name} {} {}", comparison(chance), literal_or_null(chance, kind)),
    }
}

fn comparison(chance: &mut Chance) -> &'static str {
    const COMPARISONS: [&str; 6] = ["=", "<>", "<", "<=", ">", ">="];
    COMPARISONS[chance.below(COMPARISONS.len())]
}

fn literal(chance: &mut Chance, kind: Kind) -> String {
    let base = chance.within(0..=5);
    let value = kind.value(chance, base);
    kind.literal(&value)
}

fn literal_or_null(chance: &mut Chance, kind: Kind) -> String {
    let base = chance.within(0..=5);
    let value = if chance.once_in(12) { kind.value_or_null(chance, base) } else { kind.value(chance, base) };
    kind.literal(&value)
}

fn list(chance: &mut Chance, name: &str, kind: Kind) -> String {
    let count = 1 + chance.below(5);
    let values: Vec<String> = (0..count).map(|_| literal_or_null(chance, kind)).collect();
    let not = if chance.once_in(3) { "NOT " } else { "" };
    format!("{name} {not}IN ({})", values.join(", "))
}

/// A column beside another of the same type, if there is one, or beside itself.
fn between_columns(chance: &mut Chance, columns: &Columns, name: &str, kind: Kind) -> String {
    let alike: Vec<&String> = columns.iter().filter(|(_, other)| *other == kind).map(|(name, _)| name).collect();
    format!("{name} {} {}", comparison(chance), chance.pick(&alike))
}

/// What only this type can be asked, or the type behind a cast or a function.
fn special(chance: &mut Chance, name: &str, kind: Kind) -> String {
    let compare = comparison(chance);
    let n = chance.within(-3..=16);
    let choices = match kind {
        Kind::Boolean => vec![name.to_owned(), format!("{name} IS NOT TRUE"), format!("{name} IS UNKNOWN")],
        Kind::Text => vec![
            format!("{name} LIKE 'k+%'"),
            format!("{name} LIKE 'k{n:+03}'"),
            format!("{name} NOT LIKE 'a beginning%'"),
            format!("{name} LIKE '%{n}'"),
            format!("{name} LIKE 'a b/c=d\\%%'"),
            format!("{name} ILIKE 'K%'"),
            format!("starts_with({name}, 'a beginning that')"),
            format!("{name} {compare} 'a beginning that is longer than wh'"),
            format!("character_length({name}) {compare} {n}"),
        ],
        Kind::Date => vec![
            format!("CAST({name} AS TIMESTAMP) {compare} TIMESTAMP '1970-06-01T12:00:00'"),
            format!("date_part('year', {name}) {compare} {}", 1970 + n / 4),
            format!("date_trunc('month', {name}) {compare} DATE '1970-05-01'"),
        ],
        Kind::Instant | Kind::Local => vec![
            format!("CAST({name} AS DATE) {compare} DATE '1972-01-01'"),
            format!("{name} {compare} CAST('1971-08-24T00:00:00.001' AS TIMESTAMP)"),
            format!("date_trunc('day', {name}) {compare} CAST('1971-08-24' AS TIMESTAMP)"),
        ],
        Kind::Binary => {
            vec![format!("{name} IS NOT DISTINCT FROM {name}"), format!("encode({name}, 'hex') LIKE '006279%{n}'")]
        }
        kind if kind.is_float() => vec![
            format!("isnan({name})"),
            format!("{name} {compare} {n}"),
            format!("CAST({name} AS REAL) {compare} CAST('{n}.5' AS REAL)"),
            format!("-{name} {compare} {n}"),
        ],
        // Integers and decimals.
        _ => vec![
            format!("{name} {compare} {n}"),
            format!("{name} {compare} {n}.25"),
            format!("CAST({name} AS DOUBLE) {compare} {n}.5"),
            format!("CAST({name} AS DECIMAL(38, 6)) {compare} {n}"),
            format!("{name} % 3 = {}", n % 3),
            format!("coalesce({name}, {n}) {compare} {n}"),
            format!("CASE WHEN {name} > {n} THEN {name} < {} ELSE NULL END", n + 5),
        ],
    };
    chance.pick(&choices).clone()
}
