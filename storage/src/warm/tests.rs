//! Whatever is read, in whatever order, beside whoever: the bytes are those of the store.

mod near;
mod process;

use std::{
    fs,
    ops::Range,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt, path::Path};
use url::Url;

use super::{Blocks, Fill, Keep, WarmFile, WarmOptions, file::Meters};
use crate::{StorageOptions, store::Stores};

const MIB: usize = 1 << 20;
/// The least that a folder may weigh.
const FOLDER_BYTES: u64 = 64 << 20;

/// Numbers that are always the same for a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// A far store, and a folder that is near.
struct Place {
    stores: Stores,
    store: Arc<dyn ObjectStore>,
    near: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let stores = Stores::new(StorageOptions::default(), None);
        let store = stores.get(&Url::parse("memory:///").unwrap()).unwrap();
        Self { stores, store, near: tempfile::tempdir().unwrap() }
    }

    /// A file of `bytes` numbered words.
    async fn put(&self, name: &str, bytes: usize) -> (ObjectMeta, Bytes) {
        let words = (0..bytes.div_ceil(8) as u64).flat_map(u64::to_le_bytes).take(bytes);
        let content = Bytes::from(words.collect::<Vec<_>>());
        self.put_content(name, &content).await
    }

    async fn put_content(&self, name: &str, content: &Bytes) -> (ObjectMeta, Bytes) {
        let path = Path::from(name);
        self.store.put(&path, content.clone().into()).await.unwrap();
        (self.store.head(&path).await.unwrap(), content.clone())
    }

    async fn open(&self) -> Arc<Blocks> {
        self.open_with(4 << 20).await
    }

    async fn open_with(&self, memory_bytes_max: u64) -> Arc<Blocks> {
        let options = WarmOptions { folder: self.near.path().into(), bytes_max: FOLDER_BYTES, memory_bytes_max };
        Blocks::open(&options).await.unwrap()
    }

    fn file(&self, blocks: &Arc<Blocks>, meta: &ObjectMeta, keep: Keep) -> WarmFile {
        let table = blocks.mark("1", "main.t");
        let store = self.store.clone();
        WarmFile::new((Some(blocks.clone()), table), store, "memory:///", meta.clone(), keep, Meters::default())
    }

    fn requests(&self) -> u64 {
        self.stores.usage().get
    }
}

fn span(content: &Bytes, range: &Range<u64>) -> Bytes {
    content.slice(usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap())
}

fn units(folder: &FilePath) -> Vec<PathBuf> {
    let inside = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    inside.flat_map(|path| if path.is_dir() { units(&path) } else { vec![path] }).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_mix_of_reads_restarts_and_damage_gives_the_bytes_of_the_store() {
    let seed = std::env::var("BOATHOUSE_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("seed {seed}");
    let (place, mut random) = (Place::new(), Random(seed));
    let mut files = vec![];
    for (number, bytes) in
        [1, 1000, 128 << 10, (128 << 10) + 1, MIB, 3 * MIB + 17, 20 * MIB, 90 * MIB].iter().enumerate()
    {
        files.push(place.put(&format!("f{number}"), *bytes).await);
    }
    for _ in 0..3 {
        let blocks = place.open_with(random.below(8) << 20).await;
        for _ in 0..40 {
            let (meta, content) = &files[random.below(files.len() as u64) as usize];
            let keep = match random.below(6) {
                0 => Keep::Nothing,
                1 => Keep::Asked(Fill::new(random.below(40) << 20)),
                _ => Keep::Fetched,
            };
            if random.below(10) == 0 {
                blocks.release("memory:///", meta);
            }
            let file = place.file(&blocks, meta, keep);
            let ranges: Vec<Range<u64>> = (0..=random.below(4))
                .map(|_| {
                    let start = random.below(meta.size);
                    let most = [64, 4 << 10, 3 << 20, 40 << 20][random.below(4) as usize];
                    start..(start + 1 + random.below(most)).min(meta.size)
                })
                .collect();
            let read = file.get_ranges(&meta.location, &ranges).await.unwrap();
            for (range, bytes) in ranges.iter().zip(&read) {
                assert!(*bytes == span(content, range), "{range:?} of {}", meta.location);
            }
            let end = file.get_range(&meta.location, meta.size - 1..meta.size + 5).await.unwrap();
            assert_eq!(end, content.slice(content.len() - 1..));
        }
        blocks.idle().await;
        assert!(blocks.usage().hits > 0);
        drop(blocks);
        // What lies there is not trusted.
        let units = units(place.near.path());
        for _ in 0..3 {
            let unit = &units[random.below(units.len() as u64) as usize];
            let mut content = fs::read(unit).unwrap();
            let at = random.below(content.len().max(1) as u64) as usize;
            if random.below(2) == 0 {
                content.truncate(at);
            }
            content.iter_mut().skip(at).step_by(1009).for_each(|byte| *byte ^= 0x55);
            fs::write(unit, content).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neighbours_come_in_one_request_and_what_is_there_in_none_even_after_a_restart() {
    let place = Place::new();
    let (meta, content) = place.put("f", 6 * MIB).await;
    let all = 0..meta.size;
    let blocks = place.open().await;
    let before = place.requests();
    let reads = (0..20).map(|_| {
        let (file, range) = (place.file(&blocks, &meta, Keep::Fetched), all.clone());
        async move { file.get_range(&Path::from("f"), range).await.unwrap() }
    });
    for read in futures::future::join_all(reads).await {
        assert!(read == content);
    }
    assert_eq!(place.requests() - before, 1, "who comes later waits for the first");
    // The end has blocks of its own.
    let file = place.file(&blocks, &meta, Keep::Fetched);
    file.get_range(&meta.location, meta.size - 8..meta.size).await.unwrap();
    assert_eq!(place.requests() - before, 2);
    blocks.idle().await;
    drop((file, blocks));
    let blocks = place.open().await;
    let file = place.file(&blocks, &meta, Keep::Nothing);
    assert!(file.get_range(&meta.location, all).await.unwrap() == content);
    assert_eq!(file.get_range(&meta.location, meta.size - 8..meta.size).await.unwrap(), content.slice(6 * MIB - 8..));
    assert_eq!(place.requests() - before, 2);
    let usage = blocks.usage();
    assert!(usage.bytes > 6 << 20 && usage.bytes <= usage.bytes_max, "{usage:?}");
    assert_eq!((usage.hits, usage.misses), (8, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_once_leaves_nothing_and_reads_no_more_than_it_asked_for() {
    let place = Place::new();
    let (meta, content) = place.put("f", 3 * MIB).await;
    let blocks = place.open().await;
    let before = place.stores.usage();
    let file = place.file(&blocks, &meta, Keep::Nothing);
    for _ in 0..2 {
        assert_eq!(file.get_range(&meta.location, 5..15).await.unwrap(), content.slice(5..15));
    }
    let after = place.stores.usage();
    assert_eq!((after.get - before.get, after.bytes_read - before.bytes_read), (2, 20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_of_ten_times_what_fits_leaves_what_is_used_alone() {
    let place = Place::new();
    let (hot, content) = place.put("hot", 16 * MIB).await;
    let blocks = place.open().await;
    let read = async |meta: &ObjectMeta| {
        let file = place.file(&blocks, meta, Keep::Fetched);
        assert!(file.get_range(&meta.location, 0..meta.size).await.unwrap() == content);
        blocks.idle().await;
    };
    read(&hot).await;
    read(&hot).await;
    for number in 0..40 {
        let (cold, _) = place.put_content(&format!("cold{number}"), &content).await;
        read(&cold).await;
        let before = place.requests();
        read(&hot).await;
        assert_eq!(place.requests(), before, "after {number} others");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_serves_one_process_at_a_time_and_others_go_on_without() {
    let place = Place::new();
    let (meta, content) = place.put("f", MIB).await;
    let first = place.open().await;
    let second = place.open().await;
    assert_eq!(
        (first.usage().place, second.usage().place.as_str()),
        (place.near.path().display().to_string(), "memory")
    );
    for _ in 0..2 {
        let file = place.file(&second, &meta, Keep::Fetched);
        assert!(file.get_range(&meta.location, 0..meta.size).await.unwrap() == content);
    }
    assert!(second.usage().hits > 0);
    let file = FilePath::new("/dev/null").join("x");
    let options = WarmOptions { folder: file, bytes_max: FOLDER_BYTES, memory_bytes_max: 1 << 20 };
    assert_eq!(Blocks::open(&options).await.unwrap().usage().place, "memory");
    assert!(Blocks::open(&WarmOptions { bytes_max: 0, ..options }).await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_gone_or_shorter_is_an_error_and_found_again_when_it_is_back() {
    let place = Place::new();
    let (meta, content) = place.put("f", MIB).await;
    let blocks = place.open().await;
    let file = place.file(&blocks, &meta, Keep::Fetched);
    place.store.delete(&meta.location).await.unwrap();
    let error = file.get_range(&meta.location, 0..10).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    place.store.put(&meta.location, content.slice(..9).into()).await.unwrap();
    let error = file.get_range(&meta.location, 0..10).await.unwrap_err().to_string();
    assert!(error.contains("9 bytes"), "{error}");
    place.store.put(&meta.location, content.clone().into()).await.unwrap();
    assert_eq!(file.get_range(&meta.location, 0..10).await.unwrap(), content.slice(..10));
}
