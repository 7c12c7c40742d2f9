//! Which files a log has.
//!
//! `_last_checkpoint` is a hint where to start looking: it may be missing, old or wrong, so what it says counts only when
//! the listing shows it.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, path::Path};
use serde::Deserialize;

use super::LogError;
use crate::store::is_not_found;

const LOG: &str = "_delta_log";
const VERSION_DIGITS: usize = 20;

/// A complete checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) version: u64,
    /// One file, or the parts in their order.
    pub(super) files: Vec<ObjectMeta>,
}

/// The commits and checkpoints of a log from some version on.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) from: u64,
    pub(super) commits: BTreeMap<u64, ObjectMeta>,
    /// Several may be of one version.
    pub(super) checkpoints: Vec<Checkpoint>,
}

/// What a file in the log's folder is.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Commit,
    Checkpoint,
    Part { number: u32, of: u32 },
}

impl Listing {
    /// The newest version that the listing shows.
    pub(super) fn newest(&self) -> Option<u64> {
        let commit = self.commits.keys().next_back().copied();
        commit.max(self.checkpoints.iter().map(|checkpoint| checkpoint.version).max())
    }
}

/// The path of a commit, from the table's folder.
pub(crate) fn commit_path(version: u64) -> Path {
    Path::from(format!("{LOG}/{version:020}.json"))
}

/// The path of a checkpoint of one file; a V2 checkpoint has an id.
pub(super) fn checkpoint_path(version: u64, id: Option<uuid::Uuid>) -> Path {
    let id = id.map(|id| format!(".{id}")).unwrap_or_default();
    Path::from(format!("{LOG}/{version:020}.checkpoint{id}.parquet"))
}

/// The folder of the log, from the table's.
pub(crate) fn log_folder() -> Path {
    Path::from(LOG)
}

pub(super) fn sidecar_folder() -> Path {
    Path::from(format!("{LOG}/_sidecars"))
}

/// The version of a file that stands in the log's folder itself, and whether it is a commit. None of files whose names say
/// nothing that is known: they are not ours to judge.
pub(super) fn version_of(path: &Path) -> Option<(u64, bool)> {
    let name = path.filename().filter(|_| path.prefix_match(&log_folder()).is_some_and(|rest| rest.count() == 1))?;
    if let Some((version, kind)) = parse(name) {
        return Some((version, kind == Kind::Commit));
    }
    let (digits, rest) = name.split_once('.')?;
    // `<first>.<last>.compacted.json` tells the commits up to its last.
    let digits = match rest.split_once('.') {
        None if rest == "crc" => digits,
        Some((last, "compacted.json")) => last,
        _ => return None,
    };
    parse(&format!("{digits}.json")).map(|(version, _)| (version, false))
}

pub(super) fn hint_path() -> Path {
    Path::from(format!("{LOG}/_last_checkpoint"))
}

/// The path of a file of a V2 checkpoint, from the table's folder: a name, or a path from the store's root.
pub(super) fn sidecar_path(name: &str) -> Result<Path, object_store::path::Error> {
    Path::from_url_path(format!("{LOG}/_sidecars/{name}"))
}

/// The version that `_last_checkpoint` names, if it can be read.
pub(crate) async fn hint(store: &dyn ObjectStore) -> Result<Option<u64>, LogError> {
    #[derive(Deserialize)]
    struct Hint {
        version: u64,
    }
    let path = hint_path();
    let bytes = match store.get(&path).await {
        Ok(found) => found.bytes().await,
        Err(error) => Err(error),
    };
    match bytes {
        Ok(bytes) => Ok(serde_json::from_slice::<Hint>(&bytes).ok().map(|hint| hint.version)),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(source) => Err(LogError::Store { path, source }),
    }
}

/// Lists the log from version `from` on.
pub(super) async fn list(store: &dyn ObjectStore, from: u64) -> Result<Listing, LogError> {
    let folder = Path::from(LOG);
    let offset = Path::from(format!("{LOG}/{from:020}"));
    let mut listing = Listing { from, ..Listing::default() };
    let mut parts: BTreeMap<(u64, u32), BTreeMap<u32, ObjectMeta>> = BTreeMap::new();
    let mut listed = store.list_with_offset(Some(&folder), &offset);
    while let Some(meta) = listed.try_next().await.map_err(|source| LogError::Store { path: folder.clone(), source })? {
        let in_folder = meta.location.prefix_match(&folder).is_some_and(|rest| rest.count() == 1);
        let Some((version, kind)) = meta.location.filename().filter(|_| in_folder).and_then(parse) else { continue };
        if version < from {
            continue;
        }
        match kind {
            Kind::Commit => drop(listing.commits.insert(version, meta)),
            Kind::Checkpoint => listing.checkpoints.push(Checkpoint { version, files: vec![meta] }),
            Kind::Part { number, of } => drop(parts.entry((version, of)).or_default().insert(number, meta)),
        }
    }
    for ((version, of), files) in parts {
        if files.keys().copied().eq(1..=of) {
            listing.checkpoints.push(Checkpoint { version, files: files.into_values().collect() });
        }
    }
    // Newest last; of one version, the order does not matter: each is whole.
    listing.checkpoints.sort_by_key(|checkpoint| checkpoint.version);
    Ok(listing)
}

/// `<version>.json`, `<version>.checkpoint.parquet`, `<version>.checkpoint.<part>.<parts>.parquet` or
/// `<version>.checkpoint.<uuid>.{json,parquet}`.
fn parse(name: &str) -> Option<(u64, Kind)> {
    let (digits, rest) = name.split_once('.')?;
    if digits.len() != VERSION_DIGITS || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let version = digits.parse().ok()?;
    let words: Vec<&str> = rest.split('.').collect();
    let kind = match words.as_slice() {
        ["json"] => Kind::Commit,
        ["checkpoint", "parquet"] => Kind::Checkpoint,
        ["checkpoint", id, "json" | "parquet"] if uuid::Uuid::try_parse(id).is_ok() => Kind::Checkpoint,
        ["checkpoint", number, of, "parquet"] if number.len() == 10 && of.len() == 10 => {
            Kind::Part { number: number.parse().ok()?, of: of.parse().ok()? }
        }
        _ => return None,
    };
    Some((version, kind))
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[test]
    fn names_tell_what_a_file_is() {
        let parsed = |rest: &str| {
            parse(&format!("00000000000000000012.{rest}")).map(|(version, kind)| {
                assert_eq!(version, 12);
                kind
            })
        };
        assert_eq!(parsed("json"), Some(Kind::Commit));
        assert_eq!(parsed("checkpoint.parquet"), Some(Kind::Checkpoint));
        assert_eq!(parsed("checkpoint.0000000002.0000000003.parquet"), Some(Kind::Part { number: 2, of: 3 }));
        for kind in ["json", "parquet"] {
            let name = format!("checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.{kind}");
            assert_eq!(parsed(&name), Some(Kind::Checkpoint));
        }
        for other in ["json#1218", "checkpoint.parquet#1"] {
            assert_eq!(parsed(other), None, "a file that was not finished: {other}");
        }
        for other in ["crc", "json.tmp", "compacted.json", "checkpoint.x.parquet", "checkpoint.1.2.parquet"] {
            assert_eq!(parsed(other), None, "{other}");
        }
        assert_eq!(parse("12.json"), None);
        assert_eq!(parse("_last_checkpoint"), None);
        let version = |name: &str| version_of(&Path::from(format!("{LOG}/{name}")));
        assert_eq!(version("00000000000000000012.json"), Some((12, true)));
        assert_eq!(version("00000000000000000012.checkpoint.parquet"), Some((12, false)));
        assert_eq!(version("00000000000000000012.crc"), Some((12, false)));
        assert_eq!(version("00000000000000000003.00000000000000000012.compacted.json"), Some((12, false)));
        for other in [
            "_last_checkpoint",
            "00000000000000000012.mine",
            "00000000000000000012.json#1218",
            "_staged/00000000000000000012.json",
        ] {
            assert_eq!(version(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn checkpoints_count_when_all_their_parts_are_there() {
        let store = InMemory::new();
        for name in [
            "00000000000000000001.checkpoint.0000000001.0000000002.parquet",
            "00000000000000000002.checkpoint.0000000001.0000000002.parquet",
            "00000000000000000002.checkpoint.0000000002.0000000002.parquet",
            "00000000000000000000.json",
            "00000000000000000002.json",
            "_sidecars/00000000000000000009.json",
        ] {
            store.put(&Path::from(format!("{LOG}/{name}")), "x".into()).await.unwrap();
        }
        let all = list(&store, 0).await.unwrap();
        assert_eq!(all.checkpoints.iter().map(|c| (c.version, c.files.len())).collect::<Vec<_>>(), [(2, 2)]);
        assert_eq!((all.commits.keys().copied().collect::<Vec<_>>(), all.newest()), (vec![0, 2], Some(2)));
        let tail = list(&store, 2).await.unwrap();
        assert_eq!((tail.commits.len(), tail.checkpoints.len()), (1, 1));
        assert_eq!(hint(&store).await.unwrap(), None);
        store.put(&Path::from(format!("{LOG}/_last_checkpoint")), "nonsense".into()).await.unwrap();
        assert_eq!(hint(&store).await.unwrap(), None);
        store.put(&Path::from(format!("{LOG}/_last_checkpoint")), r#"{"version":7,"size":1}"#.into()).await.unwrap();
        assert_eq!(hint(&store).await.unwrap(), Some(7));
    }
}
