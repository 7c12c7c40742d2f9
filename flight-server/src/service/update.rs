//! Statements with an effect: run once, whichever call brought them.

use arrow::array::RecordBatch;
use boathouse_engine::{Effect, Outcome, Pins, Prepared, Session};
use tonic::{Code, Status};

use super::{flight::Shared, note::Note, parameters, session::Caller};
use crate::{status, ticket::Ticket};

/// DoPut update: plans and runs; returns the number of rows that it tells, 0 when the statement changes a definition.
pub async fn put(
    shared: &Shared,
    caller: &mut Caller,
    statement: &Ticket,
    batches: &[RecordBatch],
) -> Result<i64, Status> {
    let prepared = shared.plans.prepared(caller, statement).await?;
    match prepared.effect() {
        Effect::Change | Effect::Define => {}
        Effect::Rows => {
            let text = "the statement returns rows and changes nothing\nHINT: Run it as a query, not as an update.";
            return Err(Status::invalid_argument(text));
        }
    }
    Ok(match run(shared, caller, prepared, batches).await? {
        Note::Changed { rows, .. } => i64::try_from(rows).unwrap_or(i64::MAX),
        Note::Done { .. } => 0,
    })
}

/// Runs a planned statement for the rows of parameters that were bound: in one commit, when the statement can take them all
/// at once, as an INSERT of one row of VALUES can.
///
/// Otherwise it runs once per row. Each run commits by itself; the first failure ends it. Under an idempotency key each row
/// has a key of its own: sent again, rows that are in the table are not added twice.
pub async fn run(
    shared: &Shared,
    caller: &mut Caller,
    mut prepared: Prepared,
    batches: &[RecordBatch],
) -> Result<Note, Status> {
    let total = batches.iter().map(RecordBatch::num_rows).sum::<usize>();
    if total > 1 && prepared.takes_rows() {
        let outcome = caller.session.run_rows(&prepared, batches.to_vec()).await.map_err(status::from_engine)?;
        return Note::of_change(&outcome, None).ok_or_else(|| Status::internal("rows were added without a count"));
    }
    let rows = parameters::rows(batches)?;
    let total = rows.len();
    let mut keys = RowKeys::of(&caller.session, total);
    let mut note = None;
    for (index, parameters) in rows.iter().enumerate() {
        keys.begin(&caller.session, index);
        let outcome = async {
            // A plan that reads tables is bound to their versions: the next run must see what the one before wrote.
            if index > 0 && !prepared.pins().is_empty() {
                prepared = caller.session.prepare_as(&caller.origin(), prepared.sql(), &Pins::new()).await?;
            }
            caller.session.run(&prepared, parameters).await
        };
        let outcome = outcome.await.map_err(|error| {
            keys.failed(&caller.session);
            failed_row(status::from_engine(error), index, total)
        })?;
        keys.ran(&caller.session);
        note = match outcome {
            Outcome::Changed { .. } => Note::of_change(&outcome, note.as_ref()),
            Outcome::Done(tag) => {
                shared.sessions.ran(caller, tag);
                Some(Note::Done { tag: tag.to_owned() })
            }
            Outcome::Rows(_) => return Err(Status::internal("a statement with an effect returned rows")),
        };
    }
    keys.end(&caller.session);
    note.ok_or_else(|| status::malformed("no row of parameters"))
}

/// The idempotency keys of a statement that runs for several rows.
struct RowKeys {
    key: Option<String>,
    taken: bool,
}

impl RowKeys {
    /// A statement that runs once leaves its key to the session.
    fn of(session: &Session, rows: usize) -> Self {
        Self { key: session.idempotency_key().filter(|_| rows > 1), taken: false }
    }

    /// The first row has the statement's own key; no client can write those of the others.
    fn begin(&self, session: &Session, index: usize) {
        if let Some(key) = self.key.as_ref().filter(|_| index > 0) {
            session.set_idempotency_key(Some(format!("{key}\u{1f}{index}")));
        }
    }

    fn ran(&mut self, session: &Session) {
        self.taken |= session.idempotency_key().is_none();
    }

    /// The key stays for the client, who may send the statement again.
    fn failed(&self, session: &Session) {
        if self.key.is_some() {
            session.set_idempotency_key(self.key.clone());
        }
    }

    /// As after a statement that ran once: a change takes the key.
    fn end(self, session: &Session) {
        if self.key.is_some() {
            session.set_idempotency_key(self.key.filter(|_| !self.taken));
        }
    }
}

fn failed_row(status: Status, index: usize, total: usize) -> Status {
    if total < 2 || status.code() == Code::Internal {
        return status;
    }
    let row = index + 1;
    let before = if index == 0 { "no row was" } else { "the rows before it were" };
    let detail = format!("{}\nDETAIL: Row {row} of {total} parameter rows; {before} applied.", status.message());
    Status::new(status.code(), detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_row_is_named_among_many() {
        let status = failed_row(Status::invalid_argument("no"), 2, 5);
        assert_eq!(status.message(), "no\nDETAIL: Row 3 of 5 parameter rows; the rows before it were applied.");
        assert_eq!(failed_row(Status::invalid_argument("no"), 0, 1).message(), "no");
    }
}
