//! Base 85 as ZeroMQ has it (RFC 32): five characters are four bytes. Deletion vectors and their names stand so in the log.

const ALPHABET: &[u8; 85] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// The bytes of a text; `None` when it is none.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 5 * 4);
    for group in text.as_bytes().chunks(5) {
        let mut number = 0_u64;
        for byte in group {
            number = number * 85 + ALPHABET.iter().position(|c| c == byte)? as u64;
        }
        bytes.extend(u32::try_from(number).ok().filter(|_| group.len() == 5)?.to_be_bytes());
    }
    Some(bytes)
}

/// Big end first; the last group is filled with zeros.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(4) * 5);
    for group in bytes.chunks(4) {
        let mut four = [0; 4];
        four[..group.len()].copy_from_slice(group);
        let number = u32::from_be_bytes(four) as usize;
        text.extend([52_200_625, 614_125, 7_225, 85, 1].map(|power| char::from(ALPHABET[number / power % 85])));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back() {
        // The example of the RFC.
        let bytes = [0x86, 0x4F, 0xD2, 0x6F, 0xB5, 0x59, 0xF7, 0x5B];
        assert_eq!(encode(&bytes), "HelloWorld");
        assert_eq!(decode("HelloWorld").unwrap(), bytes);
        assert_eq!(decode(&encode(&[1, 2, 3])).unwrap(), [1, 2, 3, 0]);
        for wrong in ["Hell", "Hello~", "#####", "ä2345"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
