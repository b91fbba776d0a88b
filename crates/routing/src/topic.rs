//! Topic exchanges: patterns of words separated by dots, where `*` is one word and `#` any
//! number of words, none included.
//!
//! A trie of words. Matching walks it with the set of nodes that the words so far can have led
//! to, each once, so its cost is bounded by words times nodes, whatever the patterns.

use crate::{Destination, destinations::Destinations};
use std::collections::{HashMap, HashSet};

/// The root's index.
const ROOT: usize = 0;

/// The patterns of one exchange.
#[derive(Clone, Debug)]
pub(crate) struct Patterns {
    nodes: Vec<Node>,
    /// Indices in `nodes` that are free to be used again.
    free: Vec<usize>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    words: HashMap<Box<[u8]>, usize>,
    /// After `*`.
    any: Option<usize>,
    /// After `#`: a node that words of any number lead to and stay at.
    many: Option<usize>,
    /// Whether this is a node after `#`.
    is_many: bool,
    destinations: Destinations,
}

impl Default for Patterns {
    fn default() -> Self {
        Self { nodes: vec![Node::default()], free: Vec::new() }
    }
}

impl Node {
    fn next(&self, word: &[u8]) -> Option<usize> {
        match word {
            b"*" => self.any,
            b"#" => self.many,
            word => self.words.get(word).copied(),
        }
    }

    fn is_unused(&self) -> bool {
        self.words.is_empty()
            && self.any.is_none()
            && self.many.is_none()
            && self.destinations.is_empty()
    }
}

/// The nodes that words can have led to.
#[derive(Default)]
struct Reached {
    nodes: Vec<usize>,
    /// Those after `#`, which alone can be reached twice: by staying, and from before them.
    many: HashSet<usize>,
}

impl Reached {
    fn clear(&mut self) {
        self.nodes.clear();
        self.many.clear();
    }
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    // The empty key has no words; `a..b` has an empty one in the middle.
    let none = text.is_empty();
    text.split(|byte| *byte == b'.').filter(move |_| !none)
}

impl Patterns {
    pub(crate) fn insert(&mut self, pattern: &[u8], destination: &Destination) {
        let mut at = ROOT;
        for word in words(pattern) {
            at = match self.nodes[at].next(word) {
                Some(next) => next,
                None => self.grow(at, word),
            };
        }
        self.nodes[at].destinations.add(destination);
    }

    fn grow(&mut self, from: usize, word: &[u8]) -> usize {
        let node = Node { is_many: word == b"#", ..Node::default() };
        let to = match self.free.pop() {
            Some(free) => {
                self.nodes[free] = node;
                free
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        };
        match word {
            b"*" => self.nodes[from].any = Some(to),
            b"#" => self.nodes[from].many = Some(to),
            word => {
                self.nodes[from].words.insert(word.into(), to);
            }
        }
        to
    }

    pub(crate) fn remove(&mut self, pattern: &[u8], destination: &Destination) {
        let mut path = vec![(ROOT, &b""[..])];
        let mut at = ROOT;
        for word in words(pattern) {
            let Some(next) = self.nodes[at].next(word) else { return };
            path.push((next, word));
            at = next;
        }
        self.nodes[at].destinations.remove(destination);
        while let (Some((node, word)), Some((parent, _))) = (path.pop(), path.last()) {
            if !self.nodes[node].is_unused() {
                return;
            }
            let parent = &mut self.nodes[*parent];
            match word {
                b"*" => parent.any = None,
                b"#" => parent.many = None,
                word => {
                    parent.words.remove(word);
                }
            }
            self.free.push(node);
        }
    }

    /// Adds the destinations of every pattern that matches; one may come more than once.
    pub(crate) fn matches(&self, key: &[u8], found: &mut Vec<Destination>) {
        let (mut active, mut next) = (Reached::default(), Reached::default());
        self.enter(ROOT, &mut active);
        for word in words(key) {
            next.clear();
            for at in &active.nodes {
                let node = &self.nodes[*at];
                if node.is_many {
                    self.enter(*at, &mut next);
                }
                if let Some(any) = node.any {
                    self.enter(any, &mut next);
                }
                if let Some(exact) = node.words.get(word) {
                    self.enter(*exact, &mut next);
                }
            }
            std::mem::swap(&mut active, &mut next);
        }
        for at in active.nodes {
            found.extend(self.nodes[at].destinations.iter().cloned());
        }
    }

    /// Adds a node, and the nodes that `#` leads to without a word.
    fn enter(&self, node: usize, reached: &mut Reached) {
        let mut at = Some(node);
        while let Some(index) = at {
            let node = &self.nodes[index];
            if node.is_many && !reached.many.insert(index) {
                return;
            }
            reached.nodes.push(index);
            at = node.many;
        }
    }
}

#[cfg(test)]
mod tests;
