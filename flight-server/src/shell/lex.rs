//! SQL in coarse pieces: words, numbers, strings, names, comments, semicolons.
//!
//! Just enough to colour a statement, to find where it ends, and to see which tables it names. It never fails: text that
//! is not SQL comes out as symbols. A [`Lexer`] may be fed text in parts, cut at line feeds: it remembers the quote or
//! comment that is open. What the pieces mean is the engine's business.

/// What a piece of SQL is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A keyword or a plain name.
    Word,
    /// `"name"` or `` `name` ``.
    QuotedName,
    Number,
    /// `'text'`, `E'text'`, `$tag$text$tag$`.
    Text,
    Comment,
    Semicolon,
    Blank,
    Symbol,
}

/// Reads pieces one after another, and knows between two parts what is still open.
#[derive(Debug, Clone, Default)]
pub struct Lexer {
    open: Open,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Open {
    #[default]
    Nothing,
    Quote(char, Kind),
    /// `E'...'`, where a backslash takes the next character along.
    EscapeText,
    Dollar(String),
    /// Depth: block comments nest.
    Block(u32),
}

impl Lexer {
    /// Whether the text ended outside quotes and comments.
    pub fn is_closed(&self) -> bool {
        self.open == Open::Nothing
    }

    /// The next piece of `text`: its kind and its length in bytes. `text` must not be empty.
    pub fn next(&mut self, text: &str) -> (Kind, usize) {
        match std::mem::take(&mut self.open) {
            Open::Nothing => self.start(text),
            Open::Quote(quote, kind) => (kind, self.quoted(text, 0, quote, kind)),
            Open::EscapeText => (Kind::Text, self.escaped(text, 0)),
            Open::Dollar(tag) => (Kind::Text, self.dollar(text, 0, tag)),
            Open::Block(depth) => (Kind::Comment, self.block(text, 0, depth)),
        }
    }

    fn start(&mut self, text: &str) -> (Kind, usize) {
        let mut chars = text.chars();
        let first = chars.next().unwrap_or(' ');
        let second = chars.next();
        match (first, second) {
            ('-', Some('-')) => (Kind::Comment, text.find('\n').unwrap_or(text.len())),
            ('/', Some('*')) => (Kind::Comment, self.block(text, 2, 1)),
            ('e' | 'E', Some('\'')) => (Kind::Text, self.escaped(text, 2)),
            ('\'', _) => (Kind::Text, self.quoted(text, 1, '\'', Kind::Text)),
            ('"' | '`', _) => (Kind::QuotedName, self.quoted(text, 1, first, Kind::QuotedName)),
            (';', _) => (Kind::Semicolon, 1),
            ('$', _) => match dollar_tag(text) {
                Some(tag) => (Kind::Text, self.dollar(text, tag.len(), tag.to_owned())),
                // $1
                None => (Kind::Symbol, 1 + run(&text[1..], |c| c.is_ascii_digit())),
            },
            ('.', Some(digit)) if digit.is_ascii_digit() => (Kind::Number, number(text)),
            (c, _) if c.is_ascii_digit() => (Kind::Number, number(text)),
            (c, _) if c.is_whitespace() => (Kind::Blank, run(text, char::is_whitespace)),
            (c, _) if is_word_start(c) => (Kind::Word, run(text, is_word)),
            (c, _) => (Kind::Symbol, c.len_utf8()),
        }
    }

    /// To the closing quote; a doubled one is part of the text.
    fn quoted(&mut self, text: &str, from: usize, quote: char, kind: Kind) -> usize {
        let mut at = from;
        while let Some(found) = text[at..].find(quote) {
            at += found + 1;
            if !text[at..].starts_with(quote) {
                return at;
            }
            at += 1;
        }
        self.open = Open::Quote(quote, kind);
        text.len()
    }

    fn escaped(&mut self, text: &str, from: usize) -> usize {
        let mut chars = text[from..].char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => {
                    chars.next();
                }
                '\'' => return from + at + 1,
                _ => {}
            }
        }
        self.open = Open::EscapeText;
        text.len()
    }

    fn dollar(&mut self, text: &str, from: usize, tag: String) -> usize {
        match text[from..].find(&tag) {
            Some(found) => from + found + tag.len(),
            None => {
                self.open = Open::Dollar(tag);
                text.len()
            }
        }
    }

    fn block(&mut self, text: &str, from: usize, mut depth: u32) -> usize {
        let bytes = text.as_bytes();
        let mut at = from;
        while at + 1 < bytes.len() {
            match &bytes[at..at + 2] {
                b"*/" if depth == 1 => return at + 2,
                b"*/" => {
                    depth -= 1;
                    at += 2;
                }
                b"/*" => {
                    depth += 1;
                    at += 2;
                }
                _ => at += 1,
            }
        }
        self.open = Open::Block(depth);
        text.len()
    }
}

/// All pieces of a whole text with their byte ranges.
pub fn pieces(text: &str) -> impl Iterator<Item = (Kind, std::ops::Range<usize>)> + '_ {
    let mut lexer = Lexer::default();
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= text.len() {
            return None;
        }
        let (kind, length) = lexer.next(&text[at..]);
        let range = at..at + length;
        at = range.end;
        Some((kind, range))
    })
}

pub fn is_word_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

fn run(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// `12`, `1.5`, `1e-9`, `0xff`.
fn number(text: &str) -> usize {
    let mut at = run(text, |c| c.is_alphanumeric() || c == '.' || c == '_');
    if text[..at].ends_with(['e', 'E']) && !text.starts_with("0x") && text[at..].starts_with(['+', '-']) {
        at += 1;
        at += run(&text[at..], |c| c.is_ascii_digit());
    }
    at
}

/// `$$` or `$tag$` at the start of `text`.
fn dollar_tag(text: &str) -> Option<&str> {
    let name_end = text[1..].find(|c: char| !(c.is_alphanumeric() || c == '_'))? + 1;
    let starts_like_name = !text[1..].starts_with(|c: char| c.is_ascii_digit());
    (text[name_end..].starts_with('$') && starts_like_name).then(|| &text[..=name_end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(Kind, &str)> {
        pieces(text).filter(|(kind, _)| *kind != Kind::Blank).map(|(kind, range)| (kind, &text[range])).collect()
    }

    #[test]
    fn a_statement_comes_apart_into_words_numbers_strings_and_comments() {
        use Kind::{Comment, Number, QuotedName, Semicolon, Symbol, Text, Word};
        assert_eq!(
            kinds("select a.\"B \"\" c\", 'it''s', 1.5e-3 -- all\nfrom t; /* a /* b */ c */"),
            [
                (Word, "select"),
                (Word, "a"),
                (Symbol, "."),
                (QuotedName, "\"B \"\" c\""),
                (Symbol, ","),
                (Text, "'it''s'"),
                (Symbol, ","),
                (Number, "1.5e-3"),
                (Comment, "-- all"),
                (Word, "from"),
                (Word, "t"),
                (Semicolon, ";"),
                (Comment, "/* a /* b */ c */"),
            ]
        );
    }

    #[test]
    fn semicolons_inside_quotes_do_not_count() {
        let text = r#"';' ";" `;` $$;$$ $q$ ; $$ $q$ E'\';' $1"#;
        assert!(pieces(text).all(|(kind, _)| kind != Kind::Semicolon));
    }

    #[test]
    fn an_open_quote_is_remembered_across_parts() {
        let mut lexer = Lexer::default();
        assert_eq!(lexer.next("'one\n"), (Kind::Text, 5));
        assert!(!lexer.is_closed());
        assert_eq!(lexer.next("two' x"), (Kind::Text, 4));
        assert!(lexer.is_closed());
    }

    #[test]
    fn every_byte_belongs_to_exactly_one_piece() {
        for text in ["", "é'ü", "$", "$$", "/*", "\"", "E'\\", "1.e", "a$b", "😀;;"] {
            let joined: String = pieces(text).map(|(_, range)| &text[range]).collect();
            assert_eq!(joined, text);
        }
    }
}
