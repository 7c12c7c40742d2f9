//! What a statement with an effect did, said in a FlightInfo.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// `app_metadata` of the FlightInfo of a statement with an effect, as JSON: `{"effect":"changed","rows":3}`. The statement
/// has run already. Absent for queries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "lowercase")]
pub enum Note {
    /// Rows inserted, updated and deleted, in sum.
    Changed { rows: u64 },
    /// A definition or a setting; the command tag as psql prints it.
    Done { tag: String },
}

impl Note {
    /// `None` for metadata that is not ours.
    pub fn read(metadata: &[u8]) -> Option<Self> {
        serde_json::from_slice(metadata).ok()
    }

    pub fn write(&self) -> Bytes {
        serde_json::to_vec(self).map(Bytes::from).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_plain_json() {
        let note = Note::Changed { rows: 3 };
        assert_eq!(&note.write()[..], br#"{"effect":"changed","rows":3}"#);
        assert_eq!(Note::read(&note.write()), Some(note));
        assert_eq!(Note::read(b""), None);
    }
}
