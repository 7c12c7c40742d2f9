//! What can go wrong below SQL. One variant per failed action; facts as fields; the cause in `source`, never in the text.

use datafusion::error::DataFusionError;
use thiserror::Error;

/// A failed action on a lake, a table or a store.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The URL is not one that a lake can be opened at.
    #[error("cannot open \"{url}\": {reason}")]
    InvalidUrl { url: String, reason: String },
    /// There is no folder or bucket at the URL, or it cannot be reached with these rights.
    #[error("could not open the lake \"{url}\"")]
    OpenLake {
        url: String,
        #[source]
        source: object_store::Error,
    },
    /// A name that cannot be a folder of a lake.
    #[error("\"{name}\" cannot be the name of a {kind}: {reason}")]
    InvalidName { kind: &'static str, name: String, reason: &'static str },
    #[error("schema \"{schema}\" does not exist")]
    SchemaNotFound { schema: String },
    #[error("schema \"{schema}\" already exists")]
    SchemaExists { schema: String },
    /// DROP SCHEMA without CASCADE on a schema that holds something.
    #[error("schema \"{schema}\" is not empty: it holds {objects}")]
    SchemaNotEmpty { schema: String, objects: String },
    /// The schema in which unqualified names live.
    #[error("schema \"{schema}\" cannot be dropped: unqualified names live in it")]
    SchemaRequired { schema: String },
    #[error("table \"{table}\" does not exist")]
    TableNotFound { table: String },
    /// UNDROP of a table that was not dropped, or whose files were deleted since.
    #[error("there is no dropped table \"{table}\" that can be brought back")]
    NotDropped { table: String },
    /// Files that shallow clones read must not be deleted.
    #[error("the files of table \"{table}\" cannot be deleted: they are read by {clones}")]
    ClonesExist { table: String, clones: String },
    #[error("table \"{table}\" already exists")]
    TableExists { table: String },
    #[error("table \"{table}\" has no version {version}")]
    VersionNotFound { table: String, version: u64 },
    /// A version that the table never had.
    #[error("table \"{table}\" has no version {version}: its versions are {first} to {last}")]
    VersionOutside { table: String, version: u64, first: u64, last: u64 },
    /// A version that the table had, whose part of the log was deleted since.
    #[error("version {version} of table \"{table}\" was cleaned up: the log keeps versions {first} to {last}")]
    VersionCleanedUp { table: String, version: u64, first: u64, last: u64 },
    /// A version cannot be brought back: VACUUM, or another program, deleted files of it.
    #[error(
        "version {version} of table \"{table}\" cannot be had: {missing} of {total} files are gone, \"{first}\" first"
    )]
    FilesMissing { table: String, version: u64, missing: usize, total: usize, first: String },
    /// A time before the first commit that is kept, or after the last one.
    #[error("table \"{table}\" has no version of {time}: its commits are from {first} to {last}")]
    TimeOutside { table: String, time: String, first: String, last: String },
    /// A version from which on, or at which, the table did not keep a change feed. `since`: from then on it does.
    #[error("table \"{table}\" kept no change feed at version {version}")]
    NoChanges { table: String, version: u64, since: Option<u64> },
    /// Rows of an older version that do not fit the columns of the version up to which changes are read.
    #[error("the changes of version {version} of table \"{table}\" cannot be read as rows of version {to}: {reason}")]
    ChangesUnreadable { table: String, version: u64, to: u64, reason: String },
    #[error("the changes of table \"{table}\" from version {from} to version {to}: the first is after the last")]
    ChangesBackwards { table: String, from: u64, to: u64 },
    #[error("could not read table \"{table}\" at \"{location}\"")]
    ReadTable {
        table: String,
        location: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file that the log lists is gone or damaged. The table at another version may be whole.
    #[error("could not read \"{file}\", a file of table \"{table}\" at version {version}")]
    DataFile {
        table: String,
        version: u64,
        file: String,
        #[source]
        source: Box<parquet::errors::ParquetError>,
    },
    /// Files lie in an archive: they must be restored before they can be read. Those of the table that are known to, at
    /// least the one that was asked for.
    #[error("{} of table \"{table}\" at version {version} lie in an archive and cannot be read", counted(files.len()))]
    Archived {
        table: String,
        version: u64,
        files: Vec<String>,
        #[source]
        source: Box<parquet::errors::ParquetError>,
    },
    /// The store did not answer: nothing is known about the table.
    #[error("could not reach the log of table \"{table}\" at \"{location}\"")]
    TableUnreachable {
        table: String,
        location: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The table uses a protocol feature that cannot be read or written here.
    #[error("table \"{table}\" needs features that are not supported: {features}")]
    UnsupportedFeature { table: String, features: String },
    /// A row or a column does not fit the table; nothing was written.
    #[error("column \"{column}\" of table \"{table}\" is {expected}, but the value given is {given}")]
    TypeMismatch { table: String, column: String, expected: String, given: String },
    /// A type that a Delta table cannot hold.
    #[error("column \"{column}\" of table \"{table}\" cannot be {given}: {reason}")]
    UnsupportedType { table: String, column: String, given: String, reason: &'static str },
    #[error("table \"{table}\" has no column \"{column}\"")]
    UnknownColumn { table: String, column: String },
    #[error("table \"{table}\" was given column \"{column}\" twice")]
    DuplicateColumn { table: String, column: String },
    #[error("column \"{column}\" of table \"{table}\" is NOT NULL, but a value is missing")]
    NullValue { table: String, column: String },
    #[error(
        "column \"{column}\" of table \"{table}\" is NOT NULL, and Delta keeps an empty text of a partition column as NULL"
    )]
    EmptyPartition { table: String, column: String },
    /// A row breaks a rule of the table; nothing was written.
    #[error("a row breaks the {rule} of table \"{table}\": {sql}")]
    RuleViolated { table: String, rule: String, sql: String, row: String },
    /// A generated column has no value for a row; nothing was written.
    #[error("column \"{column}\" of table \"{table}\" cannot be computed: {sql}")]
    NotComputed { table: String, column: String, sql: String, reason: String, row: String },
    /// A constant that a statement writes yields no value; nothing was written.
    #[error("column \"{column}\" of table \"{table}\" cannot be computed")]
    ConstantFault {
        table: String,
        column: String,
        #[source]
        source: Box<DataFusionError>,
    },
    /// GENERATED ALWAYS AS IDENTITY.
    #[error("column \"{column}\" of table \"{table}\" numbers the rows itself: a value cannot be given")]
    IdentityGiven { table: String, column: String },
    #[error("column \"{column}\" of table \"{table}\" has no numbers left")]
    NumbersExhausted { table: String, column: String },
    /// A change of a table's definition that contradicts the table.
    #[error("table \"{table}\" cannot be changed so: {reason}")]
    InvalidChange { table: String, reason: String },
    /// Two rows of a source would change one row; nothing was written. `values` are the row's, as a message shows them.
    #[error("a row of table \"{table}\" is matched by more than one row of the source")]
    MatchedTwice { table: String, file: usize, row: u32, values: String },
    /// The definition of a new table contradicts itself.
    #[error("table \"{table}\" cannot be made: {reason}")]
    InvalidTable { table: String, reason: String },
    /// The query that yields the rows of a write failed; nothing was written.
    #[error("the query that feeds table \"{table}\" failed")]
    Query {
        table: String,
        #[source]
        source: Box<DataFusionError>,
    },
    #[error("could not commit to table \"{table}\": another writer changed what this statement read")]
    Conflict {
        table: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store gave no answer that tells whether the commit is in the log.
    #[error("it is not known whether version {version} was committed to table \"{table}\"")]
    Undecided {
        table: String,
        version: u64,
        #[source]
        source: object_store::Error,
    },
    /// The commit of a key is known to have happened, and no longer what it did.
    #[error(
        "the statement with the key \"{key}\" was carried out on table \"{table}\", but what it did is no longer known"
    )]
    KeyForgotten { table: String, key: String },
    /// A statement with the key of another one, which would get the answer of that.
    #[error("the key \"{key}\" was used for another statement on table \"{table}\": this one was not carried out")]
    KeyReused { table: String, key: String },
    /// VACUUM with a retention so short that others may still need the files.
    #[error("{hours} hours are too short a retention for table \"{table}\": less than {hours_min} is refused")]
    RetentionTooShort { table: String, hours: u64, hours_min: u64 },
    /// The log does not tell which files the versions within the retention have.
    #[error("the log of table \"{table}\" was cleaned up within the retention")]
    LogTooShort { table: String },
    /// `delta.appendOnly` is set.
    #[error("table \"{table}\" is append-only: its rows can be neither changed nor removed")]
    AppendOnly { table: String },
    #[error("could not write to table \"{table}\"")]
    Write {
        table: String,
        #[source]
        source: Box<deltalake::DeltaTableError>,
    },
    #[error("could not {action} \"{path}\"")]
    Store {
        action: &'static str,
        path: String,
        #[source]
        source: object_store::Error,
    },
    #[error("the catalog document \"{path}\" is damaged")]
    Catalog {
        path: String,
        #[source]
        source: serde_json::Error,
    },
    /// A catalog document of a later release, which must not be rewritten by this one.
    #[error("the catalog document \"{path}\" has format {format}, which this release does not know")]
    CatalogFormat { path: String, format: u32 },
    /// Other writers changed the catalog document again and again.
    #[error("could not change the catalog document of \"{name}\": other writers were faster {attempts} times")]
    CatalogConflict { name: String, attempts: usize },
    /// The audit of a version that was about to be committed (`write::Publication`).
    #[error("the new version of table \"{table}\" was refused: {reason}")]
    Refused { table: String, reason: String },
    #[error("internal: {message}")]
    Internal { message: String },
}

fn counted(files: usize) -> String {
    if files == 1 { "1 file".to_owned() } else { format!("{files} files") }
}
