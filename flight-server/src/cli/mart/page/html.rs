//! HTML: the frame of a page, and texts in it.

/// A text as HTML shows it, in a page or in an attribute: nothing in it is markup.
pub fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            // HTML has no other control characters.
            c if c.is_control() && !matches!(c, '\n' | '\t') => html.push('\u{fffd}'),
            c => html.push(c),
        }
    }
    html
}

/// ` name="value"`
pub fn attribute(name: &str, value: &str) -> String {
    format!(" {name}=\"{}\"", escaped(value))
}

/// A page, as far as all have it.
pub struct Page<'a> {
    pub title: &'a str,
    /// HTML.
    pub body: &'a str,
    /// A script of ours that comes behind it.
    pub script: &'a str,
}

/// By this a page of ours is known again.
pub const GENERATOR: &str = "<meta name=\"generator\" content=\"boathouse mart\">";

impl Page<'_> {
    /// Whether a file holds a page of ours.
    pub fn is_ours(text: &str) -> bool {
        text.contains(GENERATOR)
    }

    /// The file.
    pub fn html(&self) -> String {
        let (title, body) = (escaped(self.title), self.body);
        let script = match self.script {
            "" => String::new(),
            script => format!("<script>\n{script}</script>\n"),
        };
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n{GENERATOR}\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
             <style>\n{STYLE}</style>\n</head>\n<body>\n{body}{script}</body>\n</html>\n"
        )
    }
}

const STYLE: &str = "\
:root { color-scheme: light dark; --text: #1d2530; --soft: #667085; --line: #d5dae1; --page: #fff; --mart: #e7f0fe;
  --edge: #8a94a3; --good: #157347; --bad: #b42318; --warn: #9a6700; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e4e8ee; --soft: #9aa4b2; --line: #3a4350; --page: #14181e; --mart: #1d2f4a;
    --edge: #76818f; --good: #4ac585; --bad: #f97066; --warn: #e5b454; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page);
  margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: .2rem 0; }
h2 { font-size: 1.1rem; margin: 1.8rem 0 .5rem; }
a { color: inherit; }
.soft { color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 500; }
pre { background: var(--mart); padding: .8rem; overflow-x: auto; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: .8rem 0; }
dt { color: var(--soft); }
dd { margin: 0; }
input { font: inherit; width: 100%; box-sizing: border-box; padding: .5rem; border: 1px solid var(--line);
  background: var(--page); color: var(--text); }
.tag { border: 1px solid var(--line); border-radius: .3rem; padding: 0 .35rem; margin-right: .3rem; font-size: .85rem; }
.succeeded, .passed { color: var(--good); }
.failed, .error { color: var(--bad); }
.blocked, .warned, .warn, .dropped, .quarantined { color: var(--warn); }
svg text { font: 13px system-ui, sans-serif; fill: var(--text); }
svg path { fill: none; stroke: var(--edge); }
svg rect { fill: var(--mart); stroke: var(--edge); }
svg .source rect { fill: var(--page); stroke-dasharray: 4 3; }
svg .failed rect, svg .error rect { stroke: var(--bad); stroke-width: 2; }
svg .blocked rect, svg .warn rect { stroke: var(--warn); stroke-width: 2; }
svg .this rect { stroke-width: 3; }
svg a:hover rect { stroke: var(--text); }
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_never_markup() {
        assert_eq!(
            escaped("<script>alert('a & \"b\"')</script>\n\u{1}"),
            "&lt;script&gt;alert(&#39;a &amp; &quot;b&quot;&#39;)&lt;/script&gt;\n\u{fffd}"
        );
        assert_eq!(attribute("title", "\" onload=\"x"), " title=\"&quot; onload=&quot;x\"");
        let page = Page { title: "</title><script>", body: "", script: "" }.html();
        assert!(page.contains("<title>&lt;/title&gt;&lt;script&gt;</title>") && Page::is_ours(&page), "{page}");
    }
}
