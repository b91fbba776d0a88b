//! Fetching with long poll, and look-ups of offsets.

use crate::{Broker, Error, Share, Topic};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;
use tramline_log::{Partition, Reading, Watcher};
use tramline_types::{Offset, Timestamp, limits::CONNECTION_BYTES_FREE};

/// A fetch from several partitions.
pub struct FetchRequest {
    /// What to read, in the order of preference.
    pub items: Vec<FetchItem>,
    /// Wait for this many bytes.
    pub bytes_min: usize,
    /// Stop reading at this many; a first batch is returned even if it is larger.
    pub bytes_max: usize,
    /// Wait no longer than this.
    pub wait_max: Duration,
}

/// A place to read from.
pub struct FetchItem {
    /// The topic.
    pub topic: Arc<Topic>,
    /// The partition.
    pub partition: u32,
    /// The first offset wanted.
    pub offset: i64,
    /// Bytes wanted from this partition.
    pub bytes_max: usize,
}

/// What a partition has.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The durable end.
    pub high_watermark: Offset,
    /// The end of what a transactional reader may see.
    pub last_stable: Offset,
    /// The first offset there is.
    pub log_start: Offset,
    /// Whole batches, the first holding the wanted offset.
    pub pieces: Vec<Bytes>,
}

/// What to look an offset up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// The first offset.
    Earliest,
    /// The durable end.
    Latest,
    /// The record with the largest time.
    MaxTimestamp,
    /// The first offset on this node's own disk.
    EarliestLocal,
    /// The last offset moved to tiered storage: none is.
    LatestTiered,
    /// The first offset not yet moved to tiered storage.
    EarliestPendingUpload,
    /// The first record at or after a time.
    At(Timestamp),
}

/// An offset that was looked up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The offset; `None` when there is no such record.
    pub offset: Option<Offset>,
    /// The record's time, where the look-up went by time.
    pub timestamp: Option<Timestamp>,
    /// The epoch of the leader that wrote it.
    pub leader_epoch: Option<i32>,
}

/// One waiting fetch.
#[derive(Default)]
struct Waiting(Notify);

impl Watcher for Waiting {
    fn moved(&self) {
        self.0.notify_one();
    }
}

/// What one round of reading gave.
struct Read {
    results: Vec<Result<Fetched, Error>>,
    bytes: usize,
    /// There was no room for all that is wanted.
    is_cut: bool,
}

/// The room for one answer.
enum Room {
    /// So little is wanted that nobody counts it.
    Free,
    /// A share of the budget.
    Share(Share),
    /// Other answers take all there is.
    None,
}

impl Broker {
    /// Reads from several partitions; waits for `bytes_min`, at most `wait_max`. Answers at once
    /// when a partition has an error to report.
    pub async fn fetch(&self, request: FetchRequest) -> Vec<Result<Fetched, Error>> {
        let partitions: Vec<Result<Arc<Partition>, Error>> =
            request.items.iter().map(|item| item.topic.partition(item.partition)).collect();
        let deadline = self.clock().monotonic().plus(request.wait_max);
        let waiting = Arc::new(Waiting::default());
        loop {
            let Read { results, bytes, is_cut } = self.read_all(&request, &partitions).await;
            let done = bytes >= request.bytes_min || request.items.is_empty();
            if done || is_cut && bytes > 0 || results.iter().any(Result::is_err) {
                self.metrics().fetched(bytes);
                return results;
            }
            if !watch_all(&partitions, &waiting, &results) {
                continue;
            }
            // What was read is less than is wanted, and is read again: no need to hold it.
            drop(results);
            let timed_out = tokio::select! {
                () = waiting.0.notified() => false,
                () = self.clock().sleep_until(Some(deadline)) => true,
                () = self.closed() => true,
            };
            if timed_out {
                let Read { results, bytes, .. } = self.read_all(&request, &partitions).await;
                self.metrics().fetched(bytes);
                return results;
            }
        }
    }

    async fn read_all(
        &self,
        request: &FetchRequest,
        partitions: &[Result<Arc<Partition>, Error>],
    ) -> Read {
        let mut results = Vec::with_capacity(partitions.len());
        let mut total = 0;
        let granted = self.room_for(request, partitions);
        let is_cut = matches!(granted, Room::None);
        let bytes_max = if is_cut { CONNECTION_BYTES_FREE } else { request.bytes_max };
        for (item, partition) in request.items.iter().zip(partitions) {
            let room = bytes_max.saturating_sub(total).min(item.bytes_max);
            let read = match partition {
                Err(error) => Err(error.clone()),
                // The first batch comes whatever its size, or a consumer could never pass it;
                // after that, nothing beyond the limit.
                Ok(partition) if room > 0 || total == 0 => {
                    read_one(partition, item.offset, room).await
                }
                Ok(partition) => check_one(partition, item.offset),
            };
            if let Ok(fetched) = &read {
                total += fetched.pieces.iter().map(Bytes::len).sum::<usize>();
            }
            results.push(read);
        }
        if total > CONNECTION_BYTES_FREE {
            let share = match granted {
                Room::Share(share) => share,
                Room::Free | Room::None => self.budgets().answers.share(),
            };
            hold(share, total, &mut results);
        }
        Read { results, bytes: total, is_cut }
    }

    /// The room that an answer may take. While other answers take all there is, it stays small:
    /// every reader goes on, with little at a time.
    fn room_for(
        &self,
        request: &FetchRequest,
        partitions: &[Result<Arc<Partition>, Error>],
    ) -> Room {
        let expected = request.items.iter().zip(partitions).map(|(item, partition)| {
            let behind = partition
                .as_ref()
                .is_ok_and(|partition| item.offset < partition.high_watermark().as_i64());
            if behind { item.bytes_max } else { 0 }
        });
        let expected = expected.fold(0, usize::saturating_add).min(request.bytes_max);
        if expected <= CONNECTION_BYTES_FREE {
            return Room::Free;
        }
        let mut share = self.budgets().answers.share();
        if share.try_grow(expected) { Room::Share(share) } else { Room::None }
    }

    /// Looks an offset up.
    pub async fn offset_for(
        &self,
        topic: &Topic,
        partition: u32,
        position: Position,
    ) -> Result<Found, Error> {
        let partition = topic.partition(partition)?;
        let leader_epoch = Some(partition.leader_epoch());
        let plain = |offset| Found { offset: Some(offset), timestamp: None, leader_epoch };
        let found = match position {
            Position::Earliest | Position::EarliestLocal | Position::EarliestPendingUpload => {
                return Ok(plain(partition.log_start()));
            }
            Position::Latest => return Ok(plain(partition.high_watermark())),
            Position::LatestTiered => return Ok(Found { leader_epoch, ..Found::default() }),
            Position::MaxTimestamp => partition.max_timestamp().await?,
            Position::At(time) => partition.at_timestamp(time).await?,
        };
        Ok(found.map_or(Found { leader_epoch, ..Found::default() }, |found| Found {
            offset: Some(found.offset),
            timestamp: Some(found.timestamp),
            leader_epoch,
        }))
    }
}

/// Keeps the share until the last of the bytes are let go: answers are sent in order.
fn hold(mut share: Share, bytes: usize, results: &mut [Result<Fetched, Error>]) {
    share.charge(bytes);
    let pieces = results.iter_mut().filter_map(|result| result.as_mut().ok());
    if let Some(last) = pieces.rev().find_map(|fetched| fetched.pieces.last_mut()) {
        *last = share.hold(std::mem::take(last));
    }
}

/// Registers with every partition that was read to its end. `false` when one has moved since.
fn watch_all(
    partitions: &[Result<Arc<Partition>, Error>],
    waiting: &Arc<Waiting>,
    results: &[Result<Fetched, Error>],
) -> bool {
    let watcher: Arc<dyn Watcher> = Arc::<Waiting>::clone(waiting);
    partitions.iter().zip(results).all(|(partition, result)| match (partition, result) {
        (Ok(partition), Ok(fetched)) => partition.watch(fetched.high_watermark, &watcher),
        _ => true,
    })
}

async fn read_one(partition: &Partition, offset: i64, bytes_max: usize) -> Result<Fetched, Error> {
    // Taken before the read: a move in between makes the watch fail, and the read is repeated.
    let high_watermark = partition.high_watermark();
    let batches = match partition.read(offset, bytes_max) {
        Reading::Ready(read) => read?,
        Reading::Pending(read) => read.await?,
    };
    // The store may show a group before its completions have run: what one client has read, the
    // next one must find below the high watermark. An empty read shows nothing.
    let high_watermark = if batches.pieces.is_empty() {
        high_watermark
    } else {
        partition.shown(batches.next);
        high_watermark.max(batches.next)
    };
    Ok(Fetched {
        high_watermark,
        last_stable: high_watermark,
        log_start: partition.log_start(),
        pieces: batches.pieces,
    })
}

/// The answer for a partition that there is no room for.
fn check_one(partition: &Partition, offset: i64) -> Result<Fetched, Error> {
    let (start, next) = (partition.log_start(), partition.high_watermark());
    if Offset::from_i64(offset).is_none_or(|offset| offset < start) {
        return Err(Error::OffsetOutOfRange { offset, start, next });
    }
    Ok(Fetched { high_watermark: next, last_stable: next, log_start: start, pieces: Vec::new() })
}
