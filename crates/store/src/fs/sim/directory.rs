//! One directory's entries: what is durable, what a reader sees, and the changes between.

use super::Random;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Change {
    Link(String, u64),
    Unlink(String),
    /// Atomic, as the journal makes it.
    Rename(String, String, u64),
}

impl Change {
    fn apply(&self, entries: &mut BTreeMap<String, u64>) {
        match self {
            Self::Link(name, inode) => {
                entries.insert(name.clone(), *inode);
            }
            Self::Unlink(name) => {
                entries.remove(name);
            }
            Self::Rename(from, to, inode) => {
                // The name may be another file's where an earlier change was lost.
                if entries.get(from) == Some(inode) {
                    entries.remove(from);
                }
                entries.insert(to.clone(), *inode);
            }
        }
    }

    fn links(&self, inode: u64) -> bool {
        match self {
            Self::Link(_, linked) | Self::Rename(_, _, linked) => *linked == inode,
            Self::Unlink(_) => false,
        }
    }
}

#[derive(Clone, Default)]
pub(super) struct Entries {
    durable: BTreeMap<String, u64>,
    entries: BTreeMap<String, u64>,
    pending: Vec<Change>,
}

impl Entries {
    pub(super) fn of(entries: BTreeMap<String, u64>) -> Self {
        Self { durable: entries.clone(), entries, pending: Vec::new() }
    }

    pub(super) fn get(&self, name: &str) -> Option<u64> {
        self.entries.get(name).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, u64)> {
        self.entries.iter().map(|(name, inode)| (name, *inode))
    }

    /// Whether a file may be reached by this directory, now or after a power cut.
    pub(super) fn may_link(&self, inode: u64) -> bool {
        self.entries.values().chain(self.durable.values()).any(|linked| *linked == inode)
            || self.pending.iter().any(|change| change.links(inode))
    }

    pub(super) fn link(&mut self, name: &str, inode: u64) {
        self.change(Change::Link(name.to_owned(), inode));
    }

    pub(super) fn unlink(&mut self, name: &str) {
        self.change(Change::Unlink(name.to_owned()));
    }

    pub(super) fn rename(&mut self, from: &str, to: &str, inode: u64) {
        self.change(Change::Rename(from.to_owned(), to.to_owned(), inode));
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.entries);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// What the sync would have written is in nobody's memory any more.
    pub(super) fn lose_pending(&mut self) {
        self.pending.clear();
    }

    /// The entries that a power cut leaves.
    pub(super) fn after_power_cut(&self, random: &mut Random) -> BTreeMap<String, u64> {
        let mut entries = self.durable.clone();
        let fate = random.below(4);
        for change in &self.pending {
            if fate == 1 || fate > 1 && random.one_in(2) {
                change.apply(&mut entries);
            }
        }
        entries
    }
}
