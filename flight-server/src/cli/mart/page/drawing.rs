//! A graph of marts as SVG.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    html::{attribute, escaped},
    layers::Layers,
};

/// Pixels.
const HEIGHT: f64 = 30.0;
const GAP: f64 = 16.0;
/// Between two layers.
const BETWEEN: f64 = 70.0;
const MARGIN: f64 = 10.0;
/// Of a letter, about; names are wider than they look when letters are wide.
const LETTER: f64 = 7.6;
const PADDING: f64 = 12.0;

/// A table or a mart.
#[derive(Debug, Clone)]
pub struct Node {
    pub name: String,
    /// How it looks: words for the style.
    pub class: String,
    /// What is shown over it.
    pub title: String,
    /// Where a click leads.
    pub link: Option<String>,
    /// Names of others; those that are not there are left out.
    pub reads: Vec<String>,
}

/// Draws them, what is read to the left of what reads it.
pub fn svg(nodes: &[Node]) -> String {
    let places: BTreeMap<&str, usize> = nodes.iter().enumerate().map(|(at, node)| (node.name.as_str(), at)).collect();
    let reads = |node: &Node| node.reads.iter().filter_map(|name| places.get(name.as_str()).copied()).collect();
    let graph = Layers::of(&nodes.iter().map(reads).collect::<Vec<Vec<usize>>>());
    let width_of = |node: usize| nodes.get(node).map_or(0.0, |node| width(&node.name));
    let rows = graph.layers.iter().map(Vec::len).max().unwrap_or(0);
    let height = rows as f64 * (HEIGHT + GAP) - GAP;
    let mut boxes: BTreeMap<usize, Place> = BTreeMap::new();
    let mut x = MARGIN;
    for layer in &graph.layers {
        let widest = layer.iter().map(|node| width_of(*node)).fold(0.0, f64::max);
        let own = layer.len() as f64 * (HEIGHT + GAP) - GAP;
        let top = MARGIN + (height - own) / 2.0;
        for (at, node) in layer.iter().enumerate() {
            let y = top + at as f64 * (HEIGHT + GAP);
            // An edge passes straight through its layer.
            let width = if *node < nodes.len() { width_of(*node) } else { widest };
            boxes.insert(*node, Place { x, y, width });
        }
        x += widest + BETWEEN;
    }
    let (all_width, all_height) = ((x - BETWEEN).max(MARGIN) + MARGIN, height.max(0.0) + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{all_width:.0}\" height=\"{all_height:.0}\" \
         viewBox=\"0 0 {all_width:.0} {all_height:.0}\">\n"
    );
    for path in &graph.paths {
        let steps: Vec<&Place> = path.iter().filter_map(|node| boxes.get(node)).collect();
        let _ = writeln!(svg, "<path d=\"{}\"/>", line(&steps));
    }
    for (at, node) in nodes.iter().enumerate() {
        if let Some(at) = boxes.get(&at) {
            svg.push_str(&drawn(node, at));
        }
    }
    svg.push_str("</svg>\n");
    svg
}

struct Place {
    x: f64,
    y: f64,
    width: f64,
}

impl Place {
    fn middle(&self) -> f64 {
        self.y + HEIGHT / 2.0
    }
}

fn width(name: &str) -> f64 {
    name.chars().count() as f64 * LETTER + 2.0 * PADDING
}

/// From the right side of one to the left side of the next, and straight through those between.
fn line(steps: &[&Place]) -> String {
    let mut line = String::new();
    for (at, pair) in steps.windows(2).enumerate() {
        let (from, to) = (pair[0], pair[1]);
        let (x, y, end, below) = (from.x + from.width, from.middle(), to.x, to.middle());
        let turn = (x + end) / 2.0;
        let _ = write!(line, "M{x:.1} {y:.1}C{turn:.1} {y:.1} {turn:.1} {below:.1} {end:.1} {below:.1}");
        if at + 2 < steps.len() {
            let _ = write!(line, "L{:.1} {below:.1}", to.x + to.width);
        }
    }
    line
}

fn drawn(node: &Node, at: &Place) -> String {
    let Place { x, y, width } = at;
    let (name, title) = (escaped(&node.name), escaped(&node.title));
    let (left, base) = (x + PADDING, at.middle() + 4.5);
    let shape = format!(
        "<g{}><title>{title}</title><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{HEIGHT}\" rx=\"5\"/>\
         <text x=\"{left:.1}\" y=\"{base:.1}\">{name}</text></g>",
        attribute("class", &node.class)
    );
    match &node.link {
        Some(link) => format!("<a{}>{shape}</a>\n", attribute("href", link)),
        None => shape + "\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, reads: &[&str]) -> Node {
        let reads = reads.iter().map(|name| (*name).to_owned()).collect();
        let link = Some(format!("{name}.html"));
        Node { name: name.to_owned(), class: "mart".to_owned(), title: String::new(), link, reads }
    }

    #[test]
    fn each_node_and_each_edge_is_drawn_once() {
        let svg = svg(&[node("a", &["gone"]), node("b", &["a"]), node("c", &["a", "b"])]);
        assert_eq!((svg.matches("<rect").count(), svg.matches("<path").count()), (3, 3));
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n") && !svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn names_are_texts_and_no_markup() {
        let svg = svg(&[node("<b>\"x\" & y", &[])]);
        assert!(svg.contains("&lt;b&gt;&quot;x&quot; &amp; y</text>") && !svg.contains("<b>"), "{svg}");
    }

    #[test]
    fn nothing_is_an_empty_drawing() {
        assert!(svg(&[]).contains("height=\"20\""));
    }
}
