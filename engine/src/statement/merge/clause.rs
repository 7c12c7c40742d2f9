//! The clauses of a MERGE: when they apply, and which value each column gets.

use boathouse_storage::write::Rules;
use datafusion::{
    arrow::datatypes::FieldRef,
    sql::sqlparser::ast::{self, MergeAction, MergeClauseKind, MergeInsertKind, Spanned},
};

use super::Source;
use crate::{
    EngineError,
    error::Place,
    statement::{
        Context,
        change::{Assigned, Sets, Target, assignments, column, is_default},
        insert::named_columns,
    },
};

/// Which rows of the join a clause is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Matched,
    NotMatched,
    NotMatchedBySource,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Matched => "WHEN MATCHED",
            Self::NotMatched => "WHEN NOT MATCHED",
            Self::NotMatchedBySource => "WHEN NOT MATCHED BY SOURCE",
        }
    }
}

#[derive(Debug)]
pub(super) enum Does {
    Delete,
    /// Columns that are not named keep their values.
    Update(Vec<Assigned>),
    /// Columns that are not named become NULL.
    Insert(Vec<Assigned>),
}

#[derive(Debug)]
pub(super) struct Clause {
    pub kind: Kind,
    pub condition: Option<ast::Expr>,
    pub does: Does,
    /// `UPDATE SET *`: fields of a struct that the source lacks keep their values, as columns do.
    pub keeps_fields: bool,
    pub place: Option<Place>,
}

impl Clause {
    pub fn name(&self) -> &'static str {
        self.kind.name()
    }
}

/// Reads the clauses in their order.
pub(super) fn clauses(
    context: &Context,
    target: &Target,
    source: &Source,
    given: &[ast::MergeClause],
) -> Result<Vec<Clause>, EngineError> {
    let mut clauses: Vec<Clause> = Vec::with_capacity(given.len());
    for clause in given {
        let place = Place::of_token_span(clause.when_token.0.span);
        let kind = match clause.clause_kind {
            MergeClauseKind::Matched => Kind::Matched,
            MergeClauseKind::NotMatched | MergeClauseKind::NotMatchedByTarget => Kind::NotMatched,
            MergeClauseKind::NotMatchedBySource => Kind::NotMatchedBySource,
        };
        if clauses.iter().any(|before| before.kind == kind && before.condition.is_none()) {
            let message = format!("a clause after {} without a condition never applies", kind.name());
            let error = EngineError::invalid(message).with_hint("Put the clause without a condition last.");
            return Err(error.at(&context.sql, place));
        }
        let does = match &clause.action {
            MergeAction::Delete { .. } => Does::Delete,
            MergeAction::Update(update) if update.assignments.is_empty() && kind == Kind::NotMatchedBySource => {
                let error = EngineError::invalid("UPDATE SET * has no row of the source to take values from");
                return Err(error.with_hint("Name columns and values.").at(&context.sql, place));
            }
            MergeAction::Update(update) if update.assignments.is_empty() => {
                Does::Update(same_names(target, source, Kind::Matched))
            }
            MergeAction::Update(update) => Does::Update(assignments(context, target, &update.assignments)?),
            MergeAction::Insert(insert) => match &insert.kind {
                MergeInsertKind::Row => Does::Insert(same_names(target, source, Kind::NotMatched)),
                MergeInsertKind::Values(values) => Does::Insert(inserted(context, target, &insert.columns, values)?),
            },
        };
        let keeps_fields = matches!(&clause.action, MergeAction::Update(update) if update.assignments.is_empty());
        clauses.push(Clause { kind, condition: clause.predicate.clone(), does, keeps_fields, place });
    }
    Ok(clauses)
}

/// What all clauses together set in rows that are there.
pub(super) fn sets(target: &Target, rules: &Rules, clauses: &[Clause]) -> Option<Sets> {
    let updates = clauses.iter().filter_map(|clause| match &clause.does {
        Does::Update(assigned) => Some(assigned),
        Does::Delete | Does::Insert(_) => None,
    });
    Sets::new(target, rules, updates.flatten().map(|assigned| &assigned.column))
}

/// `*`, without the columns that the table fills itself.
fn same_names(target: &Target, source: &Source, kind: Kind) -> Vec<Assigned> {
    let schema = target.schema();
    let is_given = |field: &&FieldRef| match target.snapshot().identity(field.name()) {
        // A row keeps its number.
        Some(identity) => kind == Kind::NotMatched && identity.by_default,
        None => !target.snapshot().is_generated(field.name()),
    };
    let fields = schema.fields().iter().filter(is_given);
    let given = fields.filter_map(|field| match &source.columns {
        None => Some((field, field.name())),
        // Delta compares names without case.
        Some(columns) => {
            let same = columns.iter().find(|column| column.name().eq_ignore_ascii_case(field.name()))?;
            Some((field, same.name()))
        }
    });
    given.map(|(field, name)| Assigned::plain(field.clone(), column(&source.alias, name))).collect()
}

fn inserted(
    context: &Context,
    target: &Target,
    columns: &[ast::ObjectName],
    values: &ast::Values,
) -> Result<Vec<Assigned>, EngineError> {
    let named = !columns.is_empty();
    let mut columns = named_columns(context, &target.name, &target.schema(), columns)?;
    // The table fills them: only who names one gives a value for it.
    let is_filled = |column: &FieldRef| {
        let identity = target.snapshot().identity(column.name());
        target.snapshot().is_generated(column.name()) || identity.is_some_and(|identity| !identity.by_default)
    };
    columns.retain(|column| named || !is_filled(column));
    let [row] = values.rows.as_slice() else {
        return Err(EngineError::invalid("INSERT in MERGE gives one row of values").at(
            &context.sql,
            values.rows.get(1).and_then(|row| row.first()).and_then(|e| Place::of_token_span(e.span())),
        ));
    };
    if row.len() != columns.len() {
        let listed: Vec<&str> = columns.iter().map(|column| column.name().as_str()).collect();
        let message =
            format!("INSERT gives {} values for {} columns of table \"{}\"", row.len(), columns.len(), target.name);
        let place = row.get(columns.len()).or(row.last()).and_then(|value| Place::of_token_span(value.span()));
        return Err(EngineError::invalid(message)
            .with_detail(format!("The columns are {}.", listed.join(", ")))
            .at(&context.sql, place));
    }
    columns
        .into_iter()
        .zip(row.content.iter().cloned())
        // DEFAULT leaves it to the table.
        .filter(|(column, value)| !(is_default(target, value) && target.snapshot().identity(column.name()).is_some()))
        .map(|(column, value)| Assigned::new(context, target, column, value))
        .collect()
}
