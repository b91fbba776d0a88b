//! Who consumes from a queue, and whose turn it is.
//!
//! A consumer that got less than it asked for is *hungry*; it is woken when there may be
//! something, those with the highest priority first, in turns among equals, and no more of them
//! than there are messages.

/// Names a consumer of one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerId(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Appetite {
    /// Has what it asked for.
    Fed,
    /// Waits to be woken.
    Hungry,
    /// Was woken and has yet to come.
    Woken,
}

struct Consumer<W> {
    id: ConsumerId,
    priority: i32,
    appetite: Appetite,
    kind: Kind,
    wake: W,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Attached,
    /// Has the queue for itself.
    Exclusive,
    /// Receives once, beside the attached ones.
    OneShot,
}

/// The consumers of one queue, each with what it is woken by.
pub struct Consumers<W> {
    /// In turn; those that were woken go to the back.
    list: Vec<Consumer<W>>,
    next: u64,
    /// Only one gets messages.
    single_active: bool,
    active: Option<ConsumerId>,
}

impl<W: Clone> Consumers<W> {
    /// None yet.
    pub const fn new(single_active: bool) -> Self {
        Self { list: Vec::new(), next: 1, single_active, active: None }
    }

    /// How many are attached.
    pub fn len(&self) -> usize {
        self.list.iter().filter(|consumer| consumer.kind != Kind::OneShot).count()
    }

    /// Whether none is attached.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether one has the queue for itself.
    pub fn is_exclusive(&self) -> bool {
        self.list.iter().any(|consumer| consumer.kind == Kind::Exclusive)
    }

    /// Adds one; it is not hungry before its first receive.
    pub fn attach(&mut self, priority: i32, exclusive: bool, wake: W) -> ConsumerId {
        let kind = if exclusive { Kind::Exclusive } else { Kind::Attached };
        let id = self.add(priority, kind, wake);
        if self.single_active && self.active.is_none() {
            self.active = Some(id);
        }
        id
    }

    /// Adds one that receives once, beside the attached ones.
    pub fn attach_once(&mut self, wake: W) -> ConsumerId {
        self.add(0, Kind::OneShot, wake)
    }

    fn add(&mut self, priority: i32, kind: Kind, wake: W) -> ConsumerId {
        let id = ConsumerId(self.next);
        self.next += 1;
        self.list.push(Consumer { id, priority, appetite: Appetite::Fed, kind, wake });
        id
    }

    /// Takes one away. Gives what another one is to be woken by, whose turn it may be now.
    pub fn detach(&mut self, id: ConsumerId) -> Option<W> {
        let at = self.list.iter().position(|consumer| consumer.id == id)?;
        let gone = self.list.remove(at);
        if self.active == Some(id) {
            let attached = self.list.iter().rev().filter(|heir| heir.kind != Kind::OneShot);
            self.active = attached.max_by_key(|heir| heir.priority).map(|heir| heir.id);
        }
        let turn = gone.appetite == Appetite::Woken || self.single_active;
        turn.then(|| self.poll_wake(u64::MAX)).flatten()
    }

    /// Whether it is the one that gets messages, where only one does.
    pub fn is_active(&self, id: ConsumerId) -> bool {
        !self.single_active
            || self.active == Some(id)
            || self.list.iter().any(|other| other.id == id && other.kind == Kind::OneShot)
    }

    /// How many of the ready messages a consumer may take.
    pub fn share(&self, id: ConsumerId, ready: u64) -> u64 {
        let Some(own) = self.list.iter().find(|consumer| consumer.id == id) else { return 0 };
        if !self.is_active(id) {
            return 0;
        }
        if self.list.len() == 1 {
            return ready;
        }
        let others = self.list.iter().filter(|other| other.id != id);
        let mut woken = 0;
        for other in others.filter(|other| self.is_active(other.id)) {
            if other.appetite != Appetite::Fed && other.priority > own.priority {
                return 0;
            }
            woken += u64::from(other.appetite == Appetite::Woken && other.priority == own.priority);
        }
        ready.div_ceil(woken + 1)
    }

    /// After a receive: whether it wants to be woken. Gives whether anyone does.
    pub fn set_hungry(&mut self, id: ConsumerId, hungry: bool) -> bool {
        if let Some(consumer) = self.list.iter_mut().find(|consumer| consumer.id == id) {
            consumer.appetite = if hungry { Appetite::Hungry } else { Appetite::Fed };
        }
        hungry || self.list.iter().any(|consumer| consumer.appetite == Appetite::Hungry)
    }

    /// One that is to be woken for so many ready messages, beside those who were and have yet to
    /// come; it goes to the back of the turn.
    pub fn poll_wake(&mut self, ready: u64) -> Option<W> {
        let woken = self.list.iter().filter(|other| other.appetite == Appetite::Woken).count();
        if u64::try_from(woken).is_ok_and(|woken| woken >= ready) {
            return None;
        }
        let class = self
            .list
            .iter()
            .filter(|consumer| consumer.appetite != Appetite::Fed && self.is_active(consumer.id))
            .map(|consumer| consumer.priority)
            .max()?;
        let at = self.list.iter().position(|consumer| {
            consumer.appetite == Appetite::Hungry
                && consumer.priority == class
                && self.is_active(consumer.id)
        })?;
        let mut consumer = self.list.remove(at);
        consumer.appetite = Appetite::Woken;
        let wake = consumer.wake.clone();
        self.list.push(consumer);
        Some(wake)
    }

    /// Everyone, to be told that the queue is gone.
    pub fn all(&self) -> Vec<W> {
        self.list.iter().map(|consumer| consumer.wake.clone()).collect()
    }

    /// What one is woken by.
    pub fn wake_of(&self, id: ConsumerId) -> Option<W> {
        self.list.iter().find(|consumer| consumer.id == id).map(|consumer| consumer.wake.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumers(priorities: &[i32]) -> (Consumers<usize>, Vec<ConsumerId>) {
        let mut consumers = Consumers::new(false);
        let attach = |(at, priority): (usize, &i32)| consumers.attach(*priority, false, at);
        let ids = priorities.iter().enumerate().map(attach).collect();
        (consumers, ids)
    }

    #[test]
    fn equals_are_woken_in_turns() {
        let (mut consumers, ids) = consumers(&[0, 0, 0]);
        let mut woken = Vec::new();
        for _ in 0..6 {
            ids.iter().for_each(|id| _ = consumers.set_hungry(*id, true));
            woken.extend(consumers.poll_wake(10));
        }
        assert_eq!(woken, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn a_lower_priority_gets_nothing_while_a_higher_one_is_hungry() {
        let (mut consumers, ids) = consumers(&[0, 5]);
        ids.iter().for_each(|id| _ = consumers.set_hungry(*id, true));
        assert_eq!(consumers.poll_wake(10), Some(1));
        assert_eq!(consumers.poll_wake(10), None, "the higher one has yet to come");
        assert_eq!(consumers.share(ids[0], 10), 0);
        consumers.set_hungry(ids[1], false);
        assert_eq!(consumers.share(ids[0], 10), 10);
        assert_eq!(consumers.poll_wake(10), Some(0));
    }

    #[test]
    fn those_who_were_woken_share() {
        let (mut consumers, ids) = consumers(&[0, 0]);
        ids.iter().for_each(|id| _ = consumers.set_hungry(*id, true));
        assert!(consumers.poll_wake(10).is_some() && consumers.poll_wake(10).is_some());
        assert_eq!(consumers.share(ids[0], 9), 5);
        consumers.set_hungry(ids[0], true);
        assert_eq!(consumers.share(ids[1], 4), 4);
    }

    #[test]
    fn when_the_active_one_goes_the_next_takes_over() {
        let mut consumers = Consumers::new(true);
        let (first, second) = (consumers.attach(0, false, 'a'), consumers.attach(0, false, 'b'));
        consumers.set_hungry(second, true);
        assert_eq!((consumers.share(first, 3), consumers.share(second, 3)), (3, 0));
        assert_eq!(consumers.detach(first), Some('b'));
        assert_eq!(consumers.share(second, 3), 3);
    }
}
