//! The subject of a certificate as text, as RFC 4514 writes it: the most special part first, `CN=etl,O=Acme`.

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
const UTF8: u8 = 0x0c;
const PRINTABLE: u8 = 0x13;
const IA5: u8 = 0x16;

/// Names of attributes by their ids as DER has them (RFC 4514, section 3).
const ATTRIBUTES: [(&[u8], &str); 9] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
];

/// `None` for a certificate without a subject, or with one of attributes or texts that are not known here.
pub(crate) fn subject(certificate: &CertificateDer<'_>) -> Option<String> {
    let parsed = EndEntityCert::try_from(certificate).ok()?;
    text(parsed.subject()).filter(|text| !text.is_empty())
}

/// The sets of a name, in DER.
fn text(mut name: &[u8]) -> Option<String> {
    let mut parts: Vec<String> = Vec::new();
    while !name.is_empty() {
        let mut set = take(&mut name, SET)?;
        let mut values: Vec<String> = Vec::new();
        while !set.is_empty() {
            values.push(attribute(take(&mut set, SEQUENCE)?)?);
        }
        parts.push(values.join("+"));
    }
    parts.reverse();
    Some(parts.join(","))
}

fn attribute(mut pair: &[u8]) -> Option<String> {
    let id = take(&mut pair, OBJECT_ID)?;
    let (_, name) = ATTRIBUTES.iter().find(|(known, _)| *known == id)?;
    let kind = *pair.first()?;
    if !matches!(kind, UTF8 | PRINTABLE | IA5) {
        return None;
    }
    let value = std::str::from_utf8(take(&mut pair, kind)?).ok()?;
    Some(format!("{name}={}", escaped(value)))
}

/// RFC 4514, section 2.4.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.extend(['\\', c]),
            '#' if at == 0 => text.push_str("\\#"),
            ' ' if at == 0 || at == last => text.push_str("\\ "),
            c if c.is_control() => text.extend(c.to_string().bytes().map(|byte| format!("\\{byte:02x}"))),
            c => text.push(c),
        }
    }
    text
}

/// The contents of the value that comes next, which must be of this kind.
fn take<'a>(der: &mut &'a [u8], kind: u8) -> Option<&'a [u8]> {
    let (first, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        ..=0x7f => (usize::from(*length), rest),
        0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
        0x82 => {
            rest.split_at_checked(2).map(|(bytes, rest)| (usize::from(bytes[0]) << 8 | usize::from(bytes[1]), rest))?
        }
        _ => return None,
    };
    let (contents, after) = rest.split_at_checked(length).filter(|_| *first == kind)?;
    *der = after;
    Some(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(kind: u8, contents: &[u8]) -> Vec<u8> {
        let mut der = vec![kind];
        match contents.len() {
            length @ 0..0x80 => der.push(length as u8),
            length => der.extend([0x81, length as u8]),
        }
        der.extend(contents);
        der
    }

    fn part(id: &[u8], kind: u8, value: &str) -> Vec<u8> {
        der(SET, &der(SEQUENCE, &[der(OBJECT_ID, id), der(kind, value.as_bytes())].concat()))
    }

    #[test]
    fn a_name_is_written_backwards_and_escaped() {
        let (country, name) = (part(ATTRIBUTES[5].0, PRINTABLE, "DE"), part(ATTRIBUTES[0].0, UTF8, " ä, \"x\" #"));
        assert_eq!(text(&[country.clone(), name].concat()).as_deref(), Some("CN=\\ ä\\, \\\"x\\\" #,C=DE"));
        let long = "x".repeat(200);
        assert_eq!(text(&part(ATTRIBUTES[3].0, UTF8, &long)), Some(format!("O={long}")));
        assert_eq!(text(&[]).as_deref(), Some(""));
    }

    #[test]
    fn what_is_not_known_is_no_subject() {
        assert_eq!(text(&part(&[0x55, 4, 99], UTF8, "x")), None);
        let whole = part(ATTRIBUTES[0].0, UTF8, "ada");
        for end in 1..whole.len() {
            assert_eq!(text(&whole[..end]), None, "{end}");
        }
    }
}
