//! Redrives of some messages: those that are meant are looked for, and taken out from where they
//! lie. The others stay as they are, for whoever receives them.

use super::{BYTES_MAX, Leaves, Moving, Redrive, Task};
use crate::{
    Broker, Error,
    queue::{MessageFilter, Peek, Peeked, Queue},
};
use std::sync::Arc;
use tramline_types::QueueName;

/// Messages of one page that are counted.
const COUNTED_MAX: usize = 1_000;

/// What a redrive would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RedriveCount {
    /// Messages that would move.
    pub moves: u64,
    /// Those that would stay, because where they died is not known or does not exist.
    pub left_behind: u64,
}

impl Broker {
    /// What a redrive would do by now, if it were begun: every message is looked at, and nothing
    /// changes.
    ///
    /// # Errors
    /// As [`Broker::start_redrive`], and what reading comes to.
    pub async fn count_redrive(
        &self,
        queue: &Queue,
        redrive: &Redrive,
    ) -> Result<RedriveCount, Error> {
        self.check_redrive(queue, redrive)?;
        let mut count = RedriveCount::default();
        let mut peek = Peek { from: None, n_max: COUNTED_MAX, bytes_max: BYTES_MAX };
        loop {
            let page = queue.peek_where(peek, &redrive.filter).await?;
            peek.from = page.next;
            let (moving, left_behind) = self.meant(queue, page, redrive.to.as_ref());
            count.moves += u64::try_from(moving.len()).unwrap_or(u64::MAX);
            count.left_behind += left_behind;
            if peek.from.is_none() {
                return Ok(count);
            }
        }
    }

    /// Moves what there is and is meant.
    pub(super) async fn redrive_filtered(
        &self,
        queue: &Arc<Queue>,
        task: &Task,
    ) -> Result<(), Error> {
        let (to, filter) = {
            let status = task.status.lock();
            (status.to.clone(), status.filter.clone())
        };
        // What dies again while it runs stays.
        let now = self.queues_map().now().plus_millis(1);
        let before = Some(filter.before.map_or(now, |before| before.min(now)));
        let filter = MessageFilter { before, ..filter };
        let n_max = usize::try_from(task.pace()).unwrap_or(usize::MAX);
        let mut peek = Peek { from: None, n_max, bytes_max: BYTES_MAX };
        while !task.is_cancelled() {
            let begun = self.clock().monotonic();
            let page = queue.peek_where(peek, &filter).await?;
            peek.from = page.next;
            let (moving, left_behind) = self.meant(queue, page, to.as_ref());
            task.status.lock().left_behind += left_behind;
            self.commit_all(queue, task, &moving).await?;
            if peek.from.is_none() {
                break;
            }
            self.keep_pace(task, begun, u64::try_from(moving.len()).unwrap_or(u64::MAX)).await;
        }
        Ok(())
    }

    /// Those of a page that can move, and how many have nowhere to go.
    fn meant(&self, queue: &Queue, page: Peeked, to: Option<&QueueName>) -> (Vec<Moving>, u64) {
        let (mut moving, mut left_behind) = (Vec::new(), 0);
        for found in page.messages.into_iter().filter(|found| found.look.is_waiting()) {
            let Some(message) = found.message else { continue };
            match self.destination(queue, &message, to) {
                Some(target) => {
                    let leaves = Leaves::Place(found.look.place);
                    moving.push(Moving { leaves, message, target });
                }
                None => left_behind += 1,
            }
        }
        (moving, left_behind)
    }
}
