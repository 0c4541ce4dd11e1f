//! Dependencies between steps: a graph with a stable topological order. Pure.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A node of the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node(usize);

/// Nodes, each with the nodes that must precede it.
#[derive(Debug)]
pub struct Graph<T> {
    nodes: Vec<(T, Vec<Node>)>,
}

impl<T> Default for Graph<T> {
    fn default() -> Self {
        Graph { nodes: Vec::new() }
    }
}

impl<T> Graph<T> {
    /// Adds a node.
    pub fn add(&mut self, what: T) -> Node {
        self.nodes.push((what, Vec::new()));
        Node(self.nodes.len() - 1)
    }

    /// `later` comes after `earlier`.
    pub fn order(&mut self, earlier: Node, later: Node) {
        self.nodes[later.0].1.push(earlier);
    }

    /// All nodes, each after its predecessors; otherwise in the order in which they were added.
    ///
    /// # Errors
    /// A node that is on, or depends on, a cycle.
    pub fn sorted(self) -> Result<Vec<T>, T> {
        let mut nodes = self.nodes.iter().enumerate();
        if nodes.all(|(later, (_, before))| before.iter().all(|earlier| earlier.0 < later)) {
            return Ok(self.nodes.into_iter().map(|(what, _)| what).collect());
        }
        let mut waiting: Vec<usize> = self.nodes.iter().map(|(_, before)| before.len()).collect();
        let mut followers: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        for (later, (_, before)) in self.nodes.iter().enumerate() {
            before.iter().for_each(|earlier| followers[earlier.0].push(later));
        }
        let is_ready = |node: &usize| waiting[*node] == 0;
        let mut ready: BinaryHeap<Reverse<usize>> =
            (0..waiting.len()).filter(is_ready).map(Reverse).collect();
        let mut todo: Vec<Option<T>> = self.nodes.into_iter().map(|(what, _)| Some(what)).collect();
        let mut sorted = Vec::with_capacity(todo.len());
        while let Some(Reverse(node)) = ready.pop() {
            sorted.extend(todo[node].take());
            for follower in &followers[node] {
                waiting[*follower] -= 1;
                if waiting[*follower] == 0 {
                    ready.push(Reverse(*follower));
                }
            }
        }
        match todo.into_iter().flatten().next() {
            None => Ok(sorted),
            Some(stuck) => Err(stuck),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sorted(count: usize, edges: &[(usize, usize)]) -> Result<Vec<usize>, usize> {
        let mut graph = Graph::default();
        let nodes: Vec<Node> = (0..count).map(|n| graph.add(n)).collect();
        edges.iter().for_each(|(earlier, later)| graph.order(nodes[*earlier], nodes[*later]));
        graph.sorted()
    }

    #[test]
    fn an_order_that_is_right_already_stays() {
        assert_eq!(sorted(4, &[(0, 3), (1, 2)]), Ok(vec![0, 1, 2, 3]));
    }

    #[test]
    fn only_what_has_to_move_moves() {
        assert_eq!(sorted(4, &[(3, 1)]), Ok(vec![0, 2, 3, 1]));
    }

    #[test]
    fn a_circle_is_named() {
        assert_eq!(sorted(4, &[(1, 2), (2, 1)]), Err(1));
        assert_eq!(sorted(1, &[(0, 0)]), Err(0));
    }

    proptest! {
        #[test]
        fn everything_comes_after_what_it_waits_for(edges in prop::collection::vec((0usize..12, 0usize..12), 0..30)) {
            // Edges follow a hidden order, so the graph is acyclic.
            let hidden = |node: usize| (node * 7 + 3) % 12;
            let edges: Vec<(usize, usize)> = edges.into_iter().filter(|(a, b)| hidden(*a) < hidden(*b)).collect();
            let order = sorted(12, &edges).unwrap();
            let place = |node: usize| order.iter().position(|n| *n == node).unwrap();
            prop_assert!(edges.iter().all(|(a, b)| place(*a) < place(*b)));
        }
    }
}
