//! The disk that queries spill to: DataFusion's, with errors that name the folder.
//!
//! A full disk is met deep inside a sort or a join, by a writer that knows only an open file. Here every failed write is
//! told with the folder, so that the person knows which disk it was.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
};

use boathouse_storage::StoreReason;
use bytes::Bytes;
use datafusion::{
    common::{DataFusionError, Result},
    execution::{
        DiskManager, SpillFile, SpillWriter, TempFileFactory,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
    },
};
use futures::Stream;

use crate::{EngineConfig, EngineError, ErrorKind};

/// Files to spill to in `config.spill_folder`, or the system's temporary folder.
pub(super) fn disk(config: &EngineConfig) -> Result<DiskManagerBuilder> {
    let (mode, folder) = match &config.spill_folder {
        Some(folder) => (DiskManagerMode::Directories(vec![folder.clone()]), folder.clone()),
        None => (DiskManagerMode::OsTmpDirectory, std::env::temp_dir()),
    };
    let files = DiskManagerBuilder::default().with_mode(mode).with_max_temp_directory_size(config.spill_bytes_max);
    let files = files.build().map_err(|error| unusable(&folder, error))?;
    Ok(DiskManagerBuilder::default().with_temp_file_factory(Arc::new(Folder { files: Arc::new(files), folder })))
}

struct Folder {
    files: Arc<DiskManager>,
    folder: PathBuf,
}

impl TempFileFactory for Folder {
    fn create_temp_file(&self, description: &str) -> Result<Arc<dyn SpillFile>> {
        let file = self.files.create_tmp_file(description).map_err(|error| unusable(&self.folder, error))?;
        Ok(Arc::new(File { file, folder: self.folder.clone() }))
    }
}

struct File {
    file: Arc<dyn SpillFile>,
    folder: PathBuf,
}

impl SpillFile for File {
    fn path(&self) -> Option<&Path> {
        self.file.path()
    }

    fn size(&self) -> Option<u64> {
        self.file.size()
    }

    fn read_stream(&self) -> Result<Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>> {
        self.file.read_stream()
    }

    fn open_writer(&self) -> Result<Box<dyn SpillWriter>> {
        let writer = self.file.open_writer().map_err(|error| unusable(&self.folder, error))?;
        Ok(Box::new(Writer { writer, folder: self.folder.clone() }))
    }
}

struct Writer {
    writer: Box<dyn SpillWriter>,
    folder: PathBuf,
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes).map_err(|error| full(&self.folder, error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush().map_err(|error| full(&self.folder, error))
    }
}

impl SpillWriter for Writer {
    fn finish(&mut self) -> Result<()> {
        self.writer.finish()
    }
}

/// A full disk with the folder's name; other faults as they are.
fn full(folder: &Path, error: io::Error) -> io::Error {
    if reason(&error) != Some(StoreReason::Full) {
        return error;
    }
    let message = format!("the disk of the spill folder \"{}\" is full", folder.display());
    let told = EngineError::new(ErrorKind::Exhausted, message)
        .with_detail(root(&error))
        .with_hint("Free some space there, ask for less, or choose another spill_folder.");
    io::Error::other(told)
}

/// An [`io::Error`] keeps what it was made of apart from its causes.
fn reason(error: &io::Error) -> Option<StoreReason> {
    let inner = error.get_ref().and_then(|inner| match inner.downcast_ref::<DataFusionError>() {
        Some(DataFusionError::IoError(inner)) => StoreReason::of(inner),
        _ => StoreReason::of(inner),
    });
    inner.or_else(|| StoreReason::of(error))
}

fn root(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<DataFusionError>()) {
        Some(DataFusionError::IoError(inner)) => inner.to_string(),
        _ => error.to_string(),
    }
}

/// A folder in which no file can be made.
fn unusable(folder: &Path, error: DataFusionError) -> DataFusionError {
    let DataFusionError::IoError(cause) = error.find_root() else { return error };
    let is_full = StoreReason::of(cause) == Some(StoreReason::Full);
    let kind = if is_full { ErrorKind::Exhausted } else { ErrorKind::Unavailable };
    let message = format!("cannot write to the spill folder \"{}\"", folder.display());
    EngineError::new(kind, message)
        .with_detail(cause.to_string())
        .with_hint("Check its rights and space, or choose another spill_folder.")
        .into()
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::error::ArrowError;

    use super::*;

    #[test]
    fn a_full_disk_is_told_with_its_folder_whatever_wraps_it() {
        let from_disk = || {
            let inner: io::Error = DataFusionError::IoError(io::Error::from(io::ErrorKind::StorageFull)).into();
            full(Path::new("/fast/spill"), inner)
        };
        let by_arrow = || ArrowError::from(from_disk());
        let wrapped = [
            DataFusionError::IoError(from_disk()),
            by_arrow().into(),
            DataFusionError::External(Box::new(by_arrow())),
            DataFusionError::IoError(io::Error::other(DataFusionError::from(by_arrow()))),
            DataFusionError::Shared(Arc::new(by_arrow().into())).context("while sorting"),
            ArrowError::ExternalError(Box::new(DataFusionError::from(by_arrow()))).into(),
        ];
        for error in wrapped {
            let shown = format!("{error:?}");
            let told = EngineError::from(error);
            assert_eq!(told.kind, ErrorKind::Exhausted, "{shown}");
            assert_eq!(told.message, "the disk of the spill folder \"/fast/spill\" is full", "{shown}");
        }
        let other = full(Path::new("/fast/spill"), io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(other.kind(), io::ErrorKind::BrokenPipe);
    }
}
