//! A folder whose writes survive a power cut.
//!
//! The library's local store links a finished file into place without a sync, so a commit that was acknowledged could be
//! gone, or there and empty, after a crash. Here a file is on the disk before its name appears, and the name is on the
//! disk before the write returns. Reads and listings go straight through, but for questions whether a file is there.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    ops::Range,
    path::{Path as FilePath, PathBuf},
    time::SystemTime,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
    local::LocalFileSystem, path::Path,
};
use uuid::Uuid;

/// The local file system, rooted at `/`, with every write synced.
#[derive(Debug, Clone)]
pub(super) struct DurableFolder {
    inner: LocalFileSystem,
}

impl DurableFolder {
    pub(super) fn new() -> Self {
        Self { inner: LocalFileSystem::new() }
    }
}

impl fmt::Display for DurableFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DurableFolder({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for DurableFolder {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let create = match opts.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => return self.inner.put_opts(location, payload, opts).await,
        };
        let path = self.inner.path_to_filesystem(location)?;
        blocking(move || write_file(&path, &payload, create)).await?;
        // Who wants to know the tag asks for it: none of ours does.
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let path = self.inner.path_to_filesystem(location)?;
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        Ok(Box::new(DurableUpload { inner, path }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.head && options.range.is_none() {
            let path = self.inner.path_to_filesystem(location)?;
            // Asked several times by each statement. Through the pool of blocking threads, as the library does it, these
            // were a quarter of what a query costs whose rows are in the result cache.
            match fs::metadata(&path) {
                Ok(found) if found.is_file() => return head(meta(location, &found)?, &options),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(io_error(&path, error)),
                // Whatever is odd is told by the library.
                _ => {}
            }
        }
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await?;
        self.sync(to).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await?;
        self.sync(to).await
    }
}

impl DurableFolder {
    async fn sync(&self, location: &Path) -> Result<()> {
        let path = self.inner.path_to_filesystem(location)?;
        blocking(move || sync_file(&path)).await
    }
}

/// A large file: its parts go through the library, completion syncs.
#[derive(Debug)]
struct DurableUpload {
    inner: Box<dyn MultipartUpload>,
    path: PathBuf,
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.inner.complete().await?;
        let path = self.path.clone();
        blocking(move || sync_file(&path)).await?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

/// Writes under another name, syncs, then gives the file its name in one step.
fn write_file(path: &FilePath, payload: &PutPayload, create: bool) -> Result<()> {
    let folder = parent(path);
    if !folder.is_dir() {
        make_folder(folder).map_err(|e| io_error(path, e))?;
    }
    // Names that end in `#` and digits are not objects for the library: listings skip them.
    let mut staged = path.as_os_str().to_owned();
    staged.push(format!("#{}", Uuid::new_v4().as_u128()));
    let staged = PathBuf::from(staged);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).open(&staged)?;
        payload.iter().try_for_each(|part| file.write_all(part))?;
        file.sync_all()?;
        if create {
            fs::hard_link(&staged, path)?;
            fs::remove_file(&staged)
        } else {
            fs::rename(&staged, path)
        }
    })();
    if let Err(source) = written {
        // Nobody reads a staged file; what cannot be removed now does no harm.
        let _ = fs::remove_file(&staged);
        if create && source.kind() == io::ErrorKind::AlreadyExists {
            return Err(Error::AlreadyExists { path: path.display().to_string(), source: Box::new(source) });
        }
        return Err(io_error(path, source));
    }
    sync_folder(folder).map_err(|e| io_error(path, e))
}

/// Makes a folder and its missing parents; each new name is synced in its parent.
fn make_folder(folder: &FilePath) -> io::Result<()> {
    let above = parent(folder);
    if !above.is_dir() {
        make_folder(above)?;
    }
    match fs::create_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(e),
        Ok(()) => sync_folder(above),
    }
}

fn sync_file(path: &FilePath) -> Result<()> {
    let synced = File::open(path).and_then(|file| file.sync_all()).and_then(|()| sync_folder(parent(path)));
    synced.map_err(|e| io_error(path, e))
}

fn sync_folder(folder: &FilePath) -> io::Result<()> {
    // Other systems cannot open a folder as a file; their file systems order the names themselves.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// The answer to a question about a file, without its bytes.
fn head(meta: ObjectMeta, options: &GetOptions) -> Result<GetResult> {
    options.check_preconditions(&meta)?;
    let payload = GetResultPayload::Stream(stream::empty().boxed());
    Ok(GetResult { payload, range: 0..meta.size, attributes: Attributes::default(), meta })
}

/// What the library says of the same file.
fn meta(location: &Path, found: &fs::Metadata) -> Result<ObjectMeta> {
    let modified = found.modified().map_err(|source| Error::Generic { store: "folder", source: Box::new(source) })?;
    let micros = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
    let e_tag = format!("{:x}-{micros:x}-{:x}", inode(found), found.len());
    Ok(ObjectMeta {
        location: location.clone(),
        last_modified: modified.into(),
        size: found.len(),
        e_tag: Some(e_tag),
        version: None,
    })
}

#[cfg(unix)]
fn inode(found: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(found)
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> u64 {
    0
}

fn parent(path: &FilePath) -> &FilePath {
    path.parent().unwrap_or(path)
}

fn io_error(path: &FilePath, source: io::Error) -> Error {
    let path = path.display().to_string();
    match source.kind() {
        io::ErrorKind::NotFound => Error::NotFound { path, source: Box::new(source) },
        io::ErrorKind::PermissionDenied => Error::PermissionDenied { path, source: Box::new(source) },
        _ => Error::Generic { store: "folder", source: Box::new(source) },
    }
}

async fn blocking(work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    tokio::task::spawn_blocking(work).await.map_err(|source| Error::JoinError { source })?
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;

    use super::*;

    fn place(folder: &tempfile::TempDir, name: &str) -> Path {
        Path::from_absolute_path(folder.path().join(name)).unwrap()
    }

    #[tokio::test]
    async fn a_second_create_is_refused_and_leaves_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let (store, path) = (DurableFolder::new(), place(&folder, "a/b/c.json"));
        let create = || PutOptions { mode: PutMode::Create, ..Default::default() };
        store.put_opts(&path, "one".into(), create()).await.unwrap();
        let again = store.put_opts(&path, "two".into(), create()).await;
        assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "one");
        store.put(&path, "three".into()).await.unwrap();
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "three");
        let names: Vec<_> = fs::read_dir(folder.path().join("a/b")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["c.json"], "nothing staged is left");
    }

    #[tokio::test]
    async fn what_is_told_of_a_file_is_what_the_library_tells() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, library) = (DurableFolder::new(), LocalFileSystem::new());
        let path = place(&folder, "a file/äöü%20.json");
        ours.put(&path, "twelve bytes".into()).await.unwrap();
        let told = ours.head(&path).await.unwrap();
        assert_eq!((told.size, &told), (12, &library.head(&path).await.unwrap()));
        let (tag, other) = (told.e_tag.clone().unwrap(), "another".to_owned());
        for (if_match, if_none_match) in
            [(Some(&tag), None), (Some(&other), None), (None, Some(&tag)), (None, Some(&other))]
        {
            let options = || GetOptions {
                head: true,
                if_match: if_match.cloned(),
                if_none_match: if_none_match.cloned(),
                ..GetOptions::default()
            };
            let (ours, library) = (ours.get_opts(&path, options()).await, library.get_opts(&path, options()).await);
            let told = |answer: Result<GetResult>| answer.map(|answer| answer.meta).map_err(|error| error.to_string());
            assert_eq!(told(ours), told(library));
        }
        for missing in ["nothing", "a file", "a file/äöü%20.json/below"] {
            let path = place(&folder, missing);
            let (ours, library) = (ours.head(&path).await.unwrap_err(), library.head(&path).await.unwrap_err());
            let missing = |error: &Error| matches!(error, Error::NotFound { .. });
            assert_eq!(missing(&ours), missing(&library), "{path}: {ours} but {library}");
        }
    }

    #[tokio::test]
    async fn a_large_file_appears_when_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let (store, path) = (DurableFolder::new(), place(&folder, "large"));
        let mut upload = store.put_multipart(&path).await.unwrap();
        upload.put_part(vec![7; 1024].into()).await.unwrap();
        assert!(store.head(&path).await.is_err());
        upload.complete().await.unwrap();
        assert_eq!(store.head(&path).await.unwrap().size, 1024);
    }
}
