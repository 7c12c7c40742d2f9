//! Backslash commands: their names, their arguments, their help.

use std::fmt::Write;

use super::{nearest::nearest, output::Format};

/// What a backslash command asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `\d NAME`
    Describe(String),
    /// `\d`, `\dt`, `\dv`, with the pattern of `\dt PATTERN`
    Relations { kind: RelationKind, pattern: Option<String> },
    /// `\dn`
    Schemas,
    /// `\df [PATTERN]`
    Functions(Option<String>),
    /// `\timing [on|off]`
    Timing(Option<bool>),
    /// `\x [on|off]`
    Expanded(Option<bool>),
    /// `\pager [on|off]`
    Pager(Option<bool>),
    /// `\format [NAME]`
    Format(Option<Format>),
    /// `\i FILE`
    Include(String),
    /// `\o [FILE]`
    Output(Option<String>),
    /// `\?`
    Help,
    /// `\q`
    Quit,
}

/// What `\d`, `\dt` and `\dv` list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelationKind {
    All,
    Tables,
    Views,
}

/// Name, arguments, and what the help says.
const COMMANDS: [(&str, &str, &str); 14] = [
    ("d", "", "list tables and views"),
    ("d", "NAME", "describe a table or view"),
    ("dt", "[PATTERN]", "list tables (* and ? match anything)"),
    ("dv", "[PATTERN]", "list views"),
    ("dn", "", "list schemas"),
    ("df", "[PATTERN]", "list functions"),
    ("timing", "[on|off]", "print the time of each statement"),
    ("x", "[on|off]", "one line per value instead of columns"),
    ("format", "[NAME]", "table, line, csv, json, ndjson, markdown, parquet, arrow"),
    ("pager", "[on|off]", "show long results in a pager"),
    ("i", "FILE", "run a file of statements and commands"),
    ("o", "[FILE]", "write results to a file; without one, show them again"),
    ("?", "", "this help"),
    ("q", "", "quit (or Ctrl-D)"),
];

/// The names of all commands, for completion.
pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut last = "";
    COMMANDS.iter().filter_map(move |(name, _, help)| {
        let is_new = *name != last;
        last = name;
        is_new.then_some((*name, *help))
    })
}

/// What `\?` prints.
pub fn help() -> String {
    let mut text = String::from(
        "Statements end with a semicolon and may take several lines. Ctrl-C cancels one, Tab completes.\n\n",
    );
    for (name, arguments, help) in COMMANDS {
        let usage = format!("\\{name} {arguments}");
        let _ = writeln!(text, "  {usage:<18} {help}");
    }
    text
}

/// Reads a command; `text` is the line without its backslash.
pub fn parse(text: &str) -> Result<Command, String> {
    let text = text.trim().trim_end_matches(';').trim_end();
    let (name, argument) = match text.split_once(char::is_whitespace) {
        Some((name, argument)) => (name, Some(argument.trim()).filter(|argument| !argument.is_empty())),
        None => (text, None),
    };
    let relations = |kind| Ok(Command::Relations { kind, pattern: argument.map(str::to_owned) });
    match (name, argument) {
        ("d", Some(table)) => Ok(Command::Describe(table.to_owned())),
        ("d", None) => relations(RelationKind::All),
        ("dt", _) => relations(RelationKind::Tables),
        ("dv", _) => relations(RelationKind::Views),
        ("df", _) => Ok(Command::Functions(argument.map(str::to_owned))),
        ("timing", _) => switch(name, argument).map(Command::Timing),
        ("x", _) => switch(name, argument).map(Command::Expanded),
        ("pager", _) => switch(name, argument).map(Command::Pager),
        ("format", _) => argument.map(str::parse).transpose().map(Command::Format),
        ("i", Some(path)) => Ok(Command::Include(unquote(path).to_owned())),
        ("i", None) => Err("\\i needs the name of a file".to_owned()),
        ("o", Some(path)) if path.starts_with('|') => {
            Err("\\o cannot write into a command\nHINT: Name a file, or use boathouse sql -c in a pipe.".to_owned())
        }
        ("o", _) => Ok(Command::Output(argument.map(|path| unquote(path).to_owned()))),
        ("dn", None) => Ok(Command::Schemas),
        ("?" | "h" | "help", None) => Ok(Command::Help),
        ("q" | "quit" | "exit", None) => Ok(Command::Quit),
        ("dn" | "?" | "h" | "help" | "q" | "quit" | "exit", Some(argument)) => {
            Err(format!("\\{name} takes no argument, not \"{argument}\""))
        }
        _ => Err(unknown(name)),
    }
}

/// Words that mean a command although they have no backslash: people type them when they want out.
pub fn plain_word(line: &str) -> Option<Command> {
    match line.trim().trim_end_matches(';').to_ascii_lowercase().as_str() {
        "quit" | "exit" => Some(Command::Quit),
        "help" => Some(Command::Help),
        _ => None,
    }
}

fn switch(name: &str, argument: Option<&str>) -> Result<Option<bool>, String> {
    match argument.map(str::to_ascii_lowercase).as_deref() {
        None => Ok(None),
        Some("on" | "true" | "1") => Ok(Some(true)),
        Some("off" | "false" | "0") => Ok(Some(false)),
        Some(other) => Err(format!("\\{name} takes on or off, not \"{other}\"")),
    }
}

fn unknown(name: &str) -> String {
    let hint = match nearest(name, names().map(|(name, _)| name)) {
        Some(name) => format!("Did you mean \"\\{name}\"?"),
        None => "\\? lists the commands.".to_owned(),
    };
    format!("unknown command \"\\{name}\"\nHINT: {hint}")
}

fn unquote(path: &str) -> &str {
    path.strip_prefix('\'').and_then(|path| path.strip_suffix('\'')).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_with_their_arguments() {
        assert_eq!(parse("d"), Ok(Command::Relations { kind: RelationKind::All, pattern: None }));
        assert_eq!(parse("d  main.orders ;"), Ok(Command::Describe("main.orders".to_owned())));
        let pattern = Some("o*".to_owned());
        assert_eq!(parse("dt o*"), Ok(Command::Relations { kind: RelationKind::Tables, pattern }));
        assert_eq!(parse("timing"), Ok(Command::Timing(None)));
        assert_eq!(parse("x ON"), Ok(Command::Expanded(Some(true))));
        assert_eq!(parse("format csv"), Ok(Command::Format(Some(Format::Csv))));
        assert_eq!(parse("i 'my file.sql'"), Ok(Command::Include("my file.sql".to_owned())));
        assert_eq!(parse("o"), Ok(Command::Output(None)));
        assert_eq!(parse("q"), Ok(Command::Quit));
    }

    #[test]
    fn what_cannot_be_read_is_explained() {
        assert_eq!(parse("timng").unwrap_err(), "unknown command \"\\timng\"\nHINT: Did you mean \"\\timing\"?");
        assert_eq!(parse("copy t").unwrap_err(), "unknown command \"\\copy\"\nHINT: \\? lists the commands.");
        assert_eq!(parse("x maybe").unwrap_err(), "\\x takes on or off, not \"maybe\"");
        assert_eq!(parse("q now").unwrap_err(), "\\q takes no argument, not \"now\"");
        assert!(parse("format xml").unwrap_err().starts_with("unknown format \"xml\"; there are table, line"));
        assert!(parse("i").is_err());
        assert!(parse("o |less").is_err());
    }

    #[test]
    fn help_names_every_command_once_and_completion_too() {
        let help = help();
        assert!(names().all(|(name, _)| help.contains(&format!("\\{name} "))));
        assert_eq!(names().filter(|(name, _)| *name == "d").count(), 1);
    }
}
