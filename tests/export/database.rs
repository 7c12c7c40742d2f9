//! A database server of one test.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// A server in a folder of its own; ended when dropped.
pub struct Database {
    bin: PathBuf,
    folder: tempfile::TempDir,
    pub port: u16,
    server: Option<Child>,
    /// More of the server's settings.
    settings: Vec<String>,
}

impl Database {
    /// `None` where there is none to start.
    pub async fn start() -> Option<Self> {
        let Some(bin) = programs() else {
            println!("skipped: there is no PostgreSQL here; apt-get install postgresql brings one");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        if is_root() {
            let owned = Command::new("chown").arg(user()).arg(folder.path()).status();
            assert!(owned.is_ok_and(|status| status.success()), "the folder of the server cannot be given away");
        }
        let made = command(&bin, "initdb")
            .args(["--username=boathouse", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C", "--pgdata"])
            .arg(folder.path().join("data"))
            .current_dir("/")
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut database = Self { bin, folder, port: free_port(), server: None, settings: Vec::new() };
        database.begin().await;
        Some(database)
    }

    /// Starts it again where it was.
    pub async fn begin(&mut self) {
        let mut command = command(&self.bin, "postgres");
        command.arg("-D").arg(self.folder.path().join("data")).arg("-p").arg(self.port.to_string());
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "max_connections=20"] {
            command.arg("-c").arg(setting);
        }
        for setting in &self.settings {
            command.arg("-c").arg(setting);
        }
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        let server = command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.server = Some(server);
        for _ in 0..600 {
            if self.connect().await.is_some() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no server: {}", fs::read_to_string(self.folder.path().join("log")).unwrap_or_default());
    }

    /// Starts it again with this certificate and key, and with a user `encrypted` whom no other connection is good for.
    pub async fn encrypt(&mut self, certificate: &Path, key: &Path) {
        self.ask("CREATE ROLE encrypted SUPERUSER LOGIN").await;
        self.end();
        let data = self.folder.path().join("data");
        let rules = "hostssl all encrypted 127.0.0.1/32 trust\nhostnossl all boathouse 127.0.0.1/32 trust\n";
        fs::write(data.join("pg_hba.conf"), rules).unwrap();
        self.show(certificate, key);
        self.settings = ["ssl=on", "ssl_cert_file=server.crt", "ssl_key_file=server.key"].map(str::to_owned).to_vec();
        self.begin().await;
    }

    /// Puts another certificate and key in the place of those that are there, which the server reads when it starts.
    pub fn show(&self, certificate: &Path, key: &Path) {
        for (from, to) in [(certificate, "server.crt"), (key, "server.key")] {
            let to = self.folder.path().join("data").join(to);
            fs::copy(from, &to).unwrap();
            // The server takes no key that others may read.
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
            if is_root() {
                assert!(Command::new("chown").arg(user()).arg(&to).status().is_ok_and(|status| status.success()));
            }
        }
    }

    /// Ends it, at once.
    pub fn end(&mut self) {
        if let Some(mut server) = self.server.take() {
            // An immediate shutdown takes its processes with it; a kill would leave them for a while.
            let _ = Command::new("kill").arg("-QUIT").arg(server.id().to_string()).status();
            let _ = server.wait();
        }
    }

    /// Of the user that exports.
    pub fn url(&self) -> String {
        let user = if self.settings.is_empty() { "boathouse" } else { "encrypted" };
        self.url_of(user)
    }

    fn url_of(&self, user: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/postgres", self.port)
    }

    async fn connect(&self) -> Option<Client> {
        let (client, connection) = tokio_postgres::connect(&self.url_of("boathouse"), NoTls).await.ok()?;
        tokio::spawn(connection);
        Some(client)
    }

    /// Rows of the last statement as text, values with a bar between them, NULL as nothing.
    pub async fn ask(&self, sql: &str) -> Vec<String> {
        let client = self.connect().await.unwrap();
        let answers = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let rows = answers.iter().filter_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => {
                let cells = (0..row.len()).map(|at| row.get(at).unwrap_or_default());
                Some(cells.collect::<Vec<_>>().join("|"))
            }
            _ => None,
        });
        rows.collect()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.end();
    }
}

/// The folder of the newest server's programs.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| bin.join("initdb").exists() && bin.join("postgres").exists())
        .collect();
    found.sort();
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|bin| bin.join("initdb").exists() && bin.join("postgres").exists())
    };
    found.pop().map(|(_, bin)| bin).or_else(on_path)
}

/// A program of the server, which refuses to run as root.
fn command(bin: &Path, program: &str) -> Command {
    if !is_root() {
        return Command::new(bin.join(program));
    }
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={}", user()), "--regid=nogroup", "--clear-groups"]).arg(bin.join(program));
    command
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Who runs the server in place of root.
fn user() -> &'static str {
    let known = Command::new("id").arg("postgres").output();
    if known.is_ok_and(|known| known.status.success()) { "postgres" } else { "nobody" }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
