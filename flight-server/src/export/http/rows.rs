//! Rows as arrays of JSON objects, so many together.

use arrow::{
    array::RecordBatch,
    json::{WriterBuilder, writer::LineDelimited},
};
use boathouse_engine::EngineError;

/// Rows that do not fill a batch yet.
#[derive(Debug, Default)]
pub(super) struct Held {
    text: Vec<u8>,
    pub rows: usize,
}

impl Held {
    /// Adds rows of a batch.
    pub fn add(&mut self, rows: &RecordBatch) -> Result<(), EngineError> {
        let mut text = Vec::new();
        let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut text);
        let written = writer.write(rows).and_then(|()| writer.finish());
        written.map_err(|error| EngineError::unsupported("a row has no form as JSON").with_source(error))?;
        drop(writer);
        // Line feeds inside values are escaped, so lines are objects.
        for object in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            self.text.push(if self.text.is_empty() { b'[' } else { b',' });
            self.text.extend_from_slice(object);
        }
        self.rows += rows.num_rows();
        Ok(())
    }

    /// The array, and nothing is held any more.
    pub fn take(&mut self) -> Vec<u8> {
        let Self { mut text, .. } = std::mem::take(self);
        if text.is_empty() {
            text.push(b'[');
        }
        text.push(b']');
        text
    }
}
