//! `[destinations.NAME]`: where marts may be exported to. Secrets come from the environment, as `${VARIABLE}` in any text, or
//! from a file.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use boathouse_engine::{
    EngineError, Secret,
    mart::{DeltaExports, Destination, Destinations, FileExports, FileFormat},
};
use serde::Deserialize;

use super::{ConfigError, Span};
use crate::{BoathouseExports, BoathouseOptions, HttpExports, HttpOptions, PostgresExports, PostgresOptions};

/// A destination as it is written.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Written {
    Postgres {
        url: Secret,
        password_file: Option<PathBuf>,
        tls_ca: Option<PathBuf>,
    },
    Boathouse {
        url: Secret,
        token: Option<Secret>,
        token_file: Option<PathBuf>,
        tls_ca: Option<PathBuf>,
    },
    Files {
        url: Secret,
        format: Option<String>,
    },
    Http {
        url: Secret,
        #[serde(default)]
        headers: BTreeMap<String, Secret>,
        authorization_file: Option<PathBuf>,
        batch_rows: Option<usize>,
        timeout: Option<Span>,
    },
}

/// Checks all of them. Nobody is asked yet whether they are there.
pub(super) fn read(
    variable: &dyn Fn(&str) -> Option<String>,
    written: BTreeMap<String, Written>,
) -> Result<Destinations, ConfigError> {
    let each = written.into_iter().map(|(name, written)| {
        let made = one(variable, written).map_err(|why| ConfigError(format!("[destinations.{name}]: {why}")));
        Ok((name, made?))
    });
    Ok(each.collect::<Result<Vec<_>, ConfigError>>()?.into_iter().collect())
}

fn one(variable: &dyn Fn(&str) -> Option<String>, written: Written) -> Result<Arc<dyn Destination>, String> {
    Ok(match written {
        Written::Postgres { url, password_file, tls_ca } => {
            let url = filled(variable, &url)?;
            Arc::new(PostgresExports::new(PostgresOptions::checked(&url, password_file, tls_ca)?))
        }
        Written::Boathouse { url, token, token_file, tls_ca } => {
            let url = filled(variable, &url)?;
            let token = token.map(|token| filled(variable, &token)).transpose()?;
            Arc::new(BoathouseExports::new(BoathouseOptions::checked(&url, token, token_file, tls_ca)?))
        }
        Written::Files { url, format } => {
            let url = filled(variable, &url)?;
            let files = |format| Ok::<Arc<dyn Destination>, _>(Arc::new(FileExports::new(url.reveal(), format)?));
            let made = match format.as_deref() {
                None | Some("parquet") => files(FileFormat::Parquet),
                Some("csv") => files(FileFormat::Csv),
                Some("delta") => DeltaExports::new(url.reveal()).map(|delta| Arc::new(delta) as _),
                Some(other) => {
                    return Err(format!("format = \"{other}\" is not supported: write parquet, csv or delta"));
                }
            };
            made.map_err(|error: EngineError| error.to_string())?
        }
        Written::Http { url, headers, authorization_file, batch_rows, timeout } => {
            let url = filled(variable, &url)?;
            let headers = headers.into_iter().map(|(name, value)| Ok((name, filled(variable, &value)?)));
            let headers = headers.collect::<Result<_, String>>()?;
            let mut options = HttpOptions::checked(&url, headers, authorization_file, batch_rows)?;
            if let Some(Span(timeout)) = timeout {
                options.timeout = timeout;
            }
            Arc::new(HttpExports::new(options)?)
        }
    })
}

/// The text with the values of variables in it. The error names a variable, and no value.
fn filled(variable: &dyn Fn(&str) -> Option<String>, text: &Secret) -> Result<Secret, String> {
    let (mut filled, mut rest) = (String::new(), text.reveal());
    while let Some((before, behind)) = rest.split_once("${") {
        let (name, after) = behind.split_once('}').ok_or("a text has ${ and no } behind it")?;
        let value = variable(name).ok_or_else(|| format!("the variable {name} is not set"))?;
        filled.push_str(before);
        filled.push_str(&value);
        rest = after;
    }
    filled.push_str(rest);
    Ok(Secret::new(filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destinations(text: &str) -> Result<Destinations, String> {
        let written: BTreeMap<String, Written> = toml::from_str(text).map_err(|error| error.to_string())?;
        let variable = |name: &str| (name == "PASSWORD").then(|| "s3cret@/".to_owned());
        read(&variable, written).map_err(|error| error.to_string())
    }

    #[test]
    fn each_kind_is_read() {
        let text = "
            [warehouse]
            kind = 'postgres'
            url = 'postgres://etl@localhost/db'
            password_file = '/run/secrets/db'
            [bucket]
            kind = 'files'
            url = 's3://bucket/exports'
            format = 'csv'
            [share]
            kind = 'files'
            url = 's3://bucket/share'
            format = 'delta'
            [crm]
            kind = 'http'
            url = 'https://crm.example.org/rows'
            headers = { Authorization = 'Bearer ${PASSWORD}' }
            batch_rows = 100
            timeout = '5s'
            [lake]
            kind = 'boathouse'
            url = 'grpc+tls://lake.example.org:32010'
            token = '${PASSWORD}'";
        let found = destinations(text).unwrap();
        let kinds: Vec<_> = found.names().map(|name| (name.to_owned(), found.get(name).unwrap().kind())).collect();
        let kinds: Vec<_> = kinds.iter().map(|(name, kind)| (name.as_str(), *kind)).collect();
        assert_eq!(
            kinds,
            [
                ("bucket", "files"),
                ("crm", "http"),
                ("lake", "boathouse"),
                ("share", "files"),
                ("warehouse", "postgres")
            ]
        );
        assert!(!format!("{found:?}").contains("s3cret"), "{found:?}");
    }

    #[test]
    fn what_is_wrong_is_told_without_secrets() {
        for (text, expected) in [
            ("[a]\nkind = 'oracle'", "unknown variant `oracle`"),
            ("[a]\nkind = 'files'\nurl = 'x'\nformat = 'orc'", "[destinations.a]: format = \"orc\" is not supported"),
            ("[a]\nkind = 'files'\nurl = 'x'\nkey = 1", "unknown field `key`"),
            (
                "[a]\nkind = 'postgres'\nurl = 'mysql://u:p4ss@h/d'",
                "[destinations.a]: the url is not one of PostgreSQL",
            ),
            ("[a]\nkind = 'postgres'\nurl = 'postgres://u:p4ss@h/d?sslmode=prefer'", "sslmode=prefer is not supported"),
            ("[a]\nkind = 'postgres'\nurl = 'postgres://u:${PW}@h/d'", "[destinations.a]: the variable PW is not set"),
            ("[a]\nkind = 'boathouse'\nurl = 'http://h:1'", "[destinations.a]: the url is not one of a server"),
            ("[a]\nkind = 'http'\nurl = 'ftp://u:p4ss@h'", "[destinations.a]: the url is not one"),
            ("[a]\nkind = 'http'\nurl = 'https://h'\nbatch_rows = 0", "batch_rows is 0"),
        ] {
            let error = destinations(text).unwrap_err();
            assert!(error.contains(expected), "{text}\n{error}");
            assert!(!error.contains("p4ss") || error.contains("unknown"), "{error}");
        }
    }
}
