//! The cases, and where their files are.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use serde_json::Value;

pub enum Kind {
    Read,
    Error,
    NoAnswer,
}

/// One line of `cases.jsonl`.
pub struct Case {
    pub name: String,
    pub kind: Kind,
    /// The table's folder, relative to the unpacked archives.
    pub table: String,
    pub version: Option<u64>,
    expected: Option<String>,
}

impl Case {
    fn parse(line: &str) -> Self {
        let case: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| case[key].as_str().map(str::to_owned);
        for key in ["predicate", "columns"] {
            assert!(case[key].is_null(), "a case with a {key}: teach this test what it means");
        }
        Self {
            name: format!("{}/{}", text("set").unwrap(), text("case").unwrap()),
            kind: match text("kind").unwrap().as_str() {
                "read" => Kind::Read,
                "error" => Kind::Error,
                "noexpected" => Kind::NoAnswer,
                other => panic!("a case of kind {other}: teach this test what it means"),
            },
            table: text("table").unwrap(),
            version: case["version"].as_u64(),
            expected: text("expected"),
        }
    }

    /// The Parquet files whose union is the answer.
    pub fn expected_files(&self, folder: &Path) -> Vec<String> {
        let mut found = vec![];
        let mut folders = vec![folder.join(self.expected.as_ref().unwrap())];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false if path.extension().is_some_and(|e| e == "parquet") => found.push(path.display().to_string()),
                    false => {}
                }
            }
        }
        found.sort();
        found
    }
}

/// The unpacked tables and their cases; `None` where the archives are missing.
pub fn unpack() -> Option<(PathBuf, Vec<Arc<Case>>)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden");
    let lines = fs::read_to_string(source.join("cases.jsonl")).ok()?;
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("golden");
    if !target.exists() {
        // Unpacked beside and moved into place, so that an interrupted run leaves nothing half there.
        let fresh = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        for archive in fs::read_dir(&source).unwrap().map(|entry| entry.unwrap().path()) {
            if archive.to_string_lossy().ends_with(".tar.zst") {
                let tar =
                    Command::new("tar").arg("--zstd").arg("-xf").arg(&archive).arg("-C").arg(fresh.path()).status();
                assert!(tar.unwrap().success(), "could not unpack {}", archive.display());
            }
        }
        let unpacked = fresh.keep();
        if fs::rename(&unpacked, &target).is_err() {
            // Another run was faster.
            fs::remove_dir_all(unpacked).unwrap();
        }
    }
    Some((target, lines.lines().filter(|line| !line.trim().is_empty()).map(Case::parse).map(Arc::new).collect()))
}
