//! Rows hidden where they lie: a deletion vector for each touched file, in place of a copy of what is left.
//!
//! Delta protocol, "Deletion Vectors": a vector names all hidden rows of its file, those of the vector before among them.
//! Small ones stand in the log itself, the others share one file in the table's folder.

use std::collections::BTreeMap;

use bytes::Bytes;
use deltalake::kernel::{DeletionVectorDescriptor, StorageType};
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, path::Path};
use roaring::{RoaringBitmap, RoaringTreemap};
use uuid::Uuid;

use crate::{StorageError, log::z85};

/// Vectors up to this size stand in the log: a reader saves a request.
const INLINE_BYTES_MAX: usize = 128;
/// Of a RoaringBitmapArray in its portable form.
const MAGIC: u32 = 1_681_511_377;
/// The first byte of a file of vectors.
const FORMAT: u8 = 1;

/// The vectors of one commit.
pub(super) struct Vectors {
    /// By position of the data file in the index.
    pub(super) descriptors: BTreeMap<usize, DeletionVectorDescriptor>,
    /// The path in the table's folder and the content of the file that holds those that are not inline.
    pub(super) file: Option<(Path, Bytes)>,
}

impl Vectors {
    /// `hidden` has all rows that are hidden from now on, by file.
    pub(super) fn new(hidden: &BTreeMap<usize, RoaringBitmap>) -> Result<Self, StorageError> {
        let id = Uuid::new_v4();
        let mut content = vec![FORMAT];
        let mut descriptors = BTreeMap::new();
        for (file, rows) in hidden {
            let bytes = serialized(rows)?;
            let (cardinality, size_in_bytes) = (number(rows.len())?, number(bytes.len())?);
            let descriptor = match bytes.len() {
                ..=INLINE_BYTES_MAX => DeletionVectorDescriptor {
                    storage_type: StorageType::Inline,
                    path_or_inline_dv: z85::encode(&bytes),
                    offset: None,
                    size_in_bytes,
                    cardinality,
                },
                _ => {
                    let offset = number(content.len())?;
                    content.extend(u32::to_be_bytes(number(bytes.len())?));
                    content.extend(&bytes);
                    content.extend(crc32fast::hash(&bytes).to_be_bytes());
                    DeletionVectorDescriptor {
                        storage_type: StorageType::UuidRelativePath,
                        path_or_inline_dv: z85::encode(id.as_bytes()),
                        offset: Some(offset),
                        size_in_bytes,
                        cardinality,
                    }
                }
            };
            descriptors.insert(*file, descriptor);
        }
        let path = Path::from(format!("deletion_vector_{id}.bin"));
        let file = (content.len() > 1).then(|| (path, Bytes::from(content)));
        Ok(Self { descriptors, file })
    }

    /// Writes the file of vectors, if one is needed; nobody sees it before the commit.
    pub(super) async fn write(&self, store: &dyn ObjectStore) -> Result<(), StorageError> {
        let Some((path, content)) = &self.file else { return Ok(()) };
        let written = store.put(path, PutPayload::from_bytes(content.clone())).await;
        written.map(drop).map_err(|source| StorageError::Store { action: "write", path: path.to_string(), source })
    }
}

fn serialized(rows: &RoaringBitmap) -> Result<Vec<u8>, StorageError> {
    let mut bytes = MAGIC.to_le_bytes().to_vec();
    let all = RoaringTreemap::from_bitmaps([(0, rows.clone())]);
    all.serialize_into(&mut bytes).map_err(|error| StorageError::Internal { message: error.to_string() })?;
    Ok(bytes)
}

fn number<F, T: TryFrom<F>>(count: F) -> Result<T, StorageError> {
    T::try_from(count).map_err(|_| StorageError::Internal { message: "a deletion vector is too large".into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_rows_stand_in_the_log_as_other_writers_put_them() {
        let vectors = Vectors::new(&BTreeMap::from([(3, RoaringBitmap::from([1, 4]))])).unwrap();
        let descriptor = &vectors.descriptors[&3];
        // The same bytes as in a table of Spark's.
        assert_eq!(descriptor.path_or_inline_dv, "^Bg9^0rr910000000000iXQKl0rr91000315c8Xg0rrl5");
        assert_eq!((descriptor.size_in_bytes, descriptor.cardinality, descriptor.offset), (36, 2, None));
        assert!(vectors.file.is_none());
    }

    #[test]
    fn many_rows_share_a_file() {
        let many = |step: usize| (0..5000).step_by(step).map(|row| row * 7 % 65_000).collect::<RoaringBitmap>();
        let vectors =
            Vectors::new(&BTreeMap::from([(0, many(3)), (1, RoaringBitmap::from([9])), (2, many(5))])).unwrap();
        let (path, content) = vectors.file.as_ref().unwrap();
        assert!(path.as_ref().starts_with("deletion_vector_") && content[0] == 1);
        for (file, rows) in [(0, many(3)), (2, many(5))] {
            let descriptor = &vectors.descriptors[&file];
            let (start, size) = (descriptor.offset.unwrap() as usize, descriptor.size_in_bytes as usize);
            assert_eq!(content[start..start + 4], (size as u32).to_be_bytes());
            let bytes = &content[start + 4..start + 4 + size];
            assert_eq!(content[start + 4 + size..start + 8 + size], crc32fast::hash(bytes).to_be_bytes());
            let read = RoaringTreemap::deserialize_from(&bytes[4..]).unwrap();
            assert_eq!(read.bitmaps().collect::<Vec<_>>(), [(0, &rows)]);
            assert_eq!(descriptor.cardinality, rows.len() as i64);
        }
        assert_eq!(vectors.descriptors[&1].storage_type, StorageType::Inline);
    }
}
