//! What a topic with `durability=memory` shows before it is durable.
//!
//! Invariant: the batches follow each other up to the partition's next offset, and everything
//! below the first one can be read from the store.

use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use tramline_store::{Batches, Target};
use tramline_types::Offset;

#[derive(Default)]
pub(super) struct Early {
    batches: VecDeque<EarlyBatch>,
}

struct EarlyBatch {
    target: Target,
    next: Offset,
    bytes: Bytes,
}

impl Early {
    /// Shows a batch that is submitted. Its bytes are those of the commit: nothing is copied.
    pub(super) fn push(&mut self, target: Target, next: Offset, bytes: Bytes) {
        self.batches.push_back(EarlyBatch { target, next, bytes });
    }

    /// Forgets what is durable: the store shows it.
    pub(super) fn forget(&mut self, durable_end: Offset) {
        while self.batches.pop_front_if(|batch| batch.next <= durable_end).is_some() {}
        if self.batches.is_empty() {
            self.batches = VecDeque::new();
        }
    }

    /// Batches from the one that holds `from`, at least one; `None` where that is durable.
    pub(super) fn read(&self, from: Offset, bytes_max: usize) -> Option<Batches> {
        self.batches.front().filter(|first| first.target.base <= from)?;
        let mut batches = Batches { pieces: Vec::new(), next: from };
        let mut bytes = 0_usize;
        let start = self.batches.partition_point(|batch| batch.next <= from);
        for batch in self.batches.range(start..) {
            bytes = bytes.saturating_add(batch.bytes.len());
            if bytes > bytes_max && !batches.pieces.is_empty() {
                break;
            }
            batches.pieces.push(batch.stamped());
            batches.next = batch.next;
        }
        Some(batches)
    }
}

impl EarlyBatch {
    /// A copy as readers see it: base offset and leader epoch are not the producer's.
    fn stamped(&self) -> Bytes {
        let mut copy = BytesMut::from(&self.bytes[..]);
        copy[0..8].copy_from_slice(&self.target.base.as_i64().to_be_bytes());
        copy[12..16].copy_from_slice(&self.target.leader_epoch.to_be_bytes());
        copy.freeze()
    }
}
