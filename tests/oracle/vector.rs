//! Deletion vectors as the protocol stores them inside the log ("Deletion Vector Format").

const Z85: &[u8; 85] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
/// Of a RoaringBitmapArray in its portable form.
const MAGIC: u32 = 1_681_511_377;
/// Of a 32-bit bitmap without runs.
const COOKIE: u32 = 12_346;

/// The JSON of a descriptor that hides these positions: at least one, all below 65,536, ascending.
pub fn inline(positions: &[u32]) -> String {
    let mut bytes = vec![];
    bytes.extend(MAGIC.to_le_bytes());
    bytes.extend(1_u64.to_le_bytes());
    bytes.extend(0_u32.to_le_bytes());
    // One container of sorted 16-bit values: cookie, containers, then key, values - 1, and where the values begin.
    bytes.extend(COOKIE.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(0_u16.to_le_bytes());
    bytes.extend((positions.len() as u16 - 1).to_le_bytes());
    bytes.extend(16_u32.to_le_bytes());
    positions.iter().for_each(|position| bytes.extend((*position as u16).to_le_bytes()));
    let size = bytes.len();
    format!(
        r#"{{"storageType":"i","pathOrInlineDv":"{}","sizeInBytes":{size},"cardinality":{}}}"#,
        z85(&bytes),
        positions.len()
    )
}

/// Five characters for four bytes, big end first; the last group is filled with zeros.
fn z85(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(4) {
        let mut four = [0; 4];
        four[..group.len()].copy_from_slice(group);
        let number = u32::from_be_bytes(four);
        text.extend((0..5).rev().map(|power| Z85[(number / 85_u32.pow(power) % 85) as usize] as char));
    }
    text
}
