//! Where statements end in a script, by quotes and comments alone: a script with faults splits too.

/// Splits a script into statements at semicolons outside quotes and comments. Each slice keeps its place in the script,
/// without the semicolon; empty ones are left out.
pub fn split(script: &str) -> Vec<&str> {
    let mut statements = Vec::new();
    let mut start = 0;
    for end in semicolons(script).chain([script.len()]) {
        let text = &script[start..end];
        if text.len() > blank_prefix(text) {
            statements.push(text.trim());
        }
        start = (end + 1).min(script.len());
    }
    statements
}

/// Byte positions of semicolons outside quotes and comments.
fn semicolons(text: &str) -> impl Iterator<Item = usize> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < text.len() {
            let step = step(text, at);
            let here = at;
            at += step;
            if step == 1 && text.as_bytes()[here] == b';' {
                return Some(here);
            }
        }
        None
    })
}

/// Length of the leading blanks and whole comments.
fn blank_prefix(text: &str) -> usize {
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let length = match rest.chars().next() {
            Some(c) if c.is_whitespace() => c.len_utf8(),
            Some('-') if rest.starts_with("--") => step(text, at),
            Some('/') if rest.starts_with("/*") && rest[2..].contains("*/") => step(text, at),
            _ => break,
        };
        at += length;
    }
    at
}

/// Bytes of the token at `at`: a whole quoted text or comment, else one character.
fn step(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    let bytes = rest.as_bytes();
    match bytes[0] {
        b'\'' => quoted(rest, '\'', has_escapes(text, at)),
        b'"' => quoted(rest, '"', false),
        b'`' => quoted(rest, '`', false),
        b'$' => dollar_quoted(text, at),
        b'-' if rest.starts_with("--") => rest.find('\n').map_or(rest.len(), |end| end + 1),
        b'/' if rest.starts_with("/*") => block_comment(rest),
        _ => rest.chars().next().map_or(1, char::len_utf8),
    }
}

/// A quote doubled inside stands for itself: the second half simply opens the next quoted text.
fn quoted(rest: &str, quote: char, escapes: bool) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if escapes => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// `E'it\'s'`.
fn has_escapes(text: &str, at: usize) -> bool {
    let mut before = text[..at].chars().rev();
    matches!(before.next(), Some('e' | 'E')) && !before.next().is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// `$$ ... $$` and `$tag$ ... $tag$`; `$1` is a parameter.
fn dollar_quoted(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    let after_word = text[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
    let Some(tag_end) = rest[1..].find('$') else { return 1 };
    let tag = &rest[..tag_end + 2];
    let name = &tag[1..tag.len() - 1];
    let is_tag =
        name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit());
    if after_word || !is_tag {
        return 1;
    }
    rest[tag.len()..].find(tag).map_or(rest.len(), |end| tag.len() + end + tag.len())
}

/// Comments nest.
fn block_comment(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let (mut at, mut depth) = (0, 0);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_split_outside_quotes_and_comments() {
        assert_eq!(split("SELECT 1; SELECT 2;"), ["SELECT 1", "SELECT 2"]);
        assert_eq!(split("SELECT ';', \";\", `;` ; x"), ["SELECT ';', \";\", `;`", "x"]);
        assert_eq!(split("SELECT 'it''s;' -- no; end\n; y"), ["SELECT 'it''s;' -- no; end", "y"]);
        assert_eq!(split("a /* ; /* ; */ ; */ b; c"), ["a /* ; /* ; */ ; */ b", "c"]);
        assert_eq!(split("SELECT $$;$$, $x$;$x$, $1; d"), ["SELECT $$;$$, $x$;$x$, $1", "d"]);
        assert_eq!(split("SELECT E'\\';'; z"), ["SELECT E'\\';'", "z"]);
        assert_eq!(split(" ;; -- only a comment\n; "), Vec::<&str>::new());
        assert_eq!(split("SELECT 'open; "), ["SELECT 'open;"]);
    }
}
