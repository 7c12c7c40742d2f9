//! ```text
//! ALTER TABLE [IF EXISTS] name action
//! action: ADD COLUMN[S] [IF NOT EXISTS] { column TYPE [COMMENT 'text'] [DEFAULT value] [FIRST | AFTER column] | (..., ...) }
//!       | DROP COLUMN[S] [IF EXISTS] { column | (column, ...) }
//!       | RENAME COLUMN column TO name
//!       | ALTER [COLUMN] column { SET NOT NULL | DROP NOT NULL | [SET DATA] TYPE type | COMMENT { 'text' | NULL }
//!                               | SET DEFAULT value | DROP DEFAULT | FIRST | AFTER column }
//!       | ADD [CONSTRAINT name] CHECK (condition) | DROP CONSTRAINT [IF EXISTS] name
//!       | SET TBLPROPERTIES ('key' = 'value', ...) | UNSET TBLPROPERTIES [IF EXISTS] ('key', ...)
//!       | SET TIER (hot = '30 days', cold_after = '90 days', on = column) | UNSET TIER
//!       | COMMENT { 'text' | NULL }
//! COMMENT ON { TABLE name | COLUMN table.column } IS { 'text' | NULL }
//! ```
//! A column may be a field of a STRUCT: `a.b`, also of one in an ARRAY, `a.element.b`, or in a MAP, `a.key.b`, `a.value.b`;
//! TYPE may be about `a.element`, `a.key` and `a.value` themselves. Each statement is one commit and touches no data file.
//! DROP and RENAME COLUMN ask for the property `delta.columnMapping.mode` = `name`, which changes the protocol for all
//! readers and is therefore set by a statement of its own; TYPE asks for `delta.enableTypeWidening` for the same reason. A
//! DEFAULT holds for rows that come later. A condition must be TRUE for the rows that are there, or the statement is refused;
//! likewise every row must have a value in what becomes NOT NULL: a column, or a field of a STRUCT that is not NULL itself.

mod change;
mod column;
mod look;
mod path;
mod statement;
mod tier;

pub(crate) use statement::AlterTable;
