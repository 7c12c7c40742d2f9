//! Rows that could not be loaded, set aside in a CSV file: which file, which line, why, and the row itself.

use bytes::Bytes;
use tokio::sync::Mutex;

use super::csv::quoted;
use boathouse_storage::file::Upload;

use crate::EngineError;

/// Bytes kept before they are sent on.
const BUFFER_BYTES_MAX: usize = 1 << 20;

/// The file of rejected rows. It appears when the last reader is done, before the rows that fit are committed: a process
/// that ends in between has lost no row. Loading that fails leaves none.
#[derive(Debug)]
pub(crate) struct Rejects {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    upload: Option<Upload>,
    buffer: String,
    readers: usize,
}

impl Rejects {
    /// `readers` are the streams that will call [`Rejects::done`].
    pub(crate) fn new(upload: Upload, readers: usize) -> Self {
        let buffer = "file,line,reason,row\n".to_string();
        Self { inner: Mutex::new(Inner { upload: Some(upload), buffer, readers }) }
    }

    pub(crate) async fn add(&self, file: &str, line: u64, reason: &str, row: &str) -> Result<(), EngineError> {
        let mut inner = self.inner.lock().await;
        inner.buffer.push_str(&format!("{},{line},{},{}\n", quoted(file), quoted(reason), quoted(row)));
        if inner.buffer.len() >= BUFFER_BYTES_MAX {
            inner.flush().await?;
        }
        Ok(())
    }

    /// Whether the file is visible.
    pub(crate) async fn is_there(&self) -> bool {
        self.inner.lock().await.upload.is_none()
    }

    /// One reader is at its end; the last one makes the file visible.
    pub(crate) async fn done(&self) -> Result<(), EngineError> {
        let mut inner = self.inner.lock().await;
        inner.readers = inner.readers.saturating_sub(1);
        if inner.readers > 0 {
            return Ok(());
        }
        inner.flush().await?;
        match inner.upload.take() {
            Some(upload) => Ok(upload.finish().await?),
            None => Ok(()),
        }
    }
}

impl Inner {
    async fn flush(&mut self) -> Result<(), EngineError> {
        let bytes = Bytes::from(std::mem::take(&mut self.buffer));
        match &mut self.upload {
            Some(upload) => Ok(upload.write(bytes).await?),
            None => Err(EngineError::internal("rows were rejected after the last reader was done")),
        }
    }
}
