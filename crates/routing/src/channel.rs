//! Patterns of channels, and the trie that finds who listens to a channel.
//!
//! A pattern is a channel's name in which a level may be `*`, any one level, and the last one may
//! be `**`, any number of levels, none included: `orders/**` is `orders` and everything below it.
//! A wildcard in the first place does not reach the broker's own channels, which begin with `$`.
//!
//! Invariant of the trie: a node that is not the root has listeners or children; a listener
//! stands in the list of a node once, and the lists are sorted.

use std::{collections::HashMap, fmt, sync::Arc};
use tramline_types::{ChannelName, NameError, check_channel};

const ONE: &str = "*";
const REST: &str = "**";

/// Which channels are meant. A name is a pattern of that channel alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelPattern(Arc<str>);

impl ChannelPattern {
    /// Parses a name, or one with `*` and `**` in the place of whole levels.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check_channel(text)?;
        let mut levels = text.split('/').peekable();
        while let Some(level) = levels.next() {
            let fits = match level {
                ONE => true,
                REST => levels.peek().is_none(),
                level => !level.contains('*'),
            };
            if !fits {
                return Err(NameError::ChannelPattern(text.to_owned()));
            }
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The one channel that is meant, where there are no wildcards.
    pub fn as_name(&self) -> Option<ChannelName> {
        ChannelName::parse(&self.0).ok()
    }

    /// Whether a channel is meant.
    pub fn matches(&self, name: &ChannelName) -> bool {
        let mut levels = name.as_str().split('/');
        let mut is_first = true;
        for wanted in self.0.split('/') {
            if is_first && name.is_reserved() && matches!(wanted, ONE | REST) {
                return false;
            }
            is_first = false;
            if wanted == REST {
                return true;
            }
            match levels.next() {
                Some(level) if wanted == ONE || wanted == level => {}
                _ => return false,
            }
        }
        levels.next().is_none()
    }

    /// What every name begins with that is meant; ends with whole levels.
    pub fn literal_prefix(&self) -> &str {
        match self.0.find('*') {
            // `a/**` means `a` as well.
            Some(at) => self.0[..at].strip_suffix('/').unwrap_or_default(),
            None => &self.0,
        }
    }

    /// Whether some channel at or below `prefix` is meant; the empty one is above all.
    pub fn reaches(&self, prefix: &str) -> bool {
        if prefix.is_empty() {
            return true;
        }
        let mut levels = self.0.split('/');
        for level in prefix.split('/') {
            match levels.next() {
                Some(REST) => return true,
                Some(wanted) if wanted == ONE || wanted == level => {}
                _ => return false,
            }
        }
        true
    }
}

impl From<&ChannelName> for ChannelPattern {
    fn from(name: &ChannelName) -> Self {
        Self(name.as_str().into())
    }
}

impl fmt::Display for ChannelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who listens, found by channel. Listeners are numbers.
#[derive(Clone, Debug, Default)]
pub struct ChannelTrie {
    root: Node,
}

#[derive(Clone, Debug, Default)]
struct Node {
    levels: HashMap<Box<str>, Self>,
    /// After `*`.
    one: Option<Box<Self>>,
    here: Vec<u32>,
    /// Of `**` behind this node.
    rest: Vec<u32>,
}

impl Node {
    fn is_unused(&self) -> bool {
        self.here.is_empty() && self.rest.is_empty() && self.one.is_none() && self.levels.is_empty()
    }

    /// Takes a listener out below this node; whether it was there.
    fn remove(&mut self, path: &str, listener: u32) -> bool {
        if path == REST {
            return remove(&mut self.rest, listener);
        }
        let (level, path) = match path.split_once('/') {
            Some((level, path)) => (level, Some(path)),
            None => (path, None),
        };
        let next = match level {
            ONE => self.one.as_deref_mut(),
            level => self.levels.get_mut(level),
        };
        let Some(next) = next else { return false };
        let removed = match path {
            Some(path) => next.remove(path, listener),
            None => remove(&mut next.here, listener),
        };
        if next.is_unused() {
            match level {
                ONE => self.one = None,
                level => drop(self.levels.remove(level)),
            }
        }
        removed
    }

    fn visit(&self, path: Option<&str>, is_first: bool, found: &mut dyn FnMut(u32)) {
        let Some(path) = path else {
            self.here.iter().chain(&self.rest).for_each(|listener| found(*listener));
            return;
        };
        let (level, behind) = match path.split_once('/') {
            Some((level, behind)) => (level, Some(behind)),
            None => (path, None),
        };
        if !(is_first && level.starts_with('$')) {
            self.rest.iter().for_each(|listener| found(*listener));
            if let Some(one) = &self.one {
                one.visit(behind, false, found);
            }
        }
        if let Some(next) = self.levels.get(level) {
            next.visit(behind, false, found);
        }
    }
}

fn insert(listeners: &mut Vec<u32>, listener: u32) -> bool {
    match listeners.binary_search(&listener) {
        Ok(_) => false,
        Err(at) => {
            listeners.insert(at, listener);
            true
        }
    }
}

fn remove(listeners: &mut Vec<u32>, listener: u32) -> bool {
    let found = listeners.binary_search(&listener);
    found.map(|at| listeners.remove(at)).is_ok()
}

impl ChannelTrie {
    /// Adds a listener; false when it listens by this pattern already.
    pub fn insert(&mut self, pattern: &ChannelPattern, listener: u32) -> bool {
        let mut at = &mut self.root;
        for level in pattern.0.split('/') {
            at = match level {
                REST => return insert(&mut at.rest, listener),
                ONE => at.one.get_or_insert_default(),
                level => at.levels.entry(level.into()).or_default(),
            };
        }
        insert(&mut at.here, listener)
    }

    /// Takes a listener out; false when it did not listen by this pattern.
    pub fn remove(&mut self, pattern: &ChannelPattern, listener: u32) -> bool {
        self.root.remove(&pattern.0, listener)
    }

    /// Calls `found` with everyone who listens to a channel; with those who do so by several
    /// patterns, several times.
    pub fn matches(&self, name: &ChannelName, found: &mut dyn FnMut(u32)) {
        self.root.visit(Some(name.as_str()), true, found);
    }

    /// Who listens to a channel by its very name.
    pub fn named(&self, name: &ChannelName) -> &[u32] {
        let mut at = &self.root;
        for level in name.as_str().split('/') {
            match at.levels.get(level) {
                Some(next) => at = next,
                None => return &[],
            }
        }
        &at.here
    }

    /// Whether nobody listens.
    pub fn is_empty(&self) -> bool {
        self.root.is_unused()
    }
}

#[cfg(test)]
mod tests;
