//! The definition of a mart that a statement makes: the text that a file would hold, so that both are read by one parser,
//! and where in the statement each of its lines comes from, so that a fault is shown there.
//!
//! ```text
//! CREATE MART m.t WITH (key = 'id', test = [(unique = 'id')]) AS SELECT ...
//!   --> /*---
//!       name = "m.t"
//!       key = "id"
//!       test = [
//!         { unique = "id" },
//!       ]
//!       ---*/
//!       SELECT ...
//! ```

use std::fmt::Write;

use datafusion::sql::sqlparser::tokenizer::Span;
use toml::{Table, Value};

use super::{definition::Definition, fault::Fault, header::Block};
use crate::{
    EngineError,
    catalog::TableName,
    error::Place,
    parser::mart::{MartOption, Value as Given},
};

/// Keys in the order in which they are written; others come last.
const ORDER: [&str; 15] = [
    "description",
    "owner",
    "tags",
    "strategy",
    "key",
    "partition_by",
    "interval",
    "refresh",
    "freshness",
    "retry",
    "timeout",
    "contract",
    "column",
    "test",
    "export",
];
/// Keys that are given once for each thing: `[[test]]` in a file.
const REPEATED: [&str; 3] = ["column", "test", "export"];

/// What is said of a mart, in parts.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    name: TableName,
    keys: Vec<Key>,
    query: String,
    /// The line of the statement on which the query begins; `None` when it stands in none.
    query_line: Option<usize>,
}

/// One key.
#[derive(Debug, Clone)]
struct Key {
    name: String,
    value: Value,
    span: Option<Span>,
    /// Those of the values in a list.
    items: Vec<Span>,
}

/// The text of a definition.
pub(crate) struct Text {
    pub text: String,
    /// Lines of the text, and the places in the statement that they come from.
    places: Vec<(usize, Span)>,
    /// The line on which the query begins.
    query_line: usize,
    said_line: Option<usize>,
}

impl Written {
    /// Of a statement; the query begins in it on this line.
    pub fn new(name: &TableName, options: &[MartOption], query: &str, line: usize) -> Result<Self, EngineError> {
        let (name, query) = (name.clone(), query.to_owned());
        let mut written = Self { name, keys: Vec::new(), query, query_line: Some(line) };
        options.iter().try_for_each(|option| written.set(option))?;
        Ok(written)
    }

    /// Of a definition's text.
    pub fn of_text(name: &TableName, text: &str) -> Result<Self, Fault> {
        let file = file(name);
        let block = Block::find(&file, text)?;
        let mut said: Table = block.table()?;
        said.remove("name");
        let keys = said.into_iter().map(|(name, value)| Key { name, value, span: None, items: Vec::new() });
        let query = text[block.query..].trim().trim_end_matches(';').trim_end().to_owned();
        Ok(Self { name: name.clone(), keys: keys.collect(), query, query_line: None })
    }

    /// Sets a key, or takes it away.
    pub fn set(&mut self, option: &MartOption) -> Result<(), EngineError> {
        let MartOption { key, value, span } = option;
        if key == "name" {
            let error = EngineError::invalid("name is no key here: the name of the mart stands in the statement");
            return Err(error.with_hint("Leave it out."));
        }
        self.keys.retain(|known| known.name != *key);
        if *value == Given::Null {
            return Ok(());
        }
        let items = match value {
            Given::List(items) => items.iter().map(|(_, span)| *span).collect(),
            _ => Vec::new(),
        };
        let mut value = toml_of(value)?;
        if REPEATED.contains(&key.as_str()) && value.is_table() {
            value = Value::Array(vec![value]);
        }
        self.keys.push(Key { name: key.clone(), value, span: Some(*span), items });
        Ok(())
    }

    /// The text that is kept.
    pub fn text(&self) -> Text {
        let mut text = String::from("/*---\n");
        let mut places: Vec<(usize, Span)> = Vec::new();
        let _ = writeln!(text, "name = {}", quoted(&self.name.to_string()));
        let mut line = 3;
        for key in self.in_order() {
            places.extend(key.span.map(|span| (line, span)));
            match &key.value {
                Value::Array(items) if items.iter().any(Value::is_table) => {
                    let _ = writeln!(text, "{} = [", bare(&key.name));
                    for (n, item) in items.iter().enumerate() {
                        places.extend(key.items.get(n).copied().or(key.span).map(|span| (line + 1 + n, span)));
                        let _ = writeln!(text, "  {},", inline(item));
                    }
                    text.push_str("]\n");
                    line += items.len() + 2;
                }
                value => {
                    let _ = writeln!(text, "{} = {}", bare(&key.name), inline(value));
                    line += 1;
                }
            }
        }
        let _ = write!(text, "---*/\n{}\n", self.query);
        Text { text, places, query_line: line + 1, said_line: self.query_line }
    }

    /// The statement that makes the mart.
    pub fn statement(&self, name: &str) -> String {
        let keys = self.in_order().into_iter().map(|key| match &key.value {
            Value::Array(items) if items.iter().any(Value::is_table) => {
                let items: Vec<String> = items.iter().map(|item| format!("\n    {}", in_sql(item))).collect();
                format!("\n  {} = [{}\n  ]", word(&key.name), items.join(","))
            }
            value => format!("\n  {} = {}", word(&key.name), in_sql(value)),
        });
        let keys: Vec<String> = keys.collect();
        let with = if keys.is_empty() { String::new() } else { format!(" WITH ({}\n)", keys.join(",")) };
        format!("CREATE MART {name}{with} AS\n{}", self.query)
    }

    fn in_order(&self) -> Vec<&Key> {
        let place = |key: &Key| ORDER.iter().position(|name| *name == key.name).unwrap_or(ORDER.len());
        let mut keys: Vec<&Key> = self.keys.iter().collect();
        keys.sort_by_key(|key| place(key));
        keys
    }
}

impl Text {
    /// The definition, checked as far as that goes without the lake.
    pub fn parse(&self, name: &TableName) -> Result<Definition, Fault> {
        Definition::parse(&file(name), &self.text)
    }

    /// A fault of the definition as one of the statement, whose text is `sql`.
    pub fn fault(&self, fault: Fault, sql: &str) -> EngineError {
        let Fault { line, mut error, .. } = fault;
        if let Some(excerpt) = &error.excerpt {
            error.excerpt = moved(excerpt, self.query_line, self.said_line.unwrap_or(1));
            return *error;
        }
        let place = self.places.iter().find(|(of, _)| line == Some(*of));
        error.at(sql, place.and_then(|(_, span)| Place::of_token_span(*span)))
    }
}

/// What stands for the file of a mart that a statement made.
pub(super) fn file(name: &TableName) -> String {
    format!("CREATE MART {name}")
}

/// `LINE 7: ...` where line `from` of that text is line `to` of this one.
fn moved(excerpt: &str, from: usize, to: usize) -> Option<String> {
    let (number, rest) = excerpt.strip_prefix("LINE ")?.split_once(':')?;
    let line: usize = number.parse().ok()?;
    let (shown, carets) = rest.split_once('\n')?;
    let moved = (line + to).checked_sub(from)?.to_string();
    let carets = match moved.len() {
        longer if longer > number.len() => format!("{}{carets}", " ".repeat(longer - number.len())),
        shorter => carets.get(number.len() - shorter..)?.to_owned(),
    };
    Some(format!("LINE {moved}:{shown}\n{carets}"))
}

fn toml_of(value: &Given) -> Result<Value, EngineError> {
    Ok(match value {
        Given::Text(text) => Value::String(text.clone()),
        Given::Bool(value) => Value::Boolean(*value),
        Given::Number(digits) => match digits.parse::<i64>() {
            Ok(number) => Value::Integer(number),
            Err(_) => {
                let number: f64 = digits.parse().map_err(|_| EngineError::invalid(format!("{digits} is no number")))?;
                Value::Float(number)
            }
        },
        Given::Null => {
            let error = EngineError::invalid("NULL is no value inside of another one");
            return Err(error.with_hint("Leave the key out."));
        }
        Given::List(items) => Value::Array(items.iter().map(|(item, _)| toml_of(item)).collect::<Result<Vec<_>, _>>()?),
        Given::Keys(keys) => {
            let each = keys.iter().map(|(key, value)| Ok((key.clone(), toml_of(value)?)));
            Value::Table(each.collect::<Result<Table, EngineError>>()?)
        }
    })
}

/// A value of TOML in one line.
fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Table(keys) => {
            let keys = keys.iter().map(|(key, value)| format!("{} = {}", bare(key), inline(value)));
            format!("{{ {} }}", keys.collect::<Vec<_>>().join(", "))
        }
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => value.to_string(),
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

fn bare(key: &str) -> String {
    if is_plain(key) { key.to_owned() } else { quoted(key) }
}

/// A text of TOML in one line, without what would end the comment that the block is.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    let mut last = ' ';
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '/' if last == '*' => quoted.push_str("\\u002F"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
        last = c;
    }
    quoted.push('"');
    quoted
}

fn word(key: &str) -> String {
    let plain = is_plain(key) && !key.contains('-') && key.chars().all(|c| !c.is_ascii_uppercase());
    if plain { key.to_owned() } else { text(key) }
}

fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A value of TOML as a statement says it.
fn in_sql(value: &Value) -> String {
    match value {
        Value::String(value) => text(value),
        Value::Datetime(time) => text(&time.to_string()),
        Value::Boolean(value) => value.to_string().to_uppercase(),
        Value::Integer(_) | Value::Float(_) => value.to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(in_sql).collect::<Vec<_>>().join(", ")),
        Value::Table(keys) => {
            let keys = keys.iter().map(|(key, value)| format!("{} = {}", word(key), in_sql(value)));
            format!("({})", keys.collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> TableName {
        TableName::new("m", "t")
    }

    const TEXT: &str = r#"/*---
name = "m.t"
description = "a \"b\" \\ \n *\u002F"
refresh = { cron = "*\u002F5 * * * *" }
test = [
  { unique = ["a", "b"] },
  { expect = "a > 0", on_violation = "warn" },
]
---*/
SELECT 1 AS a, 2 AS b
"#;

    #[test]
    fn a_text_becomes_parts_and_the_same_text_again() {
        let written = Written::of_text(&name(), TEXT).unwrap();
        assert_eq!(written.text().text, TEXT);
        let definition = written.text().parse(&name()).unwrap();
        assert_eq!((definition.name().as_str(), definition.tests.len()), ("m.t", 2));
        assert_eq!(definition.description.as_deref(), Some("a \"b\" \\ \n */"));
        assert_eq!(
            written.statement("m.t"),
            "CREATE MART m.t WITH (\n  description = 'a \"b\" \\ \n */',\n  refresh = (cron = '*/5 * * * *'),\n  \
             test = [\n    (unique = ['a', 'b']),\n    (expect = 'a > 0', on_violation = 'warn')\n  ]\n) AS\n\
             SELECT 1 AS a, 2 AS b"
        );
    }

    #[test]
    fn a_statement_is_read_back_the_same() {
        let written = Written::of_text(&name(), TEXT).unwrap();
        let Ok(crate::parser::Ast::Mart(change)) = crate::parser::parse(&written.statement("m.t")) else { panic!() };
        let crate::parser::MartChange::Create(create) = *change else { panic!() };
        let again = Written::new(&name(), &create.options, &create.sql, create.line).unwrap();
        assert_eq!(again.text().text, TEXT);
    }

    #[test]
    fn an_excerpt_moves_with_its_carets() {
        let excerpt = "LINE 10: SELECT x\n                ^";
        assert_eq!(moved(excerpt, 9, 1).unwrap(), "LINE 2: SELECT x\n               ^");
        assert_eq!(moved(excerpt, 9, 99).unwrap(), "LINE 100: SELECT x\n                 ^");
        assert_eq!(moved(excerpt, 11, 0), None);
    }
}
