//! What is made durable together.

use bytes::Bytes;
use smallvec::SmallVec;
use std::ops::Range;
use tramline_types::{LogId, Offset, Timestamp};

/// Called once, on the thread that commits, when the commit is durable and readable: must not
/// block and must not take long.
pub type Completion = Box<dyn FnOnce() + Send>;

/// One unit: applied wholly or not at all.
pub struct Commit {
    /// What to do, in order.
    pub ops: SmallVec<[Op; 1]>,
    /// Whom to tell.
    pub on_durable: Completion,
}

/// One change.
#[derive(Clone, Debug)]
pub enum Op {
    /// Makes a log, empty, starting at this offset. Its id has never been used.
    Create(LogId, Offset),
    /// Appends one record batch to one or more logs; its bytes are stored once.
    Append(Append),
    /// Adds a change to a log's state, opaque here. State does not need records.
    Delta(LogId, Bytes),
    /// Replaces a log's state: supersedes every earlier checkpoint and delta.
    Checkpoint(LogId, Bytes),
    /// Drops what lies below this offset; never moves backwards.
    Trim(LogId, Offset),
    /// Drops these offsets: they are never rewritten; reads may or may not still show them.
    Discard(LogId, Vec<Range<Offset>>),
    /// Puts these batches (offsets inside the range, gaps allowed) in place of all in the range.
    Replace(LogId, Range<Offset>, Vec<Append>),
    /// Deletes a log with all it has.
    Delete(LogId),
    /// Sets a key of the key-value space.
    Put(Bytes, Bytes),
    /// Removes a key.
    Remove(Bytes),
}

/// One record batch (Kafka format v2) and where it goes.
#[derive(Clone, Debug)]
pub struct Append {
    /// The logs that get it, each with its own offsets.
    pub targets: SmallVec<[Target; 1]>,
    /// The batch as the producer sent it. The base offset (bytes 0..8) and leader epoch
    /// (bytes 12..16) in it are ignored; readers see the target's.
    pub batch: Bytes,
    /// How many offsets it takes: `last_offset_delta + 1`.
    pub offsets: u32,
    /// The largest timestamp within.
    pub max_timestamp: Timestamp,
}

/// One log that gets a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The log.
    pub log: LogId,
    /// The first record's offset there: the log's next offset (a [`Op::Replace`] may skip).
    pub base: Offset,
    /// The epoch of the leader that assigned it.
    pub leader_epoch: i32,
}
