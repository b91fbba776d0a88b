//! Files of dead segments that are kept for a while to be written again: to write over what was
//! written before takes about half the time of writing to space that is only allocated.

use std::collections::VecDeque;

/// So many are kept,
pub(in super::super) const SPARES_MAX: usize = 4;
/// for so many looks of the upkeep thread, which looks once a second or more often, while none
/// is taken.
const LOOKS_MAX: u32 = 30;

/// A file that no log refers to and nobody reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spare {
    /// The segment that it was.
    pub(super) id: u64,
    /// How much of it was written.
    pub(super) bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Spares {
    files: VecDeque<Spare>,
    looks: u32,
}

impl Spares {
    /// Keeps one more; gives the one that has to go for it, if any has.
    pub(super) fn keep(&mut self, spare: Spare) -> Option<u64> {
        self.files.push_back(spare);
        if self.files.len() > SPARES_MAX {
            self.files.pop_front().map(|spare| spare.id)
        } else {
            None
        }
    }

    pub(super) fn take(&mut self) -> Option<Spare> {
        self.looks = 0;
        self.files.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Time has passed: gives those that nobody has needed for long, all of them where the disk
    /// has little left.
    pub(super) fn look(&mut self, is_roomy: bool) -> Vec<u64> {
        self.looks = if self.files.is_empty() { 0 } else { self.looks + 1 };
        if is_roomy && self.looks <= LOOKS_MAX {
            return Vec::new();
        }
        self.looks = 0;
        self.files.drain(..).map(|spare| spare.id).collect()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|spare| spare.bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spare(id: u64) -> Spare {
        Spare { id, bytes: 10 }
    }

    #[test]
    fn a_few_are_kept_and_go_when_nobody_takes_any_or_space_is_short() {
        let mut spares = Spares::default();
        let gone: Vec<_> = (0..6).filter_map(|id| spares.keep(spare(id))).collect();
        assert_eq!((gone, spares.bytes()), (vec![0, 1], 40));
        assert_eq!(spares.take(), Some(spare(2)));
        for _ in 0..LOOKS_MAX {
            assert_eq!(spares.look(true), [0; 0]);
        }
        assert_eq!(spares.take(), Some(spare(3)), "one was needed: the others stay");
        for _ in 0..LOOKS_MAX {
            assert_eq!(spares.look(true), [0; 0]);
        }
        assert_eq!(spares.look(true), [4, 5]);
        assert!(spares.is_empty());
        spares.keep(spare(7));
        assert_eq!(spares.look(false), [7]);
    }
}
