//! Group commit: small appends to one table, of many clients at once, share commits.
//!
//! ```text
//! append --> waiting --(its turn)--> takes all that wait --> one file, one commit --> each has its answer
//! ```
//! While one commit is under way the next appends gather behind it: no one waits on purpose. Rows were checked before they
//! wait, and few rows of several appends are written into one file. An append is acknowledged when the commit that holds
//! it is durable. A group that cannot be committed is taken apart, so that each has its own outcome.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::sync::oneshot::{self, Receiver, Sender};

use super::{
    CommitInfo, Committed,
    commit::STATEMENT_CHARS_MAX,
    data::{FileLayout, Held, write_held},
    near_store::near_store,
    transaction::Transaction,
};
use crate::{Lake, StorageError, lake::Home, table::table_store};

/// Files that one shared commit adds at most; a larger append commits alone.
const GROUP_FILES_MAX: usize = 1_000;
/// Memory of the rows that one shared commit writes at most.
const GROUP_BYTES_MAX: usize = 32 << 20;

/// The appends of a lake that wait to be committed, by table. Safe to use from many tasks.
#[derive(Debug, Default)]
pub(crate) struct Groups(Mutex<HashMap<String, Weak<Group>>>);

/// Those of one table.
#[derive(Debug, Default)]
struct Group {
    waiting: Mutex<Vec<Waiting>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
struct Waiting {
    append: Transaction,
    /// Rows that are not in its files.
    held: Held,
    info: CommitInfo,
    answer: Sender<Answer>,
}

type Answer = Result<Committed, StorageError>;

impl Groups {
    /// Lets appends to a table wait until the guard is dropped.
    #[cfg(test)]
    pub(super) async fn hold(&self, location: &str) -> (Arc<impl Sized + use<>>, tokio::sync::OwnedMutexGuard<()>) {
        let group = self.of(location);
        let turn = group.turn.clone().lock_owned().await;
        (group, turn)
    }

    fn of(&self, location: &str) -> Arc<Group> {
        let mut groups = self.0.lock();
        if let Some(group) = groups.get(location).and_then(Weak::upgrade) {
            return group;
        }
        groups.retain(|_, group| group.strong_count() > 0);
        let group = Arc::new(Group::default());
        groups.insert(location.to_owned(), Arc::downgrade(&group));
        group
    }
}

/// Commits an append, together with others to the table that wait for the same.
///
/// A caller that goes away while it waits takes its append out; once the commit is under way it no longer can.
pub(super) async fn commit_append(lake: &Lake, append: Transaction, held: Held, info: &CommitInfo) -> Answer {
    info.timed(commit_in_turn(lake, append, held, info)).await
}

async fn commit_in_turn(lake: &Lake, append: Transaction, held: Held, info: &CommitInfo) -> Answer {
    let (answer, mut answered) = oneshot::channel();
    let waiting = Waiting { append, held, info: info.clone(), answer };
    if !waiting.can_share() {
        let home = lake.home();
        // Once begun it ends, with or without its caller.
        drop(tokio::spawn(async move { waiting.commit_alone(&home).await }));
        return answered.await.unwrap_or_else(|_| Err(lost()));
    }
    let group = lake.groups().of(waiting.append.base().location().as_str());
    group.waiting.lock().push(waiting);
    // Whoever has the turn may take this append along.
    let turn = tokio::select! {
        biased;
        answer = &mut answered => return answer.unwrap_or_else(|_| Err(lost())),
        turn = group.turn.clone().lock_owned() => turn,
    };
    // The answer may have come between the two looks.
    if let Ok(answer) = answered.try_recv() {
        return answer;
    }
    let (group, home) = (group.clone(), lake.home());
    let work = tokio::spawn(async move {
        let mut answered = answered;
        // More may wait than fit into one commit, this append among the last.
        loop {
            let waiting = take(&mut group.waiting.lock());
            if waiting.is_empty() {
                break;
            }
            commit_all(&home, waiting).await;
            if let Some(answer) = poll(&mut answered) {
                drop(turn);
                return answer;
            }
        }
        drop(turn);
        Err(lost())
    });
    work.await.unwrap_or_else(|error| Err(StorageError::Internal { message: format!("a commit failed: {error}") }))
}

fn poll(answered: &mut Receiver<Answer>) -> Option<Answer> {
    answered.try_recv().ok()
}

/// The appends of the next commit, in the order in which they came.
fn take(waiting: &mut Vec<Waiting>) -> Vec<Waiting> {
    // Whose caller went away.
    waiting.retain(|waiting| !waiting.answer.is_closed());
    let (mut files, mut bytes) = (0, 0);
    let fit = waiting.iter().take_while(|waiting| {
        files += waiting.append.added();
        bytes += waiting.held.bytes();
        files <= GROUP_FILES_MAX && bytes <= GROUP_BYTES_MAX
    });
    let count = fit.count().max(1).min(waiting.len());
    waiting.drain(..count).collect()
}

fn lost() -> StorageError {
    StorageError::Internal { message: "an append was lost while it waited".into() }
}

impl Waiting {
    fn can_share(&self) -> bool {
        let Self { append, info, .. } = self;
        info.idempotency_key.is_none() && append.is_plain_append() && append.added() <= GROUP_FILES_MAX
    }

    async fn commit_alone(self, home: &Home) {
        let Self { append, held, info, answer } = self;
        // Nobody left to tell is no failure.
        let _ = answer.send(commit_alone(home, append, &held, &info).await);
    }
}

async fn commit_alone(home: &Home, mut append: Transaction, held: &Held, info: &CommitInfo) -> Answer {
    write_into(home, &mut append, &[held]).await?;
    append.commit_at(home, info).await
}

/// Writes rows that were held, for a transaction on the table that they are for.
async fn write_into(home: &Home, append: &mut Transaction, held: &[&Held]) -> Result<(), StorageError> {
    if held.iter().all(|held| held.rows() == 0) {
        return Ok(());
    }
    let store = near_store(&home.stores, append.base())?;
    let files = write_held(&FileLayout::of_table(append.base()), held, &store).await?;
    append.append_written(files)
}

async fn commit_all(home: &Home, waiting: Vec<Waiting>) {
    let Some(newest) = waiting.iter().map(|one| one.append.base()).max_by_key(|base| base.version()).cloned() else {
        return;
    };
    // While these waited, the commit before them was made: what begins behind it does not run into it.
    let known = home.snapshots.known(newest.location()).await;
    let newest = known.filter(|known| known.version() > newest.version()).unwrap_or(newest);
    // An append that knows the table by another definition has its own conflict with it.
    let (mut together, alone): (Vec<Waiting>, Vec<Waiting>) = waiting.into_iter().partition(|one| {
        let (one, newest) = (one.append.base().log(), newest.log());
        one.metadata == newest.metadata && one.protocol == newest.protocol
    });
    for waiting in &mut together {
        waiting.append.rebase(&newest);
    }
    let apart = match together.len() {
        0 | 1 => together,
        _ => commit_together(home, together).await,
    };
    for waiting in apart.into_iter().chain(alone) {
        waiting.commit_alone(home).await;
    }
}

/// Commits all at once. Those that must be committed one by one come back.
async fn commit_together(home: &Home, waiting: Vec<Waiting>) -> Vec<Waiting> {
    let committed = match join(home, &waiting).await {
        Ok(joined) => joined.commit_at(home, &statements(&waiting)).await,
        Err(error) => Err(error),
    };
    match committed {
        Ok(Committed { version, .. }) => {
            for Waiting { append, held, answer, .. } in waiting {
                append.keep_files();
                let rows_inserted = append.operation().inserted + held.rows();
                let _ = answer.send(Ok(Committed { version, rows_inserted, ..Committed::default() }));
            }
            Vec::new()
        }
        Err(StorageError::Undecided { version, source, .. }) => {
            let reason = source.to_string();
            for Waiting { append, answer, .. } in waiting {
                append.keep_files();
                let table = append.base().name().to_owned();
                let source = object_store::Error::Generic { store: "log", source: reason.clone().into() };
                let _ = answer.send(Err(StorageError::Undecided { table, version, source }));
            }
            Vec::new()
        }
        // Nothing is in the log.
        Err(error) => {
            tracing::debug!(%error, "a group of appends is committed one by one");
            waiting
        }
    }
}

/// One transaction of all that wait, the rows that they hold in one file.
async fn join(home: &Home, waiting: &[Waiting]) -> Result<Transaction, StorageError> {
    let appends: Vec<&Transaction> = waiting.iter().map(|one| &one.append).collect();
    let first = appends.first().ok_or_else(lost)?;
    let store = table_store(&home.stores, first.base().location())?;
    let mut joined = Transaction::joined(store, &appends).ok_or_else(lost)?;
    let held: Vec<&Held> = waiting.iter().map(|one| &one.held).collect();
    write_into(home, &mut joined, &held).await?;
    Ok(joined)
}

/// What the history keeps of several statements.
fn statements(waiting: &[Waiting]) -> CommitInfo {
    let mut text = String::new();
    for statement in waiting.iter().filter_map(|one| one.info.statement.as_deref()) {
        if text.len() > STATEMENT_CHARS_MAX {
            break;
        }
        if !text.is_empty() {
            text.push_str("; ");
        }
        text.push_str(statement);
    }
    let users: BTreeSet<&str> = waiting.iter().filter_map(|one| one.info.user.as_deref()).collect();
    let users: Vec<&str> = users.into_iter().collect();
    let user = (!users.is_empty()).then(|| users.join(", "));
    CommitInfo { statement: (!text.is_empty()).then_some(text), user, ..CommitInfo::default() }
}
