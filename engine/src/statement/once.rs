//! What a key of `SET idempotency_key` is for: one statement. Another one with the same key is refused instead of being told
//! what the first one did.
//!
//! Statements are told apart by their text and by what was put in for its parameters. A change of these hashes makes every
//! statement that is sent again across it another one.

use std::{fmt::Write, sync::Arc};

use aws_lc_rs::digest::{Context as Hasher, Digest, SHA256};
use datafusion::{
    arrow::{
        array::{Array, ArrayRef, RecordBatch},
        error::ArrowError,
        util::display::{ArrayFormatter, FormatOptions},
    },
    common::ScalarValue,
};

use super::{Effect, Statement};
use crate::{EngineError, error::convert};

/// Bytes of a hash that are kept.
const HASH_BYTES: usize = 16;

/// What a statement does with the key that the session was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keyed {
    /// It happens once for the key, and takes it.
    Takes,
    /// The same, but the key stays for the next that takes it: it makes a table without rows, before those come.
    Leaves,
    /// The key is not for it.
    Not,
}

impl Keyed {
    /// Under what a commit of the statement goes. Whoever leaves the key must not use it up in the table that it makes: no
    /// client can write what it goes under.
    pub fn key(self, set: Option<String>) -> Option<String> {
        match self {
            Self::Takes => set,
            Self::Leaves => set.map(|key| format!("{key}\u{1f}made")),
            Self::Not => None,
        }
    }
}

impl Statement {
    /// What it does with the key of `SET idempotency_key`.
    pub fn keyed(&self) -> Keyed {
        match self {
            Self::Execute(execute) => execute.inner().keyed(),
            Self::CreateTable(create) => create.keyed(),
            _ if self.effect() == Effect::Change => Keyed::Takes,
            _ => Keyed::Not,
        }
    }
}

/// A hash of values that were put in for parameters.
pub(crate) type Values = Arc<[u8]>;

/// Of one row of parameters.
pub(super) fn of_row(values: &[ScalarValue]) -> Result<Values, EngineError> {
    let columns = values.iter().map(ScalarValue::to_array).collect::<Result<Vec<_>, _>>();
    let columns = columns.map_err(|error| convert(error, None))?;
    of_columns(std::iter::once((1, columns.as_slice())))
}

/// Of all rows of parameters of a statement that takes them at once, however they come in batches.
pub(super) fn of_rows(batches: &[RecordBatch]) -> Result<Values, EngineError> {
    of_columns(batches.iter().map(|batch| (batch.num_rows(), batch.columns())))
}

/// Of a statement, in hexadecimal digits.
pub(super) fn of_statement(sql: &str, values: Option<&Values>) -> String {
    let mut hasher = Hasher::new(&SHA256);
    // Clients differ in what they leave of the end.
    let text = sql.trim_matches(|c: char| c.is_whitespace() || c == ';');
    add(&mut hasher, text.as_bytes());
    add(&mut hasher, values.map_or(&[], |values| &values[..]));
    hasher.finish().as_ref().iter().take(HASH_BYTES).fold(String::new(), |mut hash, byte| {
        let _ = write!(hash, "{byte:02x}");
        hash
    })
}

fn of_columns<'a>(batches: impl Iterator<Item = (usize, &'a [ArrayRef])>) -> Result<Values, EngineError> {
    let mut hasher = Hasher::new(&SHA256);
    let mut any = false;
    for (rows, columns) in batches {
        let hashed = add_rows(&mut hasher, rows, columns).map_err(|error: ArrowError| convert(error.into(), None));
        any |= hashed?;
    }
    // A statement without parameters is its text.
    let hash = any.then(|| hasher.finish());
    Ok(hash.as_ref().map(Digest::as_ref).unwrap_or_default().into())
}

/// Whether there were any values.
fn add_rows(hasher: &mut Hasher, rows: usize, columns: &[ArrayRef]) -> Result<bool, ArrowError> {
    let options = FormatOptions::default();
    let texts = columns.iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    for row in 0..rows {
        for (column, text) in columns.iter().zip(&texts) {
            if column.is_null(row) {
                hasher.update(&[0]);
            } else {
                hasher.update(&[1]);
                add(hasher, text.value(row).try_to_string()?.as_bytes());
            }
        }
    }
    Ok(rows > 0 && !columns.is_empty())
}

/// With the length no two lists of parts are alike.
fn add(hasher: &mut Hasher, part: &[u8]) {
    hasher.update(&(part.len() as u64).to_le_bytes());
    hasher.update(part);
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Int64Array, StringArray};

    use super::*;

    const SQL: &str = "INSERT INTO t VALUES ($1, $2)";

    fn hash(values: &[ScalarValue]) -> String {
        of_statement(SQL, Some(&of_row(values).unwrap()))
    }

    #[test]
    fn statements_differ_by_text_and_values() {
        let text = |text: Option<&str>| ScalarValue::Utf8(text.map(str::to_owned));
        let one = hash(&[1_i64.into(), text(Some("x"))]);
        assert_eq!(one, hash(&[1_i64.into(), text(Some("x"))]));
        assert_eq!(one.len(), 32);
        let others = [
            hash(&[2_i64.into(), text(Some("x"))]),
            hash(&[1_i64.into(), text(Some(""))]),
            hash(&[1_i64.into(), text(None)]),
            hash(&[text(Some("1x")), text(Some(""))]),
            hash(&[]),
            of_statement("INSERT INTO u VALUES ($1, $2)", None),
        ];
        for (at, other) in others.iter().enumerate() {
            assert!(*other != one && !others[..at].contains(other), "{at}");
        }
    }

    #[test]
    fn the_end_of_a_text_and_the_batches_do_not_count() {
        assert_eq!(of_statement(" DELETE FROM t;\n", None), of_statement("DELETE FROM t", None));
        assert_eq!(hash(&[]), of_statement(SQL, None));
        let batch = |numbers: &[i64], texts: &[Option<&str>]| {
            let numbers: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
            let texts: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
            RecordBatch::try_from_iter_with_nullable([("1", numbers, true), ("2", texts, true)]).unwrap()
        };
        let whole = of_rows(&[batch(&[1, 2, 3], &[Some("a"), None, Some("c")])]).unwrap();
        let parts = [batch(&[1], &[Some("a")]), batch(&[2, 3], &[None, Some("c")])];
        assert_eq!(whole, of_rows(&parts).unwrap());
        assert_ne!(whole, of_rows(&parts[..1]).unwrap());
        let row = of_row(&[1_i64.into(), ScalarValue::Utf8(Some("a".to_owned()))]).unwrap();
        assert_eq!(row, of_rows(&parts[..1]).unwrap());
    }
}
