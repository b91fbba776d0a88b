//! Where jobs are logged: the state of logs that have no records. Changes go to the newest; when
//! they have grown to twice what is alive, everything alive is logged again in a fresh log, some
//! at a time, and the others are deleted.
//!
//! ```text
//! jobs/logs -> [log, ...]     JSON, the oldest first; the newest is written to
//! ```

use super::record;
use crate::Error;
use bytes::Bytes;
use std::sync::Arc;
use tramline_store::{LogStore, Op};
use tramline_types::LogId;

const KEY: &[u8] = b"jobs/logs";

/// The logs of jobs.
#[derive(Default)]
pub(super) struct Logs {
    logs: Vec<LogId>,
    /// Written to the newest.
    written: usize,
    /// What of that was there when it began: all that was alive.
    alive: usize,
    /// No new log before so much was written.
    bytes_min: usize,
}

impl Logs {
    /// Reads what there is.
    pub(super) fn load(
        store: &Arc<dyn LogStore>,
        bytes_min: usize,
    ) -> Result<(Self, record::Found), Error> {
        let listed = store.get(KEY).map(|value| serde_json::from_slice::<Vec<u64>>(&value));
        let listed = match listed {
            None => Vec::new(),
            Some(Ok(listed)) => listed,
            Some(Err(error)) => {
                tracing::error!(%error, "the list of logs of jobs is damaged: they are forgotten");
                Vec::new()
            }
        };
        let (mut logs, mut found) =
            (Self { bytes_min, ..Self::default() }, record::Found::default());
        for log in listed.into_iter().map(LogId) {
            let recovered = store.take_state(log)?;
            if !found.read(&recovered.deltas) {
                tracing::error!(%log, "jobs are damaged: some are forgotten");
            }
            logs.written += recovered.deltas.iter().map(Bytes::len).sum::<usize>();
            logs.logs.push(log);
        }
        Ok((logs, found))
    }

    /// The one that is written to.
    pub(super) fn current(&self) -> Option<LogId> {
        self.logs.last().copied()
    }

    /// Takes note of what was written.
    pub(super) const fn wrote(&mut self, bytes: usize) {
        self.written = self.written.saturating_add(bytes);
    }

    /// Whether everything is to be logged again in a fresh one.
    pub(super) fn is_full(&self) -> bool {
        self.logs.is_empty() || self.written > self.bytes_min.max(2 * self.alive)
    }

    /// Goes on with a fresh log. What to commit for it.
    pub(super) fn begin(&mut self, log: LogId) -> Op {
        self.logs.push(log);
        (self.written, self.alive) = (0, 0);
        self.list()
    }

    /// Everything is in the newest: what to commit for the end of the others.
    pub(super) fn end_others(&mut self) -> Vec<Op> {
        let Some(newest) = self.logs.pop() else { return Vec::new() };
        self.alive = self.written;
        let mut ops: Vec<Op> = self.logs.drain(..).map(Op::Delete).collect();
        self.logs.push(newest);
        ops.push(self.list());
        ops
    }

    fn list(&self) -> Op {
        let ids: Vec<u64> = self.logs.iter().map(|log| log.0).collect();
        let value = serde_json::to_vec(&ids).expect("numbers are JSON");
        Op::Put(Bytes::from_static(KEY), Bytes::from(value))
    }
}
