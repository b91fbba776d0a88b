//! Settling: what clients acknowledge or give back, collected by queue until the end of a read.

use super::Client;
use crate::{
    channel::{Ending, Mode, Out},
    error::Refusal,
};
use std::sync::Arc;
use tramline_broker::{Outcome, Queue};
use tramline_wire_amqp091::hot::{How, Settle};

/// Ended deliveries whose queues are not told yet.
#[derive(Default)]
pub(crate) struct Settles {
    by_queue: Vec<(Arc<Queue>, Vec<tramline_broker::Settle>)>,
}

impl Settles {
    fn push(&mut self, queue: &Arc<Queue>, out: Out, ending: Ending) {
        let settle = (out.token, outcome(ending));
        match self.by_queue.iter_mut().find(|(of, _)| Arc::ptr_eq(of, queue)) {
            Some((_, settles)) => settles.push(settle),
            None => self.by_queue.push((Arc::clone(queue), vec![settle])),
        }
    }
}

/// What the queue is told.
pub(crate) const fn outcome(ending: Ending) -> Outcome {
    match ending {
        Ending::Done => Outcome::Accepted,
        Ending::Requeue => Outcome::Released { count: true, delay_ms: None },
        Ending::Drop => Outcome::Rejected { dead_letter: true, reason: None },
    }
}

impl Client {
    /// basic.ack, basic.nack, basic.reject.
    pub(super) fn handle_settle(&mut self, number: u16, settle: &Settle) -> Result<(), Refusal> {
        let ending = match settle.how {
            How::Ack => Ending::Done,
            How::Nack { requeue: true } | How::Reject { requeue: true } => Ending::Requeue,
            How::Nack { requeue: false } | How::Reject { requeue: false } => Ending::Drop,
        };
        let channel = self.channels.get_mut(usize::from(number)).and_then(Option::as_deref_mut);
        let channel = channel.ok_or_else(super::not_open)?;
        let was_full = channel.credit() == 0;
        let (mut n_settled, mut n_consumed) = (0, 0);
        let (queues, subscribers, settles) =
            (&channel.queues, &mut self.subscribers, &mut self.settles);
        let mode = &mut channel.mode;
        channel.unacked.settle(settle.delivery_tag, settle.multiple, |tag, out| {
            n_settled += 1;
            if let Mode::Transaction(transaction) = mode {
                transaction.settles.push((tag, out, ending));
                return;
            }
            n_consumed += usize::from(out.consumer.is_some());
            subscribers.handle_settled(&out);
            if let Some(queue) = usize::try_from(out.queue).ok().and_then(|of| queues.get(of)) {
                settles.push(queue, out, ending);
            }
        })?;
        channel.prefetched -= n_consumed;
        if was_full {
            // The credit is everyone's.
            subscribers.schedule_all(channel.consumers.values());
        }
        self.cx.metrics.settled.inc_by(n_settled);
        Ok(())
    }

    /// Gives everything that a channel has out back to its queues, what is settled and not
    /// committed aside.
    pub(crate) fn requeue_all(&mut self, number: u16) {
        let channel = self.channels.get_mut(usize::from(number)).and_then(Option::as_deref_mut);
        let Some(channel) = channel else { return };
        for (_, out) in channel.unacked.take_all() {
            channel.prefetched -= usize::from(out.consumer.is_some());
            self.subscribers.handle_settled(&out);
            let queue = usize::try_from(out.queue).ok().and_then(|of| channel.queues.get(of));
            if let Some(queue) = queue {
                self.settles.push(queue, out, Ending::Requeue);
            }
        }
    }

    /// Tells the queues. Nobody waits for that to be durable: a delivery whose acknowledgement
    /// is lost in a crash comes again.
    pub(crate) fn flush_settles(&mut self) {
        for (queue, settles) in &mut self.settles.by_queue {
            if !settles.is_empty() {
                queue.settle_behind(settles);
                settles.clear();
            }
        }
        if self.settles.by_queue.len() > 16 {
            self.settles.by_queue.clear();
        }
    }
}
