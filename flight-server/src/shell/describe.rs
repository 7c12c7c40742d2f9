//! The `\d` family as SQL, so that it works the same in this process and over the wire.

use super::{command::RelationKind, lex};

/// The statement behind `\d NAME`.
pub fn table(name: &str) -> Result<String, String> {
    let is_name = |kind| matches!(kind, lex::Kind::Word | lex::Kind::QuotedName);
    let well_formed = lex::pieces(name).all(|(kind, range)| is_name(kind) || &name[range] == ".");
    if well_formed {
        Ok(format!("DESCRIBE {name}"))
    } else {
        Err(format!("\"{name}\" is not the name of a table\nHINT: Write \\d table or \\d schema.table."))
    }
}

/// The statement behind `\d`, `\dt` and `\dv`.
pub fn relations(kind: RelationKind, pattern: Option<&str>) -> String {
    let mut conditions = vec!["table_schema NOT IN ('information_schema', 'system')".to_owned()];
    match kind {
        RelationKind::All => {}
        RelationKind::Tables => conditions.push("table_type <> 'VIEW'".to_owned()),
        RelationKind::Views => conditions.push("table_type = 'VIEW'".to_owned()),
    }
    if let Some(pattern) = pattern {
        let (schema, name) = match pattern.split_once('.') {
            Some((schema, name)) => (Some(schema), name),
            None => (None, pattern),
        };
        if let Some(schema) = schema {
            // Who names a schema wants to see it, whichever it is.
            conditions[0] = format!("table_schema LIKE {}", like(schema));
        }
        conditions.push(format!("table_name LIKE {}", like(name)));
    }
    format!(
        "SELECT table_schema AS \"schema\", table_name AS \"name\", \
         CASE table_type WHEN 'VIEW' THEN 'view' ELSE 'table' END AS \"type\" \
         FROM information_schema.tables WHERE {} ORDER BY table_schema, table_name",
        conditions.join(" AND ")
    )
}

/// The statement behind `\dn`.
pub fn schemas() -> String {
    "SELECT schema_name AS \"schema\" FROM information_schema.schemata ORDER BY schema_name".to_owned()
}

/// The statement behind `\df`.
pub fn functions(pattern: Option<&str>) -> String {
    let condition = pattern.map_or(String::new(), |pattern| format!("WHERE routine_name LIKE {} ", like(pattern)));
    format!(
        "SELECT routine_name AS \"function\", lower(function_type) AS \"kind\", description \
         FROM information_schema.routines {condition}ORDER BY routine_name"
    )
}

/// A LIKE pattern, quoted, out of one with `*` and `?`.
fn like(pattern: &str) -> String {
    let mut text = String::from("'");
    for c in pattern.chars() {
        match c {
            '*' => text.push('%'),
            '?' => text.push('_'),
            '%' | '_' | '\\' => text.extend(['\\', c]),
            '\'' => text.push_str("''"),
            c => text.push(c),
        }
    }
    text.push('\'');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_described() {
        assert_eq!(table("main.\"Order Lines\"").unwrap(), "DESCRIBE main.\"Order Lines\"");
        assert!(table("orders; DROP TABLE orders").is_err());
        assert!(table("'x'").is_err());
    }

    #[test]
    fn patterns_become_like_with_their_own_wildcards_escaped() {
        assert_eq!(like("o*_?'"), "'o%\\__'''");
        let sql = relations(RelationKind::Views, Some("sales.*"));
        assert!(
            sql.contains("WHERE table_schema LIKE 'sales' AND table_type = 'VIEW' AND table_name LIKE '%'"),
            "{sql}"
        );
    }
}
