//! What a receiver that comes back gets of what it missed.

use super::{
    Bus, State,
    publication::{ChannelPosition, Publication},
    retained::below,
    rules::Rules,
};
use std::sync::{Arc, atomic::Ordering};
use tramline_routing::ChannelPattern;
use tramline_types::limits::RECEIVER_BYTES_MAX;

/// What was missed.
pub(super) struct Missed {
    /// It is everything.
    pub(super) is_complete: bool,
    /// In order.
    pub(super) publications: Vec<Arc<Publication>>,
}

impl Bus {
    /// Everything behind `from` on the channels that are meant, as far as it is kept. Nothing is
    /// called complete that may not be.
    pub(super) fn missed(
        &self,
        state: &State,
        rules: &Rules,
        pattern: &ChannelPattern,
        from: ChannelPosition,
    ) -> Missed {
        if from.epoch != self.epoch || from.offset > state.offset {
            return Missed { is_complete: false, publications: Vec::new() };
        }
        let mut is_complete = true;
        let mut publications = Vec::new();
        let name = pattern.as_name();
        if name.as_ref().and_then(|name| state.histories.get(name)).is_none() {
            let lost = |rule: &&Arc<_>| Self::lost(rule) <= from.offset;
            is_complete = rules.reached_by(pattern).iter().all(lost);
        }
        for (_, history) in below(&state.histories, pattern) {
            let (found, complete) = history.after(from.offset);
            is_complete &= complete;
            publications.extend(found.cloned());
        }
        publications.sort_unstable_by_key(|publication| publication.position.offset);
        // What does not fit into a receiver's buffer is not given: the newest is.
        let mut bytes = 0_usize;
        let fits = publications.iter().rev().take_while(|publication| {
            bytes = bytes.saturating_add(publication.bytes());
            bytes <= RECEIVER_BYTES_MAX
        });
        let excess = publications.len() - fits.count();
        if excess > 0 {
            is_complete = false;
            publications.drain(..excess);
        }
        Missed { is_complete, publications }
    }

    fn lost(rule: &super::Rule) -> u64 {
        rule.lost.load(Ordering::Relaxed)
    }
}
