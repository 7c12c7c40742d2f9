//! Settings: a flag, else a `BOATHOUSE_` variable, else the file, else the default. All are checked before any work starts.
//!
//! The file is TOML; a key that is not listed here is refused. With the defaults:
//! ```toml
//! marts = "sql/marts"              # BOATHOUSE_MARTS; the folder of the marts' definitions, which a server runs; none by default
//!
//! [server]
//! listen = "127.0.0.1:32010"      # BOATHOUSE_LISTEN; port 0 picks a free one
//! insecure = false                # BOATHOUSE_INSECURE; listen on other addresses for a lake without users
//! drain = "30s"                   # BOATHOUSE_DRAIN; how long a shutdown waits for running statements
//! results_kept = "5min"           # BOATHOUSE_RESULTS_KEPT; how long a polled statement that nobody asks for goes on
//! file_roots = []                 # BOATHOUSE_FILE_ROOTS (comma between); folders and URLs whose files SQL may name
//!
//! [http]
//! listen = "127.0.0.1:9090"       # BOATHOUSE_HTTP; metrics and health; not listened to by default
//! tls = false                     # BOATHOUSE_HTTP_TLS; encrypted, with what [tls] says
//!
//! [tls]                           # not used by default
//! certificate = "server.pem"      # BOATHOUSE_TLS_CERT; with those that lead to its authority; read anew when it changes
//! key = "server.key"              # BOATHOUSE_TLS_KEY
//! client_ca = "clients.pem"       # BOATHOUSE_TLS_CLIENT_CA; authorities that vouch for clients
//! client_required = true          # whether a client without a certificate is turned away
//!
//! [tls.users]                     # who a client is by the subject of its certificate
//! "CN=etl,O=Acme" = "etl"
//!
//! [query]
//! memory = "60%"                  # BOATHOUSE_MEMORY; of the machine, or "8GiB"; for the whole process
//! spill_folder = "/tmp"           # BOATHOUSE_SPILL_FOLDER; default: the system's temporary folder
//! spill = "100GiB"                # BOATHOUSE_SPILL; disk for spilling
//! statement_timeout = "0s"        # BOATHOUSE_STATEMENT_TIMEOUT; 0 is none
//! statements_running_max = 8      # BOATHOUSE_STATEMENTS_RUNNING_MAX; 4 per core, at least 8; more wait, but for no slow client
//! threads = 2                     # BOATHOUSE_THREADS; default: one per core
//!
//! [cache]                         # memory; 0 keeps nothing
//! result_cache_bytes = "64MiB"    # BOATHOUSE_RESULT_CACHE_BYTES; rows of queries that may be asked again
//! plan_cache_bytes = "16MiB"      # BOATHOUSE_PLAN_CACHE_BYTES; plans of queries
//! footer_cache_bytes = "256MiB"   # BOATHOUSE_FOOTER_CACHE_BYTES; Parquet footers; at most an eighth of `memory`
//!
//! [upkeep]                        # a server compacts tables with many small files
//! interval = "10min"              # BOATHOUSE_UPKEEP_INTERVAL; how often it looks; 0 is never
//! vacuum = false                  # BOATHOUSE_UPKEEP_VACUUM; once a day, what is past each table's retention
//!
//! [hot]                           # copies of data files on local disk, which scan faster than Parquet
//! bytes = "0"                     # BOATHOUSE_HOT_BYTES; what they may weigh, "10GiB"; 0 keeps none
//! folder = "/var/cache/boathouse" # BOATHOUSE_HOT_FOLDER; default: one per lake in the user's cache folder
//!
//! [warm]                          # parts of data files as they are, near by, for a lake in a bucket
//! bytes = "10GiB"                 # BOATHOUSE_WARM_BYTES; on local disk, and half of what is free there at most; 0 keeps none
//! memory = "64MiB"                # BOATHOUSE_WARM_MEMORY; in memory
//! folder = "/var/cache/boathouse" # BOATHOUSE_WARM_FOLDER; of one lake; default: one per lake in the user's cache folder
//!
//! [tier]                          # files of old rows, of tables with a policy
//! cold_storage_class = "STANDARD_IA"   # BOATHOUSE_COLD_STORAGE_CLASS; of a bucket; none that must be restored first
//!
//! [tier.prices]                   # a GiB and a month, by storage class; by default Amazon's of us-east-1 in dollars
//! STANDARD = 0.023                # INTELLIGENT_TIERING 0.023, REDUCED_REDUNDANCY 0.024
//! STANDARD_IA = 0.0125            # ONEZONE_IA 0.01, GLACIER_IR 0.004
//! LOCAL = 0.0                     # a folder, and copies on local disk
//!
//! [tier.requests]                 # a thousand requests that put objects, for `boathouse tier plan`; defaults likewise
//! STANDARD_IA = 0.01              # STANDARD 0.005, INTELLIGENT_TIERING 0.005, ONEZONE_IA 0.01, GLACIER_IR 0.02, LOCAL 0
//!
//! [tier.days_min]                 # days for which an object is billed at least, deleted or not
//! STANDARD_IA = 30                # ONEZONE_IA 30, GLACIER_IR 90, others 0
//!
//! [traces]                        # OpenTelemetry: not sent by default; OTLP over gRPC
//! endpoint = "http://127.0.0.1:4317"   # OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_ENDPOINT
//! sample = 1.0                    # OTEL_TRACES_SAMPLER_ARG; the share that is traced where no client says whether
//!
//! [webhook]                       # who hears when a mart fails, and when it is well again; nobody by default
//! url = "https://host/path"       # BOATHOUSE_WEBHOOK_URL
//! secret = "whsec_..."            # BOATHOUSE_WEBHOOK_SECRET; messages are signed with it
//!
//! [destinations.warehouse]        # where marts may be exported to; ${VARIABLE} in a text is that of the environment
//! kind = "postgres"
//! url = "postgres://etl:${WAREHOUSE_PASSWORD}@host/database"  # encrypted, unless it is this machine; sslmode=disable, require
//! password_file = "/run/secrets/warehouse"    # in place of one in the url
//! tls_ca = "ca.pem"               # an authority that the system does not know
//!
//! [destinations.lake]
//! kind = "boathouse"              # another server of ours
//! url = "grpc+tls://host:port"
//! token = "${LAKE_TOKEN}"         # or token_file = "..."; tls_ca as above
//!
//! [destinations.bucket]
//! kind = "files"
//! url = "s3://bucket/exports"     # or a folder
//! format = "parquet"              # or csv, delta
//!
//! [destinations.crm]
//! kind = "http"
//! url = "https://host/path"
//! headers = { Authorization = "Bearer ${CRM_TOKEN}" }
//! authorization_file = "/run/secrets/crm"     # in place of that header
//! batch_rows = 500
//! timeout = "30s"
//!
//! [auth]                          # how a server knows its clients
//! session = "12h"                 # BOATHOUSE_AUTH_SESSION; how long a login lasts that nobody uses
//! key = "..."                     # BOATHOUSE_AUTH_KEY; any secret, the same for all servers of one address; default: random
//!
//! [auth.oidc]                     # JWTs of an OpenID Connect issuer are good as bearer tokens
//! issuer = "https://login.example.org/realms/lake"
//! audience = "boathouse"
//! user_claim = "sub"              # the claim that names the user
//! role_claim = "groups"           # a text or a list of them; left out, everyone is a reader
//! admins = ["lake-admins"]        # values that make an admin
//! readers = []                    # values that make a reader; none: everyone else is one
//! leeway = "60s"                  # how far clocks may be apart
//!
//! [s3]                            # what is not set comes from the usual AWS_ variables
//! endpoint = "http://127.0.0.1:9000"
//! region = "us-east-1"
//! access_key_id = "..."
//! secret_access_key = "..."
//! session_token = "..."
//! path_style = true
//! ```

mod auth;
mod destinations;
mod file;
mod tier;
mod tls;
mod traces;
mod value;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use boathouse_engine::{EngineConfig, FileAccess, HotOptions, S3Options, Secret, WarmOptions, mart::Destinations};
use url::Url;

pub use self::{
    tls::{TlsFlags, TlsSettings},
    value::{Memory, Size, Span},
};

use crate::{AuthOptions, PollOptions, TraceOptions, WebhookOptions, allocator};
use file::File;

/// Where a server listens unless it is told otherwise.
pub const LISTEN: &str = "127.0.0.1:32010";

/// How often a server looks at its tables unless it is told otherwise.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(600);

/// Checked settings of a process.
#[derive(Debug, Clone)]
pub struct Config {
    pub listen: String,
    pub insecure: bool,
    /// Where metrics and health are told, if anywhere.
    pub http: Option<String>,
    /// Whether that is encrypted, with the certificates of `tls`.
    pub http_tls: bool,
    pub tls: Option<TlsSettings>,
    pub drain: Duration,
    pub polls: PollOptions,
    /// Files that statements may name, besides those of the lake.
    pub file_roots: Vec<Url>,
    /// What the hot copies of a server may weigh; 0 keeps none.
    pub hot_bytes_max: u64,
    pub hot_folder: Option<PathBuf>,
    pub warm: WarmSettings,
    pub auth: AuthOptions,
    /// The folder of the marts' definitions.
    pub marts: Option<PathBuf>,
    /// Who hears of marts that fail.
    pub webhook: Option<WebhookOptions>,
    /// Where marts may be exported to. They name secrets that not every process is given: what is wrong is told by whoever
    /// needs them.
    pub destinations: Result<Destinations, ConfigError>,
    /// Where a server's traces go. Programs share these variables: what is wrong with them is told by whoever needs them.
    pub traces: Result<Option<TraceOptions>, ConfigError>,
    /// For a shell: its statements may name any file.
    pub engine: EngineConfig,
}

/// What is kept near by of a lake in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarmSettings {
    pub bytes_max: u64,
    pub memory_bytes_max: u64,
    pub folder: Option<PathBuf>,
}

/// What flags say; they win over all else.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    pub listen: Option<String>,
    pub insecure: bool,
    pub http: Option<String>,
    pub tls: TlsFlags,
    pub memory: Option<Memory>,
    pub statement_timeout: Option<Span>,
}

/// A setting that cannot be used: which, where it stands, what is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads `file` (or the one that `BOATHOUSE_CONFIG` names, or none) and the environment.
    pub fn load(file: Option<&Path>, flags: Flags) -> Result<Self, ConfigError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let file = file.map(Path::to_path_buf).or_else(|| variable("BOATHOUSE_CONFIG").map(PathBuf::from));
        let text = match &file {
            Some(path) => fs::read_to_string(path).map_err(|error| {
                ConfigError(format!("could not read the configuration \"{}\": {error}", path.display()))
            })?,
            None => String::new(),
        };
        let name = file.map(|path| path.display().to_string()).unwrap_or_default();
        Self::check(&name, &text, &variable, flags)
    }

    /// The engine of a server: statements may name files under the lake and `file_roots` only.
    pub fn server_engine(&self) -> EngineConfig {
        EngineConfig { file_access: FileAccess::Under(self.file_roots.clone()), ..self.engine.clone() }
    }

    /// Where a server of this lake keeps hot copies, if it keeps any.
    pub fn hot(&self, lake: &str) -> Option<HotOptions> {
        let bytes_max = Some(self.hot_bytes_max).filter(|bytes| *bytes > 0)?;
        match &self.hot_folder {
            Some(folder) => Some(HotOptions { folder: folder.clone(), bytes_max }),
            None => HotOptions::in_user_cache(lake, bytes_max),
        }
    }

    /// Where a lake keeps parts of its data files near by: for one in a bucket.
    pub fn warm(&self, lake: &str) -> Option<WarmOptions> {
        let WarmSettings { bytes_max, memory_bytes_max, folder } = &self.warm;
        if *bytes_max == 0 || !["s3://", "s3a://"].iter().any(|scheme| lake.starts_with(scheme)) {
            return None;
        }
        match folder {
            Some(folder) => {
                Some(WarmOptions { folder: folder.clone(), bytes_max: *bytes_max, memory_bytes_max: *memory_bytes_max })
            }
            None => WarmOptions::in_user_cache(lake, *bytes_max, *memory_bytes_max),
        }
    }

    fn check(
        name: &str,
        text: &str,
        variable: &dyn Fn(&str) -> Option<String>,
        flags: Flags,
    ) -> Result<Self, ConfigError> {
        let file: File = toml::from_str(text).map_err(|error| {
            ConfigError(format!("the configuration \"{name}\" is wrong\n{}", error.to_string().trim_end()))
        })?;
        let mut engine = base_engine();
        let query = file.query;
        if let Some(memory) = flags.memory.or(parsed(variable, "MEMORY")?).or(query.memory) {
            engine.memory_bytes_max = match memory {
                Memory::Bytes(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
                Memory::Percent(percent) => value::share_of_machine(percent).map_err(ConfigError)?,
            };
        }
        let timeout = flags.statement_timeout.or(parsed(variable, "STATEMENT_TIMEOUT")?).or(query.statement_timeout);
        if let Some(Span(timeout)) = timeout {
            engine.statement_timeout = (!timeout.is_zero()).then_some(timeout);
        }
        if let Some(folder) = parsed(variable, "SPILL_FOLDER")?.or(query.spill_folder) {
            engine.spill_folder = Some(folder);
        }
        if let Some(Size(bytes)) = parsed(variable, "SPILL")?.or(query.spill) {
            engine.spill_bytes_max = bytes;
        }
        let running = parsed(variable, "STATEMENTS_RUNNING_MAX")?.or(query.statements_running_max);
        if let Some(count) = positive("statements_running_max", running)? {
            engine.statements_running_max = count;
        }
        if let Some(count) = positive("threads", parsed(variable, "THREADS")?.or(query.threads))? {
            engine.threads = count;
        }
        let cache = file.cache;
        if let Some(Size(bytes)) = parsed(variable, "RESULT_CACHE_BYTES")?.or(cache.result_cache_bytes) {
            engine.result_cache_bytes_max = bytes;
        }
        if let Some(Size(bytes)) = parsed(variable, "PLAN_CACHE_BYTES")?.or(cache.plan_cache_bytes) {
            engine.plan_cache_bytes_max = bytes;
        }
        if let Some(Size(bytes)) = parsed(variable, "FOOTER_CACHE_BYTES")?.or(cache.footer_cache_bytes) {
            engine.storage.footer_bytes_max = bytes;
        }
        let interval = parsed(variable, "UPKEEP_INTERVAL")?.or(file.upkeep.interval);
        let interval = interval.map_or(UPKEEP_INTERVAL, |Span(interval)| interval);
        engine.upkeep_interval = (!interval.is_zero()).then_some(interval);
        engine.upkeep_vacuum = parsed(variable, "UPKEEP_VACUUM")?.or(file.upkeep.vacuum).unwrap_or(false);
        tier::set(&mut engine, variable, file.tier)?;
        let s3 = file.s3;
        engine.storage.s3 = S3Options {
            endpoint: s3.endpoint,
            region: s3.region,
            access_key_id: s3.access_key_id,
            secret_access_key: s3.secret_access_key,
            session_token: s3.session_token,
            path_style: s3.path_style,
        };
        let tls = tls::settings(flags.tls, variable, file.tls)?;
        let http_tls = parsed(variable, "HTTP_TLS")?.or(file.http.tls).unwrap_or(false);
        if http_tls && tls.is_none() {
            return Err(ConfigError(
                "http.tls is set, but the server has no certificate: set tls.certificate and tls.key, too".to_owned(),
            ));
        }
        let server = file.server;
        let roots = variable("BOATHOUSE_FILE_ROOTS").map(|roots| roots.split(',').map(str::to_owned).collect());
        let roots: Vec<String> = roots.or(server.file_roots).unwrap_or_default();
        Ok(Self {
            listen: flags
                .listen
                .or(variable("BOATHOUSE_LISTEN"))
                .or(server.listen)
                .unwrap_or_else(|| LISTEN.to_owned()),
            insecure: flags.insecure || parsed(variable, "INSECURE")?.or(server.insecure).unwrap_or(false),
            http: flags.http.or(variable("BOATHOUSE_HTTP")).or(file.http.listen),
            http_tls,
            tls,
            drain: parsed(variable, "DRAIN")?.or(server.drain).map_or(Duration::from_secs(30), |Span(drain)| drain),
            polls: match parsed(variable, "RESULTS_KEPT")?.or(server.results_kept) {
                Some(Span(kept)) if kept.is_zero() => {
                    return Err(ConfigError("results_kept is 0: no result could be fetched".to_owned()));
                }
                Some(Span(kept)) => PollOptions { kept, ..PollOptions::default() },
                None => PollOptions::default(),
            },
            file_roots: roots.iter().map(|root| root_url(root.trim())).collect::<Result<_, _>>()?,
            hot_bytes_max: parsed(variable, "HOT_BYTES")?.or(file.hot.bytes).map_or(0, |Size(bytes)| bytes),
            hot_folder: parsed(variable, "HOT_FOLDER")?.or(file.hot.folder),
            warm: warm(variable, file.warm)?,
            auth: auth::options(variable, file.auth)?,
            marts: parsed(variable, "MARTS")?.or(file.marts),
            webhook: webhook(variable, file.webhook)?,
            destinations: destinations::read(variable, file.destinations),
            traces: traces::options(variable, file.traces),
            engine,
        })
    }
}

/// The defaults of the binary, for a shell.
fn base_engine() -> EngineConfig {
    let release_memory: Option<fn()> = Some(allocator::release);
    EngineConfig { file_access: FileAccess::Anywhere, release_memory, ..EngineConfig::default() }
}

fn webhook(
    variable: &dyn Fn(&str) -> Option<String>,
    file: file::Webhook,
) -> Result<Option<WebhookOptions>, ConfigError> {
    let secret = variable("BOATHOUSE_WEBHOOK_SECRET").map(Secret::new).or(file.secret);
    let Some(url) = variable("BOATHOUSE_WEBHOOK_URL").or(file.url) else { return Ok(None) };
    WebhookOptions::checked(&url, secret).map(Some).map_err(ConfigError)
}

fn warm(variable: &dyn Fn(&str) -> Option<String>, file: file::Warm) -> Result<WarmSettings, ConfigError> {
    let bytes = |name, given: Option<Size>, default| -> Result<u64, ConfigError> {
        Ok(parsed(variable, name)?.or(given).map_or(default, |Size(bytes)| bytes))
    };
    Ok(WarmSettings {
        bytes_max: bytes("WARM_BYTES", file.bytes, 10 << 30)?,
        memory_bytes_max: bytes("WARM_MEMORY", file.memory, 64 << 20)?,
        folder: parsed(variable, "WARM_FOLDER")?.or(file.folder),
    })
}

/// The variable `BOATHOUSE_<name>`.
fn parsed<T: FromStr>(variable: &dyn Fn(&str) -> Option<String>, name: &str) -> Result<Option<T>, ConfigError>
where
    T::Err: fmt::Display,
{
    let name = format!("BOATHOUSE_{name}");
    let Some(text) = variable(&name) else { return Ok(None) };
    text.parse().map(Some).map_err(|error| ConfigError(format!("{name} is \"{text}\": {error}")))
}

fn positive(name: &str, count: Option<usize>) -> Result<Option<usize>, ConfigError> {
    match count {
        Some(0) => Err(ConfigError(format!("{name} is 0: at least 1 is needed"))),
        count => Ok(count),
    }
}

/// A folder or a URL, as the URL of everything under it.
fn root_url(root: &str) -> Result<Url, ConfigError> {
    let wrong = |reason: &str| ConfigError(format!("file_roots names \"{root}\": {reason}"));
    let mut url = if root.contains("://") {
        Url::parse(root).map_err(|error| wrong(&error.to_string()))?
    } else {
        let folder = fs::canonicalize(root).map_err(|error| wrong(&error.to_string()))?;
        Url::from_directory_path(folder).map_err(|()| wrong("not a folder"))?
    };
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

#[cfg(test)]
mod tests;
