//! Receivers come, subscribe and go.

use super::{
    Bus, Listening, State, Touched,
    publication::{ChannelEvent, ChannelForm, ChannelPosition, Subscribed},
    receiver::{NewReceiver, Receiver},
    rules::Rules,
};
use crate::{Broker, Error};
use bytes::Bytes;
use std::{collections::BTreeSet, sync::Arc};
use tramline_routing::ChannelPattern;
use tramline_types::{
    ChannelName,
    limits::{RECEIVER_SUBSCRIPTIONS_MAX, RECEIVERS_MAX},
};

/// A receiver, for as long as this lives.
pub struct ReceiverHandle {
    bus: Arc<Bus>,
    receiver: Arc<Receiver>,
}

/// What to subscribe to.
#[derive(Clone, Copy, Debug)]
pub struct Subscribe<'a> {
    /// The channels.
    pub pattern: &'a ChannelPattern,
    /// Behind which place to go on, where the client has been here before.
    pub after: Option<ChannelPosition>,
    /// What the client gave to know the answer by.
    pub request: Option<&'a str>,
}

/// Somebody comes, or goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Move {
    Joins,
    Leaves,
}

impl Broker {
    /// A new receiver, which gets nothing until it subscribes, and keeps what it gets until it is
    /// opened.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] when there are too many.
    pub fn receiver(&self, options: NewReceiver) -> Result<ReceiverHandle, Error> {
        let bus = Arc::clone(self.bus());
        let opened = self.clock().now();
        let mut state = bus.state.lock();
        let number = match state.free.pop() {
            Some(number) => number,
            None if state.receivers.len() >= RECEIVERS_MAX => {
                let text = format!("there are {RECEIVERS_MAX} receivers, which is the limit");
                return Err(Error::LimitExceeded(text));
            }
            None => {
                state.receivers.push(None);
                u32::try_from(state.receivers.len() - 1).expect("the limit is below")
            }
        };
        let receiver = Receiver::new(number, opened, options, Arc::clone(&bus.answers));
        let receiver = Arc::new(receiver);
        let listening =
            Listening { receiver: Arc::clone(&receiver), patterns: BTreeSet::default() };
        *state.slot(number) = Some(listening);
        drop(state);
        Ok(ReceiverHandle { bus, receiver })
    }
}

impl State {
    pub(super) fn slot(&mut self, number: u32) -> &mut Option<Listening> {
        let at = usize::try_from(number).expect("a receiver's number is an index");
        &mut self.receivers[at]
    }

    fn listening(&mut self, number: u32) -> &mut Listening {
        self.slot(number).as_mut().expect("a handle's receiver has its slot")
    }

    /// Tells everyone else who listens to a channel that somebody came or went.
    fn tell_move(&self, channel: &ChannelName, who: &Receiver, what: Move, told: &mut Touched) {
        let member = who.member();
        let event = match what {
            Move::Joins => ChannelEvent::Joined(channel, &member),
            Move::Leaves => ChannelEvent::Left(channel, &member),
        };
        let mut numbers = Vec::new();
        self.trie.matches(channel, &mut |number| numbers.push(number));
        numbers.sort_unstable();
        numbers.dedup();
        let mut spelt: [Option<Bytes>; ChannelForm::SLOTS] = Default::default();
        for number in numbers.into_iter().filter(|number| *number != who.number) {
            let Some(receiver) = self.receiver(number) else { continue };
            let form = receiver.form();
            let bytes = spelt[form.slot].get_or_insert_with(|| (form.encode)(&event));
            receiver.push_droppable(bytes.clone());
            told.push(Arc::clone(receiver));
        }
    }
}

fn send_all(told: &Touched) {
    for receiver in told {
        receiver.deliver();
    }
}

impl ReceiverHandle {
    /// The receiver.
    pub fn receiver(&self) -> &Arc<Receiver> {
        &self.receiver
    }

    /// Subscribes. The receiver is told so first, then what it missed, or the last values, then
    /// what comes. Doing it again recovers.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] when it has too many subscriptions.
    pub fn subscribe(&self, subscribe: Subscribe<'_>) -> Result<Subscribed, Error> {
        let Self { bus, receiver } = self;
        let Subscribe { pattern, after, request } = subscribe;
        let mut told = Touched::new();
        let mut state = bus.state.lock();
        let rules = bus.rules();
        let patterns = &mut state.listening(receiver.number).patterns;
        if patterns.len() >= RECEIVER_SUBSCRIPTIONS_MAX && !patterns.contains(pattern) {
            let text = format!("a receiver has at most {RECEIVER_SUBSCRIPTIONS_MAX} subscriptions");
            return Err(Error::LimitExceeded(text));
        }
        let is_new = patterns.insert(pattern.clone());
        if is_new {
            state.trie.insert(pattern, receiver.number);
        }
        let missed = after.map(|from| bus.missed(&state, &rules, pattern, from));
        let recovered = missed.as_ref().map(|missed| missed.is_complete);
        let last = bus.position(state.offset);
        // What follows has its own places, and the client may be cut off in the middle of it.
        let has_missed = missed.as_ref().is_some_and(|missed| !missed.publications.is_empty());
        let position = after.filter(|_| has_missed).unwrap_or(last);
        let subscribed = Subscribed { position, recovered };
        let event = ChannelEvent::Subscribed { pattern, subscribed, request };
        receiver.push_notice((receiver.form().encode)(&event));
        if is_new && recovered != Some(true) {
            for publication in state.retained.matching(pattern) {
                if !receiver.push_retained(publication.event(receiver.form(), true)) {
                    rules.of(publication.channel.as_str()).count_dropped();
                }
            }
        }
        for publication in missed.iter().flat_map(|missed| &missed.publications) {
            receiver.push_notice(publication.event(receiver.form(), false));
        }
        if let Some(name) = pattern.as_name()
            && is_new
            && rules.of(name.as_str()).settings.presence
        {
            state.tell_move(&name, receiver, Move::Joins, &mut told);
        }
        drop(state);
        receiver.deliver();
        send_all(&told);
        Ok(subscribed)
    }

    /// Ends a subscription; false when there was none.
    pub fn unsubscribe(&self, pattern: &ChannelPattern) -> bool {
        let rules = self.bus.rules();
        let mut told = Touched::new();
        let mut state = self.bus.state.lock();
        let removed = state.listening(self.receiver.number).patterns.remove(pattern);
        if removed {
            self.remove(&mut state, pattern, &rules, &mut told);
        }
        drop(state);
        send_all(&told);
        removed
    }

    fn remove(
        &self,
        state: &mut State,
        pattern: &ChannelPattern,
        rules: &Rules,
        told: &mut Touched,
    ) {
        state.trie.remove(pattern, self.receiver.number);
        if let Some(name) = pattern.as_name()
            && rules.of(name.as_str()).settings.presence
        {
            state.tell_move(&name, &self.receiver, Move::Leaves, told);
        }
    }
}

impl Drop for ReceiverHandle {
    fn drop(&mut self) {
        let rules = self.bus.rules();
        let mut told = Touched::new();
        let mut state = self.bus.state.lock();
        let patterns = std::mem::take(&mut state.listening(self.receiver.number).patterns);
        for pattern in &patterns {
            self.remove(&mut state, pattern, &rules, &mut told);
        }
        *state.slot(self.receiver.number) = None;
        state.free.push(self.receiver.number);
        drop(state);
        send_all(&told);
    }
}
