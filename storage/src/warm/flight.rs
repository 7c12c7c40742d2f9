//! Blocks that are on their way from the store, each once.

use std::{
    collections::{BTreeMap, HashMap},
    error::Error as StdError,
    fmt,
    sync::Arc,
};

use bytes::Bytes;
use futures::{
    FutureExt,
    future::{BoxFuture, Shared, try_join_all},
};
use object_store::{Error, ObjectStore, ObjectStoreExt, Result, path::Path};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{
    Blocks,
    key::{BlockKey, FileKey},
    layout::Layout,
    ledger::TableMark,
};

/// Ends for all who wait for it.
type Flight = Shared<BoxFuture<'static, Landed>>;
type Landed = std::result::Result<Arc<Vec<Bytes>>, Arc<Error>>;

/// What is on its way: the flight, and the block's place in it.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<BlockKey, (Flight, usize)>>);

/// Where the blocks of a file come from.
#[derive(Clone)]
pub(super) struct Origin {
    pub store: Arc<dyn ObjectStore>,
    pub path: Path,
    pub file: FileKey,
    pub layout: Layout,
    pub table: TableMark,
}

impl Origin {
    pub fn key(&self, number: u32) -> BlockKey {
        BlockKey { file: self.file.clone(), number }
    }
}

/// Fetches blocks, sorted, that were not there a moment ago, and keeps them. Those that someone else fetches are waited for.
/// A flight goes on when nobody waits any more: its blocks are kept. Works inside a Tokio runtime only. Also: the requests
/// that were sent.
pub(super) async fn fetch(blocks: &Arc<Blocks>, origin: &Origin, missing: &[u32]) -> Result<(Vec<Bytes>, usize)> {
    let mut found = BTreeMap::new();
    let mut aboard = board(blocks, origin, missing, true);
    let mut gone = Vec::new();
    for number in std::mem::take(&mut aboard.landed) {
        match blocks.get(&origin.key(number), origin.table).await {
            Some(block) => drop(found.insert(number, block)),
            None => gone.push(number),
        }
    }
    let again = board(blocks, origin, &gone, false);
    let fetched = aboard.flights.into_iter().chain(again.flights).map(|(number, flight, place)| async move {
        let blocks = flight.await.map_err(|error| shared(&error))?;
        let missing = || Error::Generic { store: "warm", source: "a block is missing".into() };
        Ok::<_, Error>((number, blocks.get(place).cloned().ok_or_else(missing)?))
    });
    found.extend(try_join_all(fetched).await?);
    Ok((found.into_values().collect(), aboard.requests + again.requests))
}

/// How some blocks come.
#[derive(Default)]
struct Aboard {
    /// Number, flight, and place in it.
    flights: Vec<(u32, Flight, usize)>,
    /// Those whose flight landed meanwhile, it seems.
    landed: Vec<u32>,
    /// For the flights that are new.
    requests: usize,
}

/// Finds the flights that bring blocks, and begins those that are missing. `trust`: what may be there is there.
fn board(blocks: &Arc<Blocks>, origin: &Origin, missing: &[u32], trust: bool) -> Aboard {
    let (mut aboard, mut new) = (Aboard::default(), Vec::new());
    let mut flights = blocks.flights.0.lock();
    for number in missing {
        let key = origin.key(*number);
        match flights.get(&key) {
            Some((flight, place)) => aboard.flights.push((*number, flight.clone(), *place)),
            // Blocks are kept before their flight is taken off the list.
            None if trust && blocks.may_have(&key) => aboard.landed.push(*number),
            None => new.push(*number),
        }
    }
    let mut begun = Vec::new();
    for run in origin.layout.runs(&new) {
        let keys: Vec<BlockKey> = run.iter().map(|number| origin.key(*number)).collect();
        let (done, landed) = oneshot::channel();
        let given_up = |_| Err(Arc::new(Error::Generic { store: "warm", source: "a request was given up".into() }));
        let flight = async move { landed.await.unwrap_or_else(given_up) }.boxed().shared();
        for (place, (number, key)) in run.iter().zip(&keys).enumerate() {
            aboard.flights.push((*number, flight.clone(), place));
            flights.insert(key.clone(), (flight.clone(), place));
        }
        begun.push((done, run, Landing { blocks: blocks.clone(), keys }));
    }
    aboard.requests = begun.len();
    // A runtime that ends drops what it is given, which needs the list.
    drop(flights);
    for (done, run, landing) in begun {
        let origin = origin.clone();
        tokio::spawn(async move {
            // Nobody may wait any more.
            let _ = done.send(fly(origin, run, landing).await);
        });
    }
    aboard
}

async fn fly(origin: Origin, run: Vec<u32>, landing: Landing) -> Landed {
    let spans: Vec<_> = run.iter().map(|number| origin.layout.span(*number)).collect();
    let start = spans.first().map_or(0, |span| span.start);
    let whole = start..spans.last().map_or(0, |span| span.end);
    let bytes = origin.store.get_range(&origin.path, whole.clone()).await.map_err(Arc::new)?;
    if bytes.len() as u64 != whole.end - whole.start {
        let source = format!("{} has {} bytes of {whole:?}", origin.path, bytes.len()).into();
        return Err(Arc::new(Error::Generic { store: "warm", source }));
    }
    // Copies: who keeps one block must not keep the memory of its neighbours.
    let part = |offset: u64| usize::try_from(offset - start).unwrap_or(usize::MAX);
    let parts = spans.iter().map(|span| Bytes::copy_from_slice(&bytes[part(span.start)..part(span.end)]));
    let parts: Vec<Bytes> = if spans.len() == 1 { vec![bytes.clone()] } else { parts.collect() };
    for (key, part) in landing.keys.iter().zip(&parts) {
        landing.blocks.put(key.clone(), part.clone(), origin.table);
    }
    Ok(Arc::new(parts))
}

/// Takes blocks off the list of those on their way, whatever became of them.
struct Landing {
    blocks: Arc<Blocks>,
    keys: Vec<BlockKey>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut flights = self.blocks.flights.0.lock();
        for key in &self.keys {
            flights.remove(key);
        }
    }
}

/// The error of a flight for one of those who waited for it. That a file is not there stays known as such.
fn shared(error: &Arc<Error>) -> Error {
    let source = Box::new(OfFlight(error.clone()));
    match &**error {
        Error::NotFound { path, .. } => Error::NotFound { path: path.clone(), source },
        _ => Error::Generic { store: "warm", source },
    }
}

#[derive(Debug)]
struct OfFlight(Arc<Error>);

impl fmt::Display for OfFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for OfFlight {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}
