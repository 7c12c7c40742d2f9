//! The TOML block of a definition as it is written, and where in it what stands.
//!
//! A key that is not known is refused, and so is one that other products have and this one does not carry out: nothing is
//! read and then ignored.

use std::ops::Range;

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, SeqAccess, Visitor},
};
use toml::Spanned;

use super::{duration::Span, fault::Fault};
use crate::{EngineError, error::did_you_mean};

/// Keys that people know from elsewhere, or from plans of ours.
const NOT_SUPPORTED: [&str; 5] = ["materialized", "pre_hook", "schedule", "target_lag", "unique_key"];

/// The block.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Header {
    pub name: Option<Spanned<String>>,
    pub description: Option<String>,
    pub owner: Option<String>,
    pub tags: Vec<String>,
    pub strategy: Option<Spanned<String>>,
    pub interval: Option<Spanned<Interval>>,
    pub key: Option<Spanned<Names>>,
    pub partition_by: Option<Spanned<Names>>,
    pub contract: bool,
    pub refresh: Option<Spanned<Refresh>>,
    pub freshness: Option<Spanned<Promise>>,
    pub retry: Option<Spanned<Retry>>,
    pub timeout: Option<Spanned<Span>>,
    pub column: Vec<Spanned<Column>>,
    pub test: Vec<Spanned<Test>>,
    #[serde(alias = "exports")]
    pub export: Vec<Spanned<Export>>,
}

/// `interval = { ... }`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Interval {
    pub column: String,
    pub grain: String,
    #[serde(default)]
    pub lookback: u32,
    /// A text, or a date of TOML.
    pub start: toml::Value,
}

/// `refresh = { ... }`: when the mart is run by itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Refresh {
    pub every: Option<Span>,
    pub cron: Option<String>,
    pub timezone: Option<String>,
    pub on_commit: bool,
    pub at_most_every: Option<Span>,
    pub catch_up: Option<String>,
    pub target_lag: Option<String>,
}

/// `freshness = { ... }`: how old the rows may be.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Promise {
    pub warn: Option<Span>,
    pub error: Option<Span>,
}

/// `retry = { ... }`: how often a run by itself is tried, and how long after.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Retry {
    pub attempts: u32,
    pub backoff: Option<Span>,
}

/// `[[column]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Column {
    pub name: String,
    #[serde(rename = "type")]
    pub data_type: Option<String>,
    #[serde(default)]
    pub not_null: bool,
    pub description: Option<String>,
    pub owner: Option<String>,
    #[serde(default)]
    pub tags: Vec<String>,
}

/// `[[export]]`: where rows go.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Export {
    pub to: String,
    pub table: Option<String>,
    pub mode: Option<String>,
    pub key: Option<Names>,
}

/// `[[test]]`: one of the kinds, and what goes with any.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Test {
    pub name: Option<String>,
    pub on_violation: Option<String>,
    pub unique: Option<Names>,
    pub not_null: Option<Names>,
    pub accepted_values: Option<AcceptedValues>,
    pub relationships: Option<Relationships>,
    pub expect: Option<String>,
    pub row_count: Option<RowCount>,
    pub freshness: Option<Freshness>,
    /// `row_count`, or an expression.
    pub anomaly: Option<String>,
    pub sigma: Option<f64>,
    pub runs: Option<u32>,
    pub min_runs: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AcceptedValues {
    pub column: String,
    pub values: Vec<toml::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Relationships {
    pub column: String,
    /// The table that has the values.
    pub to: String,
    /// The column there.
    pub key: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RowCount {
    pub min: Option<u64>,
    pub max: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Freshness {
    pub column: String,
    pub max_age: Span,
}

/// `"a"` or `["a", "b"]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names(pub Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;

        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Names;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of a column, or a list of names")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Names, E> {
                Ok(Names(vec![name.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                if names.is_empty() { Err(A::Error::custom("the list of columns is empty")) } else { Ok(Names(names)) }
            }
        }

        deserializer.deserialize_any(OneOrMore)
    }
}

/// A definition's block and the text around it.
pub(super) struct Block<'a> {
    pub file: &'a str,
    text: &'a str,
    /// The TOML, by its place in the text.
    toml: Range<usize>,
    /// Where the query begins.
    pub query: usize,
}

const OPEN: &str = "/*---";
const CLOSE: &str = "---*/";

impl<'a> Block<'a> {
    /// Finds it: before the query, or not at all.
    pub fn find(file: &'a str, text: &'a str) -> Result<Self, Fault> {
        let begin = text.len() - text.trim_start().len();
        let of = |toml: Range<usize>, query: usize| Self { file, text, toml, query };
        let Some(inside) = text[begin..].strip_prefix(OPEN) else {
            let block = of(0..0, 0);
            return match text.find(OPEN) {
                Some(place) => {
                    let error = EngineError::invalid("the block /*--- ... ---*/ does not stand first");
                    Err(block.fault(place, error.with_hint("Put it before the query.")))
                }
                None => Ok(block),
            };
        };
        let start = begin + OPEN.len();
        let Some(length) = inside.find(CLOSE) else {
            let error = EngineError::invalid("the block that begins with /*--- does not end");
            return Err(of(0..0, 0).fault(begin, error.with_hint("Write ---*/ behind it.")));
        };
        if let Some(place) = inside[..length].find("*/") {
            let error = EngineError::invalid("the block holds */, which ends a comment in SQL");
            let hint =
                "Write it otherwise, so that the file runs in any SQL tool: 0-59/15 in cron for every 15 minutes.";
            return Err(of(0..0, 0).fault(start + place, error.with_hint(hint)));
        }
        Ok(of(start..start + length, start + length + CLOSE.len()))
    }

    /// What the block says.
    pub fn header(&self) -> Result<Header, Fault> {
        toml::from_str(&self.text[self.toml.clone()]).map_err(|error| {
            let place = error.span().map_or(0, |span| span.start);
            self.fault(self.toml.start + place, refused(error.message()))
        })
    }

    /// The same, before anyone asks what the keys mean.
    pub fn table(&self) -> Result<toml::Table, Fault> {
        toml::from_str(&self.text[self.toml.clone()]).map_err(|error| {
            let place = error.span().map_or(0, |span| span.start);
            self.fault(self.toml.start + place, refused(error.message()))
        })
    }

    /// The line, from 1, of a place in the block.
    pub fn line(&self, place: usize) -> usize {
        line(self.text, self.toml.start + place)
    }

    fn fault(&self, place: usize, error: EngineError) -> Fault {
        Fault::new(self.file, line(self.text, place), error)
    }
}

fn line(text: &str, place: usize) -> usize {
    text.bytes().take(place).filter(|byte| *byte == b'\n').count() + 1
}

/// The parser's words for a fault, in ours.
fn refused(message: &str) -> EngineError {
    let quoted = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    if message.starts_with("unknown field") {
        let mut names = quoted(message).into_iter();
        let key = names.next().unwrap_or_default();
        let known: Vec<String> = names.collect();
        if NOT_SUPPORTED.contains(&key.as_str()) {
            let error = EngineError::unsupported(format!("key \"{key}\" is not supported"));
            return error.with_hint(format!("Leave it out; keys here are {}.", known.join(", ")));
        }
        let hint = did_you_mean(&key, known.iter().map(String::as_str));
        let hint = hint.unwrap_or_else(|| format!("Keys here are {}.", known.join(", ")));
        return EngineError::invalid(format!("key \"{key}\" is not known")).with_hint(hint);
    }
    if message.starts_with("missing field") {
        let key = quoted(message).into_iter().next().unwrap_or_default();
        return EngineError::invalid(format!("key \"{key}\" is missing"));
    }
    EngineError::invalid(format!("the block is not understood: {}", message.replace('`', "\"")))
}
