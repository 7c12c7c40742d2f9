//! One file, run or completed.

use std::{path::Path, sync::Arc};

use sqllogictest::{ColumnType, Normalizer, Runner, default_validator, parse, parse_file};

use super::{
    format::Letter,
    world::{Database, TELL_SCRATCH, Through, World, Worlds},
};

/// Runs a file on a fresh lake. The error is the text for a person: place, statement, difference.
///
/// With `control substitution on`, `$__TEST_DIR__` is the file's own scratch folder and `$TEST_DATA` is `tests/data`; these
/// two are all that statements may name by path. (A `$1` or a backslash is then written `\$1`, `\\`.) Answers and errors
/// show the same names in place of the folders, and `$LAKE` for the lake's. `skipif` and `onlyif` know `session` and
/// `server`.
pub async fn run_file(worlds: &Arc<Worlds>, file: &Path, through: Through) -> Result<(), String> {
    let mut runner = runner(worlds, file, through).await?;
    // A fault in the file itself is named with its line before anything runs.
    let records = parse_file(file).map_err(|error| error.to_string())?;
    let result = runner.run_multi_async(records).await;
    runner.shutdown_async().await;
    result.map_err(|error| error.to_string())
}

/// Runs a file through a session and writes the answers and errors that came into it, where they differ.
pub async fn complete_file(worlds: &Arc<Worlds>, file: &Path) -> Result<(), String> {
    let mut runner = runner(worlds, file, Through::Session).await?;
    let result = runner.update_test_file(file, " ", same_lines, unchanged, same_letters).await;
    runner.shutdown_async().await;
    result.map_err(|error| error.to_string())
}

type MakeDatabase =
    Box<dyn FnMut() -> std::future::Ready<Result<Database, <Database as sqllogictest::AsyncDB>::Error>> + Send>;

async fn runner(worlds: &Arc<Worlds>, file: &Path, through: Through) -> Result<Runner<Database, MakeDatabase>, String> {
    let world = World::new(worlds.clone(), file, through);
    let make: MakeDatabase = Box::new(move || std::future::ready(Ok(Database::new(world.clone()))));
    let mut runner = Runner::new(make);
    runner.with_normalizer(unchanged);
    runner.with_validator(same_lines);
    runner.with_column_validator(same_letters);
    runner.set_var("TEST_DATA".to_owned(), worlds.data().to_string_lossy().into_owned());
    let tell =
        format!("control substitution on\n\nstatement ok\n{TELL_SCRATCH}$__TEST_DIR__\n\ncontrol substitution off\n");
    let tell = parse::<Letter>(&tell).map_err(|error| error.to_string())?;
    runner.run_multi_async(tell).await.map_err(|error| error.to_string())?;
    Ok(runner)
}

#[expect(clippy::ptr_arg, reason = "the signature that the runner asks for")]
fn unchanged(text: &String) -> String {
    text.clone()
}

/// Lines must be the same but for blanks at their ends. `<slt:ignore>` in a file stands for any text.
fn same_lines(normalizer: Normalizer, actual: &[Vec<String>], expected: &[String]) -> bool {
    if expected.iter().any(|line| line.contains("<slt:ignore>")) {
        return default_validator(normalizer, actual, expected);
    }
    let same = |(actual, expected): (&Vec<String>, &String)| actual.join(" ").trim_end() == expected.trim_end();
    actual.len() == expected.len() && actual.iter().zip(expected).all(same)
}

/// The letters must be the same; `?` in a file stands for any type.
#[expect(clippy::ptr_arg, reason = "the signature that the runner asks for")]
fn same_letters(actual: &Vec<Letter>, expected: &Vec<Letter>) -> bool {
    let fits = |(actual, expected): (&Letter, &Letter)| actual == expected || expected.to_char() == '?';
    actual.len() == expected.len() && actual.iter().zip(expected).all(fits)
}
