//! `SET TIER` and `UNSET TIER`: how long files are hot and when they become cold, kept as properties.

use boathouse_storage::{
    Snapshot,
    maintain::TierPolicy,
    write::{Altered, Change},
};

use super::path;
use crate::{
    EngineError,
    catalog::TableName,
    parser::alter::Tier,
    statement::{Context, property},
};

/// The properties of a policy, in place of those of an earlier one.
pub(super) fn set(
    context: &Context,
    table: &TableName,
    snapshot: &Snapshot,
    tier: &Tier,
) -> Result<Vec<Change>, EngineError> {
    let on = path::find(context, table, snapshot, std::slice::from_ref(&tier.on))?.join(".");
    let schema = snapshot.schema();
    let columns: Vec<_> = schema.fields().iter().cloned().collect();
    let pairs = [
        (property::TIER_COLD_AFTER, tier.cold_after.as_deref()),
        (property::TIER_HOT, tier.hot.as_deref()),
        (property::TIER_ON, Some(on.as_str())),
    ];
    let mut changes = Vec::new();
    for (key, value) in pairs {
        match value {
            Some(value) => {
                let (key, value) = property::check(key, value, &columns)?;
                changes.push(Change::SetProperty { key, value });
            }
            None if snapshot.properties().contains_key(key) => {
                changes.push(Change::UnsetProperty { key: key.to_owned() });
            }
            None => {}
        }
    }
    Ok(changes)
}

/// A table without a policy stays as it is.
pub(super) fn unset(snapshot: &Snapshot) -> Vec<Change> {
    let known = TierPolicy::PROPERTIES.into_iter().filter(|key| snapshot.properties().contains_key(*key));
    known.map(|key| Change::UnsetProperty { key: key.to_owned() }).collect()
}

/// What changes columns or properties must leave a policy that can be carried out. A table whose policy another writer has
/// broken can be changed in every other way.
pub(super) fn check(altered: &Altered, changes: &[Change]) -> Result<(), EngineError> {
    let concerns = |change: &Change| {
        matches!(
            change,
            Change::DropColumn { .. }
                | Change::RenameColumn { .. }
                | Change::Widen { .. }
                | Change::SetProperty { .. }
                | Change::UnsetProperty { .. }
        )
    };
    if !changes.iter().any(concerns) {
        return Ok(());
    }
    property::check_together(altered.properties(), altered.schema()?.as_ref(), altered.partition_columns())
}
