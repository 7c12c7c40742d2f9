//! Blocks that come near otherwise than by being read twice: because somebody asked for them, because they were written.

use bytes::Bytes;
use object_store::{ObjectStoreExt, PutPayload, path::Path};

use super::{MIB, Place, Random};
use crate::warm::{Fill, Keep, Written};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_for_comes_whatever_is_there_and_goes_when_it_is_let_go() {
    let place = Place::new();
    let (other, content) = place.put("other", 16 * MIB).await;
    let (asked, _) = place.put_content("asked", &content).await;
    let blocks = place.open().await;
    // The disk is full of what was read twice.
    for number in 0..4 {
        let (meta, _) = place.put_content(&format!("other{number}"), &content).await;
        for _ in 0..2 {
            let file = place.file(&blocks, &meta, Keep::Fetched);
            file.get_range(&meta.location, 0..meta.size).await.unwrap();
            blocks.idle().await;
        }
    }
    let fill = Fill::new(blocks.fill_bytes_max());
    let file = place.file(&blocks, &asked, Keep::Asked(fill.clone()));
    file.bring().await.unwrap();
    let brought = fill.settled(&blocks).await;
    assert_eq!((brought.files, brought.files_left, brought.bytes_left), (1, 0, 0));
    assert_eq!(brought.bytes, asked.size + (128 << 10), "the end has a block of its own");
    let before = place.requests();
    let file = place.file(&blocks, &asked, Keep::Fetched);
    assert!(file.get_range(&asked.location, 0..asked.size).await.unwrap() == content);
    assert_eq!(place.requests(), before);
    // No more than the statement may ask for, and what does not fit is said.
    let little = Fill::new(2 << 20);
    let file = place.file(&blocks, &other, Keep::Asked(little.clone()));
    file.get_range(&other.location, 0..5 << 20).await.unwrap();
    let brought = little.settled(&blocks).await;
    assert_eq!((brought.files, brought.files_left), (0, 1));
    assert!(brought.bytes <= 2 << 20 && brought.bytes_left >= 3 << 20, "{brought:?}");
    assert_eq!(blocks.release("memory:///", &asked), asked.size + (128 << 10));
    assert_eq!(blocks.release("memory:///", &asked), 0);
    let file = place.file(&blocks, &asked, Keep::Fetched);
    assert!(file.get_range(&asked.location, 0..asked.size).await.unwrap() == content);
    assert!(place.requests() > before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_is_near_however_it_was_cut_into_parts() {
    let (place, mut random) = (Place::new(), Random(1));
    let blocks = place.open().await;
    for (number, size) in [1, 1000, 128 << 10, (128 << 10) + 1, 3 * MIB + 17].into_iter().enumerate() {
        let name = format!("t/f{number}.parquet");
        let (meta, content) = place.put(&name, size).await;
        let write = Written::new(blocks.clone(), blocks.mark("1", "main.t"), "memory:///", Path::from("t"));
        let mut file = write.begin(&Path::from(format!("f{number}.parquet"))).unwrap();
        let mut at = 0;
        while at < size {
            let end = (at + 1 + random.below(MIB as u64) as usize).min(size);
            let middle = at + (end - at) / 2;
            let payload: PutPayload = [content.slice(at..middle), content.slice(middle..end)].into_iter().collect();
            file.add(&payload);
            at = end;
        }
        file.done();
        let before = place.requests();
        let near = place.file(&blocks, &meta, Keep::Fetched);
        assert!(near.get_range(&meta.location, 0..meta.size).await.unwrap() == content);
        let end = near.get_range(&meta.location, meta.size - 1..meta.size).await.unwrap();
        assert_eq!(end, content.slice(size - 1..));
        assert_eq!(place.requests(), before, "{name}");
    }
    let write = Written::new(blocks.clone(), blocks.mark("1", "main.t"), "memory:///", Path::from("t"));
    for other in ["_delta_log/00000000000000000001.checkpoint.parquet", "_change_data/cdc.parquet", "vector.bin"] {
        assert!(write.begin(&Path::from(other)).is_none(), "{other}");
    }
    // A file that is too much for memory takes none from others, written or not.
    let (meta, content) = place.put("t/beside.parquet", 3 * MIB).await;
    let write = Written::new(blocks.clone(), blocks.mark("1", "main.t"), "memory:///", Path::from("t"));
    let mut large = write.begin(&Path::from("too_large.parquet")).unwrap();
    for mebibytes in [62, 10] {
        large.add(&PutPayload::from_bytes(Bytes::from(vec![7; mebibytes * MIB])));
    }
    let mut beside = write.begin(&Path::from("beside.parquet")).unwrap();
    beside.add(&content.clone().into());
    beside.done();
    let before = place.requests();
    let near = place.file(&blocks, &meta, Keep::Fetched);
    assert!(near.get_range(&meta.location, 0..meta.size).await.unwrap() == content);
    assert_eq!(place.requests(), before, "beside one that is too large");
    drop(large);
    // Too much for memory, and a file that was given up: nothing comes of them, and their memory is free again.
    for _ in 0..3 {
        let mut large = write.begin(&Path::from("large.parquet")).unwrap();
        let part = PutPayload::from_bytes(Bytes::from(vec![7; 40 * MIB]));
        large.add(&part);
        large.add(&part);
        large.done();
    }
    let (meta, _) = place.put("t/large.parquet", 80 * MIB).await;
    let before = place.requests();
    place.file(&blocks, &meta, Keep::Fetched).get_range(&meta.location, 0..10).await.unwrap();
    assert_eq!(place.requests(), before + 1);
}
