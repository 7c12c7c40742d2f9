//! A process that is killed while it writes its folder, and one whose disk is full. Both are this test itself, begun again.

use std::{
    env,
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::Path as FilePath,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use object_store::{ObjectMeta, ObjectStoreExt};

use super::{FOLDER_BYTES, MIB, Place, Random};
use crate::warm::{Blocks, Fill, Keep, WarmOptions};

/// Tells the process that it is the one that is killed, or the one whose disk is full.
const FOLDER: &str = "BOATHOUSE_TEST_WARM_FOLDER";

async fn open(folder: &FilePath) -> Arc<Blocks> {
    let options = WarmOptions { folder: folder.into(), bytes_max: FOLDER_BYTES, memory_bytes_max: 1 << 20 };
    Blocks::open(&options).await.unwrap()
}

/// The same files in each process, more than the folder may weigh.
async fn files(place: &Place) -> Vec<(ObjectMeta, Bytes)> {
    let mut files = vec![];
    for (number, bytes) in [1000, 3 * MIB + 17, 20 * MIB, 24 * MIB, 30 * MIB].into_iter().enumerate() {
        files.push(place.put(&format!("f{number}"), bytes).await);
    }
    files
}

/// Reads a part of one of the files in one of the ways in which blocks come in.
async fn read(place: &Place, blocks: &Arc<Blocks>, files: &[(ObjectMeta, Bytes)], random: &mut Random) {
    let (meta, content) = &files[random.below(files.len() as u64) as usize];
    let keep = if random.below(2) == 0 { Keep::Fetched } else { Keep::Asked(Fill::new(u64::MAX)) };
    let start = random.below(meta.size);
    let range = start..(start + 1 + random.below(8 << 20)).min(meta.size);
    let bytes = place.file(blocks, meta, keep).get_range(&meta.location, range.clone()).await.unwrap();
    assert!(bytes == super::span(content, &range), "{range:?} of {}", meta.location);
}

/// This test, run by a process of its own.
fn itself(launcher: &[&str], name: &str, folder: &FilePath) -> Command {
    let program = env::current_exe().unwrap();
    let mut words: Vec<&str> = launcher.to_vec();
    let name = format!("warm::tests::process::{name}");
    words.extend([program.to_str().unwrap(), "--exact", &name, "--nocapture", "--test-threads", "1"]);
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env(FOLDER, folder);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_leaves_costs_time_and_no_byte() {
    let place = Place::new();
    let files = files(&place).await;
    if let Some(folder) = env::var_os(FOLDER) {
        let (blocks, mut random) = (open(folder.as_ref()).await, Random(u64::from(std::process::id())));
        loop {
            read(&place, &blocks, &files, &mut random).await;
            println!("read");
        }
    }
    let mut random = Random(1);
    for _ in 0..5 {
        // In the midst of its writes: nobody waits for those.
        let reads = 5 + random.below(40) as usize;
        let mut child = itself(&[], "what_a_killed_process_leaves_costs_time_and_no_byte", place.near.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let seen = lines.map(Result::unwrap).filter(|line| line.ends_with("read")).take(reads).count();
        assert_eq!(seen, reads);
        child.kill().unwrap();
        child.wait().unwrap();
        let blocks = open(place.near.path()).await;
        assert_eq!(blocks.usage().place, place.near.path().display().to_string(), "its lock is gone with it");
        for (meta, content) in &files {
            let file = place.file(&blocks, meta, Keep::Fetched);
            assert!(file.get_range(&meta.location, 0..meta.size).await.unwrap() == content, "{}", meta.location);
        }
        assert!(blocks.usage().hits > 0);
        blocks.idle().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_the_cache_steps_aside() {
    let place = Place::new();
    let files = files(&place).await;
    let mut random = Random(1);
    if let Some(folder) = env::var_os(FOLDER) {
        let folder = FilePath::new(&folder);
        let (begin, seconds) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let passed = seconds.clone();
        let clock = Arc::new(move || begin + Duration::from_secs(passed.load(Ordering::Relaxed)));
        let options = WarmOptions { folder: folder.join("warm"), bytes_max: FOLDER_BYTES, memory_bytes_max: 1 << 20 };
        let blocks = Blocks::open_with(&options, clock).await.unwrap();
        assert!(blocks.usage().place.ends_with("warm"), "{:?}", blocks.usage());
        read(&place, &blocks, &files, &mut random).await;
        // Others take the rest of the disk.
        let mut ballast = File::create(folder.join("ballast")).unwrap();
        while ballast.write_all(&[7; 4096]).is_ok() {}
        for _ in 0..60 {
            read(&place, &blocks, &files, &mut random).await;
        }
        blocks.idle().await;
        assert_eq!(blocks.usage().disk_off, Some(true), "the library has learnt to live with a full disk");
        let trouble = blocks.table_usages()[0].trouble.clone().unwrap();
        assert!(trouble.contains("is tried again in 60 s"), "{trouble}");
        // It is tried again, and is as full as before.
        seconds.store(61, Ordering::Relaxed);
        blocks.idle().await;
        assert_eq!(blocks.usage().disk_off, Some(true));
        drop(ballast);
        fs::remove_file(folder.join("ballast")).unwrap();
        // There is room again, in this process, once it is time, and in the next.
        blocks.idle().await;
        assert_eq!(blocks.usage().disk_off, Some(true), "it is not time yet");
        seconds.store(61 + 121, Ordering::Relaxed);
        blocks.idle().await;
        assert_eq!(blocks.usage().disk_off, Some(false));
        for _ in 0..60 {
            read(&place, &blocks, &files, &mut random).await;
        }
        blocks.idle().await;
        assert_eq!(blocks.usage().disk_off, Some(false));
        let (meta, _) = &files[0];
        let fill = Fill::new(u64::MAX);
        place.file(&blocks, meta, Keep::Asked(fill.clone())).bring().await.unwrap();
        assert_eq!(fill.settled(&blocks).await.files, 1);
        drop(blocks);
        // Its lock is free at once, and what it wrote lies there.
        let blocks = open(&folder.join("warm")).await;
        for _ in 0..60 {
            read(&place, &blocks, &files, &mut random).await;
        }
        println!("the end");
        return;
    }
    // Where nothing at all can be written, blocks are kept in memory alone.
    #[cfg(unix)]
    {
        for name in ["rows-1", "tails-1"] {
            std::os::unix::fs::symlink("/dev/full", place.near.path().join(name)).unwrap();
        }
        let blocks = open(place.near.path()).await;
        for _ in 0..20 {
            read(&place, &blocks, &files, &mut random).await;
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let mount = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"];
    let disk = format!("mount -t tmpfs -o size=160m tmpfs '{}'", folder.path().display());
    let tried = Command::new(mount[0]).args(&mount[1..]).arg(&disk).output();
    if !tried.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: this system lets nobody mount a disk of their own");
        return;
    }
    let then = format!("{disk} && exec \"$0\" \"$@\"");
    let launcher: Vec<&str> = mount.into_iter().chain([then.as_str()]).collect();
    let output = itself(&launcher, "on_a_full_disk_the_cache_steps_aside", folder.path()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("the end"), "{told}{}", String::from_utf8_lossy(&output.stderr));
}
