//! `boathouse serve`: a lake over Arrow Flight SQL.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use boathouse_engine::{Engine, MartOptions, Scheduler};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    task::JoinHandle,
};

use crate::{
    AuthOptions,
    config::{Config, Flags, Memory, Span, TlsFlags, TlsSettings},
    server::{self, Listeners, ServerOptions},
    tls::Tls,
    webhook::Webhooks,
};

/// The flags of `boathouse serve`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// A folder (./lake), a bucket (s3://bucket/prefix) or memory://
    pub lake: String,
    /// Where to listen; port 0 picks a free one [default: 127.0.0.1:32010]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// A file of settings
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Let a lake without users be reached from other machines: everyone who reaches it may read and write
    #[arg(long)]
    pub insecure: bool,
    /// Where /metrics (Prometheus), /health and /ready are answered; without it nowhere
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<String>,
    /// Run the marts of this folder when their definitions say so, besides those that CREATE MART made
    /// [default: `marts` of the settings]
    #[arg(long, value_name = "FOLDER")]
    pub marts: Option<PathBuf>,
    #[command(flatten)]
    pub tls: TlsFlags,
    /// Memory for running queries, 8GiB or 60%
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<Memory>,
    /// Cancel statements that run longer, 30s or 5m
    #[arg(long, value_name = "TIME")]
    pub statement_timeout: Option<Span>,
}

/// Serves until SIGINT or SIGTERM. Prints one line on standard output when it is ready.
pub async fn run(args: Args) -> ExitCode {
    match serve(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("ERROR: {text}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: Args) -> Result<(), String> {
    let flags = Flags {
        listen: args.listen,
        insecure: args.insecure,
        http: args.http,
        tls: args.tls,
        memory: args.memory,
        statement_timeout: args.statement_timeout,
    };
    let config = Config::load(args.config.as_deref(), flags).map_err(|error| error.to_string())?;
    let traces = config.traces.clone().map_err(|error| error.to_string())?;
    // It tells sums, and takes nothing: it may be reached from elsewhere.
    let http = match &config.http {
        Some(listen) => Some(server::bind(listen, true).await.map_err(|error| error.to_string())?),
        None => None,
    };
    let tls = match &config.tls {
        Some(TlsSettings { files, users }) => {
            Some(Tls::open(files.clone(), users.clone()).map_err(|error| error.to_string())?)
        }
        None => None,
    };
    let http_tls = tls.clone().filter(|_| config.http_tls);
    let mut engine = config.server_engine();
    engine.storage.hot = config.hot(&args.lake);
    engine.storage.warm = config.warm(&args.lake);
    let engine = Engine::open(&args.lake, engine).await.map_err(|error| error.to_string())?;
    let has_users = engine.users().exist().await.map_err(|error| error.to_string())?;
    let asks = has_users || config.auth.oidc.is_some();
    let listener = server::bind(&config.listen, asks || config.insecure).await.map_err(|error| error.to_string())?;
    let _upkeep = engine.keep_up();
    let webhooks = config.webhook.map(|options| Webhooks::new(options, &args.lake)).transpose()?;
    let destinations = config.destinations.map_err(|error| error.to_string())?;
    let options = MartOptions { destinations, ..MartOptions::default() };
    let marts = Marts::begin(&engine, args.marts.or(config.marts), options, webhooks.clone());
    let mut signals = Signals::new().map_err(|error| format!("could not listen to signals: {error}"))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    println!("listening on {}://{address}", if tls.is_some() { "grpc+tls" } else { "grpc" });
    if let Some(http) = &http {
        let scheme = if http_tls.is_some() { "https" } else { "http" };
        println!("metrics on {scheme}://{}/metrics", http.local_addr().map_err(|error| error.to_string())?);
    }
    let is_exposed = !address.ip().to_canonical().is_loopback();
    if !asks {
        eprintln!("warning: the lake has no users: everyone who reaches {address} may read and write it");
    } else if is_exposed && tls.is_none() {
        eprintln!("warning: passwords and rows go to {address} unencrypted: --tls-cert and --tls-key change that");
    }
    let auth = AuthOptions { open: config.insecure || !is_exposed, ..config.auth };
    let options = ServerOptions {
        drain_max: config.drain,
        auth,
        polls: config.polls,
        traces,
        webhooks,
        ..ServerOptions::default()
    };
    let (told, stop) = oneshot::channel::<()>();
    let server = server::run(Listeners { flight: listener, http, tls, http_tls }, engine, options, async {
        // The sender is dropped only after this server.
        let _ = stop.await;
    });
    tokio::pin!(server);
    tokio::select! {
        result = &mut server => return result.map_err(|error| error.to_string()),
        () = signals.next() => {}
    }
    eprintln!("shutting down: waiting up to {:?} for running statements; a second signal ends at once", config.drain);
    let _ = told.send(());
    let marts = async {
        marts.end(config.drain).await;
    };
    tokio::select! {
        (result, ()) = async { tokio::join!(server, marts) } => result.map_err(|error| error.to_string()),
        () = signals.next() => Err("ended by a second signal".to_owned()),
    }
}

/// The marts that a server runs by itself.
struct Marts {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Marts {
    fn begin(
        engine: &Arc<Engine>,
        folder: Option<PathBuf>,
        options: MartOptions,
        webhooks: Option<Arc<Webhooks>>,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let mut scheduler = Scheduler::new(engine, folder, options);
        if let Some(webhooks) = webhooks {
            scheduler = scheduler.telling(move |notice| webhooks.send(&notice));
        }
        let task = tokio::spawn(scheduler.run(async {
            // The sender goes with this process at the latest.
            let _ = stopped.await;
        }));
        Self { stop, task }
    }

    /// Begins no more, and waits for those that run; what takes longer publishes nothing.
    async fn end(self, most: Duration) {
        let Self { stop, mut task } = self;
        drop(stop);
        if tokio::time::timeout(most, &mut task).await.is_err() {
            task.abort();
        }
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
