//! Lanes over logs of somebody else, who cuts them and takes records out of them.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

const LANES: u16 = 3;
const GROUPS: u64 = 4;

#[derive(Clone, Debug)]
enum Step {
    Append { lane: u16, n: u64, gap: bool },
    Cut { lane: u16, by: u64 },
    Compact { lane: u16, at: u64 },
    Receive { n: usize, timed: bool },
    Settle { which: usize, how: usize },
    Wait { millis: i64 },
    Checkpoint,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..LANES, 1..5_u64, any::<bool>())
            .prop_map(|(lane, n, gap)| Step::Append { lane, n, gap }),
        1 => (0..LANES, 1..6_u64).prop_map(|(lane, by)| Step::Cut { lane, by }),
        1 => (0..LANES, 0..12_u64).prop_map(|(lane, at)| Step::Compact { lane, at }),
        5 => (1..5_usize, any::<bool>()).prop_map(|(n, timed)| Step::Receive { n, timed }),
        6 => (0..8_usize, 0..6_usize).prop_map(|(which, how)| Step::Settle { which, how }),
        2 => (1..20_i64).prop_map(|millis| Step::Wait { millis }),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Restart),
    ]
}

/// One partition.
#[derive(Default)]
struct Log {
    start: u64,
    end: u64,
    records: BTreeSet<u64>,
}

struct World {
    rules: Rules,
    engine: Engine,
    logs: BTreeMap<u16, Log>,
    epoch: u64,
    now: i64,
    stored: (Vec<Bytes>, Vec<Bytes>),
    held: Vec<LockToken>,
    done: BTreeSet<Place>,
}

impl World {
    fn new(rules: Rules) -> Self {
        let logs = (0..LANES).map(|lane| (lane, Log::default())).collect();
        let engine = Engine::new(rules.clone(), 1);
        let (held, done, stored) = (Vec::new(), BTreeSet::new(), Default::default());
        let mut world = Self { rules, engine, logs, epoch: 1, now: 1000, stored, held, done };
        world.open();
        world
    }

    fn open(&mut self) {
        for (lane, log) in &self.logs {
            self.engine.open_lane(*lane, log.start, log.end);
        }
    }

    /// As the owner does before every step.
    fn sync(&mut self) {
        for (lane, log) in &self.logs {
            self.engine.set_end(*lane, log.end);
            self.engine.set_start(*lane, log.start);
        }
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Append { lane, n, gap } => {
                let log = self.logs.get_mut(&lane).unwrap();
                log.records.extend(log.end..log.end + n);
                log.end += n;
                if gap {
                    log.records.remove(&(log.end - 1));
                }
            }
            Step::Cut { lane, by } => {
                let log = self.logs.get_mut(&lane).unwrap();
                log.start = (log.start + by).min(log.end);
                log.records = log.records.split_off(&log.start);
            }
            Step::Compact { lane, at } => {
                let log = self.logs.get_mut(&lane).unwrap();
                log.records.remove(&(log.start + at));
            }
            Step::Receive { n, timed } => {
                let timed_lock = Lock::Timed(Duration::from_millis(10));
                self.receive(n, if timed { timed_lock } else { HELD });
            }
            Step::Settle { which, how } => self.settle(which, how),
            Step::Wait { millis } => {
                self.now += millis;
                self.sync();
                self.engine.handle_timeout(at(self.now));
            }
            Step::Checkpoint => {
                self.sync();
                self.stored = (self.engine.checkpoint(at(self.now)), Vec::new());
            }
            Step::Restart => self.restart(),
        }
        let delta = std::iter::from_fn(|| self.engine.take_delta(at(self.now)));
        self.stored.1.extend(delta);
    }

    fn receive(&mut self, n: usize, lock: Lock) {
        self.sync();
        let mut out = Vec::new();
        for _ in 0..1000 {
            let take = Take { n_max: n - out.len(), bytes_max: 1 << 20, lock, run: None };
            match self.engine.handle_receive(&take, at(self.now), &mut out) {
                Taking::Load(load) => {
                    let log = &self.logs[&load.lane];
                    let from = load.from.max(log.start);
                    let found = log.records.range(from..).take(3).copied().collect::<Vec<_>>();
                    let next = if found.len() < 3 { log.end } else { found[2] + 1 };
                    let records = found.iter().map(|offset| (*offset, loaded(*offset))).collect();
                    self.engine.handle_loaded(load, records, next);
                }
                Taking::Full => break,
                Taking::Empty if self.engine.ready() == 0 => break,
                Taking::Empty => {}
            }
        }
        for Delivery { token, place, .. } in &out {
            assert!(!self.done.contains(place), "{place:?} was settled");
            let log = &self.logs[&place.lane];
            assert!(place.offset >= log.start, "{place:?} is cut off");
            self.held.push(*token);
        }
    }

    fn settle(&mut self, which: usize, how: usize) {
        if which >= self.held.len() {
            return;
        }
        let token = self.held.remove(which);
        let outcome = match how {
            0..3 => Outcome::Accepted,
            3 => Outcome::Released { count: true, delay_ms: Some(7) },
            _ => Outcome::Released { count: true, delay_ms: None },
        };
        self.sync();
        let mut lost = Vec::new();
        self.engine.handle_settle(&[(token, outcome.clone())], at(self.now), &mut lost);
        if lost.is_empty() && outcome == Outcome::Accepted {
            self.done.insert(token.place);
        }
    }

    fn restart(&mut self) {
        let delta = std::iter::from_fn(|| self.engine.take_delta(at(self.now)));
        self.stored.1.extend(delta);
        self.epoch += 1;
        self.engine = Engine::new(self.rules.clone(), self.epoch);
        self.open();
        let (parts, deltas) = &self.stored;
        let rest = parts.iter().skip(1).chain(deltas).cloned().collect::<Vec<_>>();
        assert!(self.engine.replay(parts.first().map(|first| &**first), &rest));
    }

    /// Works everything off: what is there and not settled comes, and nothing is left.
    fn drain(&mut self) {
        for held in std::mem::take(&mut self.held) {
            self.held.push(held);
            self.settle(0, 5);
        }
        for _ in 0..60 {
            self.run(&Step::Wait { millis: 20 });
            self.run(&Step::Receive { n: 100, timed: false });
            while !self.held.is_empty() {
                self.settle(0, 0);
            }
        }
        for (lane, log) in &self.logs {
            for offset in &log.records {
                let place = Place { lane: *lane, offset: *offset };
                assert!(self.done.contains(&place), "{place:?} never came");
            }
        }
        assert_eq!((self.engine.unsettled(), self.engine.counts().blocked), (0, 0));
    }
}

fn loaded(offset: u64) -> Loaded {
    let (enqueued_at, expires_at, group) = (at(0), None, Some(offset % GROUPS));
    Loaded { message: Arc::new(Message::default()), bytes: 9, enqueued_at, expires_at, group }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_is_there_comes_until_it_is_settled_and_what_is_gone_holds_nothing_up(
        (ordered_groups, fair_groups, small) in any::<(bool, bool, bool)>(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new(Rules {
            equal_lanes: true,
            ordered_groups,
            fair_groups,
            window_bytes_max: if small { 600 } else { 1 << 20 },
            ..Rules::default()
        });
        steps.iter().for_each(|step| world.run(step));
        world.drain();
    }
}

fn shared(window_bytes_max: usize) -> Engine {
    let rules = Rules { equal_lanes: true, window_bytes_max, ..Rules::default() };
    let mut engine = Engine::new(rules, 1);
    (0..LANES).for_each(|lane| engine.open_lane(lane, 0, 100));
    engine
}

#[test]
fn lanes_take_turns_and_one_that_must_be_read_holds_up_none() {
    let mut engine = shared(1 << 20);
    for lane in [0, 2] {
        let load = Load { lane, from: 0, again: false };
        engine.handle_loaded(load, (0..9).map(|offset| (offset, loaded(offset))).collect(), 9);
    }
    let mut lanes = Vec::new();
    for _ in 0..6 {
        let mut out = Vec::new();
        let take = Take { n_max: 1, bytes_max: 99, lock: HELD, run: None };
        engine.handle_receive(&take, at(0), &mut out);
        lanes.extend(out.iter().map(|delivery| delivery.place.lane));
    }
    assert_eq!((lanes.len(), lanes.iter().filter(|lane| **lane == 0).count()), (6, 3), "{lanes:?}");
}

#[test]
fn what_is_in_memory_goes_before_more_is_read() {
    let mut engine = shared(600);
    let load = Load { lane: 2, from: 0, again: false };
    engine.handle_loaded(load, (0..9).map(|offset| (offset, loaded(offset))).collect(), 9);
    let mut out = Vec::new();
    let take = Take { n_max: 5, bytes_max: 999, lock: HELD, run: None };
    assert_eq!(engine.handle_receive(&take, at(0), &mut out), Taking::Full);
    assert_eq!(engine.poll_ahead(), None);
    let taking = engine.handle_receive(&Take { n_max: 9, ..take }, at(0), &mut out);
    assert_eq!(out.len(), 9);
    assert!(matches!(taking, Taking::Load(_)), "{taking:?}");
}

#[test]
fn a_subscription_that_begins_at_the_end_does_so_after_a_restart_too() {
    let mut engine = shared(1 << 20);
    (0..LANES).for_each(|lane| engine.begin(lane, 40 + u64::from(lane)));
    assert_eq!(engine.ready(), 60 + 59 + 58);
    let deltas: Vec<Bytes> = std::iter::from_fn(|| engine.take_delta(at(1))).collect();
    let mut again = shared(1 << 20);
    assert!(again.replay(None, &deltas));
    assert_eq!(again.ready(), engine.ready());
}
