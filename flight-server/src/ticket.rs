//! What a client hands back: tickets and the handles of prepared statements.
//!
//! The server keeps nothing between two calls, but for jobs, which a ticket can only name. Any other ticket holds all that is needed to plan the statement again, on the same
//! versions of the same tables, so any replica and any connection can redeem it, twice too. A statement with an effect has
//! run before its ticket is made; the ticket then holds the result and cannot run anything.
//!
//! A ticket grants nothing: it is redeemed with the rights that its bearer has then. It names the user to whom it was given,
//! and is refused to all others; whoever writes another name into it has only written a statement of their own.

use std::io::Cursor;

use arrow::{
    array::RecordBatch,
    error::ArrowError,
    ipc::{reader::StreamReader, writer::StreamWriter},
};
use bytes::Bytes;
use prost::Message;
use tonic::Status;
use uuid::Uuid;

use crate::{
    service::{Note, Parts},
    status,
};

/// Raised when the fields change their meaning, so that an old ticket is refused instead of misread.
const FORMAT: u32 = 2;

/// A statement on its way to be run, or its result.
#[derive(Clone, PartialEq, Message)]
pub struct Ticket {
    #[prost(uint32, tag = "1")]
    format: u32,
    /// Names the statement for those who cancel it.
    #[prost(string, tag = "2")]
    pub id: String,
    #[prost(string, tag = "3")]
    pub sql: String,
    /// An Arrow stream with a column per parameter, in order; empty when nothing is bound.
    #[prost(bytes = "bytes", tag = "4")]
    parameters: Bytes,
    /// The session's settings that differ from the defaults.
    #[prost(message, repeated, tag = "5")]
    settings: Vec<Setting>,
    #[prost(message, repeated, tag = "6")]
    pins: Vec<Pin>,
    /// What the statement did, when it had an effect.
    #[prost(message, optional, tag = "7")]
    pub effect: Option<EffectResult>,
    /// The user to whom it was given.
    #[prost(string, tag = "8")]
    owner: String,
    /// A part of the result of the job that `id` names, which runs by itself.
    #[prost(uint32, optional, tag = "9")]
    pub part: Option<u32>,
}

/// The result of a statement with an effect.
#[derive(Clone, PartialEq, Message)]
pub struct EffectResult {
    /// The number of rows that it tells; unset when the statement changed a definition or a setting.
    #[prost(uint64, optional, tag = "1")]
    pub rows: Option<u64>,
    /// What the number is made of: rows inserted, updated and deleted, where that is told.
    #[prost(message, optional, tag = "2")]
    parts: Option<Counts>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Counts {
    #[prost(uint64, tag = "1")]
    inserted: u64,
    #[prost(uint64, tag = "2")]
    updated: u64,
    #[prost(uint64, tag = "3")]
    deleted: u64,
}

impl EffectResult {
    pub fn of(note: &Note) -> Self {
        match note {
            Note::Changed { rows, parts } => {
                let counts =
                    |parts: Parts| Counts { inserted: parts.inserted, updated: parts.updated, deleted: parts.deleted };
                Self { rows: Some(*rows), parts: parts.map(counts) }
            }
            Note::Done { .. } => Self::default(),
        }
    }

    pub fn parts(&self) -> Option<Parts> {
        self.parts.map(|Counts { inserted, updated, deleted }| Parts { inserted, updated, deleted })
    }
}

#[derive(Clone, PartialEq, Message)]
struct Setting {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Pin {
    #[prost(string, tag = "1")]
    table: String,
    #[prost(uint64, tag = "2")]
    version: u64,
}

impl Ticket {
    /// A statement, not yet bound to parameters or versions.
    pub fn new(sql: &str, settings: Vec<(String, String)>) -> Self {
        Self {
            format: FORMAT,
            sql: sql.to_owned(),
            settings: settings.into_iter().map(|(name, value)| Setting { name, value }).collect(),
            ..Self::default()
        }
    }

    /// The result of a statement that has run.
    pub fn done(effect: EffectResult) -> Self {
        Self { format: FORMAT, effect: Some(effect), ..Self::default() }
    }

    /// A part of the result of a job.
    pub fn part_of(job: Uuid, part: u32) -> Self {
        Self { format: FORMAT, id: job.to_string(), part: Some(part), ..Self::default() }
    }

    /// What a client gets to hand back.
    pub fn give_to(&self, owner: &str) -> Bytes {
        Self { owner: owner.to_owned(), ..self.clone() }.encode_to_vec().into()
    }

    /// Reads what a client handed back, who must be the one who got it; `what` is its name in the error.
    pub fn take(bytes: &[u8], what: &str, owner: &str) -> Result<Self, Status> {
        let ticket = <Self as Message>::decode(bytes).ok().filter(|ticket| ticket.format == FORMAT);
        let ticket = ticket.ok_or_else(|| status::malformed(&format!("this server did not make this {what}")))?;
        match ticket.owner == owner {
            true => Ok(ticket),
            false => Err(Status::permission_denied(format!("this {what} was given to another user"))),
        }
    }

    pub fn settings(&self) -> Vec<(String, String)> {
        self.settings.iter().map(|setting| (setting.name.clone(), setting.value.clone())).collect()
    }

    pub fn pins(&self) -> Vec<(String, u64)> {
        self.pins.iter().map(|pin| (pin.table.clone(), pin.version)).collect()
    }

    pub fn set_pins(&mut self, pins: &[(String, u64)]) {
        self.pins = pins.iter().map(|(table, version)| Pin { table: table.clone(), version: *version }).collect();
    }

    /// Batches of parameter rows.
    pub fn parameters(&self) -> Result<Vec<RecordBatch>, ArrowError> {
        if self.parameters.is_empty() {
            return Ok(Vec::new());
        }
        StreamReader::try_new(Cursor::new(&self.parameters), None)?.collect()
    }

    /// Replaces the parameters.
    pub fn set_parameters(&mut self, batches: &[RecordBatch]) -> Result<(), ArrowError> {
        let Some(first) = batches.first() else {
            self.parameters = Bytes::new();
            return Ok(());
        };
        let mut writer = StreamWriter::try_new(Vec::new(), first.schema_ref())?;
        for batch in batches {
            writer.write(batch)?;
        }
        self.parameters = writer.into_inner()?.into();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    #[test]
    fn a_ticket_survives_the_client() {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let batch = RecordBatch::try_from_iter([("1", column)]).unwrap();
        let mut ticket = Ticket::new("SELECT $1", vec![("time_zone".to_owned(), "UTC".to_owned())]);
        ticket.set_parameters(std::slice::from_ref(&batch)).unwrap();
        ticket.set_pins(&[("main.orders".to_owned(), 41)]);

        let back = Ticket::take(&ticket.give_to("ann"), "ticket", "ann").unwrap();

        assert_eq!(back.sql, ticket.sql);
        assert_eq!(back.parameters().unwrap(), [batch]);
        assert_eq!(back.pins(), [("main.orders".to_owned(), 41)]);
        assert_eq!(back.settings(), [("time_zone".to_owned(), "UTC".to_owned())]);
    }

    #[test]
    fn foreign_bytes_are_refused() {
        for bytes in [&b""[..], b"SELECT 1", &[0xff; 40]] {
            let error = Ticket::take(bytes, "ticket", "").unwrap_err();
            assert_eq!(error.code(), tonic::Code::InvalidArgument);
            assert!(error.message().contains("ticket"));
        }
    }

    #[test]
    fn a_ticket_is_for_its_owner() {
        let ticket = Ticket::new("SELECT 1", Vec::new()).give_to("ann");
        let error = Ticket::take(&ticket, "ticket", "bob").unwrap_err();
        assert_eq!(
            (error.code(), error.message()),
            (tonic::Code::PermissionDenied, "this ticket was given to another user")
        );
    }
}
