//! JSON lines to rows of text: one object a line, its members as they stand in the file.

use memchr::memchr;
use serde::de::IgnoredAny;

use super::csv::Step;

/// A line longer than this is broken.
const LINE_BYTES_MAX: usize = 64 << 20;

/// Cuts bytes into lines and lines into members.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    buffer: Vec<u8>,
    next: usize,
    next_line: u64,
    ended: bool,
    raw: std::ops::Range<usize>,
    members: Vec<(String, Value)>,
}

/// The value of a member.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    /// A string, without quotes and escapes.
    Text(String),
    /// A number, `true` or `false`, as written.
    Plain(String),
    /// An array or an object, as written.
    Nested(String),
}

impl Scanner {
    /// Adds bytes. The row found before is gone.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.next);
        self.next = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// There are no more bytes.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// Bytes held that are no row yet.
    pub(crate) fn pending(&self) -> usize {
        self.buffer.len() - self.next
    }

    /// The line of the row, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.next_line
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.buffer[self.raw.clone()]).into_owned()
    }

    /// The members in the order of the line.
    pub(crate) fn members(&self) -> &[(String, Value)] {
        &self.members
    }

    /// Finds the next row. Blank lines are passed over.
    pub(crate) fn step(&mut self) -> Step {
        loop {
            let rest = &self.buffer[self.next..];
            let end = match memchr(b'\n', rest) {
                Some(end) => end,
                None if rest.is_empty() => return if self.ended { Step::End } else { Step::More },
                None if self.ended || rest.len() > LINE_BYTES_MAX => rest.len(),
                None => return Step::More,
            };
            self.raw = self.next..self.next + end;
            self.next = (self.next + end + 1).min(self.buffer.len());
            self.next_line += 1;
            let line = &self.buffer[self.raw.clone()];
            if line.len() > LINE_BYTES_MAX {
                return Step::Bad("the line is longer than 64 MiB");
            }
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let Ok(line) = std::str::from_utf8(line) else { return Step::Bad("it is not UTF-8") };
            return match members(line) {
                Ok(members) => {
                    self.members = members;
                    Step::Row
                }
                Err(reason) => Step::Bad(reason),
            };
        }
    }
}

/// The members of an object.
fn members(line: &str) -> Result<Vec<(String, Value)>, &'static str> {
    let line = line.trim_start_matches('\u{feff}').trim();
    // The strict check comes first; what follows may trust the text.
    if serde_json::from_str::<IgnoredAny>(line).is_err() {
        return Err("it is not valid JSON");
    }
    let Some(body) = line.strip_prefix('{').and_then(|line| line.strip_suffix('}')) else {
        return Err("it is not a JSON object; each line must be one");
    };
    let mut members = Vec::new();
    let mut rest = body.trim();
    while !rest.is_empty() {
        let (key, after) = split_value(rest);
        let (value, after) = split_value(after.trim_start().trim_start_matches(':').trim_start());
        members.push((unescape(key)?, classify(value)?));
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
    Ok(members)
}

fn classify(value: &str) -> Result<Value, &'static str> {
    Ok(match value.as_bytes().first() {
        Some(b'"') => Value::Text(unescape(value)?),
        Some(b'{' | b'[') => Value::Nested(value.into()),
        _ if value == "null" => Value::Null,
        _ => Value::Plain(value.into()),
    })
}

fn unescape(text: &str) -> Result<String, &'static str> {
    match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => Ok(plain.into()),
        _ => serde_json::from_str(text).map_err(|_| "it is not valid JSON"),
    }
}

/// Splits valid JSON after its first value.
fn split_value(text: &str) -> (&str, &str) {
    let bytes = text.as_bytes();
    let (mut depth, mut in_string, mut at) = (0usize, false, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if in_string => at += 1,
            b'"' => {
                in_string = !in_string;
                if !in_string && depth == 0 {
                    return text.split_at(at + 1);
                }
            }
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return text.split_at(at + 1);
                }
            }
            b',' | b':' | b' ' | b'\t' if depth == 0 => return text.split_at(at),
            _ => {}
        }
        at += 1;
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_and_their_text() {
        let line = r#" {"a" : 1.50, "b":"x\"}y", "c": [1, {"d": "]"}],"e":null , "f":true}"#;
        assert_eq!(
            members(line).unwrap(),
            [
                ("a".into(), Value::Plain("1.50".into())),
                ("b".into(), Value::Text("x\"}y".into())),
                ("c".into(), Value::Nested(r#"[1, {"d": "]"}]"#.into())),
                ("e".into(), Value::Null),
                ("f".into(), Value::Plain("true".into())),
            ]
        );
        assert_eq!(members("{}").unwrap(), []);
        assert!(members("[1]").is_err());
        assert!(members("{\"a\": 1").is_err());
    }

    #[test]
    fn lines_are_counted_over_blank_ones() {
        let mut scanner = Scanner::default();
        scanner.feed(b"{\"a\":1}\n\n{\"a\":2}");
        scanner.end();
        assert_eq!((scanner.step(), scanner.line()), (Step::Row, 1));
        assert_eq!((scanner.step(), scanner.line()), (Step::Row, 3));
        assert_eq!(scanner.step(), Step::End);
    }
}
