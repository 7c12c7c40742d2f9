//! Which columns the rows of a MERGE have, and for which of its clauses.

use std::{collections::HashSet, sync::Arc};

use boathouse_storage::write::Rules;
use datafusion::{arrow::datatypes::FieldRef, logical_expr::Expr};

use super::clause::{Clause, Does};
use crate::statement::change::{Sets, Target};

/// What the rows of the plan have.
pub(super) struct Written<'a> {
    sets: Option<&'a Sets>,
    pub rules: &'a Rules,
    /// Columns that are looked at for rules: all rows have them.
    looked_at: HashSet<String>,
    pub columns: Vec<FieldRef>,
    /// Rows come whole for one of the clauses.
    pub inserts: bool,
    /// Rows whose values are not needed have NULL instead.
    leaves_out: bool,
}

impl<'a> Written<'a> {
    pub fn new(target: &Target, rules: &'a Rules, sets: Option<&'a Sets>, clauses: &[Clause]) -> Self {
        let has = |kind: fn(&Does) -> bool| clauses.iter().any(|clause| kind(&clause.does));
        let (inserts, updates) =
            (has(|does| matches!(does, Does::Insert(_))), has(|does| matches!(does, Does::Update(_))));
        let leaves_out = sets.is_some() || !updates;
        let (rules, columns) = match sets {
            Some(sets) if !inserts => (&sets.rules, sets.columns.clone()),
            _ => (rules, target.schema().fields().iter().cloned().collect()),
        };
        let exprs = rules.checks.iter().map(|check| &check.expr).chain(rules.generated.iter().map(|rule| &rule.expr));
        let looked_at: HashSet<String> = exprs.flat_map(Expr::column_refs).map(|column| column.name.clone()).collect();
        // Each clause's values were held to NOT NULL by themselves.
        let may_be_left_out = |field: FieldRef| match leaves_out && !looked_at.contains(field.name()) {
            true if !target.snapshot().is_generated(field.name()) => {
                Arc::new(field.as_ref().clone().with_nullable(true))
            }
            _ => field,
        };
        let columns = columns.into_iter().map(may_be_left_out).collect();
        Self { sets, rules, looked_at, columns, inserts, leaves_out }
    }

    pub fn has(&self, field: &FieldRef) -> bool {
        self.columns.iter().any(|column| column.name() == field.name())
    }

    pub fn is_set(&self, field: &FieldRef) -> bool {
        self.sets.is_some_and(|sets| sets.names.contains(field.name()))
    }

    /// Whether a row has the column only where its clause writes it.
    pub fn leaves_out(&self, field: &FieldRef) -> bool {
        self.leaves_out && !self.looked_at.contains(field.name())
    }
}
