//! The next offset of every partition that a tail follows, and its form as an event's id.

use crate::error::Error;
use std::{collections::BTreeMap, fmt::Write};

/// The next offset of each partition. As an id: `0:13,1:7`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Positions(BTreeMap<u32, i64>);

impl Positions {
    /// Reads an id that was given out before.
    pub(super) fn parse(id: &[u8]) -> Result<Self, Error> {
        let refuse = || {
            Error::malformed(
                "`Last-Event-ID` is not one of this topic's",
                "send back the id of the last event as it came, or leave it out",
            )
        };
        let text = std::str::from_utf8(id).map_err(|_| refuse())?;
        let mut positions = BTreeMap::new();
        for place in text.split(',').filter(|place| !place.is_empty()) {
            let (partition, offset) = place.split_once(':').ok_or_else(refuse)?;
            let partition = partition.parse().map_err(|_| refuse())?;
            let offset: i64 = offset.parse().map_err(|_| refuse())?;
            if offset < 0 || positions.len() >= super::PARTITIONS_MAX {
                return Err(refuse());
            }
            positions.insert(partition, offset);
        }
        Ok(Self(positions))
    }

    pub(super) fn id(&self) -> String {
        let mut id = String::new();
        for (partition, offset) in &self.0 {
            let comma = if id.is_empty() { "" } else { "," };
            write!(id, "{comma}{partition}:{offset}").expect("a string takes all");
        }
        id
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, partition: u32) -> bool {
        self.0.contains_key(&partition)
    }

    pub(super) fn set(&mut self, partition: u32, offset: i64) {
        self.0.insert(partition, offset);
    }

    /// Forgets every partition that is not wanted.
    pub(super) fn retain(&mut self, wanted: &[u32]) {
        self.0.retain(|partition, _| wanted.contains(partition));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, i64)> {
        self.0.iter().map(|(partition, offset)| (*partition, *offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_gives_its_positions_back() {
        let mut positions = Positions::default();
        for (partition, offset) in [(0, 13), (7, 0), (1, i64::MAX)] {
            positions.set(partition, offset);
        }
        assert_eq!(positions.id(), "0:13,1:9223372036854775807,7:0");
        assert_eq!(Positions::parse(positions.id().as_bytes()).unwrap(), positions);
        assert!(Positions::parse(b"").unwrap().is_empty());
    }

    #[test]
    fn foreign_ids_are_refused() {
        for id in ["x", "0", "0:", "0:-1", ":1", "0:1;1:2", "-1:0", "0:9223372036854775808"] {
            assert!(Positions::parse(id.as_bytes()).is_err(), "{id}");
        }
        assert!(Positions::parse(b"\xff").is_err());
    }
}
