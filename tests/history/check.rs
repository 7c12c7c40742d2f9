//! Whether there is an order of all operations that explains what every client was told: the order of the versions.
//!
//! Each version must hold what its operations make of the version before it. Tables whose isolation is not
//! `Serializable` may leave out rows that were appended blindly after a statement began to read: these rows are hidden
//! from it here, as Delta's "write serializable" allows, and from nothing else.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    operation::{ACCOUNTS, MONEY_EACH, Operation, Row, SERIALIZABLE, fingerprint_of},
    record::{Answer, Entry},
};

/// A version as its log entry tells of it, and the rows that a reader finds in it.
#[derive(Debug)]
pub struct Version {
    pub number: u64,
    pub operations: Vec<u64>,
    /// Files became cold, and no row changed.
    pub is_move: bool,
    pub read: u64,
    pub blind: bool,
    pub rows: Vec<(i64, i64)>,
}

/// All versions of a table from the one before the first operation, and all tries of its operations.
pub struct History<'a> {
    pub table: &'static str,
    pub versions: &'a [Version],
    pub operations: BTreeMap<u64, (Operation, Vec<Entry>)>,
}

/// Of each operation its version, and how many rows it changed there.
type Counts = BTreeMap<u64, (u64, u64)>;

/// When clients knew of a version at the earliest and at the latest.
#[derive(Debug, Default)]
struct Clock {
    /// Ends of operations, and the newest version that had been told until then.
    told: Vec<(u64, u64)>,
}

impl History<'_> {
    /// Everything that has no explanation.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = vec![];
        let (states, counts) = self.replay(&mut faults);
        let clock = self.clock();
        for (operation, tries) in self.operations.values() {
            let found = counts.get(&operation.id).copied();
            let told = self.answers_differ(operation, tries, found).into_iter();
            let order = self.order_differs(operation, tries, found, &clock, &states);
            let place = |fault: String| format!("{}: {fault}\n  {operation:?}\n  {tries:?}", self.table);
            faults.extend(told.chain(order).map(place));
        }
        faults
    }

    fn first(&self) -> u64 {
        self.versions[0].number
    }

    /// The rows of every version by the model; and of every operation its version, and how many rows it changed.
    fn replay(&self, faults: &mut Vec<String>) -> (Vec<Vec<Row>>, Counts) {
        let first = &self.versions[0];
        let mut rows: Vec<Row> =
            first.rows.iter().map(|(key, value)| Row { key: *key, value: *value, appended: None }).collect();
        let (mut states, mut counts) = (vec![rows.clone()], Counts::new());
        for version in &self.versions[1..] {
            let number = version.number;
            if version.operations.is_empty() && !version.is_move {
                faults.push(format!("{}: nobody knows of version {number}", self.table));
            }
            for id in &version.operations {
                let Some((operation, _)) = self.operations.get(id) else {
                    faults.push(format!("{}: version {number} is of operation {id}, which nobody sent", self.table));
                    continue;
                };
                let count = self.step(operation, version, &mut rows, &states);
                if let Some((earlier, _)) = counts.insert(*id, (number, count)) {
                    faults.push(format!("{}: {operation:?} is in version {earlier} and in {number}", self.table));
                }
            }
            let mut expected: Vec<(i64, i64)> = rows.iter().map(|row| (row.key, row.value)).collect();
            expected.sort_unstable();
            if expected != version.rows {
                faults.push(self.unlike(version, &expected));
                // Each fault once: what follows is held against what is there.
                rows =
                    version.rows.iter().map(|(key, value)| Row { key: *key, value: *value, appended: None }).collect();
            }
            self.money(version, faults);
            states.push(rows.clone());
        }
        (states, counts)
    }

    /// `states` are the versions before this one.
    fn step(&self, operation: &Operation, version: &Version, rows: &mut Vec<Row>, states: &[Vec<Row>]) -> u64 {
        // A version that does not exist yet leaves nothing, which is not what is there.
        let restored = operation.restores().map(|to| self.state(to, states).cloned().unwrap_or_default());
        let apply = |rows: &mut Vec<Row>| match &restored {
            Some(restored) => {
                rows.clone_from(restored);
                0
            }
            None => operation.apply(rows),
        };
        let before = rows.len();
        if version.blind {
            let count = apply(rows);
            rows[before..].iter_mut().for_each(|row| row.appended = Some(version.number));
            return count;
        }
        if SERIALIZABLE.contains(&self.table) {
            return apply(rows);
        }
        let (hidden, mut seen): (Vec<Row>, Vec<Row>) =
            rows.drain(..).partition(|row| row.appended.is_some_and(|version_of_row| version_of_row > version.read));
        let count = apply(&mut seen);
        rows.extend(seen.into_iter().chain(hidden));
        count
    }

    fn state<'a>(&self, version: u64, states: &'a [Vec<Row>]) -> Option<&'a Vec<Row>> {
        states.get(usize::try_from(version.checked_sub(self.first())?).ok()?)
    }

    fn unlike(&self, version: &Version, expected: &[(i64, i64)]) -> String {
        let only = |some: &[(i64, i64)], others: &[(i64, i64)]| {
            some.iter().filter(|row| others.binary_search(row).is_err()).take(5).copied().collect::<Vec<_>>()
        };
        let operations: Vec<_> = version.operations.iter().filter_map(|id| self.operations.get(id)).collect();
        format!(
            "{}: version {} has {} rows, its operations leave {}: too many {:?}, missing {:?} (or some twice)\n  \
             read version {}, blind {}, {operations:?}",
            self.table,
            version.number,
            version.rows.len(),
            expected.len(),
            only(&version.rows, expected),
            only(expected, &version.rows),
            version.read,
            version.blind,
        )
    }

    fn money(&self, version: &Version, faults: &mut Vec<String>) {
        let keys: BTreeSet<i64> = version.rows.iter().map(|(key, _)| *key).collect();
        let money: i64 = version.rows.iter().map(|(_, value)| value).sum();
        let whole = version.rows.len() == keys.len() && keys.len() as i64 == ACCOUNTS && money == ACCOUNTS * MONEY_EACH;
        if self.table == "account" && !whole {
            faults.push(format!(
                "{}: money {money} in {} accounts of version {}",
                self.table,
                keys.len(),
                version.number
            ));
        }
    }

    /// What a client was told of its operation, against the version that has it.
    fn answers_differ(&self, operation: &Operation, tries: &[Entry], found: Option<(u64, u64)>) -> Option<String> {
        if !operation.changes_rows() {
            return None;
        }
        let answers: Vec<Option<&Answer>> =
            tries.iter().map(|entry| entry.ended.as_ref().map(|(_, told)| told)).collect();
        for answer in answers.iter().flatten() {
            match (answer, found) {
                // A RESTORE tells the rows of whole files, of which nothing is known here.
                (Answer::Changed { version: Some(version), .. }, Some(found))
                    if operation.restores().is_some() && *version == found.0 => {}
                (Answer::Changed { rows, version: Some(version) }, Some(found)) if (*version, *rows) != found => {
                    return Some(format!("told of version {version} and {rows} rows, found {found:?}"));
                }
                (Answer::Changed { version: Some(version), .. }, None) => {
                    return Some(format!("acknowledged in version {version}, and in none"));
                }
                (Answer::Changed { rows, version: None }, None) if *rows > 0 => {
                    return Some(format!("{rows} rows changed in no version"));
                }
                (Answer::Changed { version: None, .. }, Some(found)) => {
                    return Some(format!("told that there was nothing to do, found {found:?}"));
                }
                _ => {}
            }
        }
        let refused = answers.iter().all(|answer| matches!(answer, Some(Answer::Refused(_))));
        (refused && found.is_some()).then(|| format!("refused, and found {found:?}"))
    }

    /// Whether what it did or saw lies between what was told before it began and what had begun before it ended.
    fn order_differs(
        &self,
        operation: &Operation,
        tries: &[Entry],
        found: Option<(u64, u64)>,
        clock: &Clock,
        states: &[Vec<Row>],
    ) -> Option<String> {
        let began = tries.first()?.began;
        let known = clock.newest(began).max(self.first());
        if let Some((version, _)) = found {
            return (version <= known).then(|| format!("in version {version}, but version {known} was told of before"));
        }
        let (ended, answer) = tries.iter().rev().find_map(|entry| entry.ended.as_ref())?;
        let window = self.versions.iter().zip(states).filter(|(version, _)| {
            let starts = version.operations.iter().filter_map(|id| Some(self.operations.get(id)?.1.first()?.began));
            version.number >= known && starts.min().is_none_or(|start| start <= *ended)
        });
        let mut window = window.map(|(_, rows)| rows);
        match answer {
            Answer::Read { version: Some(version), fingerprint } => {
                let rows = states.get((*version - self.first().min(*version)) as usize)?;
                let expected = fingerprint_of(rows);
                (*version >= self.first() && expected != *fingerprint)
                    .then(|| format!("version {version} was {fingerprint:?}, is {expected:?}"))
            }
            Answer::Read { version: None, fingerprint } => {
                let seen = window.any(|rows| fingerprint_of(rows) == *fingerprint);
                (!seen).then(|| format!("read {fingerprint:?}, which no version from {known} on has"))
            }
            Answer::Changed { version: None, .. } if operation.changes_rows() => {
                let nothing = window.any(|rows| operation.apply(&mut rows.clone()) == 0);
                (!nothing).then(|| format!("nothing to do, but there was in every version from {known} on"))
            }
            _ => None,
        }
    }

    fn clock(&self) -> Clock {
        let mut told: Vec<(u64, u64)> = vec![];
        for (_, tries) in self.operations.values() {
            told.extend(tries.iter().filter_map(|entry| match entry.ended {
                Some((ended, Answer::Changed { version: Some(version), .. })) => Some((ended, version)),
                _ => None,
            }));
        }
        told.sort_unstable();
        let mut newest = 0;
        for (_, version) in &mut told {
            newest = newest.max(*version);
            *version = newest;
        }
        Clock { told }
    }
}

impl Clock {
    /// The newest version that a client was told of before this time.
    fn newest(&self, time: u64) -> u64 {
        let before = self.told.partition_point(|(ended, _)| *ended < time);
        before.checked_sub(1).map_or(0, |at| self.told[at].1)
    }
}
