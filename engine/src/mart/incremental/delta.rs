//! The rows that a query gives for the rows of its sources that came, or that went: the query with changes in place of a
//! table. It holds for what looks at each row by itself, and for joins, outer ones only where the other side stayed as it is.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, Field},
    common::{
        Column, DFSchema, JoinType,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    datasource::provider_as_source,
    error::DataFusionError,
    logical_expr::{
        EmptyRelation, Expr, Join, LogicalPlan, LogicalPlanBuilder, Projection, TableScan, Union, cast, col, lit,
    },
};

use super::source::{Change, Source, Sources};

/// What a change feed says in its column `_change_type` of rows that are there afterwards.
const COME: [&str; 2] = ["insert", "update_postimage"];
/// And of those that were there before.
const GONE: [&str; 2] = ["delete", "update_preimage"];
const CHANGE_TYPE: &str = "_change_type";

/// Characters of a plan's node that are shown.
const NODE_CHARS_MAX: usize = 80;

/// In the rows of both sides: whether they came.
const CAME: &str = "__mart_came";

/// Which of the changed rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Come,
    Gone,
    /// All, with one column more, [`came`], which tells the ones from the others.
    Both,
}

/// The column of a plan of both sides that tells whether a row came.
pub(super) fn came(rows: &LogicalPlan) -> Result<Expr, String> {
    let found = rows.schema().qualified_field_with_unqualified_name(CAME);
    found.map(|(of, field)| Expr::Column(Column::new(of.cloned(), field.name()))).map_err(|error| error.to_string())
}

/// The rows of `plan` for the changed rows of its sources; `None` when there are none. The error says which part of the
/// plan needs all rows.
pub(super) fn delta(sources: &Sources<'_>, plan: &LogicalPlan, side: Side) -> Result<Option<LogicalPlan>, String> {
    if sources.changed_in(plan).is_none() {
        return Ok(None);
    }
    check_subqueries(sources, plan)?;
    match plan {
        LogicalPlan::TableScan(scan) => match sources.of_scan(scan) {
            Some(source) => changed(source, scan, side),
            None => Err(needs_all(plan, "it reads what is no table of the lake")),
        },
        LogicalPlan::Projection(projection) => match delta(sources, &projection.input, side)? {
            Some(changed) => projected(changed, projection.expr.clone(), side).map(Some),
            None => Ok(None),
        },
        LogicalPlan::Filter(_)
        | LogicalPlan::Unnest(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Repartition(_) => each(sources, plan, side),
        // The order of a table's rows is nobody's promise.
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => each(sources, plan, side),
        LogicalPlan::Union(union) => united(sources, union, side),
        LogicalPlan::Join(join) => joined(sources, plan, join, side),
        LogicalPlan::Aggregate(_) => Err(needs_all(plan, "an aggregate within the query looks at all rows of a group")),
        LogicalPlan::Window(_) => Err(needs_all(plan, "a window function looks at other rows, too")),
        LogicalPlan::Limit(_) | LogicalPlan::Sort(_) => {
            Err(needs_all(plan, "which rows are the first depends on all of them"))
        }
        LogicalPlan::Distinct(_) => Err(needs_all(plan, "whether a row is there already depends on all of them")),
        LogicalPlan::RecursiveQuery(_) => Err(needs_all(plan, "a recursive query reads what it gives")),
        _ => Err(needs_all(plan, "nothing is known of it")),
    }
}

/// A join of which one side stayed as it is; or an inner one, whose changed rows are those of the left side with the right
/// side as it is now, and those of the right side with the left one as it was. Pairs of rows that never were there at once
/// come and go again.
fn joined(sources: &Sources<'_>, plan: &LogicalPlan, join: &Join, side: Side) -> Result<Option<LogicalPlan>, String> {
    use JoinType::{Inner, Left, LeftAnti, LeftMark, LeftSemi, Right, RightAnti, RightMark, RightSemi};
    let (left, right) = (sources.changed_in(&join.left), sources.changed_in(&join.right));
    let fits = match (left, right, join.join_type) {
        (_, _, Inner) => true,
        (Some(_), None, of) => matches!(of, Left | LeftSemi | LeftAnti | LeftMark),
        (None, Some(_), of) => matches!(of, Right | RightSemi | RightAnti | RightMark),
        _ => false,
    };
    if !fits {
        let name =
            if matches!(join.join_type, Right | RightSemi | RightAnti | RightMark) { left } else { right.or(left) };
        let name = name.map(|source| source.name.to_string()).unwrap_or_default();
        return Err(needs_all(plan, &format!("{name} changed, and so may rows that have no counterpart there")));
    }
    let whole = |input: &Arc<LogicalPlan>| input.as_ref().clone();
    let mut parts = Vec::new();
    if let Some(changed) = delta(sources, &join.left, side)? {
        parts.push(rebuilt(plan, vec![changed, whole(&join.right)])?);
    }
    if let Some(changed) = delta(sources, &join.right, side)? {
        let left = if left.is_some() { as_it_was(sources, &join.left)? } else { whole(&join.left) };
        parts.push(rebuilt(plan, vec![left, changed])?);
    }
    let [one, other] = match <[LogicalPlan; 2]>::try_from(parts) {
        Ok(both) => both,
        Err(parts) => return Ok(parts.into_iter().next()),
    };
    // A union knows no relations, by whose names the nodes above call their columns.
    let mut names: Vec<_> = plan.schema().iter().map(|(of, field)| (of.cloned(), field.name().clone())).collect();
    let columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    let (one, other) = (projected(one, columns.clone(), side)?, projected(other, columns, side)?);
    names.extend((side == Side::Both).then(|| (None, CAME.to_owned())));
    let build = || {
        let union = LogicalPlanBuilder::from(one).union(other)?;
        let columns = union.schema().columns().into_iter().zip(names).map(|(column, (of, name))| match of {
            Some(of) => Expr::Column(column).alias_qualified(Some(of), name),
            None => Expr::Column(column).alias(name),
        });
        let columns: Vec<Expr> = columns.collect();
        union.project(columns)?.build()
    };
    build().map(Some).map_err(|error: DataFusionError| error.to_string())
}

/// A plan over its sources as the last run read them.
fn as_it_was(sources: &Sources<'_>, plan: &LogicalPlan) -> Result<LogicalPlan, String> {
    let mut missing = None;
    let old = plan.clone().transform_up(|node| {
        let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
        let Some(source) = sources.of_scan(&scan).filter(|source| source.feed().is_some()) else {
            return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
        };
        match &source.old {
            Some(old) => scan.source = provider_as_source(old.clone()),
            None => missing = Some(source.name.to_string()),
        }
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    });
    let old = old.map_err(|error| error.to_string())?.data;
    match missing {
        Some(name) => {
            Err(needs_all(plan, &format!("both sides of a join changed, and {name} cannot be read as it was")))
        }
        None => Ok(old),
    }
}

/// What looks at each row by itself.
fn each(sources: &Sources<'_>, plan: &LogicalPlan, side: Side) -> Result<Option<LogicalPlan>, String> {
    let inputs: Result<Vec<_>, _> = plan.inputs().into_iter().map(|input| delta(sources, input, side)).collect();
    // They have one input each.
    let inputs: Option<Vec<LogicalPlan>> = inputs?.into_iter().collect();
    inputs.map(|inputs| rebuilt(plan, inputs)).transpose()
}

/// These values of changed rows, and whether they came where that is told.
fn projected(changed: LogicalPlan, mut values: Vec<Expr>, side: Side) -> Result<LogicalPlan, String> {
    if side == Side::Both {
        values.push(came(&changed)?.alias(CAME));
    }
    let projection = Projection::try_new(values, Arc::new(changed));
    projection.map(LogicalPlan::Projection).map_err(|error| error.to_string())
}

/// The changed rows of several.
fn united(sources: &Sources<'_>, union: &Union, side: Side) -> Result<Option<LogicalPlan>, String> {
    let mut inputs = Vec::new();
    for input in &union.inputs {
        if let Some(changed) = delta(sources, input, side)? {
            let columns = input.schema().columns().into_iter().map(Expr::Column).collect();
            inputs.push(Arc::new(projected(changed, columns, side)?));
        }
    }
    if inputs.is_empty() {
        return Ok(None);
    }
    // The changes of a table may be NULL where its rows are not, as far as types say.
    let is_nullable = |at: usize| inputs.iter().any(|input| input.schema().field(at).is_nullable());
    let fields = union.schema.iter().enumerate().map(|(at, (of, field))| {
        let field = field.as_ref().clone().with_nullable(field.is_nullable() || is_nullable(at));
        (of.cloned(), Arc::new(field))
    });
    let came = (side == Side::Both).then(|| (None, Arc::new(Field::new(CAME, DataType::Boolean, true))));
    let schema = DFSchema::new_with_metadata(fields.chain(came).collect(), union.schema.metadata().clone());
    let schema = Arc::new(schema.map_err(|error| error.to_string())?);
    // Those without a change have no rows. The names of one alone are still those of all.
    if let [_] = inputs.as_slice() {
        let none = EmptyRelation { produce_one_row: false, schema: schema.clone() };
        inputs.push(Arc::new(LogicalPlan::EmptyRelation(none)));
    }
    Ok(Some(LogicalPlan::Union(Union { inputs, schema })))
}

/// A node over other inputs.
pub(super) fn rebuilt(plan: &LogicalPlan, inputs: Vec<LogicalPlan>) -> Result<LogicalPlan, String> {
    plan.with_new_exprs(plan.expressions(), inputs).map_err(|error| error.to_string())
}

/// Subqueries of a node's own expressions look at whole tables: these must have stayed as they are.
pub(super) fn check_subqueries(sources: &Sources<'_>, node: &LogicalPlan) -> Result<(), String> {
    let mut found = None;
    let walk = node.apply_subqueries(|subquery| {
        found = sources.changed_in(subquery).map(|source| source.name.to_string());
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Jump })
    });
    walk.map_err(|error| error.to_string())?;
    found.map_or(Ok(()), |name| Err(needs_all(node, &format!("a subquery reads {name}, which changed"))))
}

/// The changed rows of a table under the columns of its scan.
fn changed(source: &Source, scan: &TableScan, side: Side) -> Result<Option<LogicalPlan>, String> {
    let Some(feed) = source.feed() else { return Ok(None) };
    if side == Side::Gone && matches!(source.change, Change::Added(_)) {
        return Ok(None);
    }
    if !scan.filters.is_empty() || scan.fetch.is_some() {
        return Err(format!("the scan of {} is limited", source.name));
    }
    let is_one_of = |words: [&str; 2]| {
        let kind = col(format!("changes.{CHANGE_TYPE}"));
        let [one, other] = words.map(|word| kind.clone().eq(lit(word)));
        one.or(other)
    };
    let wanted = match side {
        Side::Come => Some(is_one_of(COME)),
        Side::Gone => Some(is_one_of(GONE)),
        Side::Both => None,
    };
    let rows = || {
        let builder = LogicalPlanBuilder::scan("changes", provider_as_source(feed.clone()), None)?;
        let schema = builder.schema().clone();
        let columns = scan.projected_schema.fields().iter().map(|field| {
            let given = schema.field_with_unqualified_name(field.name())?;
            let column = Expr::Column(Column::new(Some("changes"), field.name()));
            Ok(match given.data_type() == field.data_type() {
                true => column,
                false => cast(column, field.data_type().clone()).alias(field.name()),
            })
        });
        let mut columns = columns.collect::<datafusion::error::Result<Vec<Expr>>>()?;
        let rows = match wanted {
            Some(wanted) => builder.filter(wanted)?,
            None => {
                columns.push(is_one_of(COME).alias(CAME));
                builder
            }
        };
        rows.project(columns)?.alias(scan.table_name.clone())?.build()
    };
    rows().map(Some).map_err(|error: DataFusionError| error.to_string())
}

/// `why (node)`
pub(super) fn needs_all(node: &LogicalPlan, why: &str) -> String {
    let mut text: String = node.display().to_string();
    if text.chars().count() > NODE_CHARS_MAX {
        text = text.chars().take(NODE_CHARS_MAX).collect::<String>() + "...";
    }
    format!("{why} ({text})")
}
