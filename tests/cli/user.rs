//! `boathouse user`, and the shell and `connect` at a server whose lake has users.

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
fn connect_tells_where_credentials_go() {
    let server = Server::start();
    let text = boathouse(["connect", "python", server.url()]).stdout();
    assert!(text.contains("\"username\": \"NAME\""), "{text}");
    let text = boathouse(["connect", "jdbc", server.url(), "--user", "ann"]).stdout();
    assert!(text.contains("user=ann"), "{text}");
}
