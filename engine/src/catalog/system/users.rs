//! `system.users` and `system.tokens`: who may use the lake. An admin sees all, everyone else themselves; no secrets and no
//! hashes.

use std::sync::Arc;

use boathouse_storage::catalog::{AccessToken, User, UsersDocument};
use datafusion::arrow::{
    array::{ArrayRef, BooleanArray, RecordBatch, StringArray, TimestampMillisecondArray},
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    error::ArrowError,
};

use crate::identity::{Identity, Role};

fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn times(ms: impl Iterator<Item = i64>) -> Result<ArrayRef, ArrowError> {
    let times: ArrayRef = Arc::new(TimestampMillisecondArray::from_iter_values(ms).with_timezone("UTC"));
    cast(&times, &time())
}

pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("name", DataType::Utf8, false),
        Field::new("role", DataType::Utf8, false),
        Field::new("disabled", DataType::Boolean, false),
        Field::new("created_at", time(), false),
        Field::new("changed_at", time(), false),
    ]))
}

/// A row per user that the caller may see, sorted by name.
pub(super) fn rows(schema: &SchemaRef, document: &UsersDocument, caller: &Identity) -> Result<RecordBatch, ArrowError> {
    let users = users_seen_by(document, caller);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(users.iter().map(|(name, _)| name))),
        Arc::new(StringArray::from_iter_values(users.iter().map(|(_, user)| user.role.name()))),
        Arc::new(BooleanArray::from_iter(users.iter().map(|(_, user)| Some(user.disabled)))),
        times(users.iter().map(|(_, user)| user.created_ms))?,
        times(users.iter().map(|(_, user)| user.changed_ms))?,
    ];
    RecordBatch::try_new(schema.clone(), columns)
}

pub(super) fn token_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("name", DataType::Utf8, false),
        Field::new("user_name", DataType::Utf8, false),
        Field::new("created_at", time(), false),
        Field::new("expires_at", time(), false),
    ]))
}

/// A row per token that the caller may see, sorted by user and name.
pub(super) fn token_rows(
    schema: &SchemaRef,
    document: &UsersDocument,
    caller: &Identity,
) -> Result<RecordBatch, ArrowError> {
    let tokens = tokens_seen_by(document, caller);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(tokens.iter().map(|token| &token.name))),
        Arc::new(StringArray::from_iter_values(tokens.iter().map(|token| &token.user))),
        times(tokens.iter().map(|token| token.created_ms))?,
        times(tokens.iter().map(|token| token.expires_ms))?,
    ];
    RecordBatch::try_new(schema.clone(), columns)
}

fn is_seen(name: &str, caller: &Identity) -> bool {
    caller.role() == Role::Admin || caller.name() == name
}

/// Users that the caller may see, by name.
pub(crate) fn users_seen_by<'a>(document: &'a UsersDocument, caller: &Identity) -> Vec<(&'a String, &'a User)> {
    document.users.iter().filter(|(name, _)| is_seen(name, caller)).collect()
}

/// Tokens that the caller may see, by user and name.
pub(crate) fn tokens_seen_by<'a>(document: &'a UsersDocument, caller: &Identity) -> Vec<&'a AccessToken> {
    let mut tokens: Vec<&AccessToken> = document.tokens.values().filter(|token| is_seen(&token.user, caller)).collect();
    tokens.sort_by(|a, b| (&a.user, &a.name).cmp(&(&b.user, &b.name)));
    tokens
}
