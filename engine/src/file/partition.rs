//! Columns whose values are in folder names: `year=2024/month=1/a.parquet`.

use boathouse_storage::file::File;
use datafusion::{
    arrow::datatypes::{DataType, FieldRef},
    common::ScalarValue,
};

use crate::{EngineError, statement::data_type::sql_type};

/// The folder name of NULL, as Hive and Spark write it.
const NULL_FOLDER: &str = "__HIVE_DEFAULT_PARTITION__";

/// The texts of the columns' values in a file's path.
pub(super) fn texts(file: &File, columns: &[FieldRef]) -> Result<Vec<Option<String>>, EngineError> {
    let path = percent_decoded(file.meta.location.as_ref());
    let text = |column: &FieldRef| {
        let prefix = format!("{}=", column.name());
        let value = path.rsplit('/').skip(1).find_map(|folder| folder.strip_prefix(&prefix));
        match value {
            Some(NULL_FOLDER) => Ok(None),
            Some(value) => Ok(Some(percent_decoded(value))),
            None => {
                let message = format!("\"{}\" lies in no folder \"{prefix}...\"", file.name);
                Err(EngineError::invalid(message)
                    .with_hint("PARTITIONED BY names columns whose values are folder names."))
            }
        }
    };
    columns.iter().map(text).collect()
}

/// The columns' values in a file's path.
pub(super) fn values(file: &File, columns: &[FieldRef]) -> Result<Vec<ScalarValue>, EngineError> {
    let texts = texts(file, columns)?;
    columns.iter().zip(texts).map(|(column, text)| value(file, column, text)).collect()
}

fn value(file: &File, column: &FieldRef, text: Option<String>) -> Result<ScalarValue, EngineError> {
    let refused = |text: &str| {
        let wanted = sql_type(column.data_type());
        EngineError::invalid(format!(
            "partition column \"{}\" is {wanted}, but the folder of \"{}\" says \"{text}\"",
            column.name(),
            file.name
        ))
    };
    match text {
        None => Ok(ScalarValue::try_from(column.data_type())?),
        Some(text) if *column.data_type() == DataType::Utf8 => Ok(ScalarValue::Utf8(Some(text))),
        Some(text) => ScalarValue::try_from_string(text.clone(), column.data_type()).map_err(|_| refused(&text)),
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        let code = match (byte, tail) {
            (b'%', [high, low, ..]) => {
                let digits = [*high, *low];
                std::str::from_utf8(&digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok())
            }
            _ => None,
        };
        bytes.push(code.unwrap_or(*byte));
        rest = if code.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone() {
        assert_eq!(percent_decoded("a%20b%3A%zz%2"), "a b:%zz%2");
    }
}
