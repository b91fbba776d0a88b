//! What the next append to a partition will be: pure state behind the partition's lock.
//!
//! Invariant: `next` is the offset after the last submitted batch; the durable end never
//! exceeds it, and what producers are remembered to have sent lies below it.

use crate::{
    Error, PartitionSettings,
    producers::{ENTRY_BYTES, Entry, ProducerDescription, Producers, Verdict},
};
use tramline_record::BatchHeader;
use tramline_store::Target;
use tramline_types::{LogId, Offset, Timestamp};

/// Deltas may grow to this, or to twice the checkpoint, before the next checkpoint.
const DELTA_BYTES_MIN: usize = 4096;

/// The state that an append changes.
pub(crate) struct State {
    pub(crate) next: Offset,
    pub(crate) leader_epoch: i32,
    pub(crate) settings: PartitionSettings,
    pub(crate) deleted: bool,
    producers: Producers,
    delta_bytes: usize,
}

/// What to do with a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Append it at this offset, with this change to the producers' state.
    Append { base: Offset, delta: Option<Vec<u8>> },
    /// It is there already.
    Duplicate { base: Offset, next: Offset },
}

impl State {
    pub(crate) fn new(next: Offset, leader_epoch: i32, settings: PartitionSettings) -> Self {
        Self {
            next,
            leader_epoch,
            settings,
            deleted: false,
            producers: Producers::default(),
            delta_bytes: 0,
        }
    }

    pub(crate) fn replay(&mut self, checkpoint: Option<&[u8]>, deltas: &[impl AsRef<[u8]>]) {
        if let Some(checkpoint) = checkpoint {
            self.producers.replay(checkpoint);
        }
        for delta in deltas {
            self.producers.replay(delta.as_ref());
            self.delta_bytes += delta.as_ref().len();
        }
    }

    /// See [`Producers::doubt`].
    pub(crate) const fn doubt_producers(&mut self, below: i64) {
        self.producers.doubt(below);
    }

    /// Judges a batch and gives it its place.
    pub(crate) fn handle_append(
        &mut self,
        header: &BatchHeader,
        now: Timestamp,
    ) -> Result<Step, Error> {
        if self.deleted {
            return Err(Error::Deleted);
        }
        let offsets = u64::try_from(header.last_offset_delta)
            .map_err(|_| Error::InvalidRecord("a negative last offset delta"))?
            + 1;
        let delta = match self.producers.check(header)? {
            Verdict::Duplicate(base) => {
                return Ok(Step::Duplicate { base, next: base.plus(offsets) });
            }
            Verdict::Plain => None,
            Verdict::Next if self.producers.is_doubtful(header) => {
                return Err(Error::OutOfOrderSequence {
                    producer_id: header.producer_id,
                    sequence: header.base_sequence,
                    expected: 0,
                });
            }
            Verdict::Next => {
                let entry = Entry::of(header, self.next, now);
                self.producers.record(&entry);
                let mut delta = Vec::with_capacity(ENTRY_BYTES);
                entry.encode_into(&mut delta);
                self.delta_bytes += delta.len();
                Some(delta)
            }
        };
        let base = self.next;
        self.next = base.plus(offsets);
        Ok(Step::Append { base, delta })
    }

    /// Gives a batch that another partition has judged its place in this, the ordered log.
    pub(crate) fn handle_follow(&mut self, log: LogId, offsets: u32) -> (Target, Offset) {
        let target = Target { log, base: self.next, leader_epoch: self.leader_epoch };
        self.next = self.next.plus(u64::from(offsets));
        (target, self.next)
    }

    /// The producers that are remembered.
    pub(crate) fn describe_producers(&self) -> Vec<ProducerDescription> {
        self.producers.describe()
    }

    /// How many bytes a due checkpoint takes, if one is due.
    pub(crate) fn checkpoint_due(&self, expired_before: Option<Timestamp>) -> Option<usize> {
        let checkpoint_bytes = self.producers.checkpoint_bytes();
        let is_due = self.delta_bytes > DELTA_BYTES_MIN.max(2 * checkpoint_bytes)
            || expired_before.is_some_and(|before| self.producers.has_expired(before));
        is_due.then_some(checkpoint_bytes)
    }

    /// How many producers are remembered.
    pub(crate) fn producer_count(&self) -> usize {
        self.producers.len()
    }

    /// The state to store, once those who have sent nothing since `expired_before` are dropped.
    pub(crate) fn handle_checkpoint(&mut self, expired_before: Timestamp) -> Vec<u8> {
        self.producers.expire(expired_before);
        self.delta_bytes = 0;
        self.producers.encode_checkpoint()
    }
}
