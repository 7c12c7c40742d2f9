//! Formats for programs: a Parquet file and an Arrow IPC stream. Both hold exactly one result.

use std::io::{self, Write};

use arrow::{array::RecordBatch, datatypes::SchemaRef, ipc::writer::StreamWriter};
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};

use super::Printer;

/// Above this, the rows held for the running row group are written.
const ROW_GROUP_BYTES_MAX: usize = 64 << 20;

/// The printer of `--format parquet`. Holds one row group at a time.
pub struct Parquet {
    writer: ArrowWriter<Vec<u8>>,
}

impl Parquet {
    pub fn new(schema: SchemaRef) -> io::Result<Self> {
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties)).map_err(io::Error::other)?;
        Ok(Self { writer })
    }

    /// The writer counts its bytes itself, so taking them away does not move its offsets.
    fn drain(&mut self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&std::mem::take(self.writer.inner_mut()))
    }
}

impl Printer for Parquet {
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> io::Result<()> {
        self.writer.write(batch).map_err(io::Error::other)?;
        if self.writer.in_progress_size() > ROW_GROUP_BYTES_MAX {
            self.writer.flush().map_err(io::Error::other)?;
        }
        self.drain(out)
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.writer.finish().map_err(io::Error::other)?;
        self.drain(out)
    }
}

/// The printer of `--format arrow`.
pub struct ArrowStream {
    writer: StreamWriter<Vec<u8>>,
}

impl ArrowStream {
    pub fn new(schema: SchemaRef) -> io::Result<Self> {
        Ok(Self { writer: StreamWriter::try_new(Vec::new(), &schema).map_err(io::Error::other)? })
    }
}

impl Printer for ArrowStream {
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> io::Result<()> {
        self.writer.write(batch).map_err(io::Error::other)?;
        out.write_all(&std::mem::take(self.writer.get_mut()))
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.writer.finish().map_err(io::Error::other)?;
        out.write_all(&std::mem::take(self.writer.get_mut()))
    }
}
