//! Which publishes are confirmed. Brokers confirm in any order: RabbitMQ tells single tags above
//! a gap, and then with one `multiple` everything up to a tag below them.

use super::amqp;
use anyhow::{Context, bail};
use std::collections::BTreeSet;

/// What was confirmed of the tags 1, 2, 3 and so on of one channel.
#[derive(Debug, Default)]
pub(super) struct Confirms {
    /// Every tag up to this one.
    below: u64,
    /// Tags above that.
    above: BTreeSet<u64>,
}

impl Confirms {
    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.below + u64::try_from(self.above.len()).unwrap_or(u64::MAX)
    }

    /// Every tag up to this one is confirmed.
    pub(super) const fn whole(&self) -> u64 {
        self.below
    }

    /// Takes in what has come to a client.
    pub(super) fn take(&mut self, client: &mut amqp::Client) -> anyhow::Result<()> {
        while let Some(frame) = client.next() {
            match frame.method {
                Some(amqp::PUBLISH_ACK) => self.handle(frame.payload)?,
                Some(amqp::PUBLISH_NACK) => bail!("the broker refused a message"),
                Some((20, 40) | (10, 50)) => bail!("{}", String::from_utf8_lossy(frame.payload)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The arguments of a `basic.ack`.
    fn handle(&mut self, arguments: &[u8]) -> anyhow::Result<()> {
        let (tag, multiple) = arguments.split_first_chunk::<8>().context("a short basic.ack")?;
        let tag = u64::from_be_bytes(*tag);
        if multiple.first() == Some(&1) {
            self.below = self.below.max(tag);
        } else if tag == self.below + 1 {
            self.below = tag;
        } else if tag > self.below {
            self.above.insert(tag);
        }
        while let Some(first) = self.above.first().copied().filter(|tag| *tag <= self.below + 1) {
            self.above.remove(&first);
            self.below = self.below.max(first);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tag_counts_once_in_whatever_order_it_is_confirmed() {
        let mut confirms = Confirms::default();
        for (tag, multiple, count, whole) in [
            (1_u64, 0, 1, 1),
            (3, 0, 2, 1),
            (5, 0, 3, 1),
            (2, 1, 4, 3),
            (2, 1, 4, 3),
            (3, 0, 4, 3),
            (8, 1, 8, 8),
            (10, 0, 9, 8),
            (9, 0, 10, 10),
        ] {
            let arguments = [&tag.to_be_bytes()[..], &[multiple]].concat();
            confirms.handle(&arguments).unwrap();
            assert_eq!((confirms.count(), confirms.whole()), (count, whole), "after {tag}");
        }
        assert!(confirms.handle(&[1, 2]).is_err());
    }
}
