//! Statements as they may be shown to others: without the secrets in them, and not at full length.
//!
//! By words alone, so that a text with faults is covered too: after a word such as `password` or `secret_access_key` the
//! literals are secrets, and in a statement about a user all of them are.

/// A text that may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted {
    pub text: String,
    /// Whether something was taken out.
    pub secret: bool,
}

/// Parts of names whose values are secrets. In lower case.
const SECRET_NAMES: [&str; 8] =
    ["password", "passwd", "secret", "token", "credential", "access_key", "private_key", "account_key"];
/// Words between such a name and its value.
const BETWEEN: [&str; 9] = ["is", "as", "with", "by", "to", "in", "not", "encrypted", "hashed"];
const INSTEAD: &str = "'***'";
const CUT: &str = "...";

/// The beginning of `sql`, up to about `bytes_max`, with `'***'` for each secret.
pub fn redact(sql: &str, bytes_max: usize) -> Redacted {
    let head = prefix(sql, bytes_max);
    let mut text = String::with_capacity(head.len() + CUT.len());
    let mut state = State::default();
    if is_harmless(head) {
        text.push_str(head);
    } else {
        for token in (Tokens { rest: head }) {
            text.push_str(if state.is_secret(&token) { INSTEAD } else { token.text });
        }
    }
    if head.len() < sql.len() {
        text.push_str(CUT);
    }
    Redacted { text, secret: state.secret }
}

/// Most texts: nothing in them is called by any of the names.
fn is_harmless(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    !SECRET_NAMES.iter().chain(&["user", "role"]).any(|name| lower.contains(name))
}

/// What the words so far say of the next literal.
#[derive(Debug, Default)]
struct State {
    /// After the name of a secret; whether its value has come.
    armed: Option<bool>,
    /// The word before was CREATE or ALTER.
    changes: bool,
    /// The statement is about a user.
    of_user: bool,
    /// Something is a secret here.
    secret: bool,
}

impl State {
    fn is_secret(&mut self, token: &Token<'_>) -> bool {
        match token.kind {
            Kind::Blank => false,
            Kind::Word => self.word(token.text),
            Kind::Literal => {
                let hidden = self.of_user || self.armed.is_some();
                if hidden {
                    (self.secret, self.armed) = (true, self.armed.map(|_| true));
                } else if token.text.starts_with('\'') && names_secret(token.text) {
                    // `OPTIONS ('secret_access_key' 'x')`
                    self.armed = Some(false);
                }
                hidden
            }
            Kind::Sign => {
                if matches!(token.text, ";" | ")") {
                    self.armed = None;
                }
                false
            }
        }
    }

    fn word(&mut self, word: &str) -> bool {
        let lower = word.trim_matches('"').to_ascii_lowercase();
        if self.changes && matches!(&*lower, "user" | "role") {
            self.of_user = true;
        }
        // `CREATE OR REPLACE USER`
        self.changes = matches!(&*lower, "create" | "alter") || self.changes && matches!(&*lower, "or" | "replace");
        if names_secret(&lower) {
            self.armed = Some(false);
            self.secret |= self.of_user;
            return false;
        }
        if BETWEEN.contains(&&*lower) {
            return false;
        }
        // A password without quotes.
        let hidden = self.of_user && self.armed == Some(false);
        self.armed = None;
        hidden
    }
}

fn names_secret(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|name| lower.contains(name))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Blank,
    /// A word or a name in quotes.
    Word,
    /// A text or a number.
    Literal,
    Sign,
}

#[derive(Debug)]
struct Token<'a> {
    kind: Kind,
    text: &'a str,
}

/// Cuts a text as SQL does. Quotes that do not end take the rest of the text.
struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let rest = self.rest;
        let first = rest.chars().next()?;
        let (kind, length) = match first {
            '\'' => (Kind::Literal, quoted(rest, '\'', false)),
            '"' | '`' => (Kind::Word, quoted(rest, first, false)),
            '$' if rest[1..].starts_with('$') => (Kind::Literal, 2 + end_of(&rest[2..], "$$")),
            '-' if rest.starts_with("--") => (Kind::Blank, end_of(rest, "\n")),
            '/' if rest.starts_with("/*") => (Kind::Blank, 2 + end_of(&rest[2..], "*/")),
            c if c.is_whitespace() => (Kind::Blank, run(rest, char::is_whitespace)),
            c if c.is_ascii_digit() => (Kind::Literal, run(rest, |c| c.is_alphanumeric() || c == '.')),
            // `E'...'`, `X'...'`
            c if c.is_ascii_alphabetic() && rest[1..].starts_with('\'') => {
                (Kind::Literal, 1 + quoted(&rest[1..], '\'', c.eq_ignore_ascii_case(&'e')))
            }
            c if c.is_alphanumeric() || c == '_' => (Kind::Word, run(rest, |c| c.is_alphanumeric() || c == '_')),
            c => (Kind::Sign, c.len_utf8()),
        };
        let (text, rest) = rest.split_at(length);
        self.rest = rest;
        Some(Token { kind, text })
    }
}

/// Length of a quoted text with its quotes; a doubled quote does not end it, nor, with `escapes`, one after a backslash.
fn quoted(text: &str, quote: char, escapes: bool) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if escapes && c == '\\' {
            chars.next();
        } else if c == quote {
            match chars.peek() {
                Some((_, next)) if *next == quote => drop(chars.next()),
                _ => return at + quote.len_utf8(),
            }
        }
    }
    text.len()
}

/// Length up to the end of `mark`, or of all.
fn end_of(text: &str, mark: &str) -> usize {
    text.find(mark).map_or(text.len(), |at| at + mark.len())
}

fn run(text: &str, of: impl Fn(char) -> bool) -> usize {
    text.find(|c| !of(c)).unwrap_or(text.len())
}

fn prefix(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_without_secrets_stays_as_it_is() {
        for sql in ["SELECT 'a''b', 1.5 AS \"x y\" -- c\nFROM t@v3 WHERE b = $1", "ALTER TABLE t ADD COLUMN a INT", ""]
        {
            assert_eq!(redact(sql, 200), Redacted { text: sql.to_owned(), secret: false });
        }
    }

    #[test]
    fn secrets_are_taken_out() {
        for (sql, expected) in [
            ("CREATE USER ada PASSWORD 'x'", "CREATE USER ada PASSWORD '***'"),
            (
                "create or replace user ada with encrypted password 'it''s'",
                "create or replace user ada with encrypted password '***'",
            ),
            ("ALTER USER ada PASSWORD hush ROLE reader", "ALTER USER ada PASSWORD '***' ROLE reader"),
            ("ALTER USER ada PASWORD 'x'; SELECT 1", "ALTER USER ada PASWORD '***'; SELECT '***'"),
            ("CREATE USER ada IDENTIFIED BY $$x$$", "CREATE USER ada IDENTIFIED BY '***'"),
            ("CREATE USER ada PASSWORD 'never ends", "CREATE USER ada PASSWORD '***'"),
            ("CREATE USER ada COMMENT 'a\\' PASSWORD 'x'", "CREATE USER ada COMMENT '***' PASSWORD '***'"),
            (r"SET secret = E'a\'b', c = 1", r"SET secret = '***', c = 1"),
            (
                "COPY t TO 's3://b' (SECRET_ACCESS_KEY 'x', FORMAT csv)",
                "COPY t TO 's3://b' (SECRET_ACCESS_KEY '***', FORMAT csv)",
            ),
            ("... OPTIONS ('aws.secret_access_key' 'x')", "... OPTIONS ('aws.secret_access_key' '***')"),
            ("SET api_token = 12", "SET api_token = '***'"),
            (
                "SELECT * FROM u WHERE token IN ('a', 'b') AND c = 'd'",
                "SELECT * FROM u WHERE token IN ('***', '***') AND c = 'd'",
            ),
        ] {
            let redacted = redact(sql, 200);
            assert_eq!((redacted.text.as_str(), redacted.secret), (expected, true), "{sql}");
        }
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(redact("SELECT äöü", 10).text, "SELECT ä...");
        assert_eq!(redact("SELECT secret = 'a long one'", 20).text, "SELECT secret = '***'...");
    }
}
