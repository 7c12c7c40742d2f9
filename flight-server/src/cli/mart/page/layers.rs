//! Where the nodes of a graph without cycles stand: in layers, each to the right of all that it reads.
//!
//! An edge over several layers has a place in each, so that it passes between the nodes; within a layer, nodes are moved to
//! the middle of what they are connected to, a few times from left to right and back, so that few edges cross.

/// How often the layers are put in order.
const SWEEPS: usize = 6;

/// A graph in layers. Nodes beyond those given are places of edges.
pub struct Layers {
    /// The nodes of each layer, from above.
    pub layers: Vec<Vec<usize>>,
    /// For each edge, from what is read to what reads it, the nodes that it passes.
    pub paths: Vec<Vec<usize>>,
}

impl Layers {
    /// `reads` tells for each node those that it reads. There must be no cycle.
    pub fn of(reads: &[Vec<usize>]) -> Self {
        let mut layer_of = depths(reads);
        let count = layer_of.iter().max().map_or(0, |last| last + 1);
        let mut layers: Vec<Vec<usize>> = vec![Vec::new(); count];
        for (node, layer) in layer_of.iter().enumerate() {
            layers[*layer].push(node);
        }
        let mut paths = Vec::new();
        for (to, from) in reads.iter().enumerate().flat_map(|(to, from)| from.iter().map(move |from| (to, *from))) {
            let mut path = vec![from];
            let between = layer_of[from] + 1..layer_of[to];
            for (layer, nodes) in layers.iter_mut().enumerate().take(between.end).skip(between.start) {
                let place = layer_of.len();
                layer_of.push(layer);
                nodes.push(place);
                path.push(place);
            }
            path.push(to);
            paths.push(path);
        }
        let mut graph = Self { layers, paths };
        graph.put_in_order(layer_of.len());
        graph
    }

    fn put_in_order(&mut self, nodes: usize) {
        let (mut before, mut behind) = (vec![Vec::new(); nodes], vec![Vec::new(); nodes]);
        for pair in self.paths.iter().flat_map(|path| path.windows(2)) {
            behind[pair[0]].push(pair[1]);
            before[pair[1]].push(pair[0]);
        }
        let mut place = vec![0.0; nodes];
        self.layers.iter().for_each(|layer| number(layer, &mut place));
        for sweep in 0..SWEEPS {
            let forward = sweep % 2 == 0;
            let neighbours = if forward { &before } else { &behind };
            let count = self.layers.len();
            for at in 0..count {
                let layer = &mut self.layers[if forward { at } else { count - 1 - at }];
                let wanted = |node: &usize| {
                    let near = &neighbours[*node];
                    let sum: f64 = near.iter().map(|other| place[*other]).sum();
                    if near.is_empty() { place[*node] } else { sum / near.len() as f64 }
                };
                let mut ordered: Vec<(f64, usize)> = layer.iter().map(|node| (wanted(node), *node)).collect();
                // Stable, so that equal ones stay as they are.
                ordered.sort_by(|(a, _), (b, _)| a.total_cmp(b));
                *layer = ordered.into_iter().map(|(_, node)| node).collect();
                number(layer, &mut place);
            }
        }
    }
}

/// From 0 to 1, so that layers of different length are comparable.
fn number(layer: &[usize], place: &mut [f64]) {
    for (at, node) in layer.iter().enumerate() {
        place[*node] = (at as f64 + 0.5) / layer.len() as f64;
    }
}

/// How many nodes lie behind each other at most before each.
fn depths(reads: &[Vec<usize>]) -> Vec<usize> {
    let mut depths = vec![0; reads.len()];
    // As many rounds as the longest way has nodes; a cycle, which there is not, would end it, too.
    for _ in 0..reads.len() {
        let mut changed = false;
        for (node, from) in reads.iter().enumerate() {
            let depth = from.iter().map(|read| depths[*read] + 1).max().unwrap_or(0);
            changed |= std::mem::replace(&mut depths[node], depth) != depth;
        }
        if !changed {
            break;
        }
    }
    depths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_stands_to_the_right_of_what_it_reads_and_edges_have_places() {
        // 0 <- 1 <- 2, 0 <- 2
        let graph = Layers::of(&[vec![], vec![0], vec![1, 0]]);
        assert_eq!(graph.layers.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2, 1]);
        assert_eq!(graph.paths, [vec![0, 1], vec![1, 2], vec![0, 3, 2]]);
        assert!(Layers::of(&[]).layers.is_empty());
    }

    #[test]
    fn edges_are_disentangled() {
        // 2 reads 1 and 3 reads 0: as they are given, they cross.
        let graph = Layers::of(&[vec![], vec![], vec![1], vec![0]]);
        let above = |layer: usize, a: usize, b: usize| {
            let place = |node| graph.layers[layer].iter().position(|other| *other == node).unwrap();
            place(a) < place(b)
        };
        assert_eq!(above(0, 0, 1), above(1, 3, 2));
    }
}
