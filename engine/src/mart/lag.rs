//! `refresh = { target_lag = "1h" }`: how far a mart's rows may be behind the tables that they are made of.
//!
//! ```text
//! table:  ─────change──────────────────────────────────────────────
//! mart:   ──looked at, unchanged──┬───────── target_lag ──────────┐
//!                                 └ waits, for more changes ┬ run ┘ as long as the last runs took, and some more
//! ```
//! What is not changed is not run. Of a mart that reads another one with a lag, that one's lag is a part of its own.
//! `"downstream"` is the smallest that the marts which read it leave for it; they run right behind it then.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use boathouse_storage::catalog::{MartDocument, MartRun, MartRunState};

use super::{
    definition::Definition,
    duration::{self, Span},
    fault::Fault,
};
use crate::{EngineError, catalog::TableName};

/// A shorter one could not be held: versions are looked at every few seconds.
const LEAST: Duration = Duration::from_secs(60);
/// So late may a look come, and a run begin.
const LOOKED_LATE_MS: i64 = 10_000;
/// As many of the last runs say how long the next one takes.
const RUNS: usize = 5;

/// What the definition says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lag {
    Of(Duration),
    /// What the marts that read it need.
    Downstream,
}

impl Lag {
    /// Checks what is written.
    pub fn of(written: &str) -> Result<Self, EngineError> {
        if written == "downstream" {
            return Ok(Self::Downstream);
        }
        let Span(lag) = Span::parse(written).map_err(|why| {
            EngineError::invalid(format!("refresh.target_lag: {why}"))
                .with_hint("Or write target_lag = \"downstream\".")
        })?;
        if lag < LEAST {
            let message =
                format!("refresh.target_lag is {written}, and less than {} cannot be held", duration::text(LEAST));
            return Err(EngineError::invalid(message).with_hint("Write 1min or more, or on_commit = true."));
        }
        Ok(Self::Of(lag))
    }
}

/// As people are told of it.
impl fmt::Display for Lag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(lag) => write!(f, "target lag {}", duration::text(*lag)),
            Self::Downstream => f.write_str("target lag downstream"),
        }
    }
}

/// A fault where a mart's rows are to be newer than those of a mart that it reads.
pub(super) fn check<'a>(definition: &Definition, reads: impl Iterator<Item = &'a Definition>) -> Option<Fault> {
    let lag = |definition: &Definition| match definition.refresh.as_ref()?.lag? {
        Lag::Of(lag) => Some(lag),
        Lag::Downstream => None,
    };
    let own = lag(definition)?;
    let (longer, of) = reads.filter_map(|read| Some((lag(read)?, read.name()))).find(|(lag, _)| *lag > own)?;
    let message = format!(
        "target_lag is {}, and that of mart \"{of}\", which it reads, is {}",
        duration::text(own),
        duration::text(longer)
    );
    let error = EngineError::invalid(message);
    let hint = format!("Write a longer one, or target_lag = \"downstream\" in \"{of}\".");
    let line = definition.refresh.as_ref().map(|refresh| refresh.line);
    Some(Fault::new(&definition.file, line, error.with_hint(hint)))
}

/// How long before its rows would be too old a run must begin, in milliseconds.
pub(super) fn early_ms(document: &MartDocument) -> i64 {
    let runs = document.runs.iter().rev().filter(|run| run.state == MartRunState::Succeeded).take(RUNS);
    let took = runs.map(|run| run.ended_ms.saturating_sub(run.started_ms)).max().unwrap_or_default().max(0);
    took.saturating_add(took / 2).saturating_add(LOOKED_LATE_MS)
}

/// The tables whose versions are not those that a run read. One that has no version could have changed; one that the run
/// did not read is looked at by tests alone.
pub(super) fn changed<'a>(versions: &'a [(TableName, Option<u64>)], run: &MartRun) -> Vec<&'a TableName> {
    let is_changed = |(name, version): &&(TableName, Option<u64>)| {
        let (Some(version), name) = (version, name.to_string()) else { return true };
        run.inputs.iter().any(|input| input.table == name && input.version != *version)
    };
    versions.iter().filter(is_changed).map(|(name, _)| name).collect()
}

/// A mart that has a lag.
#[derive(Debug)]
pub(super) struct Lagging<'a> {
    pub lag: Lag,
    pub early_ms: i64,
    pub reads: Option<&'a BTreeSet<TableName>>,
}

/// How far behind each may be, in milliseconds; nothing of one that is to follow marts which read it when none has a lag.
pub(super) fn resolved(marts: &BTreeMap<TableName, Lagging<'_>>) -> BTreeMap<TableName, i64> {
    let mut known = BTreeMap::new();
    for (name, mart) in marts {
        if let Lag::Of(lag) = mart.lag {
            known.insert(name.clone(), i64::try_from(lag.as_millis()).unwrap_or(i64::MAX));
        }
    }
    // From the marts that nobody reads upwards: marts read each other in no circle.
    for _ in 0..marts.len() {
        let before = known.clone();
        for (name, _) in marts.iter().filter(|(_, mart)| mart.lag == Lag::Downstream) {
            let readers = marts.iter().filter(|(_, reader)| reader.reads.is_some_and(|reads| reads.contains(name)));
            let left = readers.filter_map(|(of, reader)| Some(before.get(of)?.saturating_sub(reader.early_ms).max(0)));
            if let Some(least) = left.min() {
                known.insert(name.clone(), least);
            }
        }
        if known == before {
            break;
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use boathouse_storage::catalog::MartInput;

    use super::*;

    const MINUTE: i64 = 60_000;

    fn name(name: &str) -> TableName {
        TableName::new("m", name)
    }

    #[test]
    fn a_lag_is_a_time_or_that_of_others() {
        assert_eq!(Lag::of("1h").unwrap().to_string(), "target lag 1h");
        assert_eq!(Lag::of("downstream").unwrap().to_string(), "target lag downstream");
        for (written, expected) in [
            ("59s", "refresh.target_lag is 59s, and less than 1min cannot be held\nHINT: Write 1min or more"),
            ("upstream", "refresh.target_lag: \"upstream\" is not a length of time"),
        ] {
            let text = Lag::of(written).unwrap_err().to_string();
            assert!(text.starts_with(expected), "{text}");
        }
    }

    #[test]
    fn a_run_begins_earlier_where_the_last_ones_took_longer() {
        let mut document = MartDocument::default();
        assert_eq!(early_ms(&document), LOOKED_LATE_MS);
        for (minutes, state) in
            [(90, MartRunState::Failed), (50, MartRunState::Succeeded), (4, MartRunState::Succeeded)]
        {
            let id = minutes.to_string();
            document.push(MartRun { id, state, ended_ms: minutes * MINUTE, ..MartRun::default() });
        }
        assert_eq!(early_ms(&document), 75 * MINUTE + LOOKED_LATE_MS);
        // What was slow once does not count for ever.
        for id in ["a", "b", "c", "d", "e"] {
            let state = MartRunState::Succeeded;
            document.push(MartRun { id: id.to_owned(), state, ended_ms: 2 * MINUTE, ..MartRun::default() });
        }
        assert_eq!(early_ms(&document), 3 * MINUTE + LOOKED_LATE_MS);
    }

    #[test]
    fn what_a_run_read_is_compared_with_what_is_there() {
        let inputs = vec![MartInput { table: "m.a".into(), version: 3 }, MartInput { table: "m.b".into(), version: 1 }];
        let run = MartRun { inputs, ..MartRun::default() };
        let versions = |a: u64| vec![(name("a"), Some(a)), (name("b"), Some(1)), (name("tested"), Some(7))];
        assert!(changed(&versions(3), &run).is_empty());
        assert_eq!(changed(&versions(4), &run), [&name("a")]);
        // Made anew.
        assert_eq!(changed(&versions(0), &run), [&name("a")]);
        assert_eq!(changed(&[(name("outside"), None)], &run), [&name("outside")]);
    }

    #[test]
    fn the_smallest_lag_of_those_that_read_it_counts() {
        let sets: Vec<BTreeSet<TableName>> = [vec!["raw"], vec!["a"], vec!["b"], vec!["b"]]
            .map(|reads| reads.into_iter().map(name).collect::<BTreeSet<_>>())
            .into();
        let lag = |lag, early_ms, at: usize| Lagging { lag, early_ms, reads: Some(&sets[at]) };
        let of = |minutes: u64| Lag::Of(Duration::from_secs(minutes * 60));
        let mut marts = BTreeMap::from([
            (name("a"), lag(Lag::Downstream, MINUTE, 0)),
            (name("b"), lag(Lag::Downstream, 5 * MINUTE, 1)),
            (name("c"), lag(of(60), 10 * MINUTE, 2)),
            (name("d"), lag(of(1440), MINUTE, 3)),
        ]);
        let minutes = |lags: BTreeMap<TableName, i64>| lags.values().map(|ms| ms / MINUTE).collect::<Vec<_>>();
        assert_eq!(minutes(resolved(&marts)), [45, 50, 60, 1440]);
        marts.remove(&name("c"));
        marts.remove(&name("d"));
        assert!(resolved(&marts).is_empty());
    }
}
