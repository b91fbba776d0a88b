//! The node ids that clients see. There is one, unless `kafka.virtual_brokers` makes one process
//! look like a cluster, for tests of clients: each id then has a port of its own, leads its part
//! of the partitions, and coordinates its part of the groups.
//!
//! Invariant: who leads and who coordinates depends on the name alone, so that every node says
//! the same, also after a restart.

use tramline_types::TopicId;

/// Every node, by id from 0 (or one with any id), with its port.
#[derive(Clone, Debug)]
pub(crate) struct Nodes {
    first: i32,
    ports: Vec<u16>,
}

impl Nodes {
    /// Consecutive ids from `first` on.
    pub(crate) const fn new(first: i32, ports: Vec<u16>) -> Self {
        Self { first, ports }
    }

    /// Every id with its port.
    pub(crate) fn all(&self) -> impl Iterator<Item = (i32, u16)> {
        (self.first..).zip(self.ports.iter().copied())
    }

    /// The id of the node at this place.
    pub(crate) fn id(&self, place: usize) -> i32 {
        self.first.saturating_add(i32::try_from(place).unwrap_or(i32::MAX))
    }

    /// Who leads a partition.
    pub(crate) fn leader(&self, topic: TopicId, partition: u32) -> i32 {
        self.pick(&topic.0, partition)
    }

    /// Who coordinates a group.
    pub(crate) fn coordinator(&self, group: &str) -> i32 {
        self.pick(group.as_bytes(), 0)
    }

    fn pick(&self, name: &[u8], step: u32) -> i32 {
        if self.ports.len() <= 1 {
            return self.first;
        }
        let spread = u64::from(tramline_record::crc32c(name)) + u64::from(step);
        let count = u64::try_from(self.ports.len()).expect("a length fits 64 bits");
        let place = usize::try_from(spread % count).expect("it is below a length");
        self.id(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_of_a_topic_go_round_the_nodes() {
        let nodes = Nodes::new(0, vec![1, 2, 3]);
        let leaders: Vec<_> = (0..6).map(|n| nodes.leader(TopicId([7; 16]), n)).collect();
        assert_eq!(leaders[..3], leaders[3..]);
        let mut sorted = leaders[..3].to_vec();
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2]);
        let groups: std::collections::BTreeSet<_> =
            (0..50).map(|n| nodes.coordinator(&format!("g{n}"))).collect();
        assert_eq!(groups.len(), 3);
    }

    #[test]
    fn one_node_leads_everything() {
        let nodes = Nodes::new(5, vec![9092]);
        assert_eq!((nodes.leader(TopicId([7; 16]), 3), nodes.coordinator("g")), (5, 5));
    }
}
