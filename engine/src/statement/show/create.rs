//! SHOW CREATE: a definition as the statement that makes it.

use boathouse_storage::{
    Snapshot,
    catalog::{ExternalTable, View},
    write::CONSTRAINT_PREFIX,
};
use datafusion::arrow::datatypes::{DataType, Fields};

use crate::{
    EngineError,
    catalog::{Relation, TableAt, is_reserved},
    parser::keywords,
    statement::{Context, data_type::sql_type},
};

/// The statement that makes `table`.
pub(super) async fn statement(context: &Context, named: &TableAt) -> Result<String, EngineError> {
    let table = &named.table;
    if is_reserved(&table.schema) {
        return Err(EngineError::unsupported(format!("\"{table}\" belongs to the system: no statement makes it")));
    }
    let name = format!("{}.{}", quoted(&table.schema), quoted(&table.name));
    Ok(match context.pinned.require(&named.name(context)).await? {
        Relation::Table(snapshot) => of_table(&name, &snapshot),
        Relation::View(view) => of_view(&name, &view),
        Relation::External(_) if named.at.is_some() => {
            let error =
                EngineError::unsupported(format!("\"{table}\" is an external table: its definition has no versions"));
            return Err(error.with_hint("DESCRIBE lists the columns of a version."));
        }
        Relation::External(external) => of_external(&name, &external),
    })
}

fn of_table(name: &str, snapshot: &Snapshot) -> String {
    let (schema, rules) = (snapshot.schema(), snapshot.rule_texts());
    let rule = |of: &[(String, String)], name: &str| of.iter().find(|(of, _)| of == name).map(|(_, sql)| sql.clone());
    let columns = schema.fields().iter().map(|field| {
        let null = if field.is_nullable() { "" } else { " NOT NULL" };
        let default = rule(&rules.defaults, field.name()).map(|sql| format!(" DEFAULT ({sql})"));
        let generated = rule(&rules.generated, field.name()).map(|sql| format!(" GENERATED ALWAYS AS ({sql})"));
        let identity = snapshot.identity(field.name()).map(|identity| {
            let kind = if identity.by_default { "BY DEFAULT" } else { "ALWAYS" };
            let (start, step) = (identity.start, identity.step);
            format!(" GENERATED {kind} AS IDENTITY (START WITH {start} INCREMENT BY {step})")
        });
        let comment = field.metadata().get("comment").map(|text| format!(" COMMENT {}", literal(text)));
        let (column, kind) = (quoted(field.name()), sql_type(field.data_type()));
        let options = [default, generated, identity, comment].into_iter().flatten().collect::<String>();
        format!("  {column} {kind}{null}{options}")
    });
    let is_constraint = |key: &str| key.strip_prefix(CONSTRAINT_PREFIX).map(quoted);
    let constraints = snapshot
        .properties()
        .iter()
        .filter_map(|(key, sql)| is_constraint(key).map(|name| format!("  CONSTRAINT {name} CHECK ({sql})")));
    let columns: Vec<String> = columns.chain(constraints).collect();
    let mut sql = format!("CREATE TABLE {name} (\n{}\n)", columns.join(",\n"));
    if !snapshot.partition_columns().is_empty() {
        sql += &format!("\nPARTITIONED BY ({})", list(snapshot.partition_columns()));
    }
    if let Some(comment) = snapshot.comment() {
        sql += &format!("\nCOMMENT {}", literal(comment));
    }
    // What the table counts for itself is no one's to set.
    let counted = ["delta.columnMapping.maxColumnId", "delta.inCommitTimestampEnablement"];
    let own = |key: &str| is_constraint(key).is_none() && !counted.iter().any(|start| key.starts_with(start));
    let others = snapshot.properties().iter().filter(|(key, _)| own(key));
    let pairs: Vec<String> = others.map(|(key, value)| format!("{} = {}", literal(key), literal(value))).collect();
    if !pairs.is_empty() {
        sql += &format!("\nTBLPROPERTIES ({})", pairs.join(", "));
    }
    // No type says it, so it takes statements of its own.
    for field in required_fields(schema.fields()) {
        sql += &format!(";\nALTER TABLE {name} ALTER COLUMN {field} SET NOT NULL");
    }
    sql
}

/// The fields of STRUCTs that are never NULL, as ALTER TABLE names them. It makes none in an ARRAY or a MAP.
fn required_fields(fields: &Fields) -> Vec<String> {
    let mut found = Vec::new();
    for column in fields {
        let DataType::Struct(inner) = column.data_type() else { continue };
        let outer = quoted(column.name());
        let required = inner.iter().filter(|field| !field.is_nullable()).map(|field| quoted(field.name()));
        found.extend(required.chain(required_fields(inner)).map(|field| format!("{outer}.{field}")));
    }
    found
}

fn of_view(name: &str, view: &View) -> String {
    let columns = if view.columns.is_empty() { String::new() } else { format!(" ({})", list(&view.columns)) };
    let comment = view.comment.as_deref().map(|text| format!(" COMMENT {}", literal(text))).unwrap_or_default();
    format!("CREATE VIEW {name}{columns}{comment} AS\n{}", view.sql)
}

fn of_external(name: &str, table: &ExternalTable) -> String {
    let columns = if table.columns.is_empty() { String::new() } else { format!(" ({})", table.columns) };
    let mut sql = format!("CREATE EXTERNAL TABLE {name}{columns}\nSTORED AS {}", table.format.to_uppercase());
    if !table.partition_columns.is_empty() {
        sql += &format!("\nPARTITIONED BY ({})", list(&table.partition_columns));
    }
    sql += &format!("\nLOCATION {}", literal(&table.location));
    if !table.options.is_empty() {
        let pairs = table.options.iter().map(|(key, value)| format!("{} {}", literal(key), literal(value)));
        sql += &format!("\nOPTIONS ({})", pairs.collect::<Vec<_>>().join(", "));
    }
    if let Some(comment) = &table.comment {
        sql += &format!("\nCOMMENT {}", literal(comment));
    }
    sql
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name, in double quotes where it would not be read back the same without.
pub(super) fn quoted(name: &str) -> String {
    let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let plain = starts_well && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain && !keywords().contains(&name.to_uppercase().as_str()) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn names_are_quoted_where_they_must_be() {
        assert_eq!(quoted("order_id"), "order_id");
        assert_eq!(quoted("Order"), "\"Order\"");
        assert_eq!(quoted("order"), "\"order\"");
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    }
}
