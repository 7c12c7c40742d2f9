//! A path as a person writes it, resolved: `data/*.csv`, `/data/a.csv`, `file:///data/`, `s3://bucket/data/**/*.parquet`.

use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern};
use url::Url;

use crate::StorageError;

/// `*` and `?` stay within one folder; `**` is any number of folders; names that begin with a dot match like others.
const MATCHING: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// Where files are: a fixed part, and a pattern below it when the path has wildcards.
#[derive(Debug, Clone)]
pub struct Location {
    text: String,
    url: Url,
    pattern: Option<Pattern>,
}

impl Location {
    /// Resolves a path: a relative one from the working directory, links and `..` of a local one on the disk. Nothing has
    /// to be there.
    pub fn parse(text: &str) -> Result<Self, StorageError> {
        let invalid = |reason: &str| StorageError::InvalidUrl { url: text.into(), reason: reason.into() };
        if text.is_empty() {
            return Err(invalid("the path is empty"));
        }
        let (root, path) = match text.split_once("://") {
            Some(("file", path)) => (None, percent_decoded(path).ok_or_else(|| invalid("it is not UTF-8"))?),
            Some((scheme, rest)) => {
                let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
                let root = Url::parse(&format!("{scheme}://{host}")).map_err(|error| invalid(&error.to_string()))?;
                (Some(root), path.to_string())
            }
            None => (None, text.to_string()),
        };
        let (fixed, pattern) = split(&path);
        let pattern = match pattern {
            Some(pattern) => Some(Pattern::new(pattern).map_err(|error| invalid(error.msg))?),
            None => None,
        };
        let mut url = match root {
            Some(root) => below(root, fixed).ok_or_else(|| invalid("it has no bucket"))?,
            None => local(fixed).map_err(|error| invalid(&error.to_string()))?,
        };
        if pattern.is_some() || path.ends_with('/') {
            as_folder(&mut url);
        }
        Ok(Self { text: text.into(), url, pattern })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same place as text that means it from any working directory.
    pub fn absolute(&self) -> String {
        let base = match local_path(&self.url) {
            Some(path) if self.url.path().ends_with('/') => {
                format!("{}/", path.display().to_string().trim_end_matches('/'))
            }
            Some(path) => path.display().to_string(),
            // In a bucket every path is absolute.
            None => return self.text.clone(),
        };
        match &self.pattern {
            Some(pattern) => format!("{base}{}", pattern.as_str()),
            None => base,
        }
    }

    /// The fixed part: a file, or a folder with a slash at the end. Links and `..` are resolved.
    pub fn url(&self) -> &Url {
        &self.url
    }

    pub fn has_wildcards(&self) -> bool {
        self.pattern.is_some()
    }

    /// A folder for sure: it ends in a slash, or it is a folder on the disk.
    pub fn is_folder(&self) -> bool {
        self.url.path().ends_with('/') || local_path(&self.url).is_some_and(|path| path.is_dir())
    }

    /// The same place as a folder.
    pub fn folder_url(&self) -> Url {
        let mut url = self.url.clone();
        as_folder(&mut url);
        url
    }

    /// The last part of the path in lower case: `a.csv.gz`, `*.parquet`. Empty for a folder.
    pub fn file_name(&self) -> String {
        self.text.rsplit('/').next().unwrap_or_default().to_lowercase()
    }

    /// Whether the pattern names files of the folder itself and of none below it.
    pub(super) fn is_shallow(&self) -> bool {
        self.pattern
            .as_ref()
            .is_some_and(|pattern| !pattern.as_str().contains(['/', '[']) && !pattern.as_str().contains("**"))
    }

    /// Whether the pattern, if there is one, takes a path below the fixed part.
    pub(super) fn matches(&self, below: &str) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| pattern.matches_with(below, MATCHING))
    }
}

/// The local path of a `file:` URL.
pub(super) fn local_path(url: &Url) -> Option<PathBuf> {
    (url.scheme() == "file").then(|| url.to_file_path().ok()).flatten()
}

/// The longest run of folders without wildcards, and the rest.
fn split(path: &str) -> (&str, Option<&str>) {
    let Some(wildcard) = path.find(['*', '?', '[']) else { return (path, None) };
    let start = path[..wildcard].rfind('/').map_or(0, |slash| slash + 1);
    (&path[..start], Some(&path[start..]))
}

fn below(mut root: Url, path: &str) -> Option<Url> {
    root.host_str().filter(|host| !host.is_empty()).or((root.scheme() == "memory").then_some(""))?;
    {
        let mut segments = root.path_segments_mut().ok()?;
        segments.clear();
        for segment in path.split('/') {
            // A store has no parent folders: `..` must not reach the URL parser, which would resolve it.
            match segment {
                "" | "." => {}
                ".." => drop(segments.pop()),
                name => drop(segments.push(name)),
            }
        }
    }
    Some(root)
}

/// Resolves what exists on the disk and leaves the rest of the path as it is.
fn local(path: &str) -> std::io::Result<Url> {
    let mut absolute = std::env::current_dir()?;
    absolute.push(if path.is_empty() { "." } else { path });
    let mut resolved = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(resolved.pop()),
            Component::Normal(name) => {
                resolved.push(name);
                if let Ok(target) = resolved.canonicalize() {
                    resolved = target;
                } else if resolved.is_symlink() {
                    // A link to nothing: writing through it would make a file elsewhere.
                    return Err(std::io::Error::other("it is a link to nothing"));
                }
            }
            Component::RootDir | Component::Prefix(_) => resolved.push(component),
        }
    }
    Url::from_file_path(Path::new(&resolved)).map_err(|()| std::io::Error::other("it is not a path"))
}

fn as_folder(url: &mut Url) {
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let code = (byte == b'%').then(|| tail.get(..2)).flatten();
        match code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &rest[2..];
            }
            None => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_split_at_the_first_folder_with_a_wildcard() {
        assert_eq!(split("data/2024/*.csv"), ("data/2024/", Some("*.csv")));
        assert_eq!(split("data/20??/a.csv"), ("data/", Some("20??/a.csv")));
        assert_eq!(split("*.csv"), ("", Some("*.csv")));
        assert_eq!(split("data/a.csv"), ("data/a.csv", None));
    }

    #[test]
    fn wildcards_stay_within_a_folder_unless_doubled() {
        let one = Location::parse("s3://bucket/data/*.csv").unwrap();
        assert_eq!(one.url().as_str(), "s3://bucket/data/");
        assert!(one.matches("a.csv"));
        assert!(!one.matches("deep/a.csv"));
        let all = Location::parse("s3://bucket/data/**/*.csv").unwrap();
        assert!(all.matches("a.csv"));
        assert!(all.matches("very/deep/a.csv"));
    }

    #[test]
    fn links_and_parents_are_resolved() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("inside")).unwrap();
        std::os::unix::fs::symlink("/etc", root.join("inside/link")).unwrap();
        let link = Location::parse(&format!("{}/inside/link/passwd", root.display())).unwrap();
        assert_eq!(link.url().path(), "/etc/passwd");
        let parent = Location::parse(&format!("{}/inside/../new/x.csv", root.display())).unwrap();
        assert_eq!(parent.url().to_file_path().unwrap(), root.join("new/x.csv"));
        let escape = Location::parse("s3://bucket/a/../../../other").unwrap();
        assert_eq!(escape.url().as_str(), "s3://bucket/other");
    }

    #[test]
    fn odd_characters_survive() {
        let odd = Location::parse("/data/a b#c%.csv").unwrap();
        assert_eq!(odd.url().to_file_path().unwrap(), Path::new("/data/a b#c%.csv"));
        let encoded = Location::parse("file:///data/a%20b.csv").unwrap();
        assert_eq!(encoded.url().to_file_path().unwrap(), Path::new("/data/a b.csv"));
    }
}
