//! The queues that a channel's deliveries came from: few numbers instead of a handle per delivery.

use super::{Client, Subscribers};
use crate::channel::{Channel, Mode, QUEUES_MAX_MIN};
use std::sync::Arc;
use tramline_broker::Queue;

impl Client {
    /// A queue's number in a channel.
    pub(crate) fn queue_index(&mut self, number: u16, queue: &Arc<Queue>) -> u32 {
        let channel = self.channels.get_mut(usize::from(number)).and_then(Option::as_deref_mut);
        let Some(channel) = channel else { return u32::MAX };
        let known = channel.queues.iter().position(|of| Arc::ptr_eq(of, queue));
        let index = known.unwrap_or_else(|| {
            if channel.queues.len() >= channel.queues_max {
                self.subscribers.renumber(channel);
            }
            channel.queues.push(Arc::clone(queue));
            channel.queues.len() - 1
        });
        u32::try_from(index).expect("fewer queues than a connection's memory has room for")
    }
}

impl Subscribers {
    /// Forgets the queues that nothing is out of and nobody consumes from: a channel may use any
    /// number of them, one after the other.
    fn renumber(&mut self, channel: &mut Channel) {
        let mut numbers: Vec<Option<u32>> = vec![None; channel.queues.len()];
        let place = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        self.each_number(channel, |number| {
            if let Some(used) = numbers.get_mut(place(*number)) {
                *used = Some(0);
            }
        });
        numbers.iter_mut().flatten().zip(0..).for_each(|(new, kept)| *new = kept);
        self.each_number(channel, |number| {
            if let Some(Some(new)) = numbers.get(place(*number)) {
                *number = *new;
            }
        });
        let mut numbers = numbers.into_iter();
        channel.queues.retain(|_| numbers.next().flatten().is_some());
        channel.queues_max = (2 * channel.queues.len()).max(QUEUES_MAX_MIN);
    }

    /// Everything of a channel that has a queue's number.
    fn each_number(&mut self, channel: &mut Channel, mut each: impl FnMut(&mut u32)) {
        channel.unacked.iter_mut().for_each(|out| each(&mut out.queue));
        if let Mode::Transaction(transaction) = &mut channel.mode {
            transaction.settles.iter_mut().for_each(|(_, out, _)| each(&mut out.queue));
        }
        for slot in channel.consumers.values() {
            if let Some(subscriber) = self.get(*slot) {
                each(&mut subscriber.queue);
            }
        }
    }
}
