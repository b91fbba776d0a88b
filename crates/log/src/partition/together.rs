//! Appending to several partitions in one commit: a message routed to many queues, and a move
//! from one log to another.

use super::Partition;
use crate::Error;
use parking_lot::MutexGuard;
use smallvec::SmallVec;
use std::sync::Arc;
use tramline_record::Batch;
use tramline_store::{Append, Commit, Completion, Op, Reservation};
use tramline_types::{LogId, Offset, Timestamp};

/// One batch and the partitions that get it; its bytes are stored once.
pub struct Together {
    /// The partitions, none twice.
    pub partitions: SmallVec<[Arc<Partition>; 1]>,
    /// The batch.
    pub batch: Batch,
}

/// The first offset of one batch in each of its partitions, in their order.
pub type Bases = SmallVec<[Offset; 1]>;

/// What is done together with the appends of one commit.
pub struct Around<L, S> {
    /// Takes further locks, after those of the partitions. `None`: nothing is to happen.
    pub lock: L,
    /// Called with these locks and the bases of each batch; what it gives becomes part of the
    /// commit. The locks are let go when that is submitted: what is changed under them has the
    /// same order as the commits.
    pub step: S,
}

/// What a commit is made with, once.
pub struct Ending {
    /// The space for it.
    pub reservation: Reservation,
    /// Called when it is durable.
    pub done: Completion,
}

/// Gives batches their offsets and submits all of them as one commit, under the locks of all
/// partitions, which are taken in the order of their logs. [`Ending::done`] is called when the
/// commit is durable, after the high watermarks have moved. When this refuses, or
/// [`Around::lock`] does (`false`), `ending` is left as it is, for another try; else it is taken.
///
/// For the logs of queues. A partition of a topic in total order is refused: its ordered log would
/// miss the batch.
pub fn append_together<G>(
    appends: &[Together],
    now: Timestamp,
    around: Around<impl FnOnce() -> Option<G>, impl FnOnce(&mut G, &[Bases]) -> SmallVec<[Op; 2]>>,
    ending: &mut Option<Ending>,
) -> Result<bool, Error> {
    let mut partitions: SmallVec<[&Arc<Partition>; 4]> =
        appends.iter().flat_map(|append| &append.partitions).collect();
    partitions.sort_unstable_by_key(|partition| partition.log());
    partitions.dedup_by_key(|partition| partition.log());
    let (Some(first), true) = (partitions.first(), ending.is_some()) else { return Ok(false) };
    if partitions.iter().any(|partition| partition.ordered.is_some()) {
        return Err(Error::InvalidRecord("a topic in total order gets its batches one by one"));
    }
    // Before the first offset is given out: from there on nothing may be refused.
    let spans = appends.iter().map(|append| span(&append.batch)).collect::<Result<Vec<_>, _>>()?;
    let store = Arc::clone(&first.store);
    let mut states: SmallVec<[(LogId, MutexGuard<'_, _>); 4]> = SmallVec::new();
    for partition in &partitions {
        let state = partition.state.lock();
        if state.deleted {
            return Err(Error::Deleted);
        }
        states.push((partition.log(), state));
    }
    let Some(mut locked) = (around.lock)() else { return Ok(false) };
    let mut ops: SmallVec<[Op; 1]> = SmallVec::new();
    let mut all_bases = Vec::with_capacity(appends.len());
    for (append, offsets) in appends.iter().zip(spans) {
        let mut bases = Bases::new();
        let mut targets = SmallVec::new();
        for partition in &append.partitions {
            let at = states
                .binary_search_by_key(&partition.log(), |(log, _)| *log)
                .expect("every partition was locked above");
            let (target, _) = states[at].1.handle_follow(partition.log(), offsets);
            bases.push(target.base);
            targets.push(target);
        }
        let newest = Some(append.batch.header().newest_timestamp()).filter(|newest| *newest >= 0);
        let max_timestamp = newest.map_or(now, Timestamp::from_millis);
        let batch = append.batch.bytes().clone();
        ops.push(Op::Append(Append { targets, batch, offsets, max_timestamp }));
        all_bases.push(bases);
    }
    ops.extend((around.step)(&mut locked, &all_bases));
    let Ending { reservation, done } = ending.take().expect("checked at the beginning");
    let ends: SmallVec<[(Arc<Partition>, Offset); 1]> = partitions
        .iter()
        .zip(&states)
        .map(|(partition, (_, state))| (Arc::clone(partition), state.next))
        .collect();
    let on_durable = Box::new(move || {
        for (partition, next) in &ends {
            partition.durable_up_to(*next);
        }
        done();
    });
    store.submit(Commit { ops, on_durable }, reservation);
    drop(locked);
    Ok(true)
}

/// How many offsets a batch takes.
fn span(batch: &Batch) -> Result<u32, Error> {
    let last = u32::try_from(batch.header().last_offset_delta);
    Ok(last.map_err(|_| Error::InvalidRecord("a negative last offset delta"))? + 1)
}
