use boathouse_engine::parser;

use super::suggest::suggest;
use crate::client::{Names, TableNames};

fn names() -> Names {
    let table = |schema: &str, name: &str, columns: &[&str]| TableNames {
        schema: schema.to_owned(),
        name: name.to_owned(),
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
    };
    Names {
        schemas: vec!["main".to_owned(), "sales".to_owned()],
        tables: vec![
            table("main", "orders", &["order_id", "Total", "order"]),
            table("main", "customers", &["id", "order_count"]),
            table("sales", "leads", &["lead_id"]),
        ],
        functions: vec!["octet_length".to_owned(), "ord".to_owned()],
        settings: vec!["datafusion.execution.batch_size".to_owned()],
    }
}

/// Suggestions at `|`, without keywords, which are the engine's.
fn at_bar(text: &str) -> Vec<String> {
    let at = text.find('|').unwrap();
    let text = text.replacen('|', "", 1);
    let keywords: Vec<String> = parser::keywords().iter().map(|word| word.to_lowercase()).collect();
    let values = suggest(&names(), &text, at).values;
    let is_command = text.starts_with('\\');
    values.into_iter().filter(|value| is_command || !keywords.contains(&value.to_lowercase())).collect()
}

#[test]
fn after_from_come_tables_and_schemas() {
    assert_eq!(at_bar("SELECT * FROM |"), ["customers", "orders", "sales.leads", "main.", "sales."].map_sorted());
    assert_eq!(at_bar("SELECT * FROM o|"), ["orders", "octet_length(", "ord("]);
    assert_eq!(at_bar("SELECT * FROM sales.|"), ["leads"]);
    assert_eq!(at_bar("SELECT * FROM orders o, c|"), ["customers"]);
}

trait MapSorted {
    fn map_sorted(self) -> Vec<String>;
}

impl<const N: usize> MapSorted for [&str; N] {
    /// In the order of the catalog: tables as listed, then schemas.
    fn map_sorted(self) -> Vec<String> {
        let mut values: Vec<String> = self.iter().map(|value| (*value).to_owned()).collect();
        values[..2].reverse();
        values
    }
}

#[test]
fn columns_of_named_tables_come_before_functions() {
    assert_eq!(at_bar("SELECT ord| FROM orders"), ["order_id", "\"order\"", "orders", "ord("]);
    assert_eq!(at_bar("SELECT * FROM orders WHERE t|"), ["\"Total\""]);
}

#[test]
fn after_a_dot_come_the_columns_of_the_alias() {
    assert_eq!(at_bar("SELECT c.| FROM customers AS c JOIN orders o ON true"), ["id", "order_count"]);
    assert_eq!(at_bar("SELECT sales.leads.l| FROM sales.leads"), ["lead_id"]);
    assert_eq!(at_bar("SELECT leads.l| FROM sales.leads"), ["lead_id"]);
    assert_eq!(at_bar("SELECT o.\"T| FROM orders o"), ["\"Total\""]);
    assert_eq!(at_bar("SELECT 1; SELECT o.i| FROM customers o; SELECT * FROM orders o"), ["id"]);
}

#[test]
fn nothing_is_suggested_inside_strings_comments_and_numbers() {
    for text in ["SELECT 'or|", "SELECT 1 -- or|", "/* or|", "SELECT 12|"] {
        assert_eq!(at_bar(text), [""; 0], "{text}");
    }
}

#[test]
fn settings_follow_set_and_commands_complete_with_their_arguments() {
    assert_eq!(at_bar("SET data|"), ["datafusion.execution.batch_size"]);
    assert_eq!(at_bar("\\ti|"), ["\\timing"]);
    assert_eq!(at_bar("\\d|"), ["\\d", "\\dt", "\\dv", "\\dn", "\\df"]);
    assert_eq!(at_bar("\\d or|"), ["orders"]);
    assert_eq!(at_bar("\\format c|"), ["csv"]);
    assert_eq!(at_bar("\\x o|"), ["on", "off"]);
}
