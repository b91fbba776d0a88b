//! What is done for jobs from time to time: forgetting those that were kept for long enough, and
//! keeping their log short.

use super::{Jobs, job::Job};
use crate::{Broker, Error};
use bytes::Bytes;
use smallvec::{SmallVec, smallvec};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tramline_store::{Commit, Op, Purpose, Reservation};
use tramline_types::{LogId, Offset};

const INTERVAL: Duration = Duration::from_secs(1);
/// A piece of what is logged again, and of the end of a queue's jobs: any commit has room for it.
pub(super) const PIECE_BYTES_MAX: usize = 48 * 1024;

/// Runs until the broker closes.
pub(crate) async fn run(broker: Broker) {
    // Nothing is done, and no timer runs, before the first job.
    tokio::select! {
        () = broker.jobs().used() => {}
        () = broker.closed() => return,
    }
    loop {
        let wake = broker.clock().monotonic().plus(INTERVAL);
        tokio::select! {
            () = broker.clock().sleep_until(Some(wake)) => {}
            () = broker.closed() => return,
        }
        broker.expire_jobs();
        if let Err(error) = broker.compact_jobs().await {
            tracing::debug!(%error, "jobs are not logged again yet");
        }
    }
}

impl Broker {
    /// Forgets jobs whose final state was kept for long enough.
    pub(crate) fn expire_jobs(&self) {
        let now = self.queues_map().now();
        self.jobs().tracker.lock().expire(now);
    }

    /// Logs everything alive again where the log has grown too long, or there is none.
    pub(crate) async fn compact_jobs(&self) -> Result<(), Error> {
        let jobs = self.jobs();
        let _one_at_a_time = jobs.compacting.lock().await;
        if !jobs.is_used() || !jobs.logs.lock().is_full() {
            return Ok(());
        }
        self.begin_job_log().await?;
        let (mut from, mut later) = (Some(0), Vec::new());
        while let Some(at) = from {
            let reservation = self.reserve_for_jobs(PIECE_BYTES_MAX).await?;
            let tracker = jobs.tracker.lock();
            let waits = |job: &Job| jobs.tickets.is_open(job.ticket);
            let (piece, waiting, next) = tracker.relog(at, PIECE_BYTES_MAX, waits);
            // Under the lock: later changes of these jobs come after it.
            jobs.log_again(&**self.store(), piece, reservation);
            drop(tracker);
            later.extend(waiting);
            from = next;
        }
        for number in later {
            self.log_one_again(number).await?;
        }
        let ops: SmallVec<[Op; 1]> = jobs.logs.lock().end_others().into();
        self.commit(ops, 1024).await
    }

    /// Makes the log of jobs before the first of them. Without space for it they are logged
    /// later.
    pub(crate) async fn ensure_job_log(&self) {
        let jobs = self.jobs();
        if jobs.is_used()
            && !jobs.has_log.load(Ordering::Acquire)
            && let Err(error) = self.compact_jobs().await
        {
            tracing::warn!(%error, "no log of jobs yet: they would not outlive a restart");
        }
    }

    async fn begin_job_log(&self) -> Result<(), Error> {
        let jobs = self.jobs();
        let (id, bound) = self.next_log_id();
        let reservation = self.store().reserve(Purpose::Upkeep, 1024, 4).wait().await?;
        let log = LogId(id);
        let mut tracker = jobs.tracker.lock();
        let list = jobs.logs.lock().begin(log);
        let create = Op::Create(log, Offset::ZERO);
        let ops: SmallVec<[Op; 1]> = smallvec![bound, create, list, jobs.key.stored()];
        // Under the lock: what is logged there comes after it.
        self.store().submit(Commit { ops, on_durable: Box::new(|| ()) }, reservation);
        tracker.log = Some(log);
        jobs.has_log.store(true, Ordering::Release);
        Ok(())
    }

    async fn log_one_again(&self, number: u64) -> Result<(), Error> {
        let jobs = self.jobs();
        loop {
            let found = {
                let tracker = jobs.tracker.lock();
                let ticket = tracker.numbered(number).map(|job| job.ticket);
                ticket.map(|ticket| (ticket, tracker.relog_one(number).len()))
            };
            let Some((ticket, bytes)) = found else { return Ok(()) };
            jobs.tickets.closed(ticket).await;
            let reservation = self.reserve_for_jobs(bytes).await?;
            let tracker = jobs.tracker.lock();
            // What has changed meanwhile must not be logged before the commit that it is part of.
            let is_open = |job: &Job| jobs.tickets.is_open(job.ticket);
            let piece = tracker.relog_one(number);
            if piece.len() <= bytes && !tracker.numbered(number).is_some_and(is_open) {
                jobs.log_again(&**self.store(), piece, reservation);
                return Ok(());
            }
        }
    }

    pub(super) async fn reserve_for_jobs(&self, bytes: usize) -> Result<Reservation, Error> {
        Ok(self.store().reserve(Purpose::Upkeep, bytes, 1).wait().await?)
    }

    pub(crate) fn jobs(&self) -> &Arc<Jobs> {
        self.queues_map().jobs()
    }
}

impl Jobs {
    fn log_again(
        &self,
        store: &dyn tramline_store::LogStore,
        piece: Vec<u8>,
        reservation: Reservation,
    ) {
        let mut logs = self.logs.lock();
        if let (Some(log), false) = (logs.current(), piece.is_empty()) {
            logs.wrote(piece.len());
            let ops = smallvec![Op::Delta(log, Bytes::from(piece))];
            store.submit(Commit { ops, on_durable: Box::new(|| ()) }, reservation);
        }
    }
}
