//! The last publications of one channel, for receivers that come back. Pure.
//!
//! Invariant: every publication of the channel after `lost` is in `entries`, in order.

use super::publication::Publication;
use std::{collections::VecDeque, sync::Arc};
use tramline_types::{Monotonic, limits::HISTORY_CHANNEL_BYTES_MAX};

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) size: usize,
    /// What was published before this goes.
    pub(super) since: Option<Monotonic>,
}

#[derive(Debug)]
pub(super) struct History {
    entries: VecDeque<(Monotonic, Arc<Publication>)>,
    bytes: usize,
    lost: u64,
}

impl History {
    /// Begins behind this place.
    pub(super) const fn new(lost: u64) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, lost }
    }

    /// What it takes in memory.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The last publication that is not in it any more.
    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }

    pub(super) fn add(&mut self, publication: Arc<Publication>, now: Monotonic, extent: Extent) {
        self.bytes += publication.bytes();
        self.entries.push_back((now, publication));
        self.trim(extent);
    }

    /// Drops what is too much or too old.
    pub(super) fn trim(&mut self, extent: Extent) {
        while let Some((at, _)) = self.entries.front() {
            let is_old = extent.since.is_some_and(|since| *at < since);
            let is_much =
                self.entries.len() > extent.size || self.bytes > HISTORY_CHANNEL_BYTES_MAX;
            if !is_old && !is_much {
                break;
            }
            self.drop_first();
        }
    }

    /// Drops the oldest one.
    pub(super) fn drop_first(&mut self) {
        if let Some((_, gone)) = self.entries.pop_front() {
            self.bytes -= gone.bytes();
            self.lost = gone.position.offset;
        }
    }

    /// Everything behind a place, in order, and whether nothing is missing.
    pub(super) fn after(&self, offset: u64) -> (impl Iterator<Item = &Arc<Publication>>, bool) {
        let from = self.entries.partition_point(|(_, p)| p.position.offset <= offset);
        (self.entries.range(from..).map(|(_, publication)| publication), self.lost <= offset)
    }

    /// The last `count`, in order.
    pub(super) fn last(&self, count: usize) -> impl Iterator<Item = &Arc<Publication>> {
        let from = self.entries.len().saturating_sub(count);
        self.entries.range(from..).map(|(_, publication)| publication)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::publication::ChannelPosition;
    use bytes::Bytes;
    use std::time::Duration;
    use tramline_catalog::Content;
    use tramline_types::{ChannelName, Timestamp};

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_origin(Duration::from_secs(seconds))
    }

    fn publication(offset: u64, bytes: usize) -> Arc<Publication> {
        Arc::new(Publication {
            channel: ChannelName::parse("c").unwrap(),
            position: ChannelPosition { epoch: 1, offset },
            key: None,
            content: Content::Text,
            data: Bytes::from(vec![b'x'; bytes]),
            at: Timestamp::from_millis(0),
            forms: Default::default(),
        })
    }

    fn after(history: &History, offset: u64) -> (Vec<u64>, bool) {
        let (found, complete) = history.after(offset);
        (found.map(|publication| publication.position.offset).collect(), complete)
    }

    #[test]
    fn it_says_what_is_there_and_whether_something_is_missing() {
        let mut history = History::new(10);
        let extent = Extent { size: 3, since: None };
        for offset in [12, 15, 17, 20] {
            history.add(publication(offset, 1), at(offset), extent);
        }
        assert_eq!(after(&history, 20), (vec![], true));
        assert_eq!(after(&history, 15), (vec![17, 20], true));
        assert_eq!(after(&history, 13), (vec![15, 17, 20], true));
        assert_eq!(after(&history, 12), (vec![15, 17, 20], true));
        assert_eq!(after(&history, 11), (vec![15, 17, 20], false), "12 is gone");
        let last: Vec<u64> = history.last(2).map(|p| p.position.offset).collect();
        assert_eq!(last, [17, 20]);

        history.trim(Extent { size: 3, since: Some(at(17)) });
        assert_eq!(after(&history, 15), (vec![17, 20], true));
        assert_eq!(after(&history, 14), (vec![17, 20], false));
        history.trim(Extent { size: 0, since: None });
        assert_eq!((history.len(), history.bytes(), history.lost()), (0, 0, 20));
    }

    #[test]
    fn it_is_bounded_in_bytes() {
        let mut history = History::new(0);
        let extent = Extent { size: 100, since: None };
        for offset in 1..=5 {
            history.add(publication(offset, HISTORY_CHANNEL_BYTES_MAX / 5), at(0), extent);
        }
        assert_eq!(after(&history, 0), (vec![4, 5], false));
        assert!(history.bytes() <= HISTORY_CHANNEL_BYTES_MAX);
    }
}
