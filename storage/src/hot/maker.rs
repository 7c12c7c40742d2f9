//! Makes and checks copies in the background: one at a time, on a thread of its own, slower while scans run.

use std::{
    any::Any,
    collections::{HashMap, HashSet},
    fs, io,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use futures::FutureExt;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};

use super::{
    CopyFile, CopyKey, Original,
    copies::Shared,
    make::{Made, MakeError, make},
};

/// Wishes that wait; more are forgotten and come again with the next read.
const WAITING_MAX: usize = 1024;
/// While scans run, the maker rests so many times as long as it worked, and not longer than so.
const REST_FACTOR: u32 = 3;
const REST_MAX: Duration = Duration::from_millis(200);
/// After the disk was full.
const FULL_PAUSE: Duration = Duration::from_secs(300);

/// A copy to make, or to check when it lies there.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) original: Original,
}

/// The way to the thread, which starts with the first job.
#[derive(Debug)]
pub(super) struct Maker {
    state: Arc<MakerState>,
    jobs: mpsc::Sender<Job>,
    waiting: Mutex<Option<mpsc::Receiver<Job>>>,
}

#[derive(Debug)]
struct MakerState {
    shared: Arc<Shared>,
    /// Names of copies with a job.
    queued: Mutex<HashSet<String>>,
    left: watch::Sender<usize>,
    stop: AtomicBool,
    /// What is being written, to be deleted by whoever stops the work.
    temporary: Mutex<Option<PathBuf>>,
    full_since: Mutex<Option<Instant>>,
    /// Why copies were not made that were tried last, by their names: for who waits for them.
    failed: Mutex<HashMap<String, String>>,
}

impl Maker {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let (jobs, waiting) = mpsc::channel(WAITING_MAX);
        let state = MakerState {
            shared,
            queued: Mutex::default(),
            left: watch::Sender::new(0),
            stop: AtomicBool::new(false),
            temporary: Mutex::default(),
            full_since: Mutex::default(),
            failed: Mutex::default(),
        };
        Self { state: Arc::new(state), jobs, waiting: Mutex::new(Some(waiting)) }
    }

    /// Queues a job unless it is queued or too many are.
    pub(super) fn wish(&self, job: Job) {
        let name = job.original.key.file_name();
        if !self.announce(&name) {
            return;
        }
        if self.jobs.try_send(job).is_err() {
            self.state.done(&name);
        }
    }

    /// Queues a job, waiting for room.
    pub(super) async fn order(&self, job: Job) {
        let name = job.original.key.file_name();
        if self.announce(&name) && self.jobs.send(job).await.is_err() {
            self.state.done(&name);
        }
    }

    /// Queues a job and waits until it is done, whoever queued it. Says why the copy could not be made, where that failed.
    pub(super) async fn carry_out(&self, job: Job) -> Option<String> {
        let name = job.original.key.file_name();
        self.order(job).await;
        // The sender lives as long as this.
        let _ = self.state.left.subscribe().wait_for(|_| !self.state.queued.lock().contains(&name)).await;
        self.state.failed.lock().remove(&name)
    }

    pub(super) async fn idle(&self) {
        // The sender lives as long as this.
        let _ = self.state.left.subscribe().wait_for(|left| *left == 0).await;
    }

    fn announce(&self, name: &str) -> bool {
        if self.state.is_stopped() || !self.state.queued.lock().insert(name.to_owned()) {
            return false;
        }
        self.state.left.send_modify(|left| *left += 1);
        let started = match self.waiting.lock().take() {
            Some(jobs) => self.start(jobs),
            None => Ok(()),
        };
        if let Err(error) = started {
            warn!(%error, "no hot copies: the thread that makes them cannot start");
            self.state.stop.store(true, Ordering::Relaxed);
            self.state.done(name);
            return false;
        }
        true
    }

    fn start(&self, mut jobs: mpsc::Receiver<Job>) -> io::Result<()> {
        let state = self.state.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("boathouse-hot".into()).spawn(move || {
            runtime.block_on(async {
                while let Some(job) = jobs.recv().await {
                    let name = job.original.key.file_name();
                    if !state.is_stopped() {
                        // What a library does to one file must not end the thread: others wait for theirs.
                        let work = AssertUnwindSafe(state.carry_out(&job.original, &name)).catch_unwind();
                        if let Err(panic) = work.await {
                            state.fell(&job.original.key, panic.as_ref());
                        }
                    }
                    state.done(&name);
                }
            });
        })?;
        Ok(())
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        if let Some(path) = self.state.temporary.lock().take() {
            // Written to the end or not, nobody will rename it.
            let _ = fs::remove_file(path);
        }
    }
}

impl MakerState {
    async fn carry_out(self: &Arc<Self>, original: &Original, name: &str) {
        let key = &original.key;
        self.failed.lock().remove(name);
        if self.shared.folder.lock().contains(name) {
            return;
        }
        let path = self.shared.folder.lock().path_of(name);
        if path.exists() {
            match self.check(original, &path).await {
                Ok(bytes) => return self.shared.folder.lock().adopt(key, bytes),
                Err(error) => {
                    debug!(path = %path.display(), %error, "a hot copy is not what it should be");
                    self.shared.folder.lock().discard(name);
                }
            }
        }
        if !self.shared.folder.lock().admits(key, key.size) || self.is_full() {
            return;
        }
        if !self.disk_has_room(&path, key.size) {
            self.shared.folder.lock().start_over(key);
            return;
        }
        match self.make(original).await {
            Ok(Made::Refused) => self.shared.folder.lock().refuse(key),
            Ok(Made::Copy(_) | Made::Stopped) => {}
            Err(error) => {
                self.shared.folder.lock().start_over(key);
                self.note(&error, key);
            }
        }
    }

    /// Is the copy at `path` whole, of this original, and is the original still what it was? Returns its size.
    async fn check(&self, original: &Original, path: &Path) -> io::Result<u64> {
        let copy = CopyFile::open(path)?;
        copy.check()?;
        copy.check_layout().await?;
        let e_tag = original.e_tag().await.map_err(io::Error::other)?;
        match copy.key() == &original.key && copy.e_tag() == e_tag.as_deref() {
            true => copy.bytes(),
            false => Err(io::Error::other("it is a copy of another file")),
        }
    }

    async fn make(self: &Arc<Self>, original: &Original) -> Result<Made, MakeError> {
        let temporary = self.shared.folder.lock().temporary();
        *self.temporary.lock() = Some(temporary.clone());
        let (state, worked) = (self.clone(), Mutex::new(Instant::now()));
        let worked = Arc::new(worked);
        let pause = move || {
            let (state, worked) = (state.clone(), worked.clone());
            async move {
                let since = worked.lock().elapsed();
                if state.shared.scans.load(Ordering::Relaxed) > 0 {
                    tokio::time::sleep((since * REST_FACTOR).min(REST_MAX)).await;
                }
                *worked.lock() = Instant::now();
                !state.is_stopped()
            }
        };
        let made = make(original, &temporary, pause).await;
        let made = match made {
            Ok(Made::Copy(bytes)) => self.take_in(&original.key, &temporary, bytes).await,
            other => other,
        };
        self.temporary.lock().take();
        // Gone after a rename.
        let _ = fs::remove_file(&temporary);
        made
    }

    /// Reads the new copy back before it counts.
    async fn take_in(&self, key: &CopyKey, temporary: &Path, bytes: u64) -> Result<Made, MakeError> {
        let copy = CopyFile::open(temporary)?;
        copy.check()?;
        copy.check_layout().await?;
        drop(copy);
        if self.is_stopped() || !self.shared.folder.lock().admit(key, temporary, bytes)? {
            return Ok(Made::Stopped);
        }
        Ok(Made::Copy(bytes))
    }

    /// The making of a copy panicked: it is not tried again.
    fn fell(&self, key: &CopyKey, panic: &(dyn Any + Send)) {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        warn!(path = key.path, text, "making a hot copy panicked; this file gets none");
        if let Some(path) = self.temporary.lock().take() {
            // It was begun, perhaps.
            let _ = fs::remove_file(path);
        }
        self.shared.folder.lock().refuse(key);
        self.remember(key, format!("making its copy panicked: {text}"));
    }

    fn remember(&self, key: &CopyKey, reason: String) {
        let mut failed = self.failed.lock();
        // Nobody may ever ask.
        if failed.len() >= WAITING_MAX {
            failed.clear();
        }
        failed.insert(key.file_name(), reason);
    }

    fn note(&self, error: &MakeError, key: &CopyKey) {
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
        self.remember(key, format!("{error}{cause}"));
        let full = matches!(error, MakeError::Write(error) if error.kind() == io::ErrorKind::StorageFull);
        if full && self.full_since.lock().replace(Instant::now()).is_none() {
            warn!("no new hot copies: the disk is full");
        } else {
            debug!(path = key.path, error = error as &dyn std::error::Error, "no hot copy of this file");
        }
    }

    /// A disk that cannot be asked shows when it is full.
    fn disk_has_room(&self, path: &Path, bytes: u64) -> bool {
        let disk = path.parent().and_then(|folder| (self.shared.ask_disk)(folder).ok());
        let has_room = disk.is_none_or(|disk| disk.has_room_for(bytes));
        if !has_room && self.full_since.lock().replace(Instant::now()).is_none() {
            warn!("no new hot copies: little is left free on the disk");
        }
        has_room
    }

    fn is_full(&self) -> bool {
        self.full_since.lock().is_some_and(|since| since.elapsed() < FULL_PAUSE)
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn done(&self, name: &str) {
        self.queued.lock().remove(name);
        self.left.send_modify(|left| *left -= 1);
    }
}
