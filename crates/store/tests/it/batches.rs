//! Record batches whose every byte is known, and the operations that carry them.

use bytes::Bytes;
use tramline_store::{Append, Op, Target, fs::sim::Random};
use tramline_types::{LogId, Offset, Timestamp};

pub(crate) const HEADER: usize = 61;

pub(crate) fn at(offset: u64) -> Offset {
    Offset::new(offset).unwrap()
}

/// A valid batch of so many records with a payload that only this seed gives. Base offset and
/// leader epoch hold what no reader may ever see.
pub(crate) fn batch(seed: u64, offsets: u32, payload: usize, max_timestamp: i64) -> Bytes {
    let mut bytes = Vec::with_capacity(HEADER + payload);
    let length = i32::try_from(HEADER - 12 + payload).unwrap();
    bytes.extend(i64::MIN.to_be_bytes()); // base offset
    bytes.extend(length.to_be_bytes());
    bytes.extend((-77_i32).to_be_bytes()); // leader epoch
    bytes.push(2); // magic
    bytes.extend(0_u32.to_be_bytes()); // CRC32C, below
    bytes.extend(0_i16.to_be_bytes()); // attributes
    bytes.extend(i32::try_from(offsets - 1).unwrap().to_be_bytes());
    bytes.extend(max_timestamp.to_be_bytes()); // base timestamp
    bytes.extend(max_timestamp.to_be_bytes());
    bytes.extend((-1_i64).to_be_bytes()); // producer id
    bytes.extend((-1_i16).to_be_bytes()); // producer epoch
    bytes.extend((-1_i32).to_be_bytes()); // base sequence
    bytes.extend(i32::try_from(offsets).unwrap().to_be_bytes());
    let mut random = Random::new(seed);
    while bytes.len() < HEADER + payload {
        bytes.extend(random.next_u64().to_le_bytes());
    }
    bytes.truncate(HEADER + payload);
    let crc = tramline_record::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

/// The batch as a reader of this target sees it.
pub(crate) fn stamped(batch: &Bytes, target: Target) -> Vec<u8> {
    let mut bytes = batch.to_vec();
    bytes[..8].copy_from_slice(&target.base.as_i64().to_be_bytes());
    bytes[12..16].copy_from_slice(&target.leader_epoch.to_be_bytes());
    bytes
}

pub(crate) fn target(log: LogId, base: u64) -> Target {
    Target { log, base: at(base), leader_epoch: 3 }
}

/// How many records a stored batch says it has, and its base offset.
pub(crate) fn extent_of(batch: &[u8]) -> (u64, u64) {
    let base = i64::from_be_bytes(batch[..8].try_into().unwrap());
    let last = i32::from_be_bytes(batch[23..27].try_into().unwrap());
    (u64::try_from(base).unwrap(), u64::try_from(last).unwrap() + 1)
}

/// Splits a run of whole batches; what is left over would be a torn batch.
pub(crate) fn split(mut run: &[u8]) -> Vec<&[u8]> {
    let mut batches = Vec::new();
    while !run.is_empty() {
        let length = i32::from_be_bytes(run[8..12].try_into().unwrap());
        let (one, rest) = run.split_at(12 + usize::try_from(length).unwrap());
        batches.push(one);
        run = rest;
    }
    batches
}

pub(crate) fn append_to(targets: &[Target], batch: &Bytes, offsets: u32) -> Op {
    Op::Append(append(targets, batch, offsets))
}

pub(crate) fn append(targets: &[Target], batch: &Bytes, offsets: u32) -> Append {
    let max_timestamp = i64::from_be_bytes(batch[35..43].try_into().unwrap());
    Append {
        targets: targets.into(),
        batch: batch.clone(),
        offsets,
        max_timestamp: Timestamp::from_millis(max_timestamp),
    }
}
