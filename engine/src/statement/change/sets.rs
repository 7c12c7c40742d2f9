//! Which columns a statement sets, where rows can keep their place: the others need not be read.
//!
//! A rule of the table that looks at no column that is set holds as it held before. A column that the table computes from
//! one that is set is set as well.

use std::collections::HashSet;

use boathouse_storage::write::{self, Rules};
use datafusion::{
    arrow::datatypes::FieldRef,
    common::Column,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder},
};

use super::Target;

#[derive(Debug, Clone)]
pub(crate) struct Sets {
    /// The columns that get new values.
    pub names: Vec<String>,
    /// The rules that look at one of them, and what computes them or is looked at by such a rule.
    pub rules: Rules,
    /// These columns, then those that the rules look at. None of the latter is set.
    pub columns: Vec<FieldRef>,
}

impl Sets {
    /// Of a statement that gives values to `assigned`. `None` where updated rows must be written whole.
    pub fn new<'a>(target: &Target, rules: &Rules, assigned: impl Iterator<Item = &'a FieldRef>) -> Option<Self> {
        let mut set: HashSet<&str> = assigned.map(|field| field.name().as_str()).collect();
        let looks_at = |expr: &Expr, columns: &HashSet<&str>| {
            expr.column_refs().iter().any(|column| columns.contains(column.name.as_str()))
        };
        let computed = rules.generated.iter().filter(|rule| looks_at(&rule.expr, &set));
        let computed: Vec<&str> = computed.map(|rule| rule.column.as_str()).collect();
        set.extend(computed);
        let checks: Vec<_> = rules.checks.iter().filter(|check| looks_at(&check.expr, &set)).cloned().collect();
        let mut read: HashSet<String> = checks.iter().flat_map(|check| names(&check.expr)).collect();
        let is_needed = |column: &str| set.contains(column) || read.contains(column);
        let generated: Vec<_> = rules.generated.iter().filter(|rule| is_needed(&rule.column)).cloned().collect();
        read.extend(generated.iter().flat_map(|rule| names(&rule.expr)));
        let schema = target.schema();
        let fields = |wanted: &dyn Fn(&str) -> bool| {
            schema.fields().iter().filter(|field| wanted(field.name())).cloned().collect::<Vec<FieldRef>>()
        };
        let mut columns = fields(&|name| set.contains(name));
        let names: Vec<String> = columns.iter().map(|field| field.name().clone()).collect();
        if target.evolved().is_some() || !write::changes_in_place(target.snapshot(), &names) {
            return None;
        }
        columns.extend(fields(&|name| read.contains(name) && !set.contains(name)));
        Some(Self { names, rules: Rules { checks, generated, ..rules.clone() }, columns })
    }

    /// Whether a value of the column is needed, whoever gives it.
    pub fn needs(&self, field: &FieldRef) -> bool {
        self.columns.contains(field)
    }

    /// Of rows with these columns only what is written: where they lie, what is done with them, and the new values.
    pub fn only_set(&self, plan: LogicalPlan) -> datafusion::error::Result<LogicalPlan> {
        let looked_at = |name: &str| self.columns.iter().any(|field| field.name() == name);
        let is_set = |name: &str| self.names.iter().any(|set| set == name);
        let names = plan.schema().fields().iter().map(|field| field.name().clone());
        let kept: Vec<Expr> = names
            .filter(|name| is_set(name) || !looked_at(name))
            .map(|name| Expr::Column(Column::new_unqualified(name)))
            .collect();
        if kept.len() == plan.schema().fields().len() {
            return Ok(plan);
        }
        LogicalPlanBuilder::from(plan).project(kept)?.build()
    }
}

fn names(expr: &Expr) -> Vec<String> {
    expr.column_refs().into_iter().map(|column| column.name.clone()).collect()
}
