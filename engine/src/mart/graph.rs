//! Which mart reads which, and in what order they run.

use std::fmt::Write;

/// The order in which each comes behind those that it reads: of those that could come next, the first given. The error is a
/// cycle, from one mart around to itself.
pub(super) fn order(reads: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut done = vec![false; reads.len()];
    let mut order = Vec::with_capacity(reads.len());
    while order.len() < reads.len() {
        let next = (0..reads.len()).find(|mart| !done[*mart] && reads[*mart].iter().all(|read| done[*read]));
        let Some(next) = next else { return Err(cycle(reads, &done)) };
        done[next] = true;
        order.push(next);
    }
    Ok(order)
}

/// Every mart that is left reads one that is left: following them comes around.
fn cycle(reads: &[Vec<usize>], done: &[bool]) -> Vec<usize> {
    let mut path: Vec<usize> = done.iter().position(|done| !done).into_iter().collect();
    while let Some(last) = path.last().copied() {
        let Some(next) = reads[last].iter().copied().find(|read| !done[*read]) else { break };
        if let Some(begin) = path.iter().position(|mart| *mart == next) {
            path.drain(..begin);
            path.push(next);
            break;
        }
        path.push(next);
    }
    path
}

/// The graph as text: each mart with what it reads; what is no mart is marked.
pub(super) fn text(marts: &[(&str, Vec<(String, bool)>)]) -> String {
    let mut text = String::new();
    for (name, reads) in marts {
        let _ = writeln!(text, "{name}");
        for (at, (read, is_mart)) in reads.iter().enumerate() {
            let branch = if at + 1 == reads.len() { "└─" } else { "├─" };
            let kind = if *is_mart { "" } else { "  (source)" };
            let _ = writeln!(text, "{branch} {read}{kind}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mart_comes_behind_what_it_reads() {
        assert_eq!(order(&[vec![2], vec![0], vec![], vec![1, 2]]), Ok(vec![2, 0, 1, 3]));
        assert_eq!(order(&[]), Ok(vec![]));
    }

    #[test]
    fn a_cycle_is_told_from_one_mart_around_to_itself() {
        assert_eq!(order(&[vec![], vec![2, 0], vec![3], vec![1]]), Err(vec![1, 2, 3, 1]));
        assert_eq!(order(&[vec![1], vec![1]]), Err(vec![1, 1]));
    }

    #[test]
    fn the_text_tells_marts_from_sources() {
        let text = text(&[("m.a", vec![("main.o".to_owned(), false), ("m.b".to_owned(), true)]), ("m.b", vec![])]);
        assert_eq!(text, "m.a\n├─ main.o  (source)\n└─ m.b\nm.b\n");
    }
}
