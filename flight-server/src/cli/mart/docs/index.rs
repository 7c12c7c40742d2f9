//! The first page: all marts, their graph, and a search.

use std::fmt::Write;

use boathouse_engine::mart::About;

use super::{
    super::{
        graph::{nodes, state},
        page::{Page, attribute, escaped, svg},
        text::plural,
    },
    MARTS, file_name,
    mart::{freshness, tags, time},
};

/// Shows the marts in which every word that is typed is found.
const SEARCH: &str = "\
const field = document.getElementById('search'), count = document.getElementById('count');
const rows = Array.from(document.querySelectorAll('tr[data-text]'));
function search() {
  const words = field.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let shown = 0;
  for (const row of rows) {
    const found = words.every(word => row.dataset.text.includes(word));
    row.hidden = !found;
    shown += found ? 1 : 0;
  }
  count.textContent = shown + ' of ' + rows.length;
}
field.addEventListener('input', search);
search();
";

/// The page.
pub(super) fn html(marts: &[About]) -> String {
    let link = |name: &str| Some(format!("{MARTS}/{}", file_name(name)));
    let mut body = format!(
        "<h1>Marts</h1>\n<p class=\"soft\">{} {}</p>\n<p><input id=\"search\" type=\"search\" autofocus placeholder=\"Search \
         names, descriptions, owners, tags, columns, tables\" aria-label=\"Search\"></p>\n<p class=\"soft\" id=\"count\"></p>\n",
        marts.len(),
        plural(marts.len() as u64, "mart")
    );
    body.push_str("<table>\n<tr><th>Mart</th><th>Description</th><th>Owner</th><th>State</th><th>Published</th><th>Freshness</th></tr>\n");
    for mart in marts {
        let address = link(&mart.name).unwrap_or_default();
        let state = state(mart);
        let published = mart.runs.published().map(|run| time(run.ended_ms)).unwrap_or_default();
        let _ = writeln!(
            body,
            "<tr{}><td><a{}>{}</a></td><td>{}<br>{}</td><td>{}</td><td{}>{state}</td><td>{published}</td><td>{}</td></tr>",
            attribute("data-text", &searched(mart)),
            attribute("href", &address),
            escaped(&mart.name),
            escaped(mart.description.as_deref().unwrap_or_default()),
            tags(&mart.tags),
            escaped(mart.owner.as_deref().unwrap_or_default()),
            attribute("class", state),
            freshness(mart),
        );
    }
    let drawing = svg(&nodes(marts, &link));
    let _ = write!(body, "</table>\n<h2>Lineage</h2>\n<div class=\"scroll\">\n{drawing}</div>\n");
    Page { title: "Marts", body: &body, script: SEARCH }.html()
}

/// The words by which a mart is found.
fn searched(mart: &About) -> String {
    let About { name, description, owner, tags, columns, reads, .. } = mart;
    let own = [Some(name), description.as_ref(), owner.as_ref()].into_iter().flatten();
    let columns = columns.iter().flat_map(|column| {
        let told = [Some(&column.name), column.description.as_ref(), column.owner.as_ref()];
        told.into_iter().flatten().chain(&column.tags)
    });
    let words: Vec<&str> = own.chain(tags).chain(columns).chain(reads).map(String::as_str).collect();
    words.join(" ").to_lowercase()
}
