//! A definition: a plain SELECT that runs in any SQL tool, under a comment block in TOML for what SQL cannot say.
//!
//! ```sql
//! /*---
//! name = "marts.daily_revenue"           # or else the file's name without .sql
//! owner = "bi@example.com"
//! description = "Revenue per day"
//! [[test]]
//! unique = "day"
//! ---*/
//! SELECT ...
//! ```

use std::{path::Path, time::Duration};

use boathouse_storage::check_name;
use datafusion::sql::sqlparser::ast::Query;
use toml::Spanned;

use super::{
    export::{self, Export},
    fault::Fault,
    fingerprint,
    freshness::Freshness,
    header::{self, Block, Header, Names},
    interval::{Interval, Intervals},
    parameter,
    refresh::Refresh,
    scd2,
    strategy::Strategy,
    test::{Check, OnViolation, Test},
};
use crate::{
    EngineError,
    catalog::{TableName, is_reserved},
    parser,
};

/// A mart as a person wrote it, checked as far as that goes without the lake.
#[derive(Debug, Clone)]
pub struct Definition {
    /// The path of the file.
    pub file: String,
    /// All of it. Places of faults are places in it.
    pub(super) text: String,
    pub(super) name: TableName,
    pub(super) description: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) strategy: Strategy,
    pub(super) interval: Option<Intervals>,
    /// Of a strategy that tells rows apart.
    pub(super) key: Vec<String>,
    /// Where `key` stands.
    pub(super) key_line: Option<usize>,
    pub(super) partition_by: Vec<String>,
    /// Where `partition_by` stands.
    pub(super) partition_line: Option<usize>,
    /// The columns that are declared are all that there may be.
    pub(super) contract: bool,
    pub(super) columns: Vec<Column>,
    pub(super) tests: Vec<Test>,
    /// Where its rows go.
    pub(super) exports: Vec<Export>,
    /// When a server runs it by itself.
    pub(super) refresh: Option<Refresh>,
    /// How old its rows may be.
    pub(super) freshness: Option<Freshness>,
    pub(super) retry: Retry,
    /// A run that takes longer is given up.
    pub(super) timeout: Option<Duration>,
    pub(super) query: Query,
    /// Stands for all of it that has an effect on the table.
    pub(super) fingerprint: String,
}

/// How often a server tries a run that fails for want of something that may come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Retry {
    /// The first one counts.
    pub attempts: u32,
    /// How long after the first one failed; doubled from one to the next.
    pub backoff: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 3, backoff: Duration::from_secs(30) }
    }
}

/// Waits between attempts grow to this.
const BACKOFF_MAX: Duration = Duration::from_secs(3600);

impl Retry {
    fn of(written: &header::Retry) -> Result<Self, EngineError> {
        if written.attempts == 0 {
            let error = EngineError::invalid("retry.attempts is 0, so nothing would ever run");
            return Err(error.with_hint("The first attempt counts: 1 is no retry."));
        }
        let backoff = written.backoff.map_or(Self::default().backoff, |span| span.0);
        Ok(Self { attempts: written.attempts, backoff })
    }

    /// How long to wait after the attempt of this number, from 1, has failed; `None` when it was the last.
    pub fn wait(self, attempt: u32) -> Option<Duration> {
        let doubled = || self.backoff.saturating_mul(1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
        (attempt < self.attempts).then(|| doubled().min(BACKOFF_MAX.max(self.backoff)))
    }
}

/// A declared column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub line: usize,
    pub name: String,
    /// As SQL writes it.
    pub data_type: Option<String>,
    pub not_null: bool,
    pub description: Option<String>,
    pub owner: Option<String>,
    pub tags: Vec<String>,
}

impl Definition {
    /// Reads a definition. The fault tells the file, the line and the cure.
    pub fn parse(file: &str, text: &str) -> Result<Self, Fault> {
        let block = Block::find(file, text)?;
        let header = block.header()?;
        let at = |place: Option<usize>, error| Fault::new(file, place.map(|place| block.line(place)), error);
        let place = header.name.as_ref().map(|name| name.span().start);
        let name = name(file, header.name.as_ref().map(|name| name.get_ref().as_str())).map_err(|e| at(place, e))?;
        let place = header.strategy.as_ref().map(|word| word.span().start);
        let strategy = header.strategy.as_ref().map_or(Ok(Strategy::Full), |word| Strategy::of(word.get_ref()));
        let strategy = strategy.map_err(|error| at(place, error))?;
        let names =
            |names: &Option<Spanned<Names>>| names.as_ref().map_or(Vec::new(), |names| names.get_ref().0.clone());
        let (key, partition_by) = (names(&header.key), names(&header.partition_by));
        let key_place = header.key.as_ref().map(|names| names.span().start);
        if key_place.is_some() {
            strategy.check_key(&key).map_err(|error| at(key_place, error))?;
        }
        let interval = header.interval.as_ref().map(|written| {
            let line = block.line(written.span().start);
            Intervals::of(written.get_ref(), line).map_err(|error| Fault::new(file, line, error))
        });
        let interval = interval.transpose()?;
        strategy.check_given(&key, &partition_by, interval.is_some()).map_err(|error| at(place, error))?;
        let key_line = key_place.map(|place| block.line(place));
        let query = parser::parse_query(text).map_err(|error| Fault::new(file, None, of_query(error)))?;
        if let Some(Intervals { column, line, .. }) = &interval {
            parameter::check(&query, column).map_err(|error| Fault::new(file, *line, error))?;
        }
        let refresh = header.refresh.map(|written| {
            let place = written.span().start;
            let refresh = Refresh::of(written.into_inner()).and_then(|refresh| refresh.fits(interval.is_some()));
            let refresh = refresh.map(|refresh| refresh.at(block.line(place)));
            refresh.map_err(|error| at(Some(place), error))
        });
        let freshness = header
            .freshness
            .map(|written| Freshness::of(written.get_ref()).map_err(|error| at(Some(written.span().start), error)));
        let freshness = freshness.transpose()?;
        let retry = header
            .retry
            .map(|written| Retry::of(written.get_ref()).map_err(|error| at(Some(written.span().start), error)));
        let (refresh, retry) = (refresh.transpose()?, retry.transpose()?.unwrap_or_default());
        let timeout = header.timeout.map(|written| match written.get_ref().0 {
            time if time.is_zero() => {
                let error = EngineError::invalid("timeout is no time at all").with_hint("Write 30s, 10min or 2h.");
                Err(at(Some(written.span().start), error))
            }
            time => Ok(time),
        });
        let timeout = timeout.transpose()?;
        let Header { description, owner, tags, contract, .. } = header;
        let partition_line = header.partition_by.as_ref().map(|names| block.line(names.span().start));
        let columns = declared(&block, header.column)?;
        let exports = export::written(file, &block, &name.to_string(), header.export)?;
        let mut tests: Vec<Test> = strategy.test(&key, key_line.unwrap_or(1)).into_iter().collect();
        for written in header.test {
            let line = block.line(written.span().start);
            let test = Test::of(written.into_inner(), line).map_err(|error| Fault::new(file, line, error))?;
            if tests.iter().any(|other| other.name == test.name) {
                let error = EngineError::invalid(format!("two tests have the name \"{}\"", test.name));
                return Err(Fault::new(file, line, error.with_hint("Give one of them another with the key name.")));
            }
            tests.push(test);
        }
        let listed = columns.iter().map(|Column { name, data_type, not_null, description, .. }| {
            format!("{name} {data_type:?} {not_null} {description:?}")
        });
        let tested = tests.iter().map(|test| format!("{:?} {:?}", test.check, test.on_violation));
        let merged = if key.is_empty() { String::new() } else { format!(" {key:?}") };
        let said = [format!("{}{merged}", strategy.word()), format!("{partition_by:?} {contract} {description:?}")];
        let body = [text[block.query..].trim().to_owned()];
        let timed = interval.iter().map(Intervals::text);
        let fingerprint = fingerprint::of(said.into_iter().chain(body).chain(listed).chain(tested).chain(timed));
        let (file, text, query) = (file.to_owned(), text.to_owned(), *query);
        Ok(Self {
            file,
            text,
            name,
            description,
            owner,
            tags,
            strategy,
            interval,
            key,
            key_line,
            partition_by,
            partition_line,
            contract,
            columns,
            tests,
            exports,
            refresh,
            freshness,
            retry,
            timeout,
            query,
            fingerprint,
        })
    }

    /// `schema.table`
    pub fn name(&self) -> String {
        self.name.to_string()
    }

    /// The query for an interval, or as it is.
    pub(super) fn query_of(&self, interval: Option<&Interval>) -> Result<Query, EngineError> {
        interval.map_or_else(|| Ok(self.query.clone()), |interval| parameter::bind(&self.query, interval))
    }

    /// The query as it can be planned, for what holds in any interval.
    pub(super) fn sample(&self) -> Result<Query, EngineError> {
        self.query_of(self.interval.as_ref().map(Intervals::empty).as_ref())
    }

    /// The columns that tell the table's rows apart, as every run makes sure; none when nothing does.
    pub(super) fn row_key(&self) -> Vec<String> {
        let unique = self.tests.iter().find_map(|test| match &test.check {
            Check::Unique(columns) if test.on_violation == OnViolation::Fail => Some(columns.clone()),
            _ => None,
        });
        match self.strategy {
            Strategy::Merge => self.key.clone(),
            // A key has a row for each state that it was in.
            Strategy::Scd2 => self.key.iter().cloned().chain([scd2::COLUMNS[0].to_owned()]).collect(),
            _ => unique.unwrap_or_default(),
        }
    }

    /// The column by which the rows of an interval take the place of those that were made in it before.
    pub(super) fn replaced_by(&self) -> Option<&str> {
        let by_interval = match self.strategy {
            Strategy::Append => true,
            Strategy::DeleteInsert => self.key.is_empty(),
            Strategy::Full | Strategy::Merge | Strategy::PartitionOverwrite | Strategy::Scd2 => false,
        };
        self.interval.as_ref().filter(|_| by_interval).map(|interval| interval.column.as_str())
    }
}

/// The columns that are declared, each once.
fn declared(block: &Block<'_>, written: Vec<Spanned<header::Column>>) -> Result<Vec<Column>, Fault> {
    let mut columns: Vec<Column> = Vec::new();
    for written in written {
        let line = block.line(written.span().start);
        let written = written.into_inner();
        if columns.iter().any(|column| column.name == written.name) {
            let error = EngineError::invalid(format!("column \"{}\" is declared twice", written.name));
            return Err(Fault::new(block.file, line, error));
        }
        let header::Column { name, data_type, not_null, description, owner, tags } = written;
        columns.push(Column { line, name, data_type, not_null, description, owner, tags });
    }
    Ok(columns)
}

/// The mart's name: as it is said, else as its file is called.
fn name(file: &str, said: Option<&str>) -> Result<TableName, EngineError> {
    let stem = Path::new(file).file_stem().unwrap_or_default().to_string_lossy();
    let name = said.unwrap_or(&stem);
    let hint = "Call the file schema.table.sql, or write name = \"schema.table\".";
    let wrong =
        |why: &str| EngineError::invalid(format!("\"{name}\" is not the name of a mart: {why}")).with_hint(hint);
    let (schema, table) = name.split_once('.').ok_or_else(|| wrong("it has no schema"))?;
    if is_reserved(schema) {
        return Err(wrong("the schema belongs to the system"));
    }
    for (kind, part) in [("schema", schema), ("table", table)] {
        check_name(kind, part).map_err(|error| wrong(&error.to_string()))?;
    }
    if table.contains('.') {
        return Err(wrong("it has more than two parts"));
    }
    Ok(TableName::new(schema, table))
}

fn of_query(error: EngineError) -> EngineError {
    match error.message.as_str() {
        "the statement is empty" => EngineError::invalid("there is no query behind the block"),
        "this is not a query" => error.with_hint("A mart is a SELECT; what is done with its rows the strategy says."),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mart::test::{Check, OnViolation};

    fn fault(text: &str) -> String {
        Definition::parse("sql/marts/m.t.sql", text).unwrap_err().to_string()
    }

    fn block(toml: &str) -> String {
        format!("/*---\n{toml}\n---*/\nSELECT 1 AS a")
    }

    #[test]
    fn a_plain_select_is_a_mart() {
        let mart = Definition::parse("x/m.t.sql", "SELECT 1 AS a;\n").unwrap();
        assert_eq!((mart.name().as_str(), mart.strategy, mart.tests.len()), ("m.t", Strategy::Full, 0));
    }

    #[test]
    fn the_block_says_what_sql_cannot() {
        let text = block(
            "name = \"s.n\"\nowner = \"o\"\ntags = [\"x\"]\ndescription = \"d\"\npartition_by = \"a\"\ncontract = true\n\
             [[column]]\nname = \"a\"\ntype = \"BIGINT\"\nnot_null = true\n[[test]]\nunique = [\"a\", \"b\"]\n[[test]]\n\
             accepted_values = { column = \"a\", values = [1, \"it's\"] }\non_violation = \"drop\"",
        );
        let mart = Definition::parse("x/m.t.sql", &text).unwrap();
        assert_eq!((mart.name(), mart.partition_by.clone(), mart.columns[0].line), ("s.n".into(), vec!["a".into()], 8));
        assert_eq!(mart.tests[0].name, "unique(a, b)");
        let values = Check::AcceptedValues { column: "a".into(), values: vec!["1".into(), "'it''s'".into()] };
        assert_eq!((&mart.tests[1].check, mart.tests[1].on_violation), (&values, OnViolation::Drop));
        assert_eq!(mart.tests[1].line, 14);
    }

    #[test]
    fn a_fault_tells_file_line_and_cure() {
        for (toml, expected) in [
            ("ownr = \"x\"", "sql/marts/m.t.sql:2: key \"ownr\" is not known\nHINT: Did you mean \"owner\"?"),
            (
                "\nschedule = 3",
                "sql/marts/m.t.sql:3: key \"schedule\" is not supported\nHINT: Leave it out; keys here are ",
            ),
            (
                "refresh = { schedule = \"5min\" }",
                "sql/marts/m.t.sql:2: key \"schedule\" is not supported\nHINT: Leave it out; keys here are every, cron",
            ),
            ("\nrefresh = { cron = \"x\" }", "sql/marts/m.t.sql:3: cron = \"x\" is not understood\nDETAIL: "),
            ("\nrefresh = { target_lag = \"5s\" }", "sql/marts/m.t.sql:3: refresh.target_lag is 5s, and less"),
            ("\nretry = { attempts = 0 }", "sql/marts/m.t.sql:3: retry.attempts is 0"),
            (
                "\nrefresh = { cron = \"*/15 * * * *\" }",
                "sql/marts/m.t.sql:3: the block holds */, which ends a comment in SQL\nHINT: Write it otherwise",
            ),
            ("timeout = \"0s\"", "sql/marts/m.t.sql:2: timeout is no time at all"),
            (
                "strategy = \"ful\"",
                "sql/marts/m.t.sql:2: strategy = \"ful\" is not supported\nHINT: Did you mean \"full\"?",
            ),
            ("strategy = \"merge\"", "sql/marts/m.t.sql:2: strategy = \"merge\" needs key\nHINT: Write key = \"id\""),
            ("\nstrategy = \"delete_insert\"", "sql/marts/m.t.sql:3: strategy = \"delete_insert\" needs key\nHINT: "),
            (
                "strategy = \"partition_overwrite\"",
                "sql/marts/m.t.sql:2: strategy = \"partition_overwrite\" needs partition_by\nHINT: Write partition_by",
            ),
            (
                "\nkey = \"a\"",
                "sql/marts/m.t.sql:3: key has no meaning with strategy = \"full\"\nHINT: Leave it out, or write strategy",
            ),
            (
                "strategy = \"partition_overwrite\"\npartition_by = \"a\"\nkey = \"a\"",
                "sql/marts/m.t.sql:4: key has no meaning with strategy = \"partition_overwrite\"",
            ),
            (
                "strategy = \"merge\"\nkey = [\"a\", \"b\", \"a\"]",
                "sql/marts/m.t.sql:3: column \"a\" is twice in the key",
            ),
            (
                "strategy = \"append\"",
                "sql/marts/m.t.sql:2: strategy = \"append\" needs interval\nHINT: Write interval = {",
            ),
            ("strategy = \"scd2\"", "sql/marts/m.t.sql:2: strategy = \"scd2\" needs key\nHINT: Write key = "),
            (
                "strategy = \"upsert\"",
                "sql/marts/m.t.sql:2: strategy = \"upsert\" is not supported\nHINT: What there is: ",
            ),
            (
                "interval = { column = \"a\", grain = \"day\", start = \"2026-01-01\" }",
                "sql/marts/m.t.sql: strategy = \"full\" has no intervals\nHINT: ",
            ),
            (
                "strategy = \"append\"\ninterval = { column = \"a\", grain = \"fortnight\", start = \"2026-01-01\" }",
                "sql/marts/m.t.sql:3: grain = \"fortnight\" is not known\nHINT: Write hour, day, week or month.",
            ),
            (
                "strategy = \"append\"\ninterval = { column = \"a\", grain = \"month\", start = 2026-01-02 }",
                "sql/marts/m.t.sql:3: start = \"2026-01-02\" is not the beginning of a month\nHINT: Its month begins with",
            ),
            (
                "strategy = \"append\"\ninterval = { column = \"a\", grain = \"day\", start = \"2026-01-01\" }",
                "sql/marts/m.t.sql:3: the query has no $start\nHINT: Write WHERE a >= $start AND a < $end",
            ),
            ("name = \"t\"", "sql/marts/m.t.sql:2: \"t\" is not the name of a mart: it has no schema\nHINT: "),
            ("name = \"system.t\"", "sql/marts/m.t.sql:2: \"system.t\" is not the name of a mart: the schema belongs"),
            ("owner = 3", "sql/marts/m.t.sql:2: the block is not understood: invalid type: integer \"3\", expected a"),
            ("owner = ", "sql/marts/m.t.sql:2: the block is not understood: "),
            ("[[column]]\ntype = \"INT\"", "sql/marts/m.t.sql:2: key \"name\" is missing"),
            ("[[test]]\n", "sql/marts/m.t.sql:2: the test says nothing\nHINT: Write one of unique"),
            ("\n[[test]]\nunique = \"a\"\nnot_null = \"a\"", "sql/marts/m.t.sql:3: the test says more than one thing"),
            ("[[test]]\nunique = []", "sql/marts/m.t.sql:3: the block is not understood: the list of columns is empty"),
            (
                "[[test]]\nuniqe = \"a\"",
                "sql/marts/m.t.sql:3: key \"uniqe\" is not known\nHINT: Did you mean \"unique\"?",
            ),
            ("[[test]]\nanomaly = \"row_count\"\nsigma = 0", "sql/marts/m.t.sql:2: sigma = 0 is not a number above 0"),
            ("\nfreshness = {}", "sql/marts/m.t.sql:3: freshness says nothing\nHINT: "),
            (
                "refresh = { every = \"1h\", catch_up = \"all\" }",
                "sql/marts/m.t.sql:2: catch_up = \"all\" is for marts with interval\nHINT: ",
            ),
            ("[[test]]\nexpect = \"a >\"", "sql/marts/m.t.sql:2: expect: "),
            ("[[test]]\nexpect = \"a > 1) OR (a < 1\"", "sql/marts/m.t.sql:2: expect: "),
            (
                "[[test]]\nunique = \"a\"\non_violation = \"drop\"",
                "sql/marts/m.t.sql:2: on_violation = \"drop\" is for tests",
            ),
            (
                "[[test]]\nunique = \"a\"\non_violation = \"x\"",
                "sql/marts/m.t.sql:2: on_violation = \"x\" is not known",
            ),
            ("[[test]]\nrow_count = {}", "sql/marts/m.t.sql:2: row_count has neither min nor max"),
            (
                "[[test]]\nfreshness = { column = \"a\", max_age = \"2 years\" }",
                "sql/marts/m.t.sql:3: the block is not understood: \"2 years\" is not a length of time",
            ),
            (
                "[[test]]\nunique = \"a\"\n[[test]]\nunique = \"a\"",
                "sql/marts/m.t.sql:4: two tests have the name \"unique(a)\"",
            ),
        ] {
            let text = fault(&block(toml));
            assert!(text.starts_with(expected), "{toml}\n{text}\nexpected {expected}");
        }
    }

    #[test]
    fn a_fault_of_the_query_tells_its_line_in_the_file() {
        let text = fault("/*---\nowner = \"x\"\n---*/\nSELECT a\nFROM t WHER a = 1");
        assert!(text.starts_with("sql/marts/m.t.sql:5: syntax error: "), "{text}");
        assert!(text.contains("LINE 5: FROM t WHER a = 1"), "{text}");
        assert!(fault("/*---\n---*/\n").contains("there is no query behind the block"));
        assert!(fault("DROP TABLE t").contains("this is not a query\nHINT: A mart is a SELECT"));
        assert!(
            fault("SELECT 1 /*---\nowner = \"x\" ---*/")
                .contains("m.t.sql:1: the block /*--- ... ---*/ does not stand first")
        );
        assert!(fault("/*---\nowner = \"x\"").contains("m.t.sql:1: the block that begins with /*--- does not end"));
    }

    #[test]
    fn waits_between_attempts_double_up_to_an_hour() {
        let text = block("retry = { attempts = 9, backoff = \"10min\" }");
        let retry = Definition::parse("m.t.sql", &text).unwrap().retry;
        let minutes: Vec<_> = (1..=9).map(|attempt| retry.wait(attempt).map(|wait| wait.as_secs() / 60)).collect();
        let expected = [10, 20, 40, 60, 60, 60, 60, 60].map(Some);
        assert_eq!((&minutes[..8], minutes[8]), (&expected[..], None));
        assert_eq!(Retry { attempts: 200, ..retry }.wait(199), Some(BACKOFF_MAX));
    }

    #[test]
    fn what_has_no_effect_on_rows_does_not_change_the_fingerprint() {
        let of = |text: &str| Definition::parse("m.t.sql", text).unwrap().fingerprint;
        assert_eq!(of(&block("owner = \"x\"")), of(&block("owner = \"y\"\nrefresh = { every = \"1h\" }")));
        assert_ne!(of(&block("")), of(&block("description = \"y\"")));
        assert_ne!(of(&block("")), of(&block("[[test]]\nunique = \"a\"")));
        assert_ne!(of("SELECT 1 AS a"), of("SELECT 2 AS a"));
        let keyed = |key: &str| of(&block(&format!("strategy = \"delete_insert\"\nkey = {key}")));
        assert_eq!(keyed("\"a\""), keyed("[\"a\"]"));
        assert_ne!(keyed("\"a\""), keyed("\"b\""));
    }
}
