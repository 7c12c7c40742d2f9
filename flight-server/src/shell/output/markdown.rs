//! A Markdown table, for issues, notes and chats.

use std::io::{self, Write};

use arrow::{array::RecordBatch, datatypes::SchemaRef};

use super::{Printer, cell::printable, table::columns};

/// The printer of `--format markdown`.
pub struct Markdown {
    schema: SchemaRef,
    heading_written: bool,
}

impl Markdown {
    pub fn new(schema: SchemaRef) -> Self {
        Self { schema, heading_written: false }
    }

    fn heading(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.heading_written {
            return Ok(());
        }
        self.heading_written = true;
        let fields = self.schema.fields();
        let names: Vec<String> = fields.iter().map(|field| escape(field.name())).collect();
        let rule: Vec<&str> =
            fields.iter().map(|field| if field.data_type().is_numeric() { "---:" } else { "---" }).collect();
        writeln!(out, "| {} |\n| {} |", names.join(" | "), rule.join(" | "))
    }
}

impl Printer for Markdown {
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> io::Result<()> {
        self.heading(out)?;
        let mut columns = columns(&self.schema, batch)?;
        let mut text = String::new();
        for row in 0..batch.num_rows() {
            let mut line = String::from("|");
            for column in &mut columns {
                let shown = if column.write(row, &mut text)? { escape(&text) } else { "NULL".to_owned() };
                line.push(' ');
                line.push_str(&shown);
                line.push_str(" |");
            }
            writeln!(out, "{line}")?;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.heading(out)
    }
}

fn escape(text: &str) -> String {
    printable(text).replace('\\', "\\\\").replace('|', "\\|").replace('\n', "<br>")
}
