//! `boathouse user`, and the shell and `connect` at a server whose lake has users.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

use crate::{Call, boathouse, served::Served};

/// A server on a folder with the admin "root".
struct Server {
    served: Served,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lake = folder.path().to_str().unwrap();
        assert_eq!(create(lake, "root", &[]).stdout(), "user \"root\" can log in, with the role admin\n");
        Self { served: Served::lake(lake, &[]), _folder: folder }
    }

    fn url(&self) -> &str {
        &self.served.url
    }

    fn sql(&self, sql: &str) -> Call {
        boathouse(["sql", self.url(), "--format", "csv", "-c", sql])
    }
}

fn create(lake: &str, name: &str, more: &[&str]) -> Call {
    let arguments = ["user", "create", name, "--lake", lake].into_iter().chain(more.iter().copied());
    boathouse(arguments).variable("BOATHOUSE_PASSWORD", "it's a password")
}

#[test]
fn the_first_user_is_an_admin_and_no_password_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().to_str().unwrap();
    let text = create(lake, "ann", &["--role", "reader"]).text();
    assert!(text.contains("ERROR: the first user must be an admin\nHINT: "), "{text}");
    let text = create(lake, "a:b", &[]).text();
    assert!(text.starts_with("exit code 1") && text.contains("has no colon") && !text.contains("LINE"), "{text}");
    create(lake, "Ann \"B\"", &[]).stdout();
    let text = boathouse(["sql", lake, "--format", "csv", "-c", "SHOW USERS"]).stdout();
    assert_eq!(text, "name,role,state\n\"Ann \"\"B\"\"\",admin,enabled\n");
    let text = boathouse(["user", "create", "eve", "--lake", lake]).text();
    assert!(text.contains("there is nobody to ask for the password"), "{text}");
}

#[test]
fn the_shell_logs_in_with_a_password_or_a_token() {
    let server = Server::start();
    let who = "SELECT current_user AS who";
    let text = server.sql(who).text();
    assert!(text.contains("exit code 1") && text.contains("this server asks for credentials"), "{text}");
    let as_root = |sql: &str, password: &str| {
        server.sql(sql).variable("BOATHOUSE_USER", "root").variable("BOATHOUSE_PASSWORD", password)
    };
    assert_eq!(as_root(who, "it's a password").stdout(), "who\nroot\n");
    let text = as_root(who, "another").text();
    assert!(text.contains("ERROR: wrong user name or password\n"), "{text}");
    let token = as_root("CREATE TOKEN job VALID FOR '1 hour'", "it's a password").stdout();
    let token = token.lines().nth(1).unwrap().split(',').next().unwrap();
    assert_eq!(server.sql(who).variable("BOATHOUSE_TOKEN", token).stdout(), "who\nroot\n");
    let text = boathouse(["sql", server.url(), "--token", "bht_a_b", "-c", who]).text();
    assert!(text.contains("the access token is not known"), "{text}");
}

#[test]
fn the_servers_log_holds_no_password_and_no_token_whatever_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, log) = (folder.path().join("lake"), folder.path().join("log"));
    std::fs::create_dir(&lake).unwrap();
    create(lake.to_str().unwrap(), "root", &[]).stdout();
    let served = Served::logging(lake.to_str().unwrap(), &log);
    let as_root = |password: &str, sql: &str| {
        let call = boathouse(["sql", &served.url, "--format", "csv", "-c", sql]);
        call.variable("BOATHOUSE_USER", "root").variable("BOATHOUSE_PASSWORD", password)
    };
    let with_token = |token: &str| {
        boathouse(["sql", &served.url, "--format", "csv", "-c", "SELECT current_user AS who"])
            .variable("BOATHOUSE_TOKEN", token)
    };
    let right = "it's a password";
    as_root(right, "CREATE USER ann PASSWORD 'first of ann'").stdout();
    as_root(right, "ALTER USER ann PASSWORD 'second of ann'").stdout();
    as_root(right, "ALTER USER nobody PASSWORD 'of nobody'").text();
    as_root("a wrong guess", "SELECT 1").text();
    let token = as_root(right, "CREATE TOKEN job VALID FOR '1 hour'").stdout();
    let token = token.lines().nth(1).unwrap().split(',').next().unwrap();
    assert_eq!(with_token(token).stdout(), "who\nroot\n");
    assert!(with_token("bht_made_up").text().contains("the access token is not known"));
    drop(served);
    let log = String::from_utf8_lossy(&std::fs::read(&log).unwrap()).into_owned();
    for part in ["query ended", "ALTER USER ann PASSWORD '***'", "TRACE"] {
        assert!(log.contains(part), "{part} is not logged");
    }
    let encoded = |password: &str| STANDARD_NO_PAD.encode(format!("root:{password}"));
    let (right_in_header, wrong_in_header) = (encoded(right), encoded("a wrong guess"));
    for secret in [right, "of ann", "of nobody", "a wrong guess", &right_in_header, &wrong_in_header, "bht_", "bhs_"] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "a secret is in the log");
    }
}

#[test]
fn connect_tells_where_credentials_go() {
    let server = Server::start();
    let text = boathouse(["connect", "python", server.url()]).stdout();
    assert!(text.contains("\"username\": \"NAME\""), "{text}");
    let text = boathouse(["connect", "jdbc", server.url(), "--user", "ann"]).stdout();
    assert!(text.contains("user=ann"), "{text}");
}
