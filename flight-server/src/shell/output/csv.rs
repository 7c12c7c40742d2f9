//! Comma-separated values: RFC 4180 quoting, line feeds between records as every Unix tool expects.
//!
//! NULL is an empty field and the empty text is `""`, so that the two can be told apart when the file is read again.

use std::io::{self, Write};

use arrow::{array::RecordBatch, datatypes::SchemaRef};

use super::{Printer, table::columns};

/// The printer of `--format csv`.
pub struct Csv {
    schema: SchemaRef,
    heading_written: bool,
}

impl Csv {
    pub fn new(schema: SchemaRef) -> Self {
        Self { schema, heading_written: false }
    }

    fn heading(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.heading_written {
            return Ok(());
        }
        self.heading_written = true;
        let mut record = String::new();
        for (index, field) in self.schema.fields().iter().enumerate() {
            if index > 0 {
                record.push(',');
            }
            push_field(field.name(), &mut record);
        }
        record.push('\n');
        out.write_all(record.as_bytes())
    }
}

impl Printer for Csv {
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> io::Result<()> {
        self.heading(out)?;
        let mut columns = columns(&self.schema, batch)?;
        let mut text = String::new();
        let mut record = String::new();
        for row in 0..batch.num_rows() {
            record.clear();
            for (index, column) in columns.iter_mut().enumerate() {
                if index > 0 {
                    record.push(',');
                }
                if column.write(row, &mut text)? {
                    push_field(&text, &mut record);
                }
            }
            record.push('\n');
            out.write_all(record.as_bytes())?;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.heading(out)
    }
}

fn push_field(text: &str, record: &mut String) {
    if text.is_empty() || text.contains([',', '"', '\n', '\r']) {
        record.push('"');
        record.push_str(&text.replace('"', "\"\""));
        record.push('"');
    } else {
        record.push_str(text);
    }
}
