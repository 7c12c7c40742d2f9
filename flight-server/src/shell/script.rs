//! Statements and backslash commands out of a stream of lines.
//!
//! The one place that decides where a statement ends: `-c`, `-f`, standard input, `\i` and the editor all come through
//! here, so they agree. It holds one statement at a time and looks at every byte once.

use super::lex::{Kind, Lexer};

/// What a script is made of, with the line on which it starts (from 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// SQL without its semicolon.
    Statement { sql: String, line: usize },
    /// `\x`, `\i file`: the line without the backslash.
    Command { text: String, line: usize },
}

/// Takes lines and gives items.
#[derive(Debug, Default)]
pub struct Splitter {
    lexer: Lexer,
    /// The statement so far; it starts with its first character that counts.
    pending: String,
    pending_line: usize,
    /// Whether `pending` has more than comments and blanks.
    has_sql: bool,
    lines: usize,
}

impl Splitter {
    /// Takes one line (with or without its line feed) and returns what ends in it.
    pub fn line(&mut self, line: &str) -> Vec<Item> {
        self.lines += 1;
        let mut items = Vec::new();
        let between = !self.has_sql && self.lexer.is_closed();
        if between && let Some(command) = line.trim_start().strip_prefix('\\') {
            self.pending.clear();
            items.push(Item::Command { text: command.trim().to_owned(), line: self.lines });
            return items;
        }
        let text = format!("{}\n", line.trim_end_matches(['\n', '\r']));
        let mut at = 0;
        while at < text.len() {
            let (kind, length) = self.lexer.next(&text[at..]);
            let piece = &text[at..at + length];
            at += length;
            match kind {
                Kind::Semicolon => items.extend(self.take()),
                Kind::Blank if self.pending.is_empty() => {}
                _ => {
                    if self.pending.is_empty() {
                        self.pending_line = self.lines;
                    }
                    self.has_sql |= !matches!(kind, Kind::Blank | Kind::Comment);
                    self.pending.push_str(piece);
                }
            }
        }
        items
    }

    /// What is left at the end: a last statement needs no semicolon.
    pub fn end(&mut self) -> Option<Item> {
        self.take()
    }

    fn take(&mut self) -> Option<Item> {
        let sql = std::mem::take(&mut self.pending).trim_end().to_owned();
        let has_sql = std::mem::take(&mut self.has_sql);
        has_sql.then_some(Item::Statement { sql, line: self.pending_line })
    }
}

/// All items of a text.
pub fn items(text: &str) -> Vec<Item> {
    let mut splitter = Splitter::default();
    let mut items: Vec<Item> = text.lines().flat_map(|line| splitter.line(line)).collect();
    items.extend(splitter.end());
    items
}

/// Whether the editor may hand `text` over: it is blank, a command, or ends with the semicolon of its last statement.
pub fn is_complete(text: &str) -> bool {
    let mut splitter = Splitter::default();
    let mut last_line_items = Vec::new();
    for line in text.lines() {
        last_line_items = splitter.line(line);
    }
    if matches!(last_line_items.last(), Some(Item::Command { .. })) {
        return true;
    }
    splitter.lexer.is_closed() && splitter.end().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(sql: &str, line: usize) -> Item {
        Item::Statement { sql: sql.to_owned(), line }
    }

    fn command(text: &str, line: usize) -> Item {
        Item::Command { text: text.to_owned(), line }
    }

    #[test]
    fn a_script_comes_apart_at_semicolons_and_command_lines() {
        let script = "-- load\nSELECT 1;\n\\timing on\nSELECT ';', -- not here;\n  2\n; SELECT 3; \n\\q\nSELECT\n4";
        assert_eq!(
            items(script),
            [
                statement("-- load\nSELECT 1", 1),
                command("timing on", 3),
                statement("SELECT ';', -- not here;\n  2", 4),
                statement("SELECT 3", 6),
                command("q", 7),
                statement("SELECT\n4", 8),
            ]
        );
    }

    #[test]
    fn a_backslash_inside_a_statement_or_a_string_is_not_a_command() {
        assert_eq!(items("SELECT '\n\\d\n';"), [statement("SELECT '\n\\d\n'", 1)]);
        assert_eq!(items("SELECT\n\\d;"), [statement("SELECT\n\\d", 1)]);
    }

    #[test]
    fn comments_and_empty_statements_are_left_out() {
        assert_eq!(items(" ; ;; -- nothing\n/* still\nnothing */ ;\n"), []);
    }

    #[test]
    fn the_editor_goes_on_until_the_semicolon() {
        for text in ["", "  ", "SELECT 1;", "SELECT 1; -- done", "\\d t", "SELECT 1; SELECT 2;\n", "\\d it's"] {
            assert!(is_complete(text), "{text:?}");
        }
        for text in ["SELECT 1", "SELECT ';", "SELECT 1; SELECT", "SELECT /* ; ", "SELECT $$;", "SELECT \";"] {
            assert!(!is_complete(text), "{text:?}");
        }
    }
}
