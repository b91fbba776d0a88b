//! Reading a queue's messages from its logs.

use super::{Queue, message::loaded};
use crate::Error;
use std::sync::Arc;
use tramline_log::{Partition, Reading};
use tramline_queue::{Load, Loaded, Place};
use tramline_record::Batch;
use tramline_store::Batches;
use tramline_types::{Message, Offset, Timestamp, limits};

/// Read at once, for messages that come next.
const FRESH_BYTES: usize = 1024 * 1024;
/// Read at once, for a message that returned and its neighbours.
const AGAIN_BYTES: usize = 128 * 1024;

/// What became of a load.
pub(super) enum Progress {
    /// It is in.
    Done,
    /// It comes from the disk; the consumers are woken when it is in.
    Pending,
}

impl Queue {
    /// Loads what the engine asks for. At most one such load at a time: the caller has set
    /// `loading`.
    pub(super) fn load(self: &Arc<Self>, load: Load) -> Progress {
        let partition = self.state.lock().partition(load.lane).cloned();
        let Some(partition) = partition else {
            self.state.lock().loading = false;
            return Progress::Pending;
        };
        let bytes_max = if load.again { AGAIN_BYTES } else { FRESH_BYTES };
        let from = i64::try_from(load.from).unwrap_or(i64::MAX);
        match partition.read(from, bytes_max) {
            Reading::Ready(read) => {
                self.take_in(load, &partition, read.map_err(Error::from));
                Progress::Done
            }
            Reading::Pending(read) => {
                let queue = Arc::clone(self);
                self.context.runtime.spawn(async move {
                    let read = read.await.map_err(Error::from);
                    queue.take_in(load, &partition, read);
                    queue.wake(u64::MAX);
                    queue.handle_timer();
                });
                Progress::Pending
            }
        }
    }

    fn take_in(&self, load: Load, partition: &Partition, read: Result<Batches, Error>) {
        let (records, next) = match read {
            Ok(batches) => decode(&batches),
            Err(Error::OffsetOutOfRange { .. }) => (Vec::new(), partition.log_start().get()),
            Err(error) => {
                tracing::error!(queue = %self.name, offset = load.from, %error, "unreadable");
                // What cannot be read must not stop what can be.
                (Vec::new(), load.from + 1)
            }
        };
        let mut state = self.state.lock();
        state.loading = false;
        if let Some(engine) = &mut state.engine {
            engine.handle_loaded(load, records, next.max(load.from));
        }
    }

    /// Reads the message at a place and some that follow it.
    pub(super) async fn read_from(&self, place: Place) -> Result<Vec<(Place, Loaded)>, Error> {
        let partition = self.state.lock().partition(place.lane).cloned();
        let Some(partition) = partition else { return Ok(Vec::new()) };
        let from = i64::try_from(place.offset).unwrap_or(i64::MAX);
        let batches = match partition.read(from, AGAIN_BYTES) {
            Reading::Ready(read) => read?,
            Reading::Pending(read) => read.await?,
        };
        let at = |offset| Place { lane: place.lane, offset };
        let (records, _) = decode(&batches);
        Ok(records.into_iter().map(|(offset, loaded)| (at(offset), loaded)).collect())
    }
}

/// The records of some batches by offset, and the offset after the last batch.
fn decode(batches: &Batches) -> (Vec<(u64, Loaded)>, u64) {
    let mut records = Vec::new();
    for piece in &batches.pieces {
        let mut piece = piece.clone();
        while let Ok(Some(batch)) = Batch::decode_first_trusted(&mut piece) {
            let Some(base) = Offset::from_i64(batch.header().base_offset) else { continue };
            // A producer may send what it likes inside a valid checksum: what cannot be opened
            // is no message.
            let Ok(opened) = batch.open(limits::BATCH_BYTES_OPENED_MAX) else { continue };
            for record in opened.map_while(Result::ok) {
                let delta = u64::try_from(record.offset_delta).unwrap_or(0);
                let message = Arc::new(Message::from(record));
                let loaded = loaded(message, Timestamp::default());
                records.push((base.get() + delta, loaded));
            }
        }
    }
    (records, batches.next.get())
}
