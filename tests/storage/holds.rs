//! VACUUM and DROP ... PURGE beside RESTORE and SHALLOW CLONE of an old version: one of them waits for the other, keeps what
//! it needs, or says no.

use std::{sync::Arc, time::Duration};

use boathouse_storage::{
    Lake, StorageError,
    maintain::{self, Optimize, Vacuum, Vacuumed},
    write::{self, Committed},
};
use boathouse_tests::store::{Fate, Request, RequestKind, RequestLog};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{
    on_every_place,
    place::{Place, info, insert, people, rows, session},
};

on_every_place!(
    who_comes_during_a_vacuum_waits_and_finds_the_files_gone,
    a_vacuum_that_comes_during_another_statement_keeps_its_files,
    a_table_that_is_being_cloned_is_not_deleted_and_one_that_is_being_deleted_not_cloned,
);

/// A version of `t` whose files the newest version does not need.
const OLD: u64 = 2;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Use {
    Clone,
    Restore,
}

impl Use {
    fn start(self, lake: &Arc<Lake>) -> JoinHandle<Result<Committed, StorageError>> {
        let lake = lake.clone();
        tokio::spawn(async move {
            match self {
                Self::Clone => {
                    let old = lake.table_version("main", "t", OLD).await?;
                    write::shallow_clone(&lake, &old, "main", "c", &info()).await
                }
                Self::Restore => {
                    let newest = lake.table("main", "t").await?;
                    maintain::restore(&lake, &newest, OLD, &info()).await
                }
            }
        })
    }

    /// The table that it leaves.
    fn table(self) -> &'static str {
        if self == Self::Clone { "c" } else { "t" }
    }
}

fn vacuum(lake: &Arc<Lake>) -> JoinHandle<Result<Vacuumed, StorageError>> {
    let lake = lake.clone();
    let all = Vacuum { retain_hours: Some(0), any_retention: true, ..Vacuum::default() };
    tokio::spawn(async move { maintain::vacuum(&lake, "main", "t", &all).await })
}

/// `t` with two rows in two files of version 2, and in one of version 3.
async fn table(lake: &Arc<Lake>) {
    write::create(lake, &people("t"), &info()).await.unwrap();
    for id in 0..2 {
        insert(lake, "t", &format!("SELECT {id} AS id")).await.unwrap();
    }
    let table = lake.table("main", "t").await.unwrap();
    maintain::optimize(lake, &table, &Optimize::default(), Arc::new(session(lake).state()), &info()).await.unwrap();
    let newest = lake.table("main", "t").await.unwrap();
    assert_eq!((newest.version(), newest.file_count()), (OLD + 1, 1));
}

/// Holds back the first request of this kind until it is let go.
fn gate(log: &RequestLog, which: impl Fn(&Request) -> bool + Send + 'static) -> Gate {
    let (reached, at_gate) = mpsc::unbounded_channel();
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let mut open = false;
    log.set_rule(move |request| {
        if !open && which(request) {
            open = true;
            reached.send(()).unwrap();
            // The thread's other tasks go on elsewhere.
            tokio::task::block_in_place(|| gone.recv_timeout(Duration::from_secs(50))).expect("it is let go");
        }
        Fate::Served
    });
    Gate { at_gate, go }
}

struct Gate {
    at_gate: mpsc::UnboundedReceiver<()>,
    go: std::sync::mpsc::Sender<()>,
}

impl Gate {
    async fn reached(&mut self) {
        self.at_gate.recv().await.expect("somebody comes to the gate");
    }
}

async fn holds(lake: &Lake) -> usize {
    lake.catalog("main").await.unwrap().holds.values().map(Vec::len).sum()
}

async fn who_comes_during_a_vacuum_waits_and_finds_the_files_gone(place: Place) {
    for what in [Use::Clone, Use::Restore] {
        let (lake, log) = place.watched().await;
        table(&lake).await;
        let mut gate = gate(&log, |request| request.kind == RequestKind::Delete && request.path.contains("part-"));
        let vacuum = vacuum(&lake);
        gate.reached().await;
        let other = place.open().await;
        let used = what.start(&other);
        while holds(&other).await < 2 && !used.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Its files are all there still: were it not for the wait, it would go on.
        assert!(!used.is_finished(), "{what:?}");
        gate.go.send(()).unwrap();
        assert_eq!(vacuum.await.unwrap().unwrap().files.len(), 2, "{what:?}");
        let refused = used.await.unwrap();
        assert!(
            matches!(refused, Err(StorageError::FilesMissing { missing: 2, total: 2, .. })),
            "{what:?} {refused:?}"
        );
        assert!(lake.table("main", "c").await.is_err());
        assert_eq!(rows(&lake, "t").await, ["0", "1"]);
        assert_eq!(holds(&lake).await, 0);
        write::drop_table(&lake, "main", "t").await.unwrap();
    }
}

async fn a_vacuum_that_comes_during_another_statement_keeps_its_files(place: Place) {
    for what in [Use::Clone, Use::Restore] {
        let (lake, log) = place.watched().await;
        table(&lake).await;
        let commit = format!("/{}/_delta_log/", what.table());
        let mut gate = gate(&log, move |request| request.kind == RequestKind::Create && request.path.contains(&commit));
        let used = what.start(&lake);
        gate.reached().await;
        let other = place.open().await;
        let kept = vacuum(&other).await.unwrap().unwrap();
        gate.go.send(()).unwrap();
        used.await.unwrap().unwrap();
        assert_eq!(kept, Vacuumed::default(), "{what:?}");
        for lake in [&lake, &other] {
            assert_eq!(rows(lake, what.table()).await, ["0", "1"], "{what:?}");
            assert_eq!(holds(lake).await, 0);
        }
        // And what is there stays.
        let files = vacuum(&other).await.unwrap().unwrap().files.len();
        assert_eq!(files, if what == Use::Clone { 0 } else { 1 });
        assert_eq!(rows(&lake, what.table()).await, ["0", "1"], "{what:?}");
        for name in ["c", "t"] {
            let _ = write::drop_table(&lake, "main", name).await;
        }
    }
}

async fn a_table_that_is_being_cloned_is_not_deleted_and_one_that_is_being_deleted_not_cloned(place: Place) {
    let (lake, log) = place.watched().await;
    table(&lake).await;
    let other = place.open().await;
    let mut first =
        gate(&log, |request| request.kind == RequestKind::Create && request.path.contains("/c/_delta_log/"));
    let clone = Use::Clone.start(&lake);
    first.reached().await;
    let refused = write::drop_table(&other, "main", "t").await;
    first.go.send(()).unwrap();
    clone.await.unwrap().unwrap();
    assert!(matches!(refused, Err(StorageError::ClonesExist { .. })), "{refused:?}");
    assert_eq!(rows(&other, "c").await, ["0", "1"]);
    assert_eq!(rows(&other, "t").await, ["0", "1"]);

    write::drop_table(&other, "main", "c").await.unwrap();
    let old = other.table_version("main", "t", OLD).await.unwrap();
    let mut second =
        gate(&log, |request| request.kind == RequestKind::Delete && request.path.contains("/t/_delta_log/"));
    let deleting = {
        let lake = lake.clone();
        tokio::spawn(async move { write::drop_table(&lake, "main", "t").await })
    };
    second.reached().await;
    let refused = write::shallow_clone(&other, &old, "main", "d", &info()).await;
    second.go.send(()).unwrap();
    deleting.await.unwrap().unwrap();
    assert!(matches!(refused, Err(StorageError::TableNotFound { .. })), "{refused:?}");
    assert!(other.table("main", "d").await.is_err());
    assert_eq!(holds(&other).await, 0);
}
