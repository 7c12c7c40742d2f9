//! JSON taken apart without being parsed: members of an object as slices of the text.
//!
//! Statistics are the bulk of a log, and of each object only its numbers and texts are wanted, in the types of the
//! table's columns. So the text of a value is handed out as it stands, which also keeps decimals exact.

use std::borrow::Cow;

/// Calls `each` with the name (as it is written between its quotes) and the value of every member of the object `text`.
/// `None` when it is no object or is cut off.
pub(super) fn members<'a>(text: &'a str, mut each: impl FnMut(&'a str, &'a str)) -> Option<()> {
    let bytes = text.as_bytes();
    let mut at = after(bytes, 0, b'{')?;
    if after(bytes, at, b'}').is_some() {
        return Some(());
    }
    loop {
        at = skip_space(bytes, at);
        let end = end_of_string(bytes, at)?;
        let name = text.get(at + 1..end - 1)?;
        at = skip_space(bytes, after(bytes, end, b':')?);
        let end = end_of_value(bytes, at)?;
        each(name, text.get(at..end)?);
        match after(bytes, end, b',') {
            Some(next) => at = next,
            None => return after(bytes, end, b'}').map(|_| ()),
        }
    }
}

/// The text in a JSON string; `None` when the value is none.
pub(super) fn text(value: &str) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    match inner.contains('\\') {
        true => serde_json::from_str(value).ok().map(Cow::Owned),
        false => Some(Cow::Borrowed(inner)),
    }
}

fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

/// Behind `wanted`, when it comes next.
fn after(bytes: &[u8], at: usize, wanted: u8) -> Option<usize> {
    let at = skip_space(bytes, at);
    (bytes.get(at) == Some(&wanted)).then_some(at + 1)
}

/// Behind the closing quote of the string that begins at `at`.
pub(super) fn end_of_string(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let mut at = at + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Behind the value that begins at `at`.
pub(super) fn end_of_value(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => end_of_string(bytes, at),
        b'{' | b'[' => end_of_nested(bytes, at),
        _ => {
            let rest = bytes.get(at..)?;
            let len = rest.iter().position(|b| matches!(b, b',' | b'}' | b']') || b.is_ascii_whitespace())?;
            (len > 0).then_some(at + len)
        }
    }
}

fn end_of_nested(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    loop {
        match bytes.get(at)? {
            b'"' => at = end_of_string(bytes, at)? - 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Option<Vec<(&str, &str)>> {
        let mut found = vec![];
        members(text, |name, value| found.push((name, value))).map(|()| found)
    }

    #[test]
    fn members_come_as_they_are_written() {
        let text = r#" { "a" : -1.50e3 ,"b\"":"x\\","c":{"d":[1,"}"],"e":{}} , "f":null } "#;
        let expected = [("a", "-1.50e3"), ("b\\\"", r#""x\\""#), ("c", r#"{"d":[1,"}"],"e":{}}"#), ("f", "null")];
        assert_eq!(all(text).unwrap(), expected);
        assert_eq!(all("{}").unwrap(), []);
    }

    #[test]
    fn what_is_cut_off_or_no_object_is_refused() {
        for text in
            ["", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "[1]", "1", "{\"a\":\"x", "{a:1}", "{\"a\":}"]
        {
            assert_eq!(all(text), None, "{text}");
        }
    }

    #[test]
    fn strings_are_unescaped() {
        assert_eq!(super::text(r#""ab""#).unwrap(), "ab");
        assert_eq!(super::text(r#""a\u00fc\n""#).unwrap(), "aü\n");
        assert_eq!(super::text("12"), None);
    }
}
