//! Raw options and environment variables become checked settings here, before any work starts.

use crate::{HotOptions, WarmOptions};

/// How to reach object stores, and what to keep of them.
#[derive(Debug, Clone)]
pub struct StorageOptions {
    pub s3: S3Options,
    /// Memory for footers and page indexes of Parquet files; 0 keeps none. Default: 256 MiB.
    pub footer_bytes_max: u64,
    /// Copies of data files on local disk, which scan faster. Default: none.
    pub hot: Option<HotOptions>,
    /// Parts of data files, near by, for a lake in a bucket. Default: none.
    pub warm: Option<WarmOptions>,
    /// The storage class of S3 under which cold files are put, as S3 spells it. Default: [`COLD_STORAGE_CLASS`].
    pub cold_storage_class: String,
}

/// Half the price of STANDARD by the month, the same answer times, and money for what is read.
pub const COLD_STORAGE_CLASS: &str = "STANDARD_IA";

impl Default for StorageOptions {
    fn default() -> Self {
        Self {
            s3: S3Options::default(),
            footer_bytes_max: 256 << 20,
            hot: None,
            warm: None,
            cold_storage_class: COLD_STORAGE_CLASS.to_owned(),
        }
    }
}

/// S3 and what speaks like it (MinIO, R2, ...). Unset fields fall back to the usual `AWS_*` variables.
#[derive(Debug, Clone, Default)]
pub struct S3Options {
    /// `http://127.0.0.1:9000`; plain http is allowed when the endpoint says `http://`.
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub access_key_id: Option<String>,
    pub secret_access_key: Option<String>,
    pub session_token: Option<String>,
    /// Bucket in the path instead of the host name. Default: true when an endpoint is set.
    pub path_style: Option<bool>,
}
