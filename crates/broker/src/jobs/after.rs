//! Jobs that wait for others: their messages are delayed without end until all that they wait for
//! is done, and taken out where one of those ends otherwise.
//!
//! A waiting job is looked at when one that it waits for ends, when it comes in, and at every
//! start: nothing is lost between one job's end and the next one's beginning.

use super::Jobs;
use crate::{Broker, Error};
use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::sync::Notify;
use tramline_types::Timestamp;

/// The delay of who waits for others: the last second of the year 9999.
pub(crate) const WHENEVER: Timestamp = Timestamp::from_millis(253_402_300_799_000);
/// Until it is tried again where the broker refuses for now.
const RETRY: Duration = Duration::from_secs(1);

/// Jobs that are to be looked at.
#[derive(Default)]
pub(super) struct Waiters {
    ids: Mutex<VecDeque<Arc<str>>>,
    arrived: Notify,
}

impl Waiters {
    pub(super) fn push(&self, ids: Vec<Arc<str>>) {
        if !ids.is_empty() {
            self.ids.lock().extend(ids);
            self.arrived.notify_one();
        }
    }
}

impl Jobs {
    /// Whether a message has to wait for these.
    pub(super) fn has_to_wait(&self, after: &[Arc<str>]) -> bool {
        if after.is_empty() {
            return false;
        }
        let tracker = self.tracker.lock();
        // What is done and not durable is done again where it is lost: it is not over.
        let is_open =
            |id: &Arc<str>| tracker.get(id).is_some_and(|it| self.tickets.is_open(it.ticket));
        tracker.awaited(after) != Ok(true) || after.iter().any(is_open)
    }
}

/// Lets jobs go on whose turn it is. Runs until the broker closes.
pub(crate) async fn run(broker: Broker) {
    let jobs = Arc::clone(broker.jobs());
    loop {
        loop {
            let Some(id) = jobs.waiters.ids.lock().pop_front() else { break };
            if let Err(error) = broker.let_go_on(&id).await {
                tracing::warn!(job = %id, %error, "what waited has to wait on");
                let wake = broker.clock().monotonic().plus(RETRY);
                tokio::select! {
                    () = broker.clock().sleep_until(Some(wake)) => {}
                    () = broker.closed() => return,
                }
                jobs.waiters.ids.lock().push_back(id);
            }
        }
        tokio::select! {
            () = jobs.waiters.arrived.notified() => {}
            () = broker.closed() => return,
        }
    }
}

impl Broker {
    async fn let_go_on(&self, id: &str) -> Result<(), Error> {
        let jobs = self.jobs();
        let Some(status) = self.job(id).await else { return Ok(()) };
        if status.state.is_final() || status.after.is_empty() {
            return Ok(());
        }
        // What it waits for has to be over for good.
        for before in &status.after {
            self.job(before).await;
        }
        let awaited = jobs.tracker.lock().awaited(&status.after);
        match awaited {
            Ok(false) => Ok(()),
            Ok(true) => {
                self.begin_job(&status).await;
                Ok(())
            }
            Err(before) => {
                let error = format!("job `{before}` was not done");
                let said = self.note_job_error(&status, error).await;
                let cancelled = self.cancel_job(id).await;
                match said.and(cancelled.map(|_| ())) {
                    Err(super::JobError::Broker(error)) => Err(error),
                    _ => Ok(()),
                }
            }
        }
    }
}
