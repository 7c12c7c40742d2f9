//! JSON: an array of objects, or one object per line. NULLs are written, so every object has every column.

use std::io::{self, Write};

use arrow::{
    array::RecordBatch,
    json::{WriterBuilder, writer::LineDelimited},
};

use super::Printer;

/// The printer of `--format json` and `--format ndjson`.
pub struct Json {
    array: bool,
    rows: u64,
}

impl Json {
    pub fn array() -> Self {
        Self { array: true, rows: 0 }
    }

    pub fn lines() -> Self {
        Self { array: false, rows: 0 }
    }
}

impl Printer for Json {
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> io::Result<()> {
        let mut text = Vec::new();
        let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut text);
        writer.write(batch).and_then(|()| writer.finish()).map_err(io::Error::other)?;
        drop(writer);
        if !self.array {
            return out.write_all(&text);
        }
        // Line feeds inside values are escaped, so lines are objects.
        for object in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            out.write_all(if self.rows == 0 { b"[" } else { b",\n " })?;
            out.write_all(object)?;
            self.rows += 1;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        match (self.array, self.rows) {
            (false, _) => Ok(()),
            (true, 0) => out.write_all(b"[]\n"),
            (true, _) => out.write_all(b"]\n"),
        }
    }
}
