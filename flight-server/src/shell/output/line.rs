//! One line per value, one block per row: for rows too wide to read side by side.

use std::io::{self, Write};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use nu_ansi_term::Style;
use unicode_width::UnicodeWidthStr;

use super::{
    Look, Printer,
    cell::{cut, printable},
    table::{columns, row_count},
};

/// The width of the rule above a row, past the names.
const RULE_WIDTH_MIN: usize = 32;

/// The printer of `--format line` and `\x`.
pub struct Line {
    schema: SchemaRef,
    look: Look,
    name_width: usize,
    rows: u64,
}

impl Line {
    pub fn new(schema: SchemaRef, look: Look) -> Self {
        let name_width = schema.fields().iter().map(|field| printable(field.name()).width()).max().unwrap_or(0);
        Self { schema, look, name_width, rows: 0 }
    }
}

impl Printer for Line {
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> io::Result<()> {
        let dim = if self.look.colors { Style::new().dimmed() } else { Style::new() };
        let mut columns = columns(&self.schema, batch)?;
        let mut text = String::new();
        for row in 0..batch.num_rows() {
            self.rows += 1;
            let title = format!("-[ row {} ]", self.rows);
            writeln!(out, "{title:-<width$}", width = self.name_width + RULE_WIDTH_MIN)?;
            for (field, column) in self.schema.fields().iter().zip(&mut columns) {
                let name = printable(field.name()).replace('\n', "\\n");
                let margin = " ".repeat(self.name_width.saturating_sub(name.width()));
                if !column.write(row, &mut text)? {
                    writeln!(out, "{name}{margin} | {}", dim.paint("NULL"))?;
                    continue;
                }
                for (index, line) in printable(&text).split('\n').enumerate() {
                    let line = cut(line, self.look.cell_width_max);
                    let shown = if index == 0 {
                        format!("{name}{margin} | {line}")
                    } else {
                        format!("{} | {line}", " ".repeat(self.name_width))
                    };
                    writeln!(out, "{}", shown.trim_end())?;
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}\n", row_count(self.rows))
    }
}
