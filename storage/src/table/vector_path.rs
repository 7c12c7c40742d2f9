//! Where deletion vectors lie that have files of their own.
//!
//! Delta protocol, "Deletion Vectors": `u` names a file in the table's folder by a folder's name, which may be empty, and
//! a UUID in Z85 (ZeroMQ RFC 32), `p` any file by its URL, `i` holds the vector itself.

use url::Url;
use uuid::Uuid;

const ALPHABET: &[u8; 85] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
const UUID_CHARS: usize = 20;

/// The URL of a vector's file; `None` for one that the log holds. The error says what is wrong with its name.
pub(crate) fn vector_url(table: &Url, storage_type: &str, path_or_inline: &str) -> Result<Option<Url>, String> {
    let wrong = || format!("\"{path_or_inline}\" is no deletion vector of type \"{storage_type}\"");
    match storage_type {
        "i" => Ok(None),
        "p" => Url::parse(path_or_inline).map(Some).map_err(|_| wrong()),
        "u" => {
            let start = path_or_inline.len().checked_sub(UUID_CHARS).ok_or_else(wrong)?;
            let (folder, id) = path_or_inline.split_at_checked(start).ok_or_else(wrong)?;
            let id = uuid(id.as_bytes()).ok_or_else(wrong)?;
            let file = format!("deletion_vector_{id}.bin");
            let path = if folder.is_empty() { file } else { format!("{folder}/{file}") };
            table.join(&path).map(Some).map_err(|_| wrong())
        }
        _ => Err(wrong()),
    }
}

fn uuid(text: &[u8]) -> Option<Uuid> {
    let mut bytes = Vec::with_capacity(16);
    for five in text.chunks(5) {
        let mut value: u32 = 0;
        for byte in five {
            let digit = ALPHABET.iter().position(|letter| letter == byte)?;
            value = value.checked_mul(85)?.checked_add(u32::try_from(digit).ok()?)?;
        }
        bytes.extend(value.to_be_bytes());
    }
    Uuid::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_files() {
        let table = Url::parse("s3://b/t/").unwrap();
        let url = |storage_type: &str, name: &str| {
            vector_url(&table, storage_type, name).map(|url| url.map(|url| url.to_string()))
        };
        // The example of the protocol.
        assert_eq!(
            url("u", "ab^-aqEH.-t@S}K{vb[*k^"),
            Ok(Some("s3://b/t/ab/deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin".to_owned()))
        );
        assert_eq!(url("p", "s3://o/v.bin"), Ok(Some("s3://o/v.bin".to_owned())));
        assert_eq!(url("i", "wi5b=000010000siXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L"), Ok(None));
        for (kind, name) in [("u", "short"), ("u", "ab^-aqEH.-t@S}K{vb[*k~"), ("x", "y"), ("p", "no url")] {
            assert!(url(kind, name).is_err(), "{kind} {name}");
        }
    }
}
