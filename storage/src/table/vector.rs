//! Deletion vectors as the protocol has them: where one lies, and which rows its bytes name.
//!
//! Delta protocol, "Deletion Vectors": the descriptor in the log, the file that holds several vectors, and the
//! `RoaringBitmapArray` that each of them is. Numbers of the file are big-endian, those of the bitmap little-endian.

use std::ops::Range;

use roaring::RoaringTreemap;
use url::Url;

use super::location::{self, FileLocation};
use crate::log::{DeletionVector, VectorFile, z85};

/// Before the bytes of a vector in a file stands their number, behind them their CRC-32.
const FRAME_BYTES: usize = 4;
/// The version of the file, its first byte.
pub(super) const FILE_VERSION: u8 = 1;
/// How a bitmap begins that is in the portable format.
const PORTABLE: u32 = 1_681_511_377;

/// Where the bytes of a vector are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the log.
    Inline(Vec<u8>),
    /// In a file, with what frames them.
    File(FileLocation, Range<u64>),
}

/// The URL of the file in which a vector of the table at `table` lies; `None` for one that the log holds. Says in words what
/// is wrong with its descriptor.
pub(crate) fn vector_url(table: &Url, vector: &DeletionVector) -> Result<Option<Url>, String> {
    let url = match vector.file()? {
        VectorFile::InLog => return Ok(None),
        VectorFile::Relative(path) => table.join(&path),
        VectorFile::Absolute(url) => Url::parse(&url),
    };
    url.map(Some).map_err(|error| format!("\"{}\" is no deletion vector: {error}", vector.path_or_inline_dv))
}

/// Where a vector of the table at `table` lies. Says in words what is wrong with its descriptor.
pub(super) fn place(table: &Url, vector: &DeletionVector) -> Result<Place, String> {
    let text = vector.path_or_inline_dv.as_str();
    let size = usize::try_from(vector.size_in_bytes).map_err(|_| "its size is negative")?;
    let file = match vector.file()? {
        VectorFile::InLog => {
            let mut bytes = z85::decode(text).ok_or("it is not in base 85")?;
            if bytes.len() < size {
                return Err(format!("it has {} bytes instead of {size}", bytes.len()));
            }
            // Base 85 takes bytes by fours.
            bytes.truncate(size);
            return Ok(Place::Inline(bytes));
        }
        VectorFile::Relative(path) | VectorFile::Absolute(path) => path,
    };
    let start = u64::try_from(vector.offset.unwrap_or(1)).map_err(|_| "its offset is negative")?;
    let location = location::resolve(table, &file).map_err(|error| error.to_string())?;
    Ok(Place::File(location, start..start + (size + 2 * FRAME_BYTES) as u64))
}

/// The bytes of a vector without what frames them in a file.
pub(super) fn unframed(framed: &[u8]) -> Result<&[u8], String> {
    let cut_off = || "it is cut off".to_owned();
    let (size, rest) = framed.split_first_chunk::<FRAME_BYTES>().ok_or_else(cut_off)?;
    let (bytes, sum) = rest.split_last_chunk::<FRAME_BYTES>().ok_or_else(cut_off)?;
    let size = u32::from_be_bytes(*size);
    if usize::try_from(size) != Ok(bytes.len()) {
        return Err(format!("its file says {size} bytes, the log {}", bytes.len()));
    }
    match crc32fast::hash(bytes) == u32::from_be_bytes(*sum) {
        true => Ok(bytes),
        false => Err("its checksum does not match".to_owned()),
    }
}

/// The rows that a vector hides, `cardinality` of them.
pub(super) fn decode(bytes: &[u8], cardinality: i64) -> Result<RoaringTreemap, String> {
    let (magic, bitmap) = bytes.split_first_chunk().ok_or("it is cut off")?;
    let magic = u32::from_le_bytes(*magic);
    if magic != PORTABLE {
        return Err(format!("its format is {magic}, which is not the portable one"));
    }
    let rows = RoaringTreemap::deserialize_from(bitmap).map_err(|error| error.to_string())?;
    match i64::try_from(rows.len()) == Ok(cardinality) {
        true => Ok(rows),
        false => Err(format!("it hides {} rows, the log says {cardinality}", rows.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(storage_type: &str, text: &str, offset: Option<i32>, size_in_bytes: i32) -> DeletionVector {
        let (storage_type, path_or_inline_dv) = (storage_type.to_owned(), text.to_owned());
        DeletionVector { storage_type, path_or_inline_dv, offset, size_in_bytes, cardinality: 2 }
    }

    fn file(vector: &DeletionVector) -> (String, String, Range<u64>) {
        match place(&Url::parse("s3://b/a%20lake/t/").unwrap(), vector).unwrap() {
            Place::File(location, range) => (location.store.as_str().to_owned(), location.path.to_string(), range),
            inline => panic!("{inline:?}"),
        }
    }

    #[test]
    fn places_are_those_of_the_protocol() {
        // The examples of the protocol.
        let name = "deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin";
        let found = file(&vector("u", "ab^-aqEH.-t@S}K{vb[*k^", Some(4), 40));
        assert_eq!(found, ("s3://b/".into(), format!("a lake/t/ab/{name}"), 4..52));
        let found = file(&vector("u", "^-aqEH.-t@S}K{vb[*k^", None, 40));
        assert_eq!(found, ("s3://b/".into(), format!("a lake/t/{name}"), 1..49));
        let found = file(&vector("p", "s3://other/x%20y/v.bin", Some(1), 8));
        assert_eq!(found, ("s3://other/".into(), "x y/v.bin".into(), 1..17));
        let table = Url::parse("file:///t/").unwrap();
        let inline = vector("i", "^Bg9^0rr910000000000iXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L", None, 44);
        let Place::Inline(bytes) = place(&table, &inline).unwrap() else { panic!("not inline") };
        assert_eq!(decode(&bytes, 6).unwrap().iter().collect::<Vec<_>>(), [3, 4, 7, 11, 18, 29]);
        for wrong in [
            vector("i", "wi5b=", None, 40),
            vector("i", "\u{e4}", None, 1),
            vector("u", "short", None, 1),
            vector("u", "ab^-aqEH.-t@S}K{vb[*k^", Some(-1), 1),
            vector("u", "ab^-aqEH.-t@S}K{vb[*k^", None, -1),
            vector("u", "\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}x", None, 1),
            vector("x", "ab^-aqEH.-t@S}K{vb[*k^", None, 1),
        ] {
            assert!(place(&table, &wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn vectors_have_the_urls_of_their_files() {
        let table = Url::parse("s3://b/t/").unwrap();
        let url =
            |kind: &str, name: &str| vector_url(&table, &vector(kind, name, None, 4)).map(|url| url.map(String::from));
        let named = "s3://b/t/ab/deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin";
        assert_eq!(url("u", "ab^-aqEH.-t@S}K{vb[*k^"), Ok(Some(named.to_owned())));
        assert_eq!(url("p", "s3://o/v.bin"), Ok(Some("s3://o/v.bin".to_owned())));
        assert_eq!(url("i", "wi5b="), Ok(None));
        for (kind, name) in [("u", "short"), ("u", "ab^-aqEH.-t@S}K{vb[*k~"), ("x", "y"), ("p", "no url")] {
            assert!(url(kind, name).is_err(), "{kind} {name}");
        }
    }

    #[test]
    fn what_is_damaged_is_not_believed() {
        let rows: RoaringTreemap = [1, 4, 1 << 33].into_iter().collect();
        let mut bytes = PORTABLE.to_le_bytes().to_vec();
        rows.serialize_into(&mut bytes).unwrap();
        assert_eq!(decode(&bytes, 3).unwrap(), rows);
        assert!(decode(&bytes, 4).unwrap_err().contains("hides 3 rows"));
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end], 3).is_err(), "{end}");
        }
        let mut framed = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        framed.extend(&bytes);
        framed.extend(crc32fast::hash(&bytes).to_be_bytes());
        assert_eq!(unframed(&framed).unwrap(), bytes);
        for at in 0..framed.len() {
            let mut damaged = framed.clone();
            damaged[at] ^= 2;
            assert!(unframed(&damaged).is_err(), "{at}");
        }
        assert!(unframed(&framed[..6]).is_err());
    }
}
