//! CSV bytes to rows of text, in bounded memory, with the line on which each row begins.
//!
//! Our own scanner, because loading needs more than values: the right line number after quoted newlines, the row as it
//! stands in the file, whether a value was quoted (a quoted empty value is text, not NULL), and a way to go on after a
//! broken row: only its first line is given up, so one stray quote does not swallow the rest of the file.

use std::ops::Range;

use memchr::{memchr, memchr2};

/// A row longer than this is broken: a quote is most likely missing.
const ROW_BYTES_MAX: usize = 16 << 20;

/// How values are written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dialect {
    pub(crate) header: bool,
    pub(crate) delimiter: u8,
    /// `None`: quotes are ordinary characters.
    pub(crate) quote: Option<u8>,
    /// Before a quote inside quotes; usually the quote itself.
    pub(crate) escape: u8,
    /// An unquoted value with this text is NULL.
    pub(crate) null: String,
}

impl Default for Dialect {
    fn default() -> Self {
        Self { header: true, delimiter: b',', quote: Some(b'"'), escape: b'"', null: String::new() }
    }
}

/// What a scanner found.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// A row; ask the scanner for its values.
    Row,
    /// A row that is none, and why. [`Scanner::text`] is its first line.
    Bad(&'static str),
    /// Give more bytes, or say that there are none.
    More,
    End,
}

/// Cuts bytes into rows.
#[derive(Debug)]
pub(crate) struct Scanner {
    dialect: Dialect,
    buffer: Vec<u8>,
    /// Where the next row begins in the buffer.
    next: usize,
    /// The line of the next row, from 1.
    next_line: u64,
    ended: bool,
    line: u64,
    raw: Range<usize>,
    fields: Vec<Field>,
    /// Values that differ from the text of the file.
    unescaped: Vec<u8>,
}

#[derive(Debug, Clone)]
struct Field {
    range: Range<usize>,
    quoted: bool,
    unescaped: bool,
}

impl Scanner {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            buffer: Vec::new(),
            next: 0,
            next_line: 1,
            ended: false,
            line: 1,
            raw: 0..0,
            fields: Vec::new(),
            unescaped: Vec::new(),
        }
    }

    /// Adds bytes. The row found before is gone.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.next);
        let begins = self.next == 0 && self.next_line == 1 && self.buffer.is_empty();
        self.next = 0;
        let bom = if begins { bytes.strip_prefix(b"\xEF\xBB\xBF") } else { None };
        self.buffer.extend_from_slice(bom.unwrap_or(bytes));
    }

    /// There are no more bytes.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// Bytes held that are no row yet.
    pub(crate) fn pending(&self) -> usize {
        self.buffer.len() - self.next
    }

    /// The line on which the row begins, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// The row as it stands in the file, without the end of its line.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.buffer[self.raw.clone()]).into_owned()
    }

    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    /// A line with nothing on it.
    pub(crate) fn is_blank(&self) -> bool {
        self.raw.is_empty()
    }

    /// The nth value; `None` is NULL.
    pub(crate) fn value(&self, n: usize) -> Option<&str> {
        let field = self.fields.get(n)?;
        let bytes = if field.unescaped { &self.unescaped } else { &self.buffer };
        // Rows are checked to be UTF-8 as a whole, and delimiters are ASCII.
        let value = std::str::from_utf8(&bytes[field.range.clone()]).unwrap_or_default();
        (field.quoted || value != self.dialect.null).then_some(value)
    }

    /// Finds the next row.
    pub(crate) fn step(&mut self) -> Step {
        self.fields.clear();
        self.unescaped.clear();
        self.line = self.next_line;
        let rest = &self.buffer[self.next..];
        if rest.is_empty() {
            return if self.ended { Step::End } else { Step::More };
        }
        let newline = memchr(b'\n', rest);
        if newline.is_none() && !self.ended {
            return self.more();
        }
        let line_end = newline.unwrap_or(rest.len());
        let quoted = self.dialect.quote.is_some_and(|quote| memchr(quote, &rest[..line_end]).is_some());
        // One line with returns inside is a whole file of an old kind, not a header without rows.
        if newline.is_none()
            && self.next_line == 1
            && !quoted
            && memchr(b'\r', rest).is_some_and(|at| at + 1 < rest.len())
        {
            return self.give_up(line_end, "its lines end with CR alone; convert them to LF or CR LF");
        }
        let found = if quoted { self.quoted_row() } else { Ok(self.plain_row(line_end)) };
        match found {
            Ok(end) => self.take(end),
            Err(Stop::More) => self.more(),
            Err(Stop::Bad(reason)) => self.give_up(line_end, reason),
        }
    }

    fn more(&mut self) -> Step {
        let rest = &self.buffer[self.next..];
        if rest.len() <= ROW_BYTES_MAX {
            return Step::More;
        }
        let line_end = memchr(b'\n', rest).unwrap_or(rest.len());
        self.give_up(line_end, "the row is longer than 16 MiB; a quote may be missing")
    }

    /// Takes the row that ends before `end` (a newline or the end of the file).
    fn take(&mut self, end: usize) -> Step {
        let (start, end) = (self.next, self.next + end);
        self.raw = start..trim_return(&self.buffer, start, end);
        self.next_line += 1 + memchr::memchr_iter(b'\n', &self.buffer[start..end]).count() as u64;
        self.next = (end + 1).min(self.buffer.len());
        match std::str::from_utf8(&self.buffer[self.raw.clone()]) {
            Ok(_) => Step::Row,
            Err(_) => Step::Bad("it is not UTF-8"),
        }
    }

    /// Skips one line of a broken row.
    fn give_up(&mut self, line_end: usize, reason: &'static str) -> Step {
        self.take(line_end);
        Step::Bad(reason)
    }

    /// A row without quotes: one line. Returns where it ends.
    fn plain_row(&mut self, line_end: usize) -> usize {
        let start = self.next;
        let end = trim_return(&self.buffer, start, start + line_end);
        let mut from = start;
        loop {
            let found = memchr(self.dialect.delimiter, &self.buffer[from..end]);
            let to = found.map_or(end, |at| from + at);
            self.fields.push(Field { range: from..to, quoted: false, unescaped: false });
            match found {
                Some(_) => from = to + 1,
                None => return line_end,
            }
        }
    }

    /// A row with quotes, which may go over several lines. Returns where it ends.
    fn quoted_row(&mut self) -> Result<usize, Stop> {
        let Some(quote) = self.dialect.quote else { return Err(Stop::More) };
        let mut at = self.next;
        loop {
            if self.buffer.get(at) == Some(&quote) {
                at = self.quoted_field(at + 1, quote)?;
            } else {
                let end = memchr2(self.dialect.delimiter, b'\n', &self.buffer[at..]).map(|found| at + found);
                let end = match end {
                    Some(end) => end,
                    None if self.ended => self.buffer.len(),
                    None => return Err(Stop::More),
                };
                let to = if self.buffer.get(end) == Some(&self.dialect.delimiter) {
                    end
                } else {
                    trim_return(&self.buffer, at, end)
                };
                self.fields.push(Field { range: at..to, quoted: false, unescaped: false });
                at = end;
            }
            match self.buffer.get(at) {
                Some(byte) if *byte == self.dialect.delimiter => at += 1,
                Some(b'\r') if self.buffer.get(at + 1) == Some(&b'\n') => return Ok(at + 1 - self.next),
                Some(b'\r') if at + 1 == self.buffer.len() && !self.ended => return Err(Stop::More),
                Some(b'\r') if at + 1 == self.buffer.len() => return Ok(at + 1 - self.next),
                Some(b'\n') => return Ok(at - self.next),
                Some(_) => return Err(Stop::Bad("text follows a closing quote")),
                None if self.ended => return Ok(at - self.next),
                None => return Err(Stop::More),
            }
        }
    }

    /// A value after its opening quote. Returns where the closing quote's successor is.
    fn quoted_field(&mut self, start: usize, quote: u8) -> Result<usize, Stop> {
        let escape = self.dialect.escape;
        let unescaped_start = self.unescaped.len();
        let (mut from, mut at) = (start, start);
        let mut changed = false;
        loop {
            let Some(found) = memchr2(quote, escape, &self.buffer[at..]) else {
                return Err(if self.ended { Stop::Bad("a quoted value is not closed") } else { Stop::More });
            };
            at += found;
            let next = self.buffer.get(at + 1).copied();
            if next.is_none() && !self.ended {
                return Err(Stop::More);
            }
            let escapes = self.buffer[at] == escape && next.is_some_and(|next| next == quote || next == escape);
            if escapes {
                self.unescaped.extend_from_slice(&self.buffer[from..at]);
                from = at + 1;
                at += 2;
                changed = true;
            } else if self.buffer[at] == quote {
                break;
            } else {
                // An escape character before anything else stands for itself.
                at += 1;
            }
        }
        let range = if changed {
            self.unescaped.extend_from_slice(&self.buffer[from..at]);
            unescaped_start..self.unescaped.len()
        } else {
            start..at
        };
        self.fields.push(Field { range, quoted: true, unescaped: changed });
        Ok(at + 1)
    }
}

enum Stop {
    More,
    Bad(&'static str),
}

fn trim_return(buffer: &[u8], start: usize, end: usize) -> usize {
    if end > start && buffer[end - 1] == b'\r' { end - 1 } else { end }
}

/// A value as CSV.
pub(crate) fn quoted(value: &str) -> String {
    if value.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", value.replace('"', "\"\"")) } else { value.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = Result<Vec<Option<String>>, &'static str>;

    /// Line and values of every row, fed in pieces of `size` bytes.
    fn scan(text: &str, dialect: Dialect, size: usize) -> Vec<(u64, Row)> {
        let mut scanner = Scanner::new(dialect);
        let mut pieces = text.as_bytes().chunks(size);
        let mut rows = Vec::new();
        loop {
            match scanner.step() {
                Step::Row => {
                    let values = (0..scanner.len()).map(|n| scanner.value(n).map(str::to_string)).collect();
                    rows.push((scanner.line(), Ok(values)));
                }
                Step::Bad(reason) => rows.push((scanner.line(), Err(reason))),
                Step::More => match pieces.next() {
                    Some(piece) => scanner.feed(piece),
                    None => scanner.end(),
                },
                Step::End => return rows,
            }
        }
    }

    fn row(values: &[Option<&str>]) -> Row {
        Ok(values.iter().map(|value| value.map(str::to_string)).collect())
    }

    #[test]
    fn lines_are_counted_over_quoted_newlines_whatever_the_pieces() {
        let text = "\u{feff}a,b\r\n1,\"x\ny\"\n2,\"say \"\"hi\"\"\"\r\n3,";
        for size in 1..text.len() {
            let rows = scan(text, Dialect::default(), size.max(3));
            assert_eq!(
                rows,
                [
                    (1, row(&[Some("a"), Some("b")])),
                    (2, row(&[Some("1"), Some("x\ny")])),
                    (4, row(&[Some("2"), Some("say \"hi\"")])),
                    (5, row(&[Some("3"), None])),
                ]
            );
        }
    }

    #[test]
    fn a_quoted_empty_value_is_text() {
        assert_eq!(scan("\"\",\n", Dialect::default(), 99), [(1, row(&[Some(""), None]))]);
        let dialect = Dialect { null: "NA".into(), ..Dialect::default() };
        assert_eq!(scan("NA,\"NA\",", dialect, 99), [(1, row(&[None, Some("NA"), Some("")]))]);
    }

    #[test]
    fn a_broken_row_costs_one_line() {
        let rows = scan("1,\"abc\n2,\"def\"\n3,x\n", Dialect::default(), 99);
        assert_eq!(
            rows,
            [
                (1, Err("text follows a closing quote")),
                (2, row(&[Some("2"), Some("def")])),
                (3, row(&[Some("3"), Some("x")])),
            ]
        );
        assert_eq!(
            scan("1,\"abc\n2,x\n", Dialect::default(), 99),
            [(1, Err("a quoted value is not closed")), (2, row(&[Some("2"), Some("x")]))]
        );
    }

    #[test]
    fn other_delimiters_quotes_and_escapes() {
        let dialect = Dialect { delimiter: b';', quote: Some(b'\''), escape: b'\\', ..Dialect::default() };
        assert_eq!(scan("'it\\'s';a\"b;'c\\d'\n", dialect, 5), [(1, row(&[Some("it's"), Some("a\"b"), Some("c\\d")]))]);
        let plain = Dialect { quote: None, ..Dialect::default() };
        assert_eq!(scan("\"a,b\"\n", plain, 5), [(1, row(&[Some("\"a"), Some("b\"")]))]);
    }
}
