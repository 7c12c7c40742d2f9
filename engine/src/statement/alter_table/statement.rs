//! ALTER TABLE from its parts to its commit.

use std::sync::Arc;

use boathouse_storage::{
    Snapshot, StorageError,
    write::{self, Altered, Change},
};
use datafusion::{common::ScalarValue, logical_expr::Expr};

use super::{
    change::{self, Planned},
    look, tier,
};
use crate::{
    EngineError,
    catalog::TableName,
    parser::alter,
    statement::{
        Context, Outcome,
        name::{self, Kind},
        rules,
    },
};

#[derive(Debug)]
pub(crate) struct AlterTable {
    name: TableName,
    ast: alter::AlterTable,
}

impl AlterTable {
    pub async fn plan(context: &Context, ast: alter::AlterTable) -> Result<Self, EngineError> {
        let table = Self { name: name::target(context, &ast.name)?, ast };
        if let Some(snapshot) = table.find(context).await? {
            table.altered(context, &snapshot)?;
        }
        Ok(table)
    }

    pub async fn run(&self, context: &Context, _parameters: &[ScalarValue]) -> Result<Outcome, EngineError> {
        let done = Outcome::Done(self.title());
        let Some(snapshot) = self.find(context).await? else { return Ok(done) };
        let (mut altered, planned) = self.altered(context, &snapshot)?;
        if let Some(wanted) = &planned.wanted {
            look::all_rows(context, &snapshot, wanted).await?;
            altered = altered.rows_checked();
        }
        if let Some(identity) = &planned.synced
            && let Some(number) = look::furthest_number(context, &snapshot, identity).await?
        {
            altered = altered.numbered_behind(identity, number)?.rows_checked();
        }
        write::alter(context.engine.lake(), altered, planned.operation, &name::commit_info(context)).await?;
        Ok(done)
    }

    /// Like a command tag.
    pub fn title(&self) -> &'static str {
        let is_comment = |context: &alter::Action| matches!(context, alter::Action::Comment(_));
        if is_comment(&self.ast.action) { "COMMENT" } else { "ALTER TABLE" }
    }

    /// The table as it is now; nothing when it is not there and need not be.
    async fn find(&self, context: &Context) -> Result<Option<Arc<Snapshot>>, EngineError> {
        let at = |error: EngineError| error.at(&context.sql, name::place(&self.ast.name));
        let missing_is_fine = |error: &EngineError| self.ast.if_exists && error.kind == crate::ErrorKind::NotFound;
        match name::find(context, &self.name).await {
            Ok(Some(Kind::Table)) => {}
            Ok(Some(Kind::View)) => {
                let error = EngineError::invalid(format!("\"{}\" is a view", self.name));
                return Err(at(error.with_hint("CREATE OR REPLACE VIEW changes it.")));
            }
            Ok(Some(Kind::External)) => {
                let error = EngineError::unsupported(format!("\"{}\" is an external table", self.name));
                return Err(at(error.with_hint("CREATE OR REPLACE EXTERNAL TABLE changes how its files are read.")));
            }
            Ok(None) if self.ast.if_exists => return Ok(None),
            Ok(None) => return Err(at(context.pinned.unknown_table(&self.name).await)),
            Err(error) if missing_is_fine(&error) => return Ok(None),
            Err(error) => return Err(at(error)),
        }
        match context.engine.lake().table(&self.name.schema, &self.name.name).await {
            Ok(snapshot) => Ok(Some(snapshot)),
            Err(StorageError::TableNotFound { .. }) if self.ast.if_exists => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The new definition, consistent in itself.
    fn altered(&self, context: &Context, snapshot: &Arc<Snapshot>) -> Result<(Altered, Planned), EngineError> {
        let planned = change::plan(context, &self.name, snapshot, &self.ast.action)?;
        let altered = Altered::try_new(snapshot, &planned.changes)?;
        self.check_rules(context, snapshot, &altered, &planned.changes)?;
        tier::check(&altered, &planned.changes)?;
        Ok((altered, planned))
    }

    /// What the rules say must go on meaning the same.
    fn check_rules(
        &self,
        context: &Context,
        snapshot: &Snapshot,
        altered: &Altered,
        changes: &[Change],
    ) -> Result<(), EngineError> {
        let against = |what: &str| format!("a rule of table \"{}\" stands against it: {what}", self.name);
        let widened = changes.iter().find_map(|change| match change {
            Change::Widen { path, .. } => path.first(),
            _ => None,
        });
        if let Some(column) = widened {
            let rules = rules::of(context, snapshot)?;
            let checks = rules.checks.iter().map(|check| (check.rule.clone(), &check.sql, &check.expr));
            let generated = rules.generated.iter().map(|rule| {
                let what = format!("generated column \"{}\"", rule.column);
                (what, &rule.sql, &rule.expr)
            });
            let named = |expr: &Expr| expr.column_refs().iter().any(|named| named.name() == column);
            if let Some((rule, sql, _)) = checks.chain(generated).find(|(_, _, expr)| named(expr)) {
                let message = against(&format!("the {rule} reads column \"{column}\": {sql}"));
                return Err(EngineError::invalid(message).with_hint("Drop the rule first."));
            }
        }
        let moves = |change: &Change| matches!(change, Change::DropColumn { .. } | Change::RenameColumn { .. });
        if !changes.iter().any(moves) {
            return Ok(());
        }
        let (schema, texts) = (altered.schema()?, altered.rule_texts());
        let planned = rules::of_texts(context, &self.name.to_string(), &schema, &texts);
        planned.map(drop).map_err(|error| {
            let mut refused = EngineError::invalid(against(&error.message)).with_hint("Drop the rule first.");
            refused.detail = error.detail;
            refused
        })
    }
}
