//! What the next append to a partition will be: pure state behind the partition's lock.
//!
//! Invariant: `next` is the offset after the last submitted batch; the durable end never
//! exceeds it, and what producers are remembered to have sent lies below it.

use crate::{
    Error, PartitionSettings, TimestampRule,
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
    pub(crate) fn checkpoint_due(&self) -> Option<usize> {
        let checkpoint_bytes = self.producers.checkpoint_bytes();
        (self.delta_bytes > DELTA_BYTES_MIN.max(2 * checkpoint_bytes)).then_some(checkpoint_bytes)
    }

    /// The state to store, once those who have sent nothing since `expired_before` are dropped.
    pub(crate) fn handle_checkpoint(&mut self, expired_before: Timestamp) -> Vec<u8> {
        self.producers.expire(expired_before);
        self.delta_bytes = 0;
        self.producers.encode_checkpoint()
    }
}

/// What a topic's settings forbid; looks at the header only.
pub(crate) fn check_batch(
    header: &BatchHeader,
    bytes: usize,
    settings: &PartitionSettings,
    now: Timestamp,
) -> Result<(), Error> {
    if bytes > settings.message_bytes_max {
        return Err(Error::MessageTooLarge { bytes, limit: settings.message_bytes_max });
    }
    if header.attributes.is_control() {
        return Err(Error::InvalidRecord("only the broker writes control batches"));
    }
    if header.attributes.is_transactional() {
        return Err(Error::InvalidRecord("a transactional batch outside a transaction"));
    }
    if let TimestampRule::Create { before_max_ms, after_max_ms } = settings.timestamps {
        let newest = header.newest_timestamp();
        let ahead = newest.saturating_sub(now.as_millis());
        let behind = now.as_millis().saturating_sub(header.base_timestamp);
        // -1 is "no timestamp", which Kafka lets through.
        if newest >= 0 && (ahead > after_max_ms || behind > before_max_ms) {
            return Err(Error::InvalidTimestamp { timestamp: newest });
        }
    }
    Ok(())
}
