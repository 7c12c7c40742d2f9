//! What a statement with an effect did, said in a FlightInfo.

use boathouse_engine::Outcome;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// `app_metadata` of the FlightInfo of a statement with an effect, as JSON: `{"effect":"changed","rows":3}`, for some with
/// `"parts":{"inserted":1,"updated":2,"deleted":0}`. The statement has run already. Absent for queries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "lowercase")]
pub enum Note {
    /// The one number of rows that the statement tells, and what it is made of, where that is told.
    Changed {
        rows: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parts: Option<Parts>,
    },
    /// A definition or a setting; the command tag as psql prints it.
    Done { tag: String },
}

/// What a statement did with rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    pub inserted: u64,
    pub updated: u64,
    pub deleted: u64,
}

impl Parts {
    /// Those of a statement that tells them.
    pub fn of(outcome: &Outcome) -> Option<Self> {
        match outcome {
            Outcome::Changed { inserted, updated, deleted, counted, .. } if counted.tells_parts() => {
                Some(Self { inserted: *inserted, updated: *updated, deleted: *deleted })
            }
            _ => None,
        }
    }

    /// Those of two runs of one statement.
    fn plus(self, other: Self) -> Self {
        Self {
            inserted: self.inserted + other.inserted,
            updated: self.updated + other.updated,
            deleted: self.deleted + other.deleted,
        }
    }
}

impl Note {
    /// What a run that changed rows tells, behind what the runs before it told; `None` for one that did something else.
    pub fn of_change(outcome: &Outcome, before: Option<&Self>) -> Option<Self> {
        let (rows, parts) = (outcome.count()?, Parts::of(outcome));
        Some(match before {
            Some(Self::Changed { rows: earlier, parts: others }) => {
                let parts = parts.map(|parts| parts.plus(others.unwrap_or_default()));
                Self::Changed { rows: earlier + rows, parts }
            }
            _ => Self::Changed { rows, parts },
        })
    }

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
        let note = Note::Changed { rows: 3, parts: None };
        assert_eq!(&note.write()[..], br#"{"effect":"changed","rows":3}"#);
        assert_eq!(Note::read(&note.write()), Some(note));
        let note = Note::Changed { rows: 3, parts: Some(Parts { inserted: 1, updated: 2, deleted: 0 }) };
        let text = br#"{"effect":"changed","rows":3,"parts":{"inserted":1,"updated":2,"deleted":0}}"#;
        assert_eq!(&note.write()[..], text);
        assert_eq!(Note::read(text), Some(note));
        assert_eq!(Note::read(b""), None);
    }
}
