//! The statistics of a file whose writer wrote them as those of the file before: the same names in the same order.
//!
//! Then all but the values is the same text, which is compared in pieces instead of being taken apart again. What is read
//! is what `json` would read; where a text has another shape, it says nothing, and the text is taken apart.

use std::ops::Range;

use super::json::{end_of_string, end_of_value};

/// What a value is of: numbered by whoever keeps the shape.
pub(super) type Slot = usize;

/// A text of JSON with gaps where its values stand.
#[derive(Debug)]
pub(super) struct Shape {
    /// The text between the values, all of it.
    text: String,
    /// Where the text before each value ends, and what the value is of, where anyone wants it.
    gaps: Vec<(usize, Option<Slot>)>,
}

impl Shape {
    /// The shape of a text that was taken apart, where `wanted` tells where values begin and what they are of. `None` when
    /// it cannot be told.
    pub(super) fn of(json: &str, wanted: &[(usize, Slot)]) -> Option<Self> {
        let bytes = json.as_bytes();
        let (mut text, mut gaps) = (String::new(), Vec::new());
        let (mut at, mut copied) = (0, 0);
        while let Some(byte) = bytes.get(at) {
            let end = match byte {
                b'{' | b'}' | b'[' | b']' | b',' | b':' => at + 1,
                byte if byte.is_ascii_whitespace() => at + 1,
                b'"' => {
                    let end = end_of_string(bytes, at)?;
                    let behind = bytes.get(end..)?.iter().find(|byte| !byte.is_ascii_whitespace());
                    if behind == Some(&b':') { end } else { 0 }
                }
                _ => 0,
            };
            if end > 0 {
                at = end;
                continue;
            }
            text.push_str(json.get(copied..at)?);
            let slot = wanted.iter().find(|(start, _)| *start == at).map(|(_, slot)| *slot);
            gaps.push((text.len(), slot));
            at = end_of_value(bytes, at)?;
            copied = at;
        }
        text.push_str(json.get(copied..)?);
        let shape = Self { text, gaps };
        let mut found = Vec::new();
        let is_whole = shape.values(json, &mut found)
            && found.len() == wanted.len()
            && wanted.iter().all(|(start, slot)| found.iter().any(|(of, value)| of == slot && value.start == *start));
        is_whole.then_some(shape)
    }

    /// Where the wanted values of a text of this shape stand, in `found`. False when it has another shape.
    pub(super) fn values(&self, json: &str, found: &mut Vec<(Slot, Range<usize>)>) -> bool {
        found.clear();
        let (bytes, text) = (json.as_bytes(), self.text.as_bytes());
        let (mut at, mut said) = (0, 0);
        for (end, slot) in &self.gaps {
            let (Some(between), Some(rest)) = (text.get(said..*end), bytes.get(at..)) else { return false };
            if !rest.starts_with(between) {
                return false;
            }
            at += between.len();
            said = *end;
            // An object or a list has a shape of its own.
            if matches!(bytes.get(at), Some(b'{' | b'[')) {
                return false;
            }
            let Some(end) = end_of_value(bytes, at) else { return false };
            if let Some(slot) = slot {
                found.push((*slot, at..end));
            }
            at = end;
        }
        bytes.get(at..) == text.get(said..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"n": 7, "min":{"a":"x, }\"","b":-1.5,"c":null}, "list":[1,"y"] ,"none":{}}"#;

    fn shape() -> Shape {
        let start = |value: &str| JSON.find(value).unwrap();
        Shape::of(JSON, &[(start("7"), 0), (start("\"x"), 4), (start("-1.5"), 5)]).unwrap()
    }

    fn values(json: &str) -> Option<Vec<(Slot, &str)>> {
        let mut found = Vec::new();
        let same = shape().values(json, &mut found);
        same.then(|| found.into_iter().map(|(slot, range)| (slot, &json[range])).collect())
    }

    #[test]
    fn values_of_one_shape_are_found() {
        assert_eq!(values(JSON).unwrap(), [(0, "7"), (4, r#""x, }\"""#), (5, "-1.5")]);
        let other = r#"{"n": null, "min":{"a":"","b":"text","c":2}, "list":[true,0] ,"none":{}}"#;
        assert_eq!(values(other).unwrap(), [(0, "null"), (4, "\"\""), (5, "\"text\"")]);
    }

    #[test]
    fn another_shape_is_told() {
        for other in [
            "",
            r#"{"n":7, "min":{"a":"x","b":-1.5,"c":null}, "list":[1,"y"] ,"none":{}}"#,
            r#"{"n": 7, "min":{"a":"x","b":{"c":1},"c":null}, "list":[1,"y"] ,"none":{}}"#,
            r#"{"n": 7, "min":{"a":"x","b":[1],"c":null}, "list":[1,"y"] ,"none":{}}"#,
            r#"{"n": 7, "min":{"b":"x","a":-1.5,"c":null}, "list":[1,"y"] ,"none":{}}"#,
            r#"{"n": 7, "min":{"a":"x","b":-1.5}, "list":[1,"y"] ,"none":{}}"#,
            r#"{"n": 7, "min":{"a":"x","b":-1.5,"c":null}, "list":[1,"y"] ,"none":{}} "#,
            r#"{"n": , "min":{"a":"x","b":-1.5,"c":null}, "list":[1,"y"] ,"none":{}}"#,
        ] {
            assert_eq!(values(other), None, "{other}");
        }
        for end in 0..JSON.len() {
            assert_eq!(values(&JSON[..end]), None, "cut off at {end}");
        }
        assert!(Shape::of(JSON, &[(3, 0)]).is_none(), "no value begins there");
    }
}
