//! What idempotent producers sent last to one partition (Kafka KIP-98): pure state.
//!
//! Invariant: per producer id, `batches` holds the last [`SEQUENCES_KEPT`] batches of the
//! current epoch in the order of their offsets, and their sequence ranges follow each other.
//!
//! Stored form, big-endian. A delta is one entry; a checkpoint is entries one after another,
//! those of one producer in the order of their offsets:
//! ```text
//! producer id i64 | epoch i16 | first sequence i32 | last sequence i32 | base offset i64 | time ms i64
//! ```

use crate::Error;
use std::collections::{HashMap, VecDeque};
use tramline_record::BatchHeader;
use tramline_types::{Offset, Timestamp, limits};

/// How many batches are recognised as duplicates: a client may have this many in flight.
pub const SEQUENCES_KEPT: usize = 5;
/// The length of one stored entry.
pub(crate) const ENTRY_BYTES: usize = 34;

/// A batch by an idempotent producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    pub(crate) first_sequence: i32,
    pub(crate) last_sequence: i32,
    pub(crate) base: Offset,
    pub(crate) at: Timestamp,
}

/// An idempotent producer, as tools see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerDescription {
    /// Its id.
    pub producer_id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// The sequence number of its last record, where one is remembered.
    pub last_sequence: Option<i32>,
    /// When it last sent.
    pub seen: Timestamp,
}

/// What a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not from an idempotent producer.
    Plain,
    /// The next one of its producer.
    Next,
    /// Known: it was given this base offset.
    Duplicate(Offset),
}

#[derive(Debug)]
struct Producer {
    epoch: i16,
    seen: Timestamp,
    batches: VecDeque<(i32, i32, Offset)>,
}

/// Every producer that is remembered.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    by_id: HashMap<i64, Producer>,
    /// What producers with ids below this sent last may have been lost to damage.
    doubted_below: i64,
    /// Of those the epoch in which they were told.
    told: HashMap<i64, i16>,
}

impl Producers {
    /// Judges a batch; changes nothing.
    pub(crate) fn check(&self, header: &BatchHeader) -> Result<Verdict, Error> {
        if header.producer_id < 0 {
            return Ok(Verdict::Plain);
        }
        if header.producer_epoch < 0 || header.base_sequence < 0 {
            return Err(Error::InvalidRecord("a producer id without an epoch or a sequence"));
        }
        // An id that is not known may start anywhere, as in Apache Kafka: its state expired.
        let Some(producer) = self.by_id.get(&header.producer_id) else {
            return Ok(Verdict::Next);
        };
        if header.producer_epoch < producer.epoch {
            return Err(Error::InvalidProducerEpoch {
                producer_id: header.producer_id,
                epoch: header.producer_epoch,
                current: producer.epoch,
            });
        }
        let expected = if header.producer_epoch > producer.epoch {
            0
        } else {
            let range = (header.base_sequence, last_sequence(header));
            let known = producer.batches.iter().find(|(first, last, _)| (*first, *last) == range);
            if let Some((_, _, base)) = known {
                return Ok(Verdict::Duplicate(*base));
            }
            producer.batches.back().map_or(header.base_sequence, |(_, last, _)| after(*last))
        };
        if header.base_sequence == expected {
            Ok(Verdict::Next)
        } else {
            Err(Error::OutOfOrderSequence {
                producer_id: header.producer_id,
                sequence: header.base_sequence,
                expected,
            })
        }
    }

    /// What producers with ids below this sent last may have been lost to damage: what looks like
    /// their next batch may be one that was stored.
    pub(crate) const fn doubt(&mut self, below: i64) {
        self.doubted_below = below;
    }

    /// Whether a batch that seems to be new may have been stored before. Its producer is told
    /// once, and begins a new epoch if it goes on.
    pub(crate) fn is_doubtful(&mut self, header: &BatchHeader) -> bool {
        if header.producer_id >= self.doubted_below {
            return false;
        }
        if let Some(told) = self.told.get(&header.producer_id) {
            return header.producer_epoch <= *told;
        }
        if self.told.len() < limits::PRODUCERS_PER_PARTITION_MAX {
            self.told.insert(header.producer_id, header.producer_epoch);
        }
        true
    }

    /// Remembers a batch.
    pub(crate) fn record(&mut self, entry: &Entry) {
        if self.by_id.len() >= limits::PRODUCERS_PER_PARTITION_MAX
            && !self.by_id.contains_key(&entry.producer_id)
        {
            self.forget_oldest();
        }
        let producer = self.by_id.entry(entry.producer_id).or_insert_with(|| Producer {
            epoch: entry.epoch,
            seen: entry.at,
            batches: VecDeque::with_capacity(SEQUENCES_KEPT),
        });
        if producer.epoch != entry.epoch {
            producer.epoch = entry.epoch;
            producer.batches.clear();
        }
        producer.seen = producer.seen.max(entry.at);
        if producer.batches.len() == SEQUENCES_KEPT {
            producer.batches.pop_front();
        }
        producer.batches.push_back((entry.first_sequence, entry.last_sequence, entry.base));
    }

    fn forget_oldest(&mut self) {
        let oldest = self.by_id.iter().min_by_key(|(_, producer)| producer.seen).map(|(id, _)| *id);
        if let Some(id) = oldest {
            self.by_id.remove(&id);
        }
    }

    /// Everyone, by id.
    pub(crate) fn describe(&self) -> Vec<ProducerDescription> {
        let describe = |(id, producer): (&i64, &Producer)| ProducerDescription {
            producer_id: *id,
            epoch: producer.epoch,
            last_sequence: producer.batches.back().map(|(_, last, _)| *last),
            seen: producer.seen,
        };
        let mut all: Vec<_> = self.by_id.iter().map(describe).collect();
        all.sort_unstable_by_key(|producer| producer.producer_id);
        all
    }

    /// How many are remembered.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether somebody has sent nothing since `before`.
    pub(crate) fn has_expired(&self, before: Timestamp) -> bool {
        self.by_id.values().any(|producer| producer.seen < before)
    }

    /// Drops who has sent nothing since `before`.
    pub(crate) fn expire(&mut self, before: Timestamp) {
        self.by_id.retain(|_, producer| producer.seen >= before);
    }

    /// How many bytes a checkpoint takes.
    pub(crate) fn checkpoint_bytes(&self) -> usize {
        self.by_id.values().map(|producer| producer.batches.len()).sum::<usize>() * ENTRY_BYTES
    }

    /// The whole state in its stored form.
    pub(crate) fn encode_checkpoint(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.checkpoint_bytes());
        for (id, producer) in &self.by_id {
            for (first_sequence, last_sequence, base) in &producer.batches {
                Entry {
                    producer_id: *id,
                    epoch: producer.epoch,
                    first_sequence: *first_sequence,
                    last_sequence: *last_sequence,
                    base: *base,
                    at: producer.seen,
                }
                .encode_into(&mut out);
            }
        }
        out
    }

    /// Replays stored entries, of a checkpoint or of deltas. A partial one is ignored: the store
    /// has checked the bytes, so there is none.
    pub(crate) fn replay(&mut self, stored: &[u8]) {
        for bytes in stored.chunks_exact(ENTRY_BYTES) {
            if let Some(entry) = Entry::decode(bytes) {
                self.record(&entry);
            }
        }
    }
}

impl Entry {
    /// A batch by an idempotent producer, at its place.
    pub(crate) const fn of(header: &BatchHeader, base: Offset, at: Timestamp) -> Self {
        Self {
            producer_id: header.producer_id,
            epoch: header.producer_epoch,
            first_sequence: header.base_sequence,
            last_sequence: last_sequence(header),
            base,
            at,
        }
    }

    pub(crate) fn encode_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.producer_id.to_be_bytes());
        out.extend_from_slice(&self.epoch.to_be_bytes());
        out.extend_from_slice(&self.first_sequence.to_be_bytes());
        out.extend_from_slice(&self.last_sequence.to_be_bytes());
        out.extend_from_slice(&self.base.as_i64().to_be_bytes());
        out.extend_from_slice(&self.at.as_millis().to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (producer_id, rest) = bytes.split_first_chunk()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        let (first_sequence, rest) = rest.split_first_chunk()?;
        let (last_sequence, rest) = rest.split_first_chunk()?;
        let (base, rest) = rest.split_first_chunk()?;
        let (at, _) = rest.split_first_chunk()?;
        Some(Self {
            producer_id: i64::from_be_bytes(*producer_id),
            epoch: i16::from_be_bytes(*epoch),
            first_sequence: i32::from_be_bytes(*first_sequence),
            last_sequence: i32::from_be_bytes(*last_sequence),
            base: Offset::from_i64(i64::from_be_bytes(*base))?,
            at: Timestamp::from_millis(i64::from_be_bytes(*at)),
        })
    }
}

/// Sequences wrap from `i32::MAX` to 0.
const fn last_sequence(header: &BatchHeader) -> i32 {
    header.base_sequence.wrapping_add(header.last_offset_delta) & i32::MAX
}

const fn after(sequence: i32) -> i32 {
    sequence.wrapping_add(1) & i32::MAX
}

#[cfg(test)]
mod tests;
