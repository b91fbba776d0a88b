//! Reading a queue's messages from its logs.

use super::{Queue, message::loaded};
use crate::Error;
use std::{sync::Arc, time::Duration};
use tramline_log::{Partition, Reading};
use tramline_queue::{Engine, Load, Loaded, Place};
use tramline_record::Batch;
use tramline_store::Batches;
use tramline_types::{Message, Offset, Timestamp, limits};

/// Read at once, for messages that come next.
const FRESH_BYTES: usize = 1024 * 1024;
/// Read at once, for a message that returned and its neighbours.
const AGAIN_BYTES: usize = 128 * 1024;
/// What the messages of one read may take: producers may compress much into little.
const OPENED_BYTES: usize = 8 * 1024 * 1024;
/// A damaged range of so many offsets is none of messages that may be repaired.
const LOST_MIN: u64 = 1 << 24;
/// Until a read that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// A message with its place.
pub(super) type LoadedAt = (Place, Loaded);

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
        let bytes_max = match load.again {
            true => AGAIN_BYTES,
            // Batches of producers may be compressed.
            false if self.is_subscription() => FRESH_BYTES / 4,
            false => FRESH_BYTES,
        };
        let from = i64::try_from(load.from).unwrap_or(i64::MAX);
        match partition.read(from, bytes_max) {
            Reading::Ready(read) => self.take_in(load, &partition, read.map_err(Error::from)),
            Reading::Pending(read) => {
                let queue = Arc::clone(self);
                self.context.runtime.spawn(async move {
                    let read = read.await.map_err(Error::from);
                    if let Progress::Done = queue.take_in(load, &partition, read) {
                        queue.wake(u64::MAX);
                        queue.handle_timer();
                    }
                });
                Progress::Pending
            }
        }
    }

    /// Loads what comes next while there is something to deliver still. The caller has set
    /// `loading`.
    pub(super) fn load_ahead(self: &Arc<Self>, load: Load) {
        let queue = Arc::clone(self);
        self.context.runtime.spawn(async move {
            if let Progress::Done = queue.load(load) {
                queue.wake(u64::MAX);
                queue.handle_timer();
            }
        });
    }

    fn take_in(
        self: &Arc<Self>,
        load: Load,
        partition: &Partition,
        read: Result<Batches, Error>,
    ) -> Progress {
        // Opening them takes a while: not under the lock.
        let read = read.map(|batches| open(&batches, load.from));
        let mut state = self.state.lock();
        let Some(engine) = state.engine.as_mut().filter(|_| !self.is_gone()) else {
            return Progress::Done;
        };
        let (records, next) = match read {
            Ok(Opened { records, next, unopened }) => {
                if let Some((offset, error)) = unopened {
                    tracing::error!(queue = %self.name, offset, error, "a batch is passed over");
                }
                (records, next)
            }
            Err(Error::OffsetOutOfRange { .. }) => (Vec::new(), partition.log_start().get()),
            Err(Error::DataDamaged(detail)) => match self.lost_to(partition, load) {
                Some(to) => {
                    let (from, detail) = (load.from, detail.as_str());
                    tracing::error!(queue = %self.name, from, to, detail, "lost: passed over");
                    (Vec::new(), to)
                }
                None => {
                    let place = Place { lane: load.lane, offset: load.from };
                    self.handle_damage(engine, place, &detail);
                    (Vec::new(), load.from + 1)
                }
            },
            Err(error) => {
                // It may be readable the next time: nothing is given up.
                if !std::mem::replace(&mut state.failing, true) {
                    tracing::error!(queue = %self.name, offset = load.from, %error, "unreadable");
                }
                drop(state);
                self.load_later();
                return Progress::Pending;
            }
        };
        let mut next = next.max(load.from);
        if load.again && next == load.from {
            // It was delivered, so it was below the end: the log has lost it.
            let place = Place { lane: load.lane, offset: load.from };
            self.handle_damage(engine, place, "the log ends before it");
            next += 1;
        }
        engine.handle_loaded(load, records, next);
        state.loading = false;
        state.failing = false;
        Progress::Done
    }

    /// Where a range ends that is too long to be messages: where commits are missing, the store
    /// leaves out more offsets than they can have had.
    fn lost_to(&self, partition: &Partition, load: Load) -> Option<u64> {
        let damage = self.context.store.damage().into_iter();
        let of_log = damage.filter(|damage| damage.log == Some(partition.log()) && !load.again);
        let ranges = of_log.filter_map(|damage| damage.offsets);
        let mut around = ranges.map(|(first, last)| (first.get(), last.get() + 1));
        let (_, to) = around.find(|(first, to)| (*first..*to).contains(&load.from))?;
        (to - load.from > LOST_MIN).then_some(to)
    }

    /// What is damaged must not stop what is not, and is kept: it may be repaired.
    pub(super) fn handle_damage(&self, engine: &mut Engine, place: Place, detail: &str) {
        if engine.counts().unreadable == 0 {
            tracing::error!(queue = %self.name, offset = place.offset, detail, "damaged: set aside");
        }
        engine.handle_unreadable(place);
    }

    fn load_later(self: &Arc<Self>) {
        let queue = Arc::clone(self);
        self.context.runtime.spawn(async move {
            let clock = &queue.context.clock;
            clock.sleep_until(Some(clock.monotonic().plus(RETRY))).await;
            queue.state.lock().loading = false;
            queue.wake(u64::MAX);
            queue.handle_timer();
        });
    }

    /// Reads the message at a place and some that follow it.
    pub(super) async fn read_from(&self, place: Place) -> Result<Vec<LoadedAt>, Error> {
        let partition = self.state.lock().partition(place.lane).cloned();
        let Some(partition) = partition else { return Ok(Vec::new()) };
        let from = i64::try_from(place.offset).unwrap_or(i64::MAX);
        let read = match partition.read(from, AGAIN_BYTES) {
            Reading::Ready(read) => read,
            Reading::Pending(read) => read.await,
        };
        let at = |offset| Place { lane: place.lane, offset };
        match read.map_err(Error::from) {
            Ok(batches) => {
                let records = open(&batches, place.offset).records;
                Ok(records.into_iter().map(|(offset, loaded)| (at(offset), loaded)).collect())
            }
            Err(Error::OffsetOutOfRange { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// What some batches hold.
#[derive(Default)]
struct Opened {
    records: Vec<(u64, Loaded)>,
    /// Everything below is in `records`, or is no message.
    next: u64,
    /// A batch that is passed over, and why.
    unopened: Option<(u64, String)>,
}

/// The records of some batches from an offset on, up to a bound of memory; one at least.
fn open(batches: &Batches, from: u64) -> Opened {
    let mut opened = Opened { next: batches.next.get(), ..Opened::default() };
    let mut room = OPENED_BYTES;
    for piece in &batches.pieces {
        let mut piece = piece.clone();
        while let Ok(Some(batch)) = Batch::decode_first_trusted(&mut piece) {
            let Some(base) = Offset::from_i64(batch.header().base_offset) else { continue };
            if batch.header().attributes.is_control() {
                continue;
            }
            // A producer may send what it likes inside a valid checksum: what cannot be opened
            // is no message.
            let found = match batch.open(limits::BATCH_BYTES_OPENED_MAX) {
                Ok(found) => found,
                Err(error) => {
                    opened.unopened = Some((base.get(), error.to_string()));
                    continue;
                }
            };
            for record in found.map_while(Result::ok) {
                let offset = base.get() + u64::try_from(record.offset_delta).unwrap_or(0);
                if offset < from {
                    continue;
                }
                if room == 0 {
                    opened.next = offset;
                    return opened;
                }
                let loaded = loaded(Arc::new(Message::from(record)), Timestamp::default());
                room = room.saturating_sub(loaded.memory());
                opened.records.push((offset, loaded));
            }
        }
    }
    opened
}
