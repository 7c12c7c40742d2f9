//! ALTER TABLE and COMMENT ON: a new definition of a table, in one commit without files.
//!
//! ```text
//! definition of the version that was read --changes--> columns, properties --> protocol, metadata --> one log entry
//! ```
//! Data files are never touched: columns are renamed and dropped by column mapping, added columns are NULL in older files,
//! wider types are cast when the files are read. What rows have to fulfil for a change is checked by the caller, who then
//! says so with [`Altered::rows_checked`]: rows that came meanwhile make the commit a conflict.

mod columns;
mod mapping;
mod widen;

use std::{collections::BTreeMap, sync::Arc};

use arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef};
use deltalake::kernel::{
    Metadata, MetadataValue, StructField, StructType,
    engine::arrow_conversion::{TryIntoArrow, TryIntoKernel},
};
use serde_json::json;

pub(super) use mapping::{MAX_COLUMN_ID, assign_new};

use super::{
    CommitInfo, Committed,
    conflict::Reads,
    data::FileLayout,
    define::{check_column, check_parts},
    features::{self, MAPPING_MODE},
    feed::{check_columns, fed_columns},
    identity::{IDENTITY_MARK, Identity},
    lossless::delta_type,
    rules::{CONSTRAINT_PREFIX, DEFAULT_KEY, RuleTexts, texts},
    transaction::{Operation, Transaction},
};
use crate::{
    Lake, Snapshot, StorageError,
    table::{COMMENT_KEY, MappingMode},
};

/// Where a column goes among its neighbours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    Last,
    First,
    After(String),
}

/// One change of a definition. A path leads through structs to a column or a field: `["a", "b"]` is `a.b`; through arrays by
/// `element`, through maps by `key` and `value`, which [`Change::Widen`] alone may end with.
#[derive(Debug, Clone)]
pub enum Change {
    /// A new column (or field) at the end of `path`, NULL in all rows that are there. The field brings comment and default
    /// in its metadata.
    AddColumn {
        path: Vec<String>,
        field: Field,
        position: Position,
    },
    DropColumn {
        path: Vec<String>,
    },
    RenameColumn {
        path: Vec<String>,
        to: String,
    },
    MoveColumn {
        path: Vec<String>,
        position: Position,
    },
    /// With `false` the caller has checked that no row lacks a value.
    Nullable {
        path: Vec<String>,
        nullable: bool,
    },
    /// A type that holds all values of the old one, as the protocol lists them.
    Widen {
        path: Vec<String>,
        data_type: ArrowType,
    },
    CommentColumn {
        path: Vec<String>,
        comment: Option<String>,
    },
    Default {
        column: String,
        text: Option<String>,
    },
    CommentTable {
        comment: Option<String>,
    },
    AddConstraint {
        name: String,
        text: String,
    },
    DropConstraint {
        name: String,
    },
    SetProperty {
        key: String,
        value: String,
    },
    UnsetProperty {
        key: String,
    },
}

/// The definition that some changes make of a table.
#[derive(Debug, Clone)]
pub struct Altered {
    base: Arc<Snapshot>,
    columns: StructType,
    partition_columns: Vec<String>,
    properties: BTreeMap<String, String>,
    comment: Option<String>,
    rows_checked: bool,
}

impl Altered {
    /// Applies changes in their order. An error when one of them contradicts the table.
    pub fn try_new(base: &Arc<Snapshot>, changes: &[Change]) -> Result<Self, StorageError> {
        let mut altered = Self {
            base: base.clone(),
            columns: base.columns().clone(),
            partition_columns: base.partition_columns().to_vec(),
            properties: base.properties().clone(),
            comment: base.comment().map(str::to_owned),
            rows_checked: false,
        };
        for change in changes {
            altered.apply(change).map_err(|reason| altered.refused(reason))?;
        }
        check_columns(&altered.columns, &altered.properties).map_err(|reason| altered.refused(reason))?;
        Ok(altered)
    }

    /// The columns as they will be, in Arrow's types, without the protocol's metadata.
    pub fn schema(&self) -> Result<SchemaRef, StorageError> {
        let schema: Schema = (&self.columns).try_into_arrow().map_err(|error| self.refused(error.to_string()))?;
        let plain = |field: &Arc<Field>| field.as_ref().clone().with_metadata(Default::default());
        Ok(Arc::new(Schema::new(schema.fields().iter().map(plain).collect::<Vec<_>>())))
    }

    /// The properties as they will be.
    pub fn properties(&self) -> &BTreeMap<String, String> {
        &self.properties
    }

    pub fn partition_columns(&self) -> &[String] {
        &self.partition_columns
    }

    /// The version that is changed.
    pub(super) fn base(&self) -> &Arc<Snapshot> {
        &self.base
    }

    /// How files of the changed table look.
    pub(super) fn layout(&self) -> Result<FileLayout, StorageError> {
        let schema: Schema = (&self.columns).try_into_arrow().map_err(|error| self.refused(error.to_string()))?;
        Ok(FileLayout::new(self.base.name(), &schema, &self.metadata()?))
    }

    /// The same of the files of its change feed.
    pub(super) fn feed_layout(&self) -> Result<FileLayout, StorageError> {
        let schema: Schema = (&self.columns).try_into_arrow().map_err(|error| self.refused(error.to_string()))?;
        Ok(FileLayout::new(self.base.name(), &fed_columns(&schema), &self.metadata()?))
    }

    /// The changes rest on a look at all rows.
    pub fn rows_checked(self) -> Self {
        Self { rows_checked: true, ..self }
    }

    /// The identity columns stand at these numbers.
    pub(super) fn with_marks(mut self, marks: &[(&str, i64)]) -> Result<Self, StorageError> {
        for (column, mark) in marks {
            let set = self.field(&[(*column).to_owned()], &|field| {
                field.metadata.insert(IDENTITY_MARK.to_owned(), MetadataValue::Number(*mark));
                Ok(())
            });
            set.map_err(|reason| self.refused(reason))?;
        }
        Ok(self)
    }

    /// The identity column goes on behind `number`, which is in the table, and never back.
    pub fn numbered_behind(self, identity: &Identity, number: i64) -> Result<Self, StorageError> {
        match identity.mark_behind(number) {
            Some(mark) => self.with_marks(&[(&identity.column, mark)]),
            None => Ok(self),
        }
    }

    /// The rules as they will be.
    pub fn rule_texts(&self) -> RuleTexts {
        texts(&self.columns, &self.properties)
    }

    /// Whether nothing is changed at all.
    pub fn is_same(&self) -> bool {
        // Equal structs may differ in the order of their fields.
        self.columns == *self.base.columns()
            && columns::in_order(&self.columns) == columns::in_order(self.base.columns())
            && self.properties == *self.base.properties()
            && self.comment.as_deref() == self.base.comment()
            && self.partition_columns == self.base.partition_columns()
    }

    /// The log entry's protocol, if it changes, and metadata.
    pub(super) fn into_transaction(self, transaction: &mut Transaction) -> Result<(), StorageError> {
        let protocol = features::protocol(Some(self.base.protocol()), &self.columns, &self.properties)?;
        if protocol != *self.base.protocol() {
            transaction.set_protocol(protocol)?;
        }
        transaction.set_metadata(self.metadata()?);
        Ok(())
    }

    fn metadata(&self) -> Result<Metadata, StorageError> {
        let unwritable = |error: serde_json::Error| StorageError::Internal {
            message: format!("the definition of \"{}\" cannot be written: {error}", self.base.name()),
        };
        let mut value = serde_json::to_value(&self.base.log().metadata).map_err(unwritable)?;
        if let Some(fields) = value.as_object_mut() {
            fields.insert("schemaString".into(), serde_json::to_string(&self.columns).map_err(unwritable)?.into());
            fields.insert("partitionColumns".into(), json!(self.partition_columns));
            fields.insert("configuration".into(), json!(self.properties));
            fields.insert("description".into(), json!(self.comment));
        }
        serde_json::from_value(value).map_err(unwritable)
    }

    fn refused(&self, reason: impl Into<String>) -> StorageError {
        StorageError::InvalidChange { table: self.base.name().to_owned(), reason: reason.into() }
    }

    fn is_mapped(&self) -> bool {
        MappingMode::parse(self.properties.get(MAPPING_MODE).map(String::as_str)) != MappingMode::None
    }

    fn apply(&mut self, change: &Change) -> Result<(), String> {
        match change {
            Change::AddColumn { path, field, position } => self.add(path, field, position),
            Change::DropColumn { path } => self.drop_column(path),
            Change::RenameColumn { path, to } => self.rename(path, to),
            Change::MoveColumn { path, position } => {
                columns::change_siblings(&mut self.columns, path, &|fields, at| {
                    let field = fields.remove(at);
                    columns::insert(fields, field, position)
                })
            }
            Change::Nullable { path, nullable } => self.field(path, &|field| {
                field.nullable = *nullable;
                Ok(())
            }),
            Change::Widen { path, data_type } => self.widen(path, data_type),
            Change::CommentColumn { path, comment } => {
                self.field(path, &|field| text(field, COMMENT_KEY, comment.as_ref()))
            }
            Change::Default { column, text: default } => {
                self.field(std::slice::from_ref(column), &|field| text(field, DEFAULT_KEY, default.as_ref()))
            }
            Change::CommentTable { comment } => {
                self.comment.clone_from(comment);
                Ok(())
            }
            Change::AddConstraint { name, text } => {
                match self.properties.insert(format!("{CONSTRAINT_PREFIX}{name}"), text.clone()) {
                    Some(_) => Err(format!("constraint \"{name}\" is there already")),
                    None => Ok(()),
                }
            }
            Change::DropConstraint { name } => match self.properties.remove(&format!("{CONSTRAINT_PREFIX}{name}")) {
                Some(_) => Ok(()),
                None => Err(format!("it has no constraint \"{name}\"")),
            },
            Change::SetProperty { key, value } => self.set_property(key, value),
            Change::UnsetProperty { key } => self.unset_property(key),
        }
    }

    fn field(
        &mut self,
        path: &[String],
        change: &dyn Fn(&mut StructField) -> Result<(), String>,
    ) -> Result<(), String> {
        columns::change_siblings(&mut self.columns, path, &|fields, at| match fields.get_mut(at) {
            Some(field) => change(field),
            None => Err("a column was lost".into()),
        })
    }

    fn add(&mut self, path: &[String], field: &Field, position: &Position) -> Result<(), String> {
        check_column(field.name())?;
        check_parts(field.data_type(), field.name(), self.is_mapped())?;
        if !field.is_nullable() {
            return Err(format!(
                "column \"{}\" cannot be NOT NULL: the rows that are there have no value",
                field.name()
            ));
        }
        let kind = delta_type(field.data_type()).map_err(str::to_owned)?;
        let kept = field.clone().with_data_type(kind);
        let mut new: StructField = (&kept).try_into_kernel().map_err(|error| error.to_string())?;
        if self.is_mapped() {
            let mut last = mapping::last_id(&self.columns, &self.properties);
            new = mapping::with_new_ids(new, &mut last);
            self.properties.insert(MAX_COLUMN_ID.to_owned(), last.to_string());
        }
        let outer = path.split_last().map(|(_, outer)| outer).unwrap_or_default();
        columns::change_struct(&mut self.columns, outer, &|fields| {
            columns::check_new(fields, &new.name)?;
            columns::insert(fields, new.clone(), position)
        })
    }

    fn drop_column(&mut self, path: &[String]) -> Result<(), String> {
        let name = path.join(".");
        if !self.is_mapped() {
            return Err(needs_mapping("dropped"));
        }
        if let [column] = path
            && self.partition_columns.contains(column)
        {
            return Err(format!("partition column \"{name}\" cannot be dropped"));
        }
        self.check_unnamed(path)?;
        columns::change_siblings(&mut self.columns, path, &|fields, at| {
            if fields.len() == 1 {
                return Err(format!("column \"{name}\" cannot be dropped: no other would be left"));
            }
            fields.remove(at);
            Ok(())
        })
    }

    fn rename(&mut self, path: &[String], to: &str) -> Result<(), String> {
        if !self.is_mapped() {
            return Err(needs_mapping("renamed"));
        }
        check_column(to)?;
        self.check_unnamed(path)?;
        columns::change_siblings(&mut self.columns, path, &|fields, at| {
            let old = fields.get(at).map(|field| field.name.clone()).unwrap_or_default();
            let others: Vec<StructField> = fields.iter().filter(|field| field.name != old).cloned().collect();
            columns::check_new(&others, to)?;
            if let Some(field) = fields.get_mut(at) {
                field.name = to.to_owned();
            }
            Ok(())
        })?;
        if let [column] = path {
            self.partition_columns.iter_mut().filter(|name| *name == column).for_each(|name| to.clone_into(name));
        }
        Ok(())
    }

    /// Properties that name columns would go on naming the old one.
    fn check_unnamed(&self, path: &[String]) -> Result<(), String> {
        const KEYS: [&str; 2] = ["delta.dataSkippingStatsColumns", "boathouse.primaryKey"];
        let Some(column) = path.first() else { return Ok(()) };
        let is_named = |name: &str| name.trim() == column || name.trim().starts_with(&format!("{column}."));
        let names_it = |key: &&str| self.properties.get(*key).is_some_and(|named| named.split(',').any(is_named));
        match KEYS.iter().find(|key| names_it(key)) {
            Some(key) => Err(format!("column \"{column}\" is named by property \"{key}\"; unset it first")),
            None => Ok(()),
        }
    }

    fn widen(&mut self, path: &[String], data_type: &ArrowType) -> Result<(), String> {
        let on =
            self.properties.get("delta.enableTypeWidening").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        if let [column] = path
            && self.partition_columns.contains(column)
            && matches!(data_type, ArrowType::Timestamp(..))
        {
            return Err(format!("\"{column}\" is a partition column, whose values the log has as dates"));
        }
        let kind = delta_type(data_type).map_err(str::to_owned)?;
        let wanted: StructField =
            (&Field::new("new", kind, true)).try_into_kernel().map_err(|error| error.to_string())?;
        let (path, steps) = columns::split_steps(&self.columns, path);
        self.field(path, &|field| match Identity::of(field) {
            Some(_) => Err(format!("\"{}\" numbers the rows and stays BIGINT", field.name())),
            None => widen::widen(field, steps, &wanted.data_type, on),
        })
    }

    fn set_property(&mut self, key: &str, value: &str) -> Result<(), String> {
        let was_mapped = self.is_mapped();
        if key == MAPPING_MODE {
            let old = self.properties.get(key).map_or("none", String::as_str);
            match (old, value) {
                (old, new) if old == new => return Ok(()),
                ("none", "name") => {}
                _ => return Err(format!("\"{key}\" cannot become \"{value}\" after \"{old}\"")),
            }
        }
        self.properties.insert(key.to_owned(), value.to_owned());
        if self.is_mapped() && !was_mapped {
            let mut last = mapping::last_id(&self.columns, &self.properties);
            // Files that are there have their columns under these names.
            self.columns = mapping::with_ids(&self.columns, &mut last).map_err(|error| error.to_string())?;
            self.properties.insert(MAX_COLUMN_ID.to_owned(), last.to_string());
        }
        Ok(())
    }

    fn unset_property(&mut self, key: &str) -> Result<(), String> {
        if key == MAPPING_MODE && self.is_mapped() {
            return Err(format!("\"{key}\" cannot be unset: the files have names of their own"));
        }
        match self.properties.remove(key) {
            Some(_) => Ok(()),
            None => Err(format!("it has no property \"{key}\"")),
        }
    }
}

/// Commits a new definition. `Conflict` when the table was defined anew meanwhile, or when rows came that were not checked.
/// Without a change nothing is committed.
pub async fn alter(
    lake: &Lake,
    altered: Altered,
    operation: &'static str,
    info: &CommitInfo,
) -> Result<Option<Committed>, StorageError> {
    if altered.is_same() {
        return Ok(None);
    }
    let reads = if altered.rows_checked { Reads::Table } else { Reads::Nothing };
    let operation = Operation { name: operation, ..Operation::default() };
    let mut transaction = Transaction::new(lake, &altered.base, operation)?;
    transaction.reads(reads);
    altered.into_transaction(&mut transaction)?;
    transaction.commit(lake, info).await.map(Some)
}

fn text(field: &mut StructField, key: &str, text: Option<&String>) -> Result<(), String> {
    match text {
        Some(text) => drop(field.metadata.insert(key.to_owned(), text.clone().into())),
        None => drop(field.metadata.remove(key)),
    }
    Ok(())
}

fn needs_mapping(what: &str) -> String {
    format!(
        "its columns cannot be {what} while its files are read by their names; set the property \"{MAPPING_MODE}\" first"
    )
}
