//! Marts: SQL that keeps a table up to date, tested before anyone sees it.
//!
//! ```text
//! folder -> definition (TOML block, SELECT) -> project: names, graph, each query and test planned --faults--> nothing runs
//! run, mart by mart in the graph's order:
//!   inputs pinned -> fingerprint --the table says it was published--> skipped
//!                 -> lease -> statement (publish) -> data files -> audit (tests as SQL over them) --> one commit
//! ```
//! The data files of a table that is there are written while the lease is taken, and wait for it (`turn`).
//! A mart with intervals is written interval by interval, one commit each, which tell what is done (`steps`, `ledger`).
//!
//! A server runs marts by itself (`scheduler`) when the definition says so (`refresh`): what is due follows from the definition
//! and from the runs in the lake (`due`), so it makes no difference which server looks, or whether one was restarted.
//!
//! What a run has published goes on to destinations outside of the lake, where the definition names some (`export`).
//!
//! A run of a mart that replaces all of its rows looks at changed rows alone where that comes to the same (`incremental`).
//!
//! A mart's table is changed by the statements that people write (CREATE OR REPLACE TABLE, INSERT OVERWRITE, MERGE, INSERT
//! ... REPLACE USING): there is no second way to write. Its commit says which run it is (`fingerprint`), so rows and
//! bookkeeping are one step; the document of the mart in the lake keeps the lease and the history, and nothing that the
//! rows depend on.

mod about;
mod anomaly;
mod audit;
mod caller;
mod clock;
mod columns;
mod definition;
mod diff;
mod due;
mod duration;
mod export;
mod fault;
mod fingerprint;
mod folder;
mod freshness;
mod graph;
mod header;
mod in_files;
mod incremental;
mod interval;
mod jobs;
mod lag;
mod lease;
mod ledger;
mod notice;
mod outcome;
mod parameter;
mod plan;
mod point;
mod project;
mod publish;
mod quarantine;
mod refresh;
mod retest;
mod run;
mod scd2;
mod scheduler;
mod steps;
mod stored;
mod strategy;
mod test;
mod test_sql;
#[cfg(test)]
mod tests;
mod told;
mod turn;
mod written;

pub use self::{
    about::{About, AboutTest},
    clock::Clock,
    definition::Definition,
    diff::{Diff, DiffOptions, diff},
    export::{
        Delivery, DeltaExports, Destination, Destinations, Export, ExportMode, ExportOutcome, ExportReport, Progress,
        files::{FileExports, FileFormat},
    },
    fault::Fault,
    folder::read_folder,
    interval::time_ms,
    lease::LeaseTimes,
    notice::{Notice, NoticeKind},
    outcome::{Outcome as MartOutcome, Report, TestReport},
    plan::{Change, Planned},
    point::{Point, Points},
    project::{MartOptions, Project, full_name},
    scheduler::Scheduler,
    stored::read_lake,
};
pub(crate) use self::{
    caller::Waiting,
    in_files::InFiles,
    incremental::explain,
    outcome::Totals,
    stored::{check as check_definition, drop_tables, is_unknown, stored, stored_of},
    written::{Text, Written},
};
pub use boathouse_storage::catalog::{
    ExportMark, MartCause, MartDocument, MartLateness, MartRun, MartRunState, MartTest, MartTestState,
};

/// The program under whose name a mart's commits tell which run they are.
pub(crate) const PROGRAM: &str = "boathouse-mart";
