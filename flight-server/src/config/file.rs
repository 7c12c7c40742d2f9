//! The configuration file as it is written.

use std::{collections::BTreeMap, path::PathBuf};

use boathouse_engine::Secret;
use serde::Deserialize;

use super::destinations::Written;
use super::value::{Memory, Size, Span};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    pub marts: Option<PathBuf>,
    pub server: Server,
    pub http: Http,
    pub tls: Tls,
    pub query: Query,
    pub cache: Cache,
    pub hot: Hot,
    pub warm: Warm,
    pub tier: Tier,
    pub upkeep: Upkeep,
    pub auth: Auth,
    pub traces: Traces,
    pub webhook: Webhook,
    pub destinations: BTreeMap<String, Written>,
    pub s3: S3,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhook {
    pub url: Option<String>,
    pub secret: Option<Secret>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    pub listen: Option<String>,
    pub insecure: Option<bool>,
    pub drain: Option<Span>,
    pub results_kept: Option<Span>,
    pub file_roots: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    pub listen: Option<String>,
    pub tls: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub client_ca: Option<PathBuf>,
    pub client_required: Option<bool>,
    pub users: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Query {
    pub memory: Option<Memory>,
    pub spill_folder: Option<PathBuf>,
    pub spill: Option<Size>,
    pub statement_timeout: Option<Span>,
    pub statements_running_max: Option<usize>,
    pub threads: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    pub result_cache_bytes: Option<Size>,
    pub plan_cache_bytes: Option<Size>,
    pub footer_cache_bytes: Option<Size>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Upkeep {
    pub interval: Option<Span>,
    pub vacuum: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hot {
    pub bytes: Option<Size>,
    pub folder: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Warm {
    pub bytes: Option<Size>,
    pub memory: Option<Size>,
    pub folder: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tier {
    pub cold_storage_class: Option<String>,
    pub prices: BTreeMap<String, f64>,
    pub requests: BTreeMap<String, f64>,
    pub days_min: BTreeMap<String, f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Traces {
    pub endpoint: Option<String>,
    pub sample: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    pub session: Option<Span>,
    pub key: Option<Secret>,
    pub oidc: Option<Oidc>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Oidc {
    pub issuer: String,
    pub audience: String,
    pub user_claim: Option<String>,
    pub role_claim: Option<String>,
    #[serde(default)]
    pub admins: Vec<String>,
    #[serde(default)]
    pub readers: Vec<String>,
    pub leeway: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3 {
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub access_key_id: Option<String>,
    pub secret_access_key: Option<String>,
    pub session_token: Option<String>,
    pub path_style: Option<bool>,
}
