//! What one run of a file sees: a lake, the way to it, a scratch folder.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use boathouse_engine::{EngineConfig, ErrorKind, FileAccess, LoginError, Outcome, Session};
use boathouse_flight_server::client::{Answer, Client, ClientError};
use futures::TryStreamExt;
use sqllogictest::{AsyncDB, DBOutput};
use tokio::sync::OnceCell;
use url::Url;

use super::format::{self, Letter, Places};
use crate::{TestLake, TestServer, config, tpch};

/// The two ways to a lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Through {
    Session,
    Server,
}

impl Through {
    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Server => "server",
        }
    }
}

/// Files under `tpch/` only read: they share one lake, filled with TPC-H at scale 0.01 when the first one asks.
const TPCH_SCALE: f64 = 0.01;
/// Their numbers are compared to this many places: engines differ in the scale of a quotient and of an average.
const TPCH_PLACES: Places = Some(4);

/// What the runs of one process share.
#[derive(Debug)]
pub struct Worlds {
    root: PathBuf,
    data: PathBuf,
    tpch: OnceCell<Arc<TestLake>>,
}

impl Worlds {
    /// `root` holds the `.slt` files; `data` is what `$TEST_DATA` stands for.
    pub fn new(root: &Path, data: &Path) -> Self {
        Self { root: root.to_owned(), data: data.to_owned(), tpch: OnceCell::new() }
    }

    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    async fn lake(&self, file: &Path, scratch: &Path) -> Arc<TestLake> {
        if self.is_tpch(file) {
            return self.tpch.get_or_init(|| async { Arc::new(tpch::lake(TPCH_SCALE).await) }).await.clone();
        }
        let url = |folder: &Path| {
            let folder = folder.canonicalize().unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
            Url::from_directory_path(folder).expect("a canonical path is absolute")
        };
        let config = EngineConfig { file_access: FileAccess::Under(vec![url(scratch), url(&self.data)]), ..config() };
        Arc::new(TestLake::folder_with(config).await)
    }

    fn is_tpch(&self, file: &Path) -> bool {
        file.strip_prefix(&self.root).is_ok_and(|file| file.starts_with("tpch"))
    }
}

/// One run of one file. Its lake starts with the first statement, when the scratch folder is known.
pub(super) struct World {
    worlds: Arc<Worlds>,
    file: PathBuf,
    through: Through,
    scratch: OnceLock<PathBuf>,
    started: OnceCell<(Arc<TestLake>, Option<TestServer>)>,
}

impl World {
    pub(super) fn new(worlds: Arc<Worlds>, file: &Path, through: Through) -> Arc<Self> {
        let (scratch, started) = (OnceLock::new(), OnceCell::new());
        Arc::new(Self { worlds, file: file.to_owned(), through, scratch, started })
    }

    async fn start(&self) -> &(Arc<TestLake>, Option<TestServer>) {
        let scratch = self.scratch.get().expect("the runner tells the scratch folder first");
        self.started
            .get_or_init(|| async {
                let lake = self.worlds.lake(&self.file, scratch).await;
                let server = match self.through {
                    Through::Session => None,
                    Through::Server => Some(TestServer::spawn(lake.engine().clone()).await),
                };
                (lake, server)
            })
            .await
    }

    /// A text without the names that are new in every run, or differ from machine to machine.
    fn masked(&self, text: &str) -> String {
        let lake = self.started.get().map(|(lake, _)| lake.path());
        let names = [
            (lake, "$LAKE"),
            (self.scratch.get().map(PathBuf::as_path), "$__TEST_DIR__"),
            (Some(self.worlds.data()), "$TEST_DATA"),
        ];
        names.into_iter().fold(text.to_owned(), |text, (folder, name)| match folder.and_then(Path::to_str) {
            Some(folder) => text.replace(folder, name),
            None => text,
        })
    }

    fn places(&self) -> Places {
        if self.worlds.is_tpch(&self.file) { TPCH_PLACES } else { None }
    }
}

/// The statement by which the runner tells a new world its scratch folder, which only the runner can make.
pub(super) const TELL_SCRATCH: &str = "the scratch folder is ";

/// The statement by which a file goes on as a user, in a new session; their password must be `password of NAME`.
const LOG_IN: &str = "log in as ";

/// One connection of a file (`connection name`): a session of its own.
pub(super) struct Database {
    world: Arc<World>,
    way: Option<Way>,
}

enum Way {
    Session(Arc<Session>),
    Server(Box<dyn Client>),
}

impl Database {
    pub(super) fn new(world: Arc<World>) -> Self {
        Self { world, way: None }
    }

    async fn way(&mut self) -> Result<&Way, ClientError> {
        if self.way.is_none() {
            let (lake, server) = self.world.start().await;
            self.way = Some(match server {
                None => Way::Session(lake.engine().session()),
                Some(server) => Way::Server(server.client().await?),
            });
        }
        self.way.as_ref().ok_or_else(|| unreachable!("it was made just now"))
    }
}

#[async_trait]
impl AsyncDB for Database {
    type Error = ClientError;
    type ColumnType = Letter;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<Letter>, ClientError> {
        if let Some(folder) = sql.strip_prefix(TELL_SCRATCH) {
            self.world.scratch.set(folder.into()).expect("it is told once");
            return Ok(DBOutput::StatementComplete(0));
        }
        if let Some(user) = sql.strip_prefix(LOG_IN) {
            self.log_in(user).await?;
            return Ok(DBOutput::StatementComplete(0));
        }
        match self.answer(sql).await {
            Ok(DBOutput::Rows { types, mut rows }) => {
                rows.iter_mut().flatten().for_each(|value| *value = self.world.masked(value));
                Ok(DBOutput::Rows { types, rows })
            }
            Ok(output) => Ok(output),
            Err(error) => Err(ClientError::new(error.kind, self.world.masked(&error.text))),
        }
    }

    async fn shutdown(&mut self) {
        self.way = None;
    }

    fn engine_name(&self) -> &str {
        self.world.through.name()
    }
}

impl Database {
    async fn log_in(&mut self, user: &str) -> Result<(), ClientError> {
        let password = format!("password of {user}");
        let (lake, server) = self.world.start().await;
        self.way = Some(match server {
            Some(server) => Way::Server(server.client_as(user, &password).await?),
            None => match lake.engine().users().with_password(user, &password).await {
                Ok(identity) => Way::Session(lake.engine().session_of(identity)),
                Err(LoginError::Refused(why)) => return Err(ClientError::new(ErrorKind::Denied, why)),
                Err(LoginError::Failed(error)) => return Err(error.into()),
            },
        });
        Ok(())
    }

    async fn answer(&mut self, sql: &str) -> Result<DBOutput<Letter>, ClientError> {
        let places = self.world.places();
        let (schema, batches) = match self.way().await? {
            Way::Session(session) => match session.execute(sql).await? {
                Outcome::Rows(rows) => (rows.schema(), rows.collect().await?),
                outcome => return Ok(DBOutput::StatementComplete(outcome.count().unwrap_or_default())),
            },
            Way::Server(client) => match client.run(sql).await? {
                Answer::Rows(rows) => (rows.schema(), rows.try_collect().await?),
                Answer::Changed { rows, .. } => return Ok(DBOutput::StatementComplete(rows)),
                Answer::Done(_) => return Ok(DBOutput::StatementComplete(0)),
            },
        };
        let mut rows = Vec::new();
        for batch in &batches {
            assert_eq!(batch.schema(), schema, "every batch has the schema that was announced: {sql}");
            rows.extend(format::rows(batch, places).unwrap_or_else(|e| panic!("{sql}\n{e}")));
        }
        Ok(DBOutput::Rows { types: format::letters(&schema), rows })
    }
}
