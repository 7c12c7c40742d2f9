//! ```text
//! COPY { table [{ VERSION | TIMESTAMP } AS OF x] [(column, ...)] | (query) } TO 'file or folder' [[WITH] (option [value], ...)]
//! ```
//! A name with an extension is one file, which appears when it is whole and replaces one that is there. A name that ends
//! in a slash, or has no extension, is a folder, which must be empty or not there; it gets a file per 256 MiB and appears
//! with all of them.
//!
//! - `FORMAT parquet | csv | json | arrow`: by the file's name; Parquet for a folder. JSON is one object a line.
//! - `COMPRESSION`: for Parquet `snappy` (default), `zstd`, `gzip`, `lz4` or `none`; for CSV and JSON `none`, `gzip`,
//!   `bzip2`, `xz` or `zstd`, by the file's name.
//! - `HEADER`, `DELIMITER`, `QUOTE`, `ESCAPE`, `NULL`: how CSV is written, see [`crate::file::options`].

use boathouse_storage::file::Location;
use datafusion::{
    arrow::datatypes::SchemaRef,
    common::ScalarValue,
    datasource::file_format::file_compression_type::FileCompressionType,
    logical_expr::LogicalPlan,
    parquet::basic::{Compression, ZstdLevel},
    sql::sqlparser::ast::{Expr, Ident, Query, SelectItem, SetExpr, TableFactor},
};

use crate::{
    EngineError,
    file::{
        access,
        export::{self, Export},
        options::{FileOptions, Format, compression, compression_of, text, unknown_option},
        writer::Encoding,
    },
    parser::{self, Versioned, copy},
    statement::{Context, Outcome, change::inserted, parameter},
};

#[derive(Debug)]
pub(crate) struct CopyTo {
    plan: LogicalPlan,
    schema: SchemaRef,
    export: Export,
}

impl CopyTo {
    pub async fn plan(context: &Context, copy: copy::CopyTo) -> Result<Self, EngineError> {
        // Looking for the files would tell of them.
        context.session.check_change("run COPY TO")?;
        let location = access::locate_target(&context.engine, &copy.path)?;
        let export = export(context, location, &copy.options)?;
        let query = match copy.source {
            copy::CopySource::Query(query) => query,
            copy::CopySource::Table { table, columns } => select(table, columns)?,
        };
        let plan = context.analyze(parameter::settle(context.plan_query(*query).await?)?)?;
        let schema = context.wire_schema(&plan);
        export::check(&export, &schema)?;
        Ok(Self { plan, schema, export })
    }

    pub async fn run(&self, context: &Context, parameters: &[ScalarValue]) -> Result<Outcome, EngineError> {
        let plan = parameter::bind(&self.plan, parameters)?;
        let stores = context.engine.lake().stores();
        export::prepare(stores.as_ref(), &self.export).await?;
        let rows = context.execute_rows(&plan, SchemaRef::clone(&self.schema), None).await?;
        let written = export::write(stores, &self.export, rows).await?;
        Ok(inserted(written, None))
    }

    /// The query that is read, for EXPLAIN and parameters.
    pub fn source(&self) -> Option<&LogicalPlan> {
        Some(&self.plan)
    }
}

/// `SELECT columns FROM table`, each name with its place in the statement.
fn select(table: Versioned, columns: Vec<Ident>) -> Result<Box<Query>, EngineError> {
    let mut query = parser::parse_query("SELECT * FROM t")?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        if !columns.is_empty() {
            let item = |column| SelectItem::UnnamedExpr(Expr::Identifier(column));
            select.projection = columns.into_iter().map(item).collect();
        }
        for from in &mut select.from {
            if let TableFactor::Table { name, version, .. } = &mut from.relation {
                (*name, *version) = (table.name.clone(), table.version.clone());
            }
        }
    }
    Ok(query)
}

fn export(context: &Context, location: Location, given: &[copy::CopyOption]) -> Result<Export, EngineError> {
    let (mut format, mut packed, mut csv) = (None, None, FileOptions::of_format(Format::Csv));
    let mut csv_only = None;
    for option in given {
        let at = |error: EngineError| error.at(&context.sql, crate::error::Place::of_token_span(option.span));
        match option.name.as_str() {
            "FORMAT" => format = Some(text("FORMAT", &option.value).map_err(at)?),
            "COMPRESSION" => packed = Some(text("COMPRESSION", &option.value).map_err(at)?),
            "PARTITION_BY" | "PARTITIONED_BY" => {
                let error = EngineError::unsupported("COPY TO folders by the values of columns is not supported");
                return Err(at(error.with_hint("Write one COPY for each value, with WHERE.")));
            }
            name => {
                if !csv.set(name, &option.value).map_err(at)? {
                    return Err(at(unknown_option(name, FileOptions::NAMES)));
                }
                csv_only = Some(name);
            }
        }
    }
    let name = location.file_name();
    let (stem, by_name) = compression_of(&name);
    let extension = stem.rsplit_once('.').map(|(_, extension)| extension.to_string()).unwrap_or_default();
    let folder = location.is_folder() || extension.is_empty();
    let format = format.unwrap_or_else(|| if folder { "parquet".into() } else { extension.clone() });
    let format = format.to_ascii_lowercase();
    let text_compression = match &packed {
        Some(name) if matches!(format.as_str(), "csv" | "tsv" | "json" | "ndjson" | "jsonl") => compression(name)?,
        _ => by_name,
    };
    let (encoding, compression, extension) = match format.as_str() {
        "parquet" => {
            (Encoding::Parquet(parquet_compression(packed.as_deref())?), FileCompressionType::UNCOMPRESSED, "parquet")
        }
        "csv" | "tsv" => {
            let dialect = csv.of_file(if extension == "tsv" || format == "tsv" { "x.tsv" } else { "x.csv" })?.csv;
            (Encoding::Csv(dialect), text_compression, "csv")
        }
        "json" | "ndjson" | "jsonl" => (Encoding::Json, text_compression, "json"),
        "arrow" => match packed.as_deref() {
            None => (Encoding::Arrow, FileCompressionType::UNCOMPRESSED, "arrow"),
            Some(_) => return Err(EngineError::unsupported("COMPRESSION of Arrow files is not supported")),
        },
        other => {
            return Err(EngineError::unsupported(format!("format \"{other}\" is not supported"))
                .with_hint("Say FORMAT parquet, csv, json or arrow."));
        }
    };
    if let Some(option) = csv_only
        && !matches!(encoding, Encoding::Csv(_))
    {
        return Err(EngineError::invalid(format!("option {option} is for CSV, not for {format}")));
    }
    let extension = format!("{extension}{}", compression_suffix(compression));
    Ok(Export { location, folder, encoding, compression, extension })
}

fn parquet_compression(name: Option<&str>) -> Result<Compression, EngineError> {
    Ok(match name.unwrap_or("snappy").to_ascii_lowercase().as_str() {
        "snappy" => Compression::SNAPPY,
        "zstd" => Compression::ZSTD(ZstdLevel::default()),
        "gzip" => Compression::GZIP(Default::default()),
        "lz4" | "lz4_raw" => Compression::LZ4_RAW,
        "none" | "uncompressed" => Compression::UNCOMPRESSED,
        other => {
            return Err(EngineError::unsupported(format!("compression \"{other}\" is not supported"))
                .with_hint("Parquet takes snappy, zstd, gzip, lz4 and none."));
        }
    })
}

fn compression_suffix(compression: FileCompressionType) -> &'static str {
    match compression {
        FileCompressionType::GZIP => ".gz",
        FileCompressionType::BZIP2 => ".bz2",
        FileCompressionType::XZ => ".xz",
        FileCompressionType::ZSTD => ".zst",
        _ => "",
    }
}
