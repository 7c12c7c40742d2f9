//! Aligned columns, as psql shows them.
//!
//! Column widths come from the first rows ([`ROWS_MEASURED`]); what follows streams with these widths, and a later, wider
//! value pushes its line out instead of being held back.

use std::io::{self, Write};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use nu_ansi_term::Style;
use unicode_width::UnicodeWidthStr;

use super::{
    Look, Printer,
    cell::{Column, cut, printable},
};

/// Rows that are held to find out how wide the columns are.
const ROWS_MEASURED: usize = 1_000;

/// The printer of `--format table`.
pub struct Table {
    schema: SchemaRef,
    look: Look,
    /// Batches that wait for the widths; empty once they are known.
    held: Vec<RecordBatch>,
    rows_held: usize,
    widths: Option<Vec<usize>>,
    rows: u64,
}

/// A cell's lines, and whether it is NULL.
struct Cell {
    lines: Vec<String>,
    null: bool,
}

impl Table {
    pub fn new(schema: SchemaRef, look: Look) -> Self {
        Self { schema, look, held: Vec::new(), rows_held: 0, widths: None, rows: 0 }
    }

    fn flush(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let held = std::mem::take(&mut self.held);
        let mut widths: Vec<usize> = self.titles().map(|title| title.width()).collect();
        let mut rows_left = ROWS_MEASURED;
        for batch in &held {
            let rows = batch.num_rows().min(rows_left);
            rows_left -= rows;
            self.each_row(&batch.slice(0, rows), &mut |cells| {
                for (width, cell) in widths.iter_mut().zip(cells) {
                    *width = cell.lines.iter().map(|line| line.width()).fold(*width, usize::max);
                }
                Ok(())
            })?;
        }
        self.heading(&widths, out)?;
        for batch in &held {
            self.print(batch, &widths, out)?;
        }
        self.widths = Some(widths);
        Ok(())
    }

    fn titles(&self) -> impl Iterator<Item = String> + '_ {
        self.schema
            .fields()
            .iter()
            .map(|field| cut(&printable(field.name()).replace('\n', "\\n"), self.look.cell_width_max))
    }

    fn heading(&self, widths: &[usize], out: &mut dyn Write) -> io::Result<()> {
        let bold = if self.look.colors { Style::new().bold() } else { Style::new() };
        let mut line = String::new();
        for (index, title) in self.titles().enumerate() {
            line.push_str(if index == 0 { " " } else { " | " });
            line.push_str(&pad(
                &bold.paint(title.as_str()).to_string(),
                title.width(),
                widths[index],
                self.right(index),
            ));
        }
        writeln!(out, "{}", line.trim_end())?;
        let rule: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
        writeln!(out, "{}", rule.join("+"))
    }

    fn print(&self, batch: &RecordBatch, widths: &[usize], out: &mut dyn Write) -> io::Result<()> {
        let dim = if self.look.colors { Style::new().dimmed() } else { Style::new() };
        self.each_row(batch, &mut |cells| {
            let height = cells.iter().map(|cell| cell.lines.len()).max().unwrap_or(1);
            for row_line in 0..height {
                let mut text = String::new();
                for (index, cell) in cells.iter().enumerate() {
                    text.push_str(if index == 0 { " " } else { "| " });
                    let line = cell.lines.get(row_line).map_or("", String::as_str);
                    let shown = if cell.null { dim.paint(line).to_string() } else { line.to_owned() };
                    text.push_str(&pad(&shown, line.width(), widths[index], self.right(index)));
                    // As in psql, a plus says that the cell goes on in the next line.
                    text.push(if row_line + 1 < cell.lines.len() { '+' } else { ' ' });
                }
                writeln!(out, "{}", text.trim_end())?;
            }
            Ok(())
        })
    }

    fn right(&self, column: usize) -> bool {
        self.schema.field(column).data_type().is_numeric()
    }

    fn each_row(&self, batch: &RecordBatch, use_row: &mut dyn FnMut(&[Cell]) -> io::Result<()>) -> io::Result<()> {
        let mut columns = columns(&self.schema, batch)?;
        let mut text = String::new();
        for row in 0..batch.num_rows() {
            let mut cells = Vec::with_capacity(columns.len());
            for column in &mut columns {
                let null = !column.write(row, &mut text)?;
                let lines = if null {
                    vec!["NULL".to_owned()]
                } else {
                    printable(&text).split('\n').map(|line| cut(line, self.look.cell_width_max)).collect()
                };
                cells.push(Cell { lines, null });
            }
            use_row(&cells)?;
        }
        Ok(())
    }
}

impl Printer for Table {
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> io::Result<()> {
        self.rows += batch.num_rows() as u64;
        if let Some(widths) = &self.widths {
            return self.print(batch, widths, out);
        }
        self.rows_held += batch.num_rows();
        self.held.push(batch.clone());
        if self.rows_held >= ROWS_MEASURED { self.flush(out) } else { Ok(()) }
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.widths.is_none() {
            self.flush(out)?;
        }
        writeln!(out, "{}\n", row_count(self.rows))
    }
}

/// `(1 row)`, `(3 rows)`.
pub fn row_count(rows: u64) -> String {
    if rows == 1 { "(1 row)".to_owned() } else { format!("({rows} rows)") }
}

/// The columns of a batch, ready to print.
pub fn columns<'a>(schema: &'a SchemaRef, batch: &'a RecordBatch) -> io::Result<Vec<Column<'a>>> {
    schema.fields().iter().zip(batch.columns()).map(|(field, array)| Column::new(field, array.as_ref())).collect()
}

fn pad(shown: &str, shown_width: usize, width: usize, right: bool) -> String {
    let blanks = " ".repeat(width.saturating_sub(shown_width));
    if right { format!("{blanks}{shown}") } else { format!("{shown}{blanks}") }
}
