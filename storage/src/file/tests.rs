//! Listing, reading and writing on a folder and on a store without folders.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::execution::object_store::{DefaultObjectStoreRegistry, ObjectStoreRegistry};
use futures::TryStreamExt;
use object_store::memory::InMemory;
use url::Url;

use super::*;

/// A registry, and a place in it that exists only for this test.
fn places() -> Vec<(DefaultObjectStoreRegistry, String, Option<tempfile::TempDir>)> {
    let folder = tempfile::tempdir().unwrap();
    let local = folder.path().canonicalize().unwrap().display().to_string();
    let bucket = DefaultObjectStoreRegistry::new();
    bucket.register_store(&Url::parse("s3://bucket").unwrap(), Arc::new(InMemory::new()));
    vec![(DefaultObjectStoreRegistry::new(), local, Some(folder)), (bucket, "s3://bucket/some".into(), None)]
}

async fn put(stores: &dyn ObjectStoreRegistry, path: &str, text: &str) {
    let mut upload = Upload::new(stores, Location::parse(path).unwrap().url()).unwrap();
    upload.write(Bytes::copy_from_slice(text.as_bytes())).await.unwrap();
    upload.finish().await.unwrap();
}

async fn names(stores: &dyn ObjectStoreRegistry, base: &str, path: &str) -> Vec<String> {
    let files = list(stores, &Location::parse(&format!("{base}/{path}")).unwrap()).await.unwrap();
    files.iter().map(|file| file.name.strip_prefix(&format!("{base}/")).unwrap().to_string()).collect()
}

#[tokio::test]
async fn patterns_find_files_and_hidden_ones_only_when_named() {
    for (stores, base, _folder) in places() {
        for name in ["a.csv", "b c.csv", "deep/x.csv", "deep/y.json", "_hidden.csv", ".dot/z.csv", "k=_v/p.csv"] {
            put(&stores, &format!("{base}/{name}"), "x").await;
        }
        assert_eq!(names(&stores, &base, "*.csv").await, ["a.csv", "b c.csv"]);
        assert_eq!(names(&stores, &base, "**/*.csv").await, ["a.csv", "b c.csv", "deep/x.csv", "k=_v/p.csv"]);
        assert_eq!(names(&stores, &base, "deep/").await, ["deep/x.csv", "deep/y.json"]);
        assert_eq!(names(&stores, &base, "deep").await, ["deep/x.csv", "deep/y.json"]);
        assert_eq!(names(&stores, &base, "_h*.csv").await, ["_hidden.csv"]);
        assert_eq!(names(&stores, &base, "b c.csv").await, ["b c.csv"]);
        assert!(names(&stores, &base, "nothing/*.csv").await.is_empty());
        assert!(names(&stores, &base, "nothing.csv").await.is_empty());
    }
}

#[tokio::test]
async fn an_upload_is_seen_when_it_is_finished() {
    for (stores, base, _folder) in places() {
        let path = format!("{base}/new/file.bin");
        let url = Location::parse(&path).unwrap().url().clone();
        let mut upload = Upload::new(&stores, &url).unwrap();
        upload.write(Bytes::from(vec![7; 100])).await.unwrap();
        assert!(names(&stores, &base, "new/*").await.is_empty());
        drop(upload);
        assert!(names(&stores, &base, "new/*").await.is_empty());
        put(&stores, &path, "whole").await;
        let files = list(&stores, &Location::parse(&path).unwrap()).await.unwrap();
        let bytes: Vec<Bytes> = read(&stores, &files[0]).await.unwrap().try_collect().await.unwrap();
        assert_eq!(bytes.concat(), b"whole");
        Upload::new(&stores, &url).unwrap().finish().await.unwrap();
        assert_eq!(list(&stores, &Location::parse(&path).unwrap()).await.unwrap()[0].meta.size, 0);
    }
}

#[tokio::test]
async fn a_file_that_changed_since_it_was_listed_is_not_read() {
    for (stores, base, _folder) in places() {
        let path = format!("{base}/file.csv");
        put(&stores, &path, "first").await;
        let files = list(&stores, &Location::parse(&path).unwrap()).await.unwrap();
        put(&stores, &path, "second one").await;
        assert!(read(&stores, &files[0]).await.is_err());
    }
}

#[tokio::test]
async fn a_folder_moves_and_goes_as_a_whole() {
    for (stores, base, _folder) in places() {
        let folder = |name: &str| Location::parse(&format!("{base}/{name}/")).unwrap().folder_url();
        put(&stores, &format!("{base}/from/a.csv"), "a").await;
        put(&stores, &format!("{base}/from/b.csv"), "b").await;
        assert!(is_empty(&stores, &folder("to")).await.unwrap());
        rename(&stores, &folder("from"), &folder("to")).await.unwrap();
        assert_eq!(names(&stores, &base, "**/*.csv").await, ["to/a.csv", "to/b.csv"]);
        assert!(!is_empty(&stores, &folder("to")).await.unwrap());
        delete_folder(&stores, &folder("to")).await;
        assert!(names(&stores, &base, "**/*.csv").await.is_empty());
    }
}
