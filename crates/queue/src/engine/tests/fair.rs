//! Fair groups against a list of messages: nothing is lost or given twice, each group keeps its
//! order, and groups that have messages are served alike.

use super::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Act {
    Enqueue { group: Option<u64>, n: u64 },
    Durable,
    Receive { n: usize },
    Settle { which: usize, accept: bool },
    Wait { millis: i64 },
    Purge,
    Checkpoint,
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    let group = prop_oneof![1 => Just(None), 3 => Just(Some(1)), 3 => (2..5_u64).prop_map(Some)];
    prop_oneof![
        6 => (group, 1..9_u64).prop_map(|(group, n)| Act::Enqueue { group, n }),
        4 => Just(Act::Durable),
        6 => (1..12_usize).prop_map(|n| Act::Receive { n }),
        5 => (0..12_usize, any::<bool>()).prop_map(|(which, accept)| Act::Settle { which, accept }),
        2 => (1..20_i64).prop_map(|millis| Act::Wait { millis }),
        1 => Just(Act::Purge),
        1 => Just(Act::Checkpoint),
        1 => Just(Act::Restart),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Held { until: i64 },
    Done,
}

struct World {
    engine: Engine,
    rules: Rules,
    messages: Vec<(Option<u64>, State)>,
    end: u64,
    now: i64,
    epoch: u64,
    checkpoint: Option<Bytes>,
    deltas: Vec<Bytes>,
    held: Vec<LockToken>,
}

const LOCK: i64 = 10;

impl World {
    fn new(small: bool) -> Self {
        let window_bytes_max = if small { 600 } else { 1 << 20 };
        let rules = Rules { fair_groups: true, window_bytes_max, ..Rules::default() };
        let mut engine = Engine::new(rules.clone(), 1);
        engine.open_lane(0, 0, 0);
        let (messages, deltas, held) = (Vec::new(), Vec::new(), Vec::new());
        let (checkpoint, end, now, epoch) = (None, 0, 1000, 1);
        Self { engine, rules, messages, end, now, epoch, checkpoint, deltas, held }
    }

    fn loaded(&self, offset: u64) -> Loaded {
        let group = self.messages[usize::try_from(offset).unwrap()].0;
        let message = Arc::new(Message { value: Some("four".into()), ..Message::default() });
        Loaded { message, bytes: 4, enqueued_at: at(0), expires_at: None, group }
    }

    fn tail(&self) -> u64 {
        self.messages.len() as u64
    }

    fn run(&mut self, act: &Act) {
        self.expire();
        match *act {
            Act::Enqueue { group, n } => {
                let base = self.tail();
                self.messages.extend((0..n).map(|_| (group, State::Ready)));
                let arrivals = (base..base + n).map(|offset| Arrival {
                    loaded: self.loaded(offset),
                    deliver_at: None,
                    deduplication: None,
                });
                let arrivals: Vec<Arrival> = arrivals.collect();
                self.engine.handle_enqueued((0, base), arrivals, at(self.now), |_, _| {});
            }
            Act::Durable => {
                self.end = self.tail();
                self.engine.set_end(0, self.end);
            }
            Act::Receive { n } => self.receive(n),
            Act::Settle { which, accept } => self.settle(which, accept),
            Act::Wait { millis } => {
                self.now += millis;
                self.expire();
                self.engine.handle_timeout(at(self.now));
            }
            Act::Purge => {
                let end = usize::try_from(self.end).unwrap();
                let ready = self.messages[..end].iter_mut().filter(|(_, s)| *s == State::Ready);
                let n = ready.map(|(_, state)| *state = State::Done).count();
                assert_eq!(self.engine.handle_purge(at(self.now)), n as u64);
            }
            Act::Checkpoint => {
                let mut parts = self.engine.checkpoint(at(self.now)).into_iter();
                self.checkpoint = parts.next();
                self.deltas = parts.collect();
            }
            Act::Restart => self.restart(),
        }
        while let Some(delta) = self.engine.take_delta(at(self.now)) {
            self.deltas.push(delta);
        }
        assert_eq!(self.engine.ready(), self.ready().len() as u64, "{act:?}");
    }

    fn expire(&mut self) {
        for (_, state) in &mut self.messages {
            if matches!(*state, State::Held { until } if until <= self.now) {
                *state = State::Ready;
            }
        }
    }

    /// What could be delivered.
    fn ready(&self) -> Vec<(u64, Option<u64>)> {
        let all = (0..self.end).zip(&self.messages);
        all.filter(|(_, (_, s))| *s == State::Ready).map(|(at, (group, _))| (at, *group)).collect()
    }

    fn receive(&mut self, n: usize) {
        let lock = Lock::Timed(Duration::from_millis(LOCK.unsigned_abs()));
        let mut out = Vec::new();
        while out.len() < n {
            let take = Take { n_max: n - out.len(), bytes_max: usize::MAX, lock, run: None };
            match self.engine.handle_receive(&take, at(self.now), &mut out) {
                Taking::Load(load) => {
                    let next = (load.from + 3).min(self.end);
                    let read = (load.from..next).map(|offset| (offset, self.loaded(offset)));
                    let read = read.collect();
                    self.engine.handle_loaded(load, read, next);
                }
                _ => break,
            }
        }
        let ready = self.ready();
        assert_eq!(out.len(), ready.len().min(n));
        let mut served: BTreeMap<Option<u64>, usize> = BTreeMap::new();
        for delivery in &out {
            let offset = delivery.place.offset;
            let at = usize::try_from(offset).unwrap();
            let (group, state) = self.messages[at];
            assert_eq!(state, State::Ready, "{offset} is not to be had");
            if group.is_some() {
                let first = self.ready().iter().find(|(_, of)| *of == group).map(|(at, _)| *at);
                assert_eq!(first, Some(offset), "the order within group {group:?}");
            }
            *served.entry(group).or_default() += 1;
            self.messages[at].1 = State::Held { until: self.now + LOCK };
            self.held.push(delivery.token);
        }
        // What is far behind is not known yet.
        if ready.len() >= 256 {
            return;
        }
        // Of groups that still have messages nobody is ahead of another by more than a turn
        // before this receive and one after it.
        let left: BTreeSet<Option<u64>> =
            self.ready().into_iter().map(|(_, group)| group).collect();
        let counts: Vec<usize> = left
            .iter()
            .filter(|group| group.is_some())
            .map(|group| served.get(group).copied().unwrap_or(0))
            .collect();
        if let (Some(most), Some(fewest)) = (counts.iter().max(), counts.iter().min()) {
            assert!(most - fewest <= 2, "served {served:?}, left {left:?}");
        }
    }

    fn settle(&mut self, which: usize, accept: bool) {
        if which >= self.held.len() {
            return;
        }
        let token = self.held.swap_remove(which);
        let outcome = if accept {
            Outcome::Accepted
        } else {
            Outcome::Released { count: true, delay_ms: None }
        };
        let mut lost = Vec::new();
        self.engine.handle_settle(&[(token, outcome)], at(self.now), &mut lost);
        let message = &mut self.messages[usize::try_from(token.place.offset).unwrap()];
        if lost.is_empty() {
            assert!(matches!(message.1, State::Held { .. }));
            message.1 = if accept { State::Done } else { State::Ready };
        }
    }

    fn restart(&mut self) {
        self.end = self.tail();
        self.epoch += 1;
        self.engine = Engine::new(self.rules.clone(), self.epoch);
        self.engine.open_lane(0, 0, self.end);
        assert!(self.engine.replay(self.checkpoint.as_deref(), &self.deltas));
        self.engine.handle_timeout(at(self.now));
    }
}

proptest! {
    #[test]
    fn groups_are_served_alike_and_nothing_is_lost(
        small in any::<bool>(),
        acts in prop::collection::vec(act(), 1..60),
    ) {
        let mut world = World::new(small);
        acts.iter().for_each(|act| world.run(act));
        world.run(&Act::Durable);
        world.run(&Act::Wait { millis: LOCK });
        world.run(&Act::Receive { n: 1000 });
        prop_assert!(world.ready().is_empty());
    }
}

#[test]
fn one_message_behind_many_of_another_group_is_found() {
    let mut world = World::new(true);
    world.run(&Act::Enqueue { group: Some(1), n: 20_000 });
    world.run(&Act::Enqueue { group: Some(2), n: 1 });
    world.run(&Act::Durable);
    let mut receives = 0;
    while world.messages[20_000].1 == State::Ready {
        world.run(&Act::Receive { n: 10 });
        receives += 1;
    }
    // 256 are looked at for each that is delivered.
    assert!(receives < 12, "{receives}");
}

#[test]
fn queues_without_groups_keep_the_order_of_their_messages() {
    let mut world = World::new(false);
    world.run(&Act::Enqueue { group: None, n: 50 });
    world.run(&Act::Durable);
    world.run(&Act::Receive { n: 20 });
    let held: Vec<u64> = world.held.iter().map(|token| token.place.offset).collect();
    assert_eq!(held, (0..20).collect::<Vec<_>>());
    assert!(world.engine.lanes[0].fair.is_empty(), "nothing was looked at ahead");
}
