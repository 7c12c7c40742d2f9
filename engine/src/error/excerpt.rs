//! The line of the statement where a fault is, with carets under it:
//!
//! ```text
//! LINE 3:   ON t.custmer_id = s.customer_id
//!              ^^^^^^^^^^^^
//! ```
//!
//! A long line is cut to a window around the fault. Columns count characters, as the tokenizer does.

use datafusion::{
    common::Span,
    sql::sqlparser::tokenizer::{Span as TokenSpan, TokenWithSpan},
};

/// Characters of a line that are shown.
const WIDTH_MAX: usize = 120;
/// Characters kept before the fault when a line is cut.
const LEAD: usize = 40;

/// Where a fault is: line and columns from 1, the end column excluded. `columns_end` of 0 means one character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub line: usize,
    pub column: usize,
    /// First column after the fault, or `usize::MAX` when it goes on in the next line.
    pub column_end: usize,
}

impl Place {
    /// One character.
    pub fn point(line: u64, column: u64) -> Option<Self> {
        let (line, column) = (usize::try_from(line).ok()?, usize::try_from(column).ok()?);
        (line > 0 && column > 0).then_some(Self { line, column, column_end: column + 1 })
    }

    fn range(start: (u64, u64), end: (u64, u64)) -> Option<Self> {
        let mut place = Self::point(start.0, start.1)?;
        if end.0 > start.0 {
            place.column_end = usize::MAX;
        } else if let Ok(column_end) = usize::try_from(end.1) {
            place.column_end = column_end.max(place.column + 1);
        }
        Some(place)
    }

    pub fn of_span(span: Span) -> Option<Self> {
        Self::range((span.start.line, span.start.column), (span.end.line, span.end.column))
    }

    pub fn of_token_span(span: TokenSpan) -> Option<Self> {
        Self::range((span.start.line, span.start.column), (span.end.line, span.end.column))
    }
}

/// The whole token that starts at a line and column, for carets under all of it.
pub(crate) fn token_place(tokens: &[TokenWithSpan], line: u64, column: u64) -> Option<Place> {
    tokens
        .iter()
        .find(|token| token.span.start.line == line && token.span.start.column == column)
        .and_then(|token| Place::of_token_span(token.span))
        .or_else(|| Place::point(line, column))
}

/// `LINE n: ...` and the carets, or nothing when the place does not lie in `sql`.
pub(super) fn excerpt(sql: &str, place: Place) -> Option<String> {
    let text = sql.lines().nth(place.line - 1)?;
    let length = text.chars().count();
    let start = place.column - 1;
    if start > length {
        return None;
    }
    let end = (place.column_end - 1).clamp(start + 1, length.max(start + 1));

    let cut = length > WIDTH_MAX && start > LEAD;
    let from = if cut { start - LEAD } else { 0 };
    let to = length.min(from + WIDTH_MAX);
    let shown: String = text.chars().skip(from).take(to - from).map(|c| if c == '\t' { ' ' } else { c }).collect();
    let (before, after) = (if cut { "..." } else { "" }, if to < length { "..." } else { "" });

    let head = format!("LINE {}: {before}", place.line);
    let blank = " ".repeat(head.chars().count() + start - from);
    let carets = "^".repeat(end.min(to.max(start + 1)) - start);
    Some(format!("{head}{shown}{after}\n{blank}{carets}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: usize, column: usize, column_end: usize) -> Place {
        Place { line, column, column_end }
    }

    #[test]
    fn carets_stand_under_the_fault() {
        let sql = "SELECT a\nFROM  tabel t";
        assert_eq!(excerpt(sql, at(2, 7, 12)).unwrap(), "LINE 2: FROM  tabel t\n              ^^^^^");
    }

    #[test]
    fn a_fault_over_several_lines_marks_the_first() {
        assert_eq!(
            excerpt("SELECT f(a,\nb)", at(1, 8, usize::MAX)).unwrap(),
            "LINE 1: SELECT f(a,\n               ^^^^"
        );
    }

    #[test]
    fn the_end_of_the_text_has_a_place() {
        assert_eq!(excerpt("SELECT", at(1, 7, 8)).unwrap(), "LINE 1: SELECT\n              ^");
    }

    #[test]
    fn a_long_line_is_cut_around_the_fault() {
        let sql = format!("SELECT {}, wrong, {}", "a + ".repeat(50), "b, ".repeat(60));
        let start = sql.find("wrong").unwrap() + 1;
        let text = excerpt(&sql, at(1, start, start + 5)).unwrap();
        let (line, carets) = text.split_once('\n').unwrap();
        assert!(line.starts_with("LINE 1: ...") && line.ends_with("..."), "{line}");
        let column = carets.find('^').unwrap();
        assert_eq!(&line[column..column + 5], "wrong");
        assert_eq!(carets.trim(), "^^^^^");
    }

    #[test]
    fn wide_characters_count_as_one_column() {
        assert_eq!(excerpt("SELECT 'é', x", at(1, 13, 14)).unwrap(), "LINE 1: SELECT 'é', x\n                    ^");
    }

    #[test]
    fn a_place_outside_the_text_shows_nothing() {
        assert_eq!(excerpt("SELECT 1", at(4, 1, 2)), None);
    }
}
