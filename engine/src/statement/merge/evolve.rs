//! MERGE WITH SCHEMA EVOLUTION: columns of the source that the table does not have are added to it, in the same commit.
//!
//! Those are added that a clause gives values to: with `*` all of them, else those that it names. `*` then leaves columns of
//! the table alone that the source does not have. A STRUCT gets the fields that its new values have, also in an ARRAY or a
//! MAP; it is a value like any other, so that fields which a new one lacks are NULL.

use boathouse_storage::write;
use datafusion::{
    arrow::datatypes::Field,
    sql::sqlparser::ast::{
        AssignmentTarget, MergeAction, MergeClause, MergeInsertKind, ObjectName, SetExpr, TableWithJoins,
    },
};

use super::{PRESENT, Source};
use crate::{
    EngineError, parser,
    statement::{Context, change::Target, create_table, insert::evolve::new_column, view::folded},
};

pub(super) async fn evolve(
    context: &Context,
    target: &mut Target,
    source: &mut Source,
    clauses: &[MergeClause],
) -> Result<(), EngineError> {
    let mut query = parser::parse_query("SELECT *")?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.from = vec![TableWithJoins { relation: source.factor.clone(), joins: Vec::new() }];
    }
    let plan = context.analyze(context.plan_query(*query).await?)?;
    let fields = plan.schema().fields().iter().filter(|field| field.name() != PRESENT);
    let columns: Vec<_> = fields.map(create_table::plain).collect();
    let (all, named) = (clauses.iter().any(is_star), names(target, clauses));
    let schema = target.schema();
    let is_there = |name: &str| schema.fields().iter().any(|field| field.name().eq_ignore_ascii_case(name));
    let wanted = columns.iter().filter(|field| !is_there(field.name()) && (all || named.contains(field.name())));
    let mut new: Vec<Field> = wanted.map(|field| new_column(field.name(), field)).collect();
    // Columns that are there get the fields that their values have.
    for there in schema.fields().iter().filter(|there| all || named.contains(there.name())) {
        let given = columns.iter().find(|field| field.name().eq_ignore_ascii_case(there.name()));
        if let Some(given) = given.filter(|given| write::reshapes(given.data_type(), there.data_type())) {
            new.push(new_column(there.name(), given));
        }
    }
    target.evolve(&new)?;
    source.columns = Some(columns);
    Ok(())
}

fn is_star(clause: &MergeClause) -> bool {
    match &clause.action {
        MergeAction::Insert(insert) => matches!(insert.kind, MergeInsertKind::Row),
        MergeAction::Update(update) => update.assignments.is_empty(),
        MergeAction::Delete { .. } => false,
    }
}

/// Columns that clauses name to give them values.
fn names(target: &Target, clauses: &[MergeClause]) -> Vec<String> {
    let (mut names, alias) = (Vec::new(), target.alias_name());
    let mut add = |name: &ObjectName| {
        let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(folded).collect();
        match parts.as_slice() {
            [column] => names.push(column.clone()),
            [table, column] if *table == alias => names.push(column.clone()),
            // A field of a struct is no column.
            _ => {}
        }
    };
    for clause in clauses {
        match &clause.action {
            MergeAction::Insert(insert) => insert.columns.iter().for_each(&mut add),
            MergeAction::Update(update) => update.assignments.iter().for_each(|assignment| match &assignment.target {
                AssignmentTarget::ColumnName(name) => add(name),
                AssignmentTarget::Tuple(columns) => columns.iter().for_each(&mut add),
            }),
            MergeAction::Delete { .. } => {}
        }
    }
    names
}
