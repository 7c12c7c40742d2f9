//! One data file as its reader sees it: a store whose blocks are kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Range,
    sync::Arc,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use datafusion::physical_plan::metrics::Count;
use futures::{
    StreamExt, TryFutureExt,
    future::join_all,
    stream::{self, BoxStream},
};
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload,
    OBJECT_STORE_COALESCE_DEFAULT, ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result, coalesce_ranges, path::Path,
};

use super::{
    Blocks, Fill,
    flight::{Origin, fetch},
    key::FileKey,
    layout::Layout,
    ledger::TableMark,
};

/// What becomes of blocks that are not there.
#[derive(Debug, Clone)]
pub(crate) enum Keep {
    /// They are fetched and kept.
    Fetched,
    /// They are fetched and kept, and so are those that are there, whatever others are read.
    Asked(Arc<Fill>),
    /// Who reads once does not fill the cache: exactly what is asked for is read.
    Nothing,
}

/// What a reader got from where, in bytes, and how many requests the store got.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meters {
    pub warm: Count,
    pub store: Count,
    pub requests: Count,
}

/// A store that serves ranges of one file from its blocks; all else goes to the store itself.
pub(crate) struct WarmFile {
    /// Without them it only counts.
    blocks: Option<Arc<Blocks>>,
    origin: Origin,
    meta: ObjectMeta,
    keep: Keep,
    meters: Meters,
}

impl WarmFile {
    /// `url` is that of the store.
    pub(crate) fn new(
        (blocks, table): (Option<Arc<Blocks>>, TableMark),
        store: Arc<dyn ObjectStore>,
        url: &str,
        meta: ObjectMeta,
        keep: Keep,
        meters: Meters,
    ) -> Self {
        let file = FileKey::new(url, meta.location.as_ref(), meta.size);
        let origin = Origin { store, path: meta.location.clone(), layout: Layout::of(file.size()), file, table };
        Self { blocks, origin, meta, keep, meters }
    }

    /// Reads all blocks of the file, so that they are kept as the reader was told.
    pub(crate) async fn bring(&self) -> Result<()> {
        let Some(blocks) = &self.blocks else { return Ok(()) };
        let layout = self.origin.layout;
        for run in layout.runs(&layout.all().collect::<Vec<_>>()) {
            let mut found = self.find(blocks, run).await;
            self.complete(blocks, &mut found).await?;
        }
        Ok(())
    }

    /// The bytes of ranges that are not empty and lie in the file.
    async fn read(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let Some(blocks) = &self.blocks else { return self.read_through(ranges).await };
        let numbers: BTreeSet<u32> = ranges.iter().flat_map(|range| self.origin.layout.blocks(range)).collect();
        let reads_once = matches!(self.keep, Keep::Nothing);
        if reads_once && !numbers.iter().all(|number| blocks.may_have(&self.origin.key(*number))) {
            return self.read_through(ranges).await;
        }
        let mut found = self.find(blocks, numbers).await;
        if reads_once && found.values().any(Option::is_none) {
            return self.read_through(ranges).await;
        }
        self.complete(blocks, &mut found).await?;
        ranges.iter().map(|range| self.cut(&found, range)).collect()
    }

    /// These blocks, as far as they are there.
    async fn find(&self, blocks: &Blocks, numbers: impl IntoIterator<Item = u32>) -> BTreeMap<u32, Option<Bytes>> {
        let kept = numbers
            .into_iter()
            .map(|number| async move { (number, blocks.get(&self.origin.key(number), self.origin.table).await) });
        join_all(kept).await.into_iter().collect()
    }

    /// Fetches those that are missing.
    async fn complete(&self, blocks: &Arc<Blocks>, found: &mut BTreeMap<u32, Option<Bytes>>) -> Result<()> {
        let missing: Vec<u32> = found.iter().filter(|(_, block)| block.is_none()).map(|(number, _)| *number).collect();
        self.meters.warm.add(found.values().flatten().map(Bytes::len).sum());
        if !missing.is_empty() {
            let (fetched, requests) = fetch(blocks, &self.origin, &missing).await?;
            self.meters.store.add(fetched.iter().map(Bytes::len).sum());
            self.meters.requests.add(requests);
            found.extend(missing.into_iter().zip(fetched.into_iter().map(Some)));
        }
        if let Keep::Asked(fill) = &self.keep {
            let read = found.iter().filter_map(|(number, block)| Some((self.origin.key(*number), block.clone()?)));
            fill.take(blocks, self.origin.table, read.collect()).await;
        }
        Ok(())
    }

    /// As the store itself does it, which answers near ranges with one request, and with each request counted.
    async fn read_through(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let fetch = |range: Range<u64>| {
            let (store, path, meters) = (self.origin.store.clone(), self.origin.path.clone(), self.meters.clone());
            async move {
                meters.requests.add(1);
                let bytes = store.get_range(&path, range).await?;
                meters.store.add(bytes.len());
                Ok(bytes)
            }
        };
        coalesce_ranges(ranges, fetch, OBJECT_STORE_COALESCE_DEFAULT).await
    }

    /// A range out of its blocks.
    fn cut(&self, blocks: &BTreeMap<u32, Option<Bytes>>, range: &Range<u64>) -> Result<Bytes> {
        let layout = self.origin.layout;
        let part = |number: &u32| {
            let span = layout.span(*number);
            let block = blocks.get(number)?.as_ref()?;
            let inside = range.start.max(span.start) - span.start..range.end.min(span.end) - span.start;
            let inside = usize::try_from(inside.start).ok()?..usize::try_from(inside.end).ok()?;
            (inside.end <= block.len()).then(|| block.slice(inside))
        };
        let numbers = layout.blocks(range);
        let parts: Option<Vec<Bytes>> = numbers.iter().map(part).collect();
        let parts = parts.ok_or_else(|| Error::Generic {
            store: "warm",
            source: format!("{range:?} of {} is not in its blocks", self.origin.path).into(),
        })?;
        if let [one] = &parts[..] {
            return Ok(one.clone());
        }
        let mut whole = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
        parts.iter().for_each(|part| whole.extend_from_slice(part));
        Ok(whole.freeze())
    }

    /// The range that a plain read of the file asks for.
    fn range(&self, location: &Path, options: &GetOptions) -> Option<Range<u64>> {
        let GetOptions {
            if_match, if_none_match, if_modified_since, if_unmodified_since, range, version, head, ..
        } = options;
        let is_plain = if_match.is_none() && if_none_match.is_none() && version.is_none() && !head;
        let is_timeless = if_modified_since.is_none() && if_unmodified_since.is_none();
        let range: &GetRange = range.as_ref().filter(|_| is_plain && is_timeless && *location == self.origin.path)?;
        range.as_range(self.meta.size).ok().filter(|range| !range.is_empty())
    }
}

impl fmt::Debug for WarmFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WarmFile").field("path", &self.origin.path).finish_non_exhaustive()
    }
}

impl fmt::Display for WarmFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WarmFile({})", self.origin.store)
    }
}

#[async_trait]
impl ObjectStore for WarmFile {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.origin.store.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.origin.store.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let Some(range) = self.range(location, &options) else {
            return self.origin.store.get_opts(location, options).await;
        };
        let bytes = self.read(std::slice::from_ref(&range)).map_ok(|mut read| read.pop().unwrap_or_default()).await?;
        let payload = GetResultPayload::Stream(stream::iter([Ok(bytes)]).boxed());
        Ok(GetResult { payload, meta: self.meta.clone(), range, attributes: Attributes::default() })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let inside = |range: &Range<u64>| !range.is_empty() && range.end <= self.meta.size;
        match *location == self.origin.path && ranges.iter().all(inside) {
            true => self.read(ranges).await,
            false => self.origin.store.get_ranges(location, ranges).await,
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.origin.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.origin.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.origin.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.origin.store.copy_opts(from, to, options).await
    }
}
