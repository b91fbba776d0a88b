//! The engine against a model that keeps every message in a list.

mod fair;
mod model;
mod shared;

use super::*;
use crate::{Lock, LockToken, Outcome};
use model::{Model, Sent};
use proptest::prelude::*;
use std::{sync::Arc, time::Duration};
use tramline_types::{ConnectionId, Message, limits::EXPLANATION_BYTES_MAX};

const LANES: [u16; 2] = [3, 0];

fn at(now: i64) -> Timestamp {
    Timestamp::from_millis(now)
}

#[derive(Clone, Debug)]
enum Step {
    Enqueue { lane: usize, n: u64, delay: i64, group: u64, ttl: Option<i64> },
    Durable,
    Receive { n: usize, lock: usize, run: bool },
    Settle { which: usize, how: usize },
    Release { connection: u64 },
    Extend { which: usize },
    Wait { millis: i64 },
    Purge,
    Remove { lane: usize, offset: u64 },
    Due { lane: usize, offset: u64 },
    Transfer,
    Checkpoint,
    Restart { back: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let enqueue = (0..2_usize, 1..4_u64, 0..40_i64, 0..3_u64, prop::option::of(1..30_i64));
    prop_oneof![
        4 => enqueue.prop_map(|(lane, n, delay, group, ttl)| Step::Enqueue {
            lane, n, group, ttl,
            delay: if delay < 25 { 0 } else { delay - 20 },
        }),
        3 => Just(Step::Durable),
        6 => (0..5_usize, 0..4_usize, any::<bool>())
            .prop_map(|(n, lock, run)| Step::Receive { n, lock, run }),
        6 => (0..8_usize, 0..8_usize).prop_map(|(which, how)| Step::Settle { which, how }),
        1 => (1..3_u64).prop_map(|connection| Step::Release { connection }),
        1 => (0..8_usize).prop_map(|which| Step::Extend { which }),
        3 => (1..20_i64).prop_map(|millis| Step::Wait { millis }),
        1 => Just(Step::Purge),
        2 => (0..2_usize, 0..9_u64).prop_map(|(lane, offset)| Step::Remove { lane, offset }),
        2 => (0..2_usize, 0..9_u64).prop_map(|(lane, offset)| Step::Due { lane, offset }),
        2 => Just(Step::Transfer),
        1 => Just(Step::Checkpoint),
        1 => (0..6_usize).prop_map(|back| Step::Restart { back }),
    ]
}

fn rules() -> impl Strategy<Value = Rules> {
    let bound = prop::option::of(3..8_u64);
    (0..2_usize, bound, any::<bool>(), prop::option::of(1..4_u32), any::<bool>()).prop_map(
        |(grouped, length_max, dead_letter, deliveries_max, small)| Rules {
            ordered_groups: grouped == 1,
            length_max: length_max.filter(|_| grouped == 0),
            drop_head: true,
            dead_letter,
            deliveries_max,
            window_bytes_max: if small { 600 } else { 1 << 20 },
            ..Rules::default()
        },
    )
}

/// The engine, the model, and what was logged, each time with the model as it was then.
struct World {
    rules: Rules,
    engine: Engine,
    model: Model,
    now: i64,
    epoch: u64,
    checkpoint: Option<(Vec<Bytes>, Model)>,
    logged: Vec<(Option<Bytes>, Model)>,
    held: Vec<LockToken>,
    receives: u64,
}

impl World {
    fn new(rules: Rules) -> Self {
        let mut engine = Engine::new(rules.clone(), 1);
        LANES.iter().for_each(|level| engine.open_lane(*level, 0, 0));
        let model = Model::new(rules.clone());
        let (checkpoint, logged, held) = (None, Vec::new(), Vec::new());
        Self { rules, engine, model, now: 1000, epoch: 1, checkpoint, logged, held, receives: 0 }
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Enqueue { lane, n, delay, group, ttl } => {
                let delay = if self.rules.ordered_groups { 0 } else { delay };
                // Which message a bound drops goes by whether the dead ones were seen to be dead.
                let ttl = ttl.filter(|_| self.rules.length_max.is_none());
                self.enqueue(LANES[lane], n, Sent { delay, group, ttl });
            }
            Step::Durable => {
                self.model.durable();
                for level in LANES {
                    self.engine.set_end(level, self.model.end(level));
                }
            }
            Step::Receive { n, lock, run } => self.receive(n, lock, run),
            Step::Settle { which, how } => self.settle(which, how),
            Step::Release { connection } => {
                self.model.release(connection, self.now);
                self.engine.handle_release(ConnectionId(connection), at(self.now));
            }
            Step::Extend { which } => {
                let Some(token) = self.held.get(which).copied() else { return };
                let until =
                    self.engine.handle_extend(token, Duration::from_millis(15), at(self.now));
                let wanted = self.model.extend(token, self.now + 15, self.now);
                assert_eq!(until.is_some(), wanted);
            }
            Step::Wait { millis } => {
                self.now += millis;
                self.engine.handle_timeout(at(self.now));
                self.model.timeout(self.now);
            }
            Step::Purge => {
                let purged = self.engine.handle_purge(at(self.now));
                // Those that are dead by now may have gone before, or still wait for their group.
                let wanted = self.model.purge(self.now);
                assert!(wanted.contains(&purged) || self.rules.ordered_groups, "{purged}");
            }
            Step::Remove { lane, offset } => self.remove(Place { lane: LANES[lane], offset }),
            Step::Due { lane, offset } => {
                let place = Place { lane: LANES[lane], offset };
                let is_due = self.engine.handle_due(place, None, at(self.now));
                assert_eq!(is_due, self.model.due(place, self.now));
            }
            Step::Transfer => {
                let transfers = self.engine.poll_transfers(2);
                let places: Vec<_> = transfers.iter().map(|transfer| transfer.place).collect();
                self.engine.handle_transferred(&places);
                self.model.transferred(&places, self.now);
            }
            Step::Checkpoint => {
                let checkpoint = self.engine.checkpoint(at(self.now));
                self.logged.clear();
                self.checkpoint = Some((checkpoint, self.model.clone()));
            }
            Step::Restart { back } => self.restart(back),
        }
        let delta = self.engine.take_delta(at(self.now));
        self.logged.push((delta, self.model.clone()));
    }

    fn enqueue(&mut self, level: u16, n: u64, sent: Sent) {
        let base = self.model.enqueue(level, n, sent, self.now);
        let arrivals: Vec<_> = (base..base + n)
            .map(|offset| Arrival {
                loaded: self.model.loaded(level, offset),
                deliver_at: (sent.delay > 0).then(|| at(self.now + sent.delay)),
                deduplication: None,
            })
            .collect();
        self.engine.handle_enqueued((level, base), arrivals, at(self.now), |_, _| ());
        self.model.drop_surplus();
    }

    fn receive(&mut self, n: usize, lock: usize, run: bool) {
        self.receives += 1;
        let run = run.then_some(self.receives);
        let lock = [
            Lock::Connection(ConnectionId(1)),
            Lock::Connection(ConnectionId(2)),
            Lock::Timed(Duration::from_millis(10)),
            Lock::None,
        ][lock];
        let mut out = Vec::new();
        for _ in 0..1000 {
            let take = Take { n_max: n - out.len(), bytes_max: 1 << 20, lock, run };
            match self.engine.handle_receive(&take, at(self.now), &mut out) {
                Taking::Load(load) => {
                    let (records, next) = self.model.read(load.lane, load.from);
                    self.engine.handle_loaded(load, records, next);
                }
                Taking::Full | Taking::Empty => break,
            }
        }
        let got: Vec<_> = out.iter().map(|it| (it.place, it.deliveries, it.redelivered)).collect();
        let tokens: Vec<_> = out.iter().map(|it| it.token).collect();
        assert_eq!(got, self.model.receive(n, (lock, run), self.now, &tokens));
        for delivery in &out {
            let text = format!("{}-{}", delivery.place.lane, delivery.place.offset);
            assert_eq!(delivery.message.value.as_deref(), Some(text.as_bytes()));
        }
        self.held.extend(tokens);
    }

    fn settle(&mut self, which: usize, how: usize) {
        let Some(token) = self.held.get(which).copied() else { return };
        if how != 7 {
            self.held.remove(which);
        }
        let released = |count, delay_ms| Outcome::Released { count, delay_ms };
        let outcome = match how {
            0..3 => Outcome::Accepted,
            3 => released(true, None),
            4 => released(false, None),
            5 => released(true, Some(7)),
            6 => Outcome::Rejected { dead_letter: true, reason: None },
            _ => Outcome::Deferred,
        };
        let mut lost = Vec::new();
        self.engine.handle_settle(&[(token, outcome.clone())], at(self.now), &mut lost);
        assert_eq!(lost.is_empty(), self.model.settle(token, &outcome, self.now), "{token:?}");
    }

    fn remove(&mut self, place: Place) {
        let loaded = self.model.find(place);
        let known = loaded.map_or((0, None), |loaded| (loaded.bytes, loaded.group));
        let removal = self.engine.handle_remove(place, known, at(self.now));
        let wanted = self.model.remove(place, self.now);
        // One that is dead by now may have been seen to be, or not yet.
        let is_dead = wanted.1 && removal != Removal::Locked;
        assert!(removal == wanted.0 || is_dead, "{removal:?}, {wanted:?}");
    }

    fn restart(&mut self, back: usize) {
        self.logged.truncate(self.logged.len().saturating_sub(back));
        let base = self.checkpoint.as_ref().map(|(_, model)| model.clone());
        let base = base.unwrap_or_else(|| Model::new(self.rules.clone()));
        self.model = self.logged.last().map_or(base, |(_, model)| model.clone());
        self.model.restart();
        self.epoch += 1;
        self.engine = Engine::new(self.rules.clone(), self.epoch);
        for level in LANES {
            self.engine.open_lane(level, 0, self.model.end(level));
        }
        let logged = self.logged.iter().filter_map(|(delta, _)| delta.clone());
        let mut stored = self.checkpoint.iter().flat_map(|(parts, _)| parts.clone());
        let checkpoint = stored.next();
        let deltas: Vec<Bytes> = stored.chain(logged).collect();
        let is_sound = self.engine.replay(checkpoint.as_deref(), &deltas);
        assert!(is_sound, "every delta can be read");
    }

    /// Everything that is left, in order.
    fn drain(&mut self) {
        self.run(&Step::Durable);
        self.run(&Step::Release { connection: 1 });
        self.run(&Step::Release { connection: 2 });
        for _ in 0..40 {
            self.run(&Step::Wait { millis: 20 });
            self.run(&Step::Receive { n: 1000, lock: 3, run: false });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_does_what_the_model_does(
        rules in rules(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new(rules);
        steps.iter().for_each(|step| world.run(step));
        world.drain();
    }

    #[test]
    fn damaged_state_never_panics(
        checkpoint in prop::collection::vec(any::<u8>(), 0..100),
        deltas in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..4),
    ) {
        let mut engine = Engine::new(Rules::default(), 1);
        engine.open_lane(0, 0, 50);
        engine.replay(Some(&checkpoint), &deltas);
        engine.replay::<Vec<u8>>(Some(&[&[1; 10][..], &checkpoint].concat()), &[]);
    }

    #[test]
    fn harmed_state_never_panics_and_stays_within_the_log(
        steps in prop::collection::vec(step(), 1..40),
        harm in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut world = World::new(Rules { ordered_groups: true, ..Rules::default() });
        let whole = |step: &&Step| !matches!(step, Step::Restart { .. });
        steps.iter().filter(whole).for_each(|step| world.run(step));
        let mut parts = world.engine.checkpoint(at(world.now)).into_iter().map(Vec::from);
        let mut checkpoint = parts.next().unwrap();
        let logged = world.logged.iter().filter_map(|(delta, _)| Some(delta.as_ref()?.to_vec()));
        let mut deltas: Vec<Vec<u8>> = parts.chain(logged).collect();
        for (place, value) in harm {
            *place.get_mut(&mut checkpoint) = value;
            for delta in &mut deltas {
                *place.get_mut(delta) = value;
            }
        }
        let mut engine = Engine::new(Rules::default(), 1);
        LANES.iter().for_each(|level| engine.open_lane(*level, 0, world.model.end(*level)));
        engine.replay(Some(&checkpoint), &deltas);
        let end = LANES.iter().map(|level| world.model.end(*level)).sum::<u64>();
        let counts = engine.counts();
        prop_assert!(counts.ready + counts.locked <= end);
        let mut out = Vec::new();
        let take = Take { n_max: 9, bytes_max: 99, lock: Lock::None, run: None };
        engine.handle_receive(&take, at(i64::MAX), &mut out);
    }
}

fn plain(id: Option<u128>) -> Arrival {
    let (enqueued_at, expires_at, group) = (at(0), None, None);
    let loaded =
        Loaded { message: Arc::new(Message::default()), bytes: 0, enqueued_at, expires_at, group };
    Arrival { loaded, deliver_at: None, deduplication: id }
}

fn take(engine: &mut Engine, n_max: usize, lock: Lock, now: i64) -> Vec<Delivery> {
    let mut out = Vec::new();
    let take = Take { n_max, bytes_max: 99, lock, run: None };
    engine.handle_receive(&take, at(now), &mut out);
    out
}

fn roomy() -> Rules {
    Rules { window_bytes_max: 1 << 20, ..Rules::default() }
}

fn offsets(deliveries: &[Delivery]) -> Vec<u64> {
    deliveries.iter().map(|delivery| delivery.place.offset).collect()
}

fn restarted(engine: &mut Engine, next: u64, now: i64) -> Engine {
    let deltas: Vec<Bytes> = std::iter::from_fn(|| engine.take_delta(at(now))).collect();
    let mut again = Engine::new(engine.rules().clone(), 2);
    again.open_lane(0, 0, next);
    assert!(again.replay(None, &deltas));
    again
}

const HELD: Lock = Lock::Connection(ConnectionId(1));

#[test]
fn a_repeated_message_leaves_those_before_it_as_they_were() {
    let rules = Rules { deduplication_ms: Some(10), ..roomy() };
    for restart in [false, true] {
        let mut engine = Engine::new(rules.clone(), 1);
        let ids = [Some(7), None, Some(7), None, Some(7)];
        let mut firsts = Vec::new();
        let firsts_of = |_, first: Option<Place>| firsts.push(first.map(|first| first.offset));
        engine.handle_enqueued((0, 0), ids.map(plain), at(0), firsts_of);
        assert_eq!(firsts, [None, None, Some(0), None, Some(0)]);
        engine.set_end(0, 5);
        assert_eq!((engine.ready(), engine.floor(0)), (3, 0));
        if restart {
            let parts = engine.checkpoint(at(0));
            let mut again = Engine::new(rules.clone(), 2);
            again.open_lane(0, 0, 5);
            assert!(again.replay(Some(&parts[0]), &parts[1..]));
            let records = (0..5).map(|offset| (offset, plain(None).loaded)).collect();
            again.handle_loaded(Load { lane: 0, from: 0, again: false }, records, 5);
            engine = again;
        }
        let got = take(&mut engine, 9, HELD, 1);
        assert_eq!(offsets(&got), [0, 1, 3]);
        assert!(got.iter().all(|delivery| !delivery.redelivered));
        let settles: Vec<_> = got.iter().map(|it| (it.token, Outcome::Accepted)).collect();
        engine.handle_settle(&settles, at(1), &mut Vec::new());
        assert_eq!((engine.ready(), engine.counts().locked), (0, 0));
        assert!(engine.floor(0) >= 4, "{}", engine.floor(0));
    }
}

#[test]
fn a_run_of_a_group_goes_over_those_whose_time_is_over() {
    let mut engine = Engine::new(Rules { ordered_groups: true, ..roomy() }, 1);
    let arrival = |expires_at: Option<i64>| {
        let mut arrival = plain(None);
        (arrival.loaded.group, arrival.loaded.expires_at) = (Some(1), expires_at.map(at));
        arrival
    };
    let all = [None, Some(1), None].map(arrival);
    let records = all.iter().map(|it| it.loaded.clone()).enumerate();
    let records: Vec<_> = records.map(|(offset, loaded)| (offset as u64, loaded)).collect();
    engine.handle_enqueued((0, 0), all, at(0), |_, _| ());
    engine.set_end(0, 3);
    let run = |engine: &mut Engine, run: u64, now: i64| {
        let lock = Lock::Timed(Duration::from_millis(10));
        let mut out = Vec::new();
        let take = |n_max| Take { n_max, bytes_max: 99, lock, run: Some(run) };
        while let Taking::Load(load) =
            engine.handle_receive(&take(2 - out.len()), at(now), &mut out)
        {
            let from = usize::try_from(load.from).unwrap();
            engine.handle_loaded(load, records[from..].to_vec(), 3);
        }
        offsets(&out)
    };
    let alone = take(&mut engine, 1, Lock::Timed(Duration::from_millis(10)), 0);
    assert_eq!(offsets(&alone), [0]);
    assert!(run(&mut engine, 1, 0).is_empty(), "the others wait");
    assert_eq!(run(&mut engine, 2, 10), [0, 2]);
}

#[test]
fn a_message_that_cannot_be_read_is_kept_and_the_others_go_on() {
    let mut engine = Engine::new(Rules::default(), 1);
    engine.open_lane(0, 0, 3);
    assert!(take(&mut engine, 9, HELD, 0).is_empty());
    engine.handle_unreadable(Place { lane: 0, offset: 0 });
    let records = (1..3).map(|offset| (offset, plain(None).loaded)).collect();
    engine.handle_loaded(Load { lane: 0, from: 0, again: false }, records, 3);
    let got = take(&mut engine, 9, Lock::None, 0);
    assert_eq!(offsets(&got), [1, 2]);
    assert_eq!((engine.counts().unreadable, engine.floor(0)), (1, 0), "nothing is trimmed");
    let mut again = restarted(&mut engine, 3, 0);
    assert_eq!(again.ready(), 1, "it is tried again");
    again.handle_unreadable(Place { lane: 0, offset: 0 });
    assert_eq!((again.ready(), again.counts().unreadable), (0, 1));
    assert_eq!(again.handle_purge(at(0)), 1);
    assert_eq!((again.counts().unreadable, again.floor(0)), (0, 3));
}

#[test]
fn a_head_behind_delayed_messages_is_loaded_once() {
    let rules = Rules { message_ttl_ms: Some(1000), ..Rules::default() };
    let mut engine = Engine::new(rules, 1);
    let late = |until| Arrival { deliver_at: Some(at(until)), ..plain(None) };
    engine.handle_enqueued((0, 0), [late(500), late(10), plain(None)], at(0), |_, _| ());
    engine.set_end(0, 3);
    engine.handle_timeout(at(10));
    let mut loads = 0;
    while let Some(load) = engine.poll_head() {
        loads += 1;
        assert!(loads < 3, "the same is asked for again and again: {load:?}");
        let records = (load.from..3).map(|offset| (offset, plain(None).loaded)).collect();
        engine.handle_loaded(load, records, 3);
        engine.handle_timeout(at(10));
    }
    assert_eq!(engine.poll_timeout(), Some(at(500)));
}

#[test]
fn a_late_accept_counts_until_the_message_is_delivered_again() {
    let mut engine = Engine::new(roomy(), 1);
    engine.handle_enqueued((0, 0), [plain(None), plain(None)], at(0), |_, _| ());
    engine.set_end(0, 2);
    let lock = Lock::Timed(Duration::from_millis(10));
    let got = take(&mut engine, 2, lock, 0);
    engine.handle_timeout(at(10));
    let records = vec![(0, plain(None).loaded)];
    engine.handle_loaded(Load { lane: 0, from: 0, again: true }, records, 1);
    assert_eq!(offsets(&take(&mut engine, 1, lock, 11)), [0]);
    let mut lost = Vec::new();
    let tokens: Vec<_> = got.iter().map(|delivery| delivery.token).collect();
    engine.handle_accept_late(&tokens, at(12), &mut lost);
    assert_eq!(lost, [tokens[0]], "somebody else has it");
    let counts = engine.counts();
    assert_eq!((counts.ready, counts.locked), (0, 1));
    let again = restarted(&mut engine, 2, 12);
    assert_eq!((again.ready(), again.counts().locked), (0, 1));
}

#[test]
fn a_deferred_message_comes_when_it_is_asked_for() {
    let mut engine = Engine::new(roomy(), 1);
    engine.handle_enqueued((0, 0), [plain(None), plain(None)], at(0), |_, _| ());
    engine.set_end(0, 2);
    let got = take(&mut engine, 1, HELD, 0);
    engine.handle_settle(&[(got[0].token, Outcome::Deferred)], at(0), &mut Vec::new());
    let place = got[0].place;
    let looks = engine.look(None, 9);
    let states: Vec<_> = looks.iter().map(|look| (look.place.offset, look.state)).collect();
    assert_eq!(states, [(0, MessageState::Deferred), (1, MessageState::Ready)]);
    let mut out = Vec::new();
    let lock = Lock::Timed(Duration::from_millis(10));
    let wish = Take { n_max: 1, bytes_max: 9, lock, run: None };
    assert!(engine.handle_recall((place, plain(None).loaded), &wish, at(1), &mut out));
    assert!(!engine.handle_recall((place, plain(None).loaded), &wish, at(1), &mut out));
    assert_eq!((out[0].place, out[0].deliveries, out[0].redelivered), (place, 1, true));
    let again = restarted(&mut engine, 2, 1);
    let counts = again.counts();
    assert_eq!((counts.deferred, counts.locked, counts.ready), (0, 1, 1));
}

#[test]
fn what_a_bound_of_bytes_goes_by_is_kept() {
    let rules = Rules { bytes_max: Some(100), ..roomy() };
    let mut engine = Engine::new(rules.clone(), 1);
    let heavy = || {
        let mut arrival = plain(None);
        arrival.loaded.bytes = 30;
        arrival
    };
    engine.handle_enqueued((0, 0), [heavy(), heavy(), heavy()], at(0), |_, _| ());
    engine.set_end(0, 3);
    take(&mut engine, 1, Lock::None, 0);
    assert!(engine.has_room(1, 40) && !engine.has_room(1, 41));
    let mut again = restarted(&mut engine, 3, 0);
    again.estimate_bytes_ready(9999);
    assert!(again.has_room(1, 40) && !again.has_room(1, 41));
    let parts = again.checkpoint(at(0));
    let mut third = Engine::new(rules, 3);
    third.open_lane(0, 0, 3);
    assert!(third.replay(Some(&parts[0]), &parts[1..]));
    assert!(third.has_room(1, 40) && !third.has_room(1, 41));
}

#[test]
fn a_purge_of_everything_leaves_nothing_behind() {
    let rules = Rules { ordered_groups: true, ..roomy() };
    for restart in [false, true] {
        let mut engine = Engine::new(rules.clone(), 1);
        let of = |group| {
            let mut arrival = plain(None);
            arrival.loaded.group = Some(group);
            arrival
        };
        let late = Arrival { deliver_at: Some(at(500)), ..of(9) };
        let arrivals = [of(1), of(1), of(2), late, of(3), of(4)];
        engine.handle_enqueued((0, 0), arrivals, at(0), |_, _| ());
        engine.set_end(0, 6);
        let got = take(&mut engine, 3, HELD, 0);
        assert_eq!(offsets(&got), [0, 2, 4]);
        engine.handle_settle(&[(got[1].token, Outcome::Deferred)], at(0), &mut Vec::new());
        assert_eq!(engine.handle_purge_all(at(1)), 6);
        if restart {
            engine = restarted(&mut engine, 6, 1);
        }
        assert_eq!(engine.counts(), Counts::default());
        assert_eq!(engine.floor(0), 6);
        assert!(engine.look(None, 9).is_empty());
        engine.handle_enqueued((0, 6), [of(1)], at(2), |_, _| ());
        engine.set_end(0, 7);
        assert_eq!(offsets(&take(&mut engine, 9, HELD, 2)), [6], "its group is free");
    }
}

#[test]
fn a_purge_among_many_delayed_messages_is_quick() {
    let mut engine = Engine::new(Rules::default(), 1);
    let late = || Arrival { deliver_at: Some(at(500)), ..plain(None) };
    for base in (0..200_000).step_by(2) {
        engine.handle_enqueued((0, base), [late(), plain(None)], at(0), |_, _| ());
    }
    engine.set_end(0, 200_000);
    assert_eq!(engine.handle_purge(at(1)), 100_000);
    let deltas: Vec<Bytes> = std::iter::from_fn(|| engine.take_delta(at(1))).collect();
    assert!(deltas.len() > 1 && deltas.iter().all(|delta| delta.len() < 300 << 10));
    let mut again = Engine::new(Rules::default(), 2);
    again.open_lane(0, 0, 200_000);
    assert!(again.replay(None, &deltas));
    assert_eq!((again.ready(), again.counts().delayed), (0, 100_000));
}

#[test]
fn a_wait_that_was_ended_does_not_begin_again_with_a_restart() {
    let mut engine = Engine::new(roomy(), 1);
    engine.open_lane(0, 0, 0);
    let far = Arrival { deliver_at: Some(at(10_000)), ..plain(None) };
    engine.handle_enqueued((0, 0), [far], at(0), |_, _| ());
    engine.set_end(0, 1);
    let place = Place { lane: 0, offset: 0 };
    assert!(!engine.handle_due(place, Some(at(9)), at(1)), "that is not what it waits for");
    assert!(engine.handle_due(place, None, at(1)) && !engine.handle_due(place, None, at(1)));
    let mut got = Vec::new();
    let wish = Take { n_max: 1, bytes_max: 9, lock: HELD, run: None };
    let Taking::Load(load) = engine.handle_receive(&wish, at(1), &mut got) else { panic!() };
    engine.handle_loaded(load, vec![(0, plain(None).loaded)], 1);
    engine.handle_receive(&wish, at(1), &mut got);
    engine.handle_settle(&[(got[0].token, Outcome::Deferred)], at(1), &mut Vec::new());
    let mut again = restarted(&mut engine, 1, 2);
    assert_eq!((again.counts().deferred, again.counts().delayed), (1, 0));
    again.handle_timeout(at(20_000));
    assert_eq!((again.counts().deferred, again.counts().ready), (1, 0), "it is asked for");
}

#[test]
fn what_a_damaged_log_lacks_by_the_billions_is_passed_over_at_once() {
    const END: u64 = 1 << 43;
    let mut engine = Engine::new(roomy(), 1);
    let late = Arrival { deliver_at: Some(at(500)), ..plain(None) };
    engine.handle_enqueued((0, 0), [plain(None), late], at(0), |_, _| ());
    engine.set_end(0, END);
    assert_eq!(take(&mut engine, 1, Lock::None, 0).len(), 1);
    let (mut got, mut loads) = (Vec::new(), 0);
    let wish = Take { n_max: 9, bytes_max: 9, lock: HELD, run: None };
    while let Taking::Load(load) = engine.handle_receive(&wish, at(1), &mut got) {
        loads += 1;
        assert!(loads < 3 && !load.again, "{load:?}");
        engine.handle_loaded(load, Vec::new(), END);
    }
    let again = restarted(&mut engine, END, 1);
    for engine in [&engine, &again] {
        assert_eq!((engine.ready(), engine.counts().delayed, engine.floor(0)), (0, 1, 1));
    }
}

#[test]
fn a_repeated_message_is_taken_once() {
    let rules = Rules { deduplication_ms: Some(10), ..Rules::default() };
    let mut engine = Engine::new(rules, 1);
    let arrival = || Arrival {
        loaded: Loaded {
            message: Arc::new(Message::default()),
            bytes: 0,
            enqueued_at: at(0),
            expires_at: None,
            group: None,
        },
        deliver_at: None,
        deduplication: Some(7),
    };
    engine.handle_enqueued((0, 0), [arrival()], at(0), |_, _| ());
    engine.handle_enqueued((0, 1), [arrival()], at(9), |_, _| ());
    engine.set_end(0, 2);
    assert_eq!(engine.ready(), 1);
    let delta = engine.take_delta(at(9)).unwrap();
    let mut again = Engine::new(engine.rules().clone(), 2);
    again.open_lane(0, 0, 2);
    assert!(again.replay(None, &[delta]));
    again.handle_enqueued((0, 2), [arrival()], at(9), |_, _| ());
    again.handle_timeout(at(10));
    again.handle_enqueued((0, 3), [arrival()], at(10), |_, _| ());
    again.set_end(0, 4);
    assert_eq!(again.ready(), 2, "the first, and the one after its time");
}

#[test]
fn ten_million_of_which_every_second_is_settled_take_little() {
    let mut engine = Engine::new(Rules::default(), 1);
    engine.open_lane(0, 0, 10_000_000);
    let mut delta = 5_i64.to_be_bytes().to_vec();
    let run = |from, to| Run { lane: 0, from, to };
    Record::Delivered(run(0, 10_000_000)).encode_into(&mut delta);
    for offset in (0..10_000_000).step_by(2) {
        Record::Done(run(offset, offset + 1)).encode_into(&mut delta);
    }
    assert!(engine.replay(None, &[delta]));
    assert_eq!(engine.counts().ready, 5_000_000);
    let bytes: usize = engine.checkpoint(at(0)).iter().map(|part| part.len() - 8).sum();
    assert!(bytes < 2 << 20, "{bytes}");
}

#[test]
fn a_window_that_runs_low_is_filled_before_it_is_empty() {
    let rules = Rules { window_bytes_max: 4 * 256, ..roomy() };
    let mut engine = Engine::new(rules, 1);
    engine.open_lane(0, 0, 100);
    assert_eq!(engine.poll_ahead(), None, "nobody wants any");
    let mut out = Vec::new();
    let wish = Take { n_max: 2, bytes_max: 99, lock: HELD, run: None };
    let first = Load { lane: 0, from: 0, again: false };
    assert_eq!(engine.handle_receive(&wish, at(0), &mut out), Taking::Load(first));
    let loaded = |range: std::ops::Range<u64>| range.map(|at| (at, plain(None).loaded)).collect();
    engine.handle_loaded(first, loaded(0..4), 4);
    assert_eq!(engine.poll_ahead(), None, "it is full");
    assert_eq!(offsets(&take(&mut engine, 3, HELD, 0)), [0, 1, 2]);
    let ahead = Load { lane: 0, from: 4, again: false };
    assert_eq!(engine.poll_ahead(), Some(ahead));
    assert_eq!(offsets(&take(&mut engine, 1, HELD, 0)), [3], "and goes on meanwhile");
    engine.handle_loaded(ahead, loaded(4..100), 100);
    assert_eq!(engine.poll_ahead(), None, "there is no more");
    assert_eq!(offsets(&take(&mut engine, 200, HELD, 0)), (4..100).collect::<Vec<_>>());
}

#[test]
fn what_waits_behind_its_group_is_counted() {
    let mut engine = Engine::new(Rules { ordered_groups: true, transient: true, ..roomy() }, 1);
    let of = |group| {
        let mut arrival = plain(None);
        arrival.loaded.group = Some(group);
        arrival
    };
    let arrivals = [of(1), of(1), of(1), of(1), of(2)];
    engine.handle_enqueued((0, 0), arrivals, at(0), |_, _| ());
    engine.set_end(0, 5);
    let got = take(&mut engine, 1, HELD, 0);
    assert_eq!(offsets(&take(&mut engine, 9, HELD, 0)), [4]);
    let counts = |engine: &Engine| {
        let counts = engine.counts();
        (counts.ready, counts.blocked, counts.locked)
    };
    assert_eq!(counts(&engine), (0, 3, 2));
    engine.handle_settle(&[(got[0].token, Outcome::Accepted)], at(1), &mut Vec::new());
    assert_eq!(counts(&engine), (1, 2, 1));
    assert_eq!(offsets(&take(&mut engine, 9, HELD, 2)), [1]);
    assert_eq!(engine.handle_purge(at(3)), 2);
    assert_eq!(counts(&engine), (0, 0, 2));
}

#[test]
fn a_checkpoint_of_which_a_part_is_missing_is_no_checkpoint() {
    let rules = Rules { deduplication_ms: Some(10), ..roomy() };
    let mut engine = Engine::new(rules.clone(), 1);
    engine.handle_enqueued((0, 0), (0..9).map(|id| plain(Some(id))), at(0), |_, _| ());
    engine.set_end(0, 9);
    take(&mut engine, 9, Lock::None, 1);
    let parts = engine.checkpoint(at(1));
    assert!(parts.len() > 3, "{}", parts.len());
    let ready = |parts: &[Bytes]| {
        let mut again = Engine::new(rules.clone(), 2);
        again.open_lane(0, 0, 9);
        let is_sound = again.replay(Some(&parts[0]), &parts[1..]);
        (is_sound, again.counts().ready)
    };
    assert_eq!(ready(&parts), (true, 0));
    for missing in 1..parts.len() {
        let left = [&parts[..missing], &parts[missing + 1..]].concat();
        assert_eq!(ready(&left), (false, 9), "without part {missing}");
    }
}

#[test]
fn what_a_consumer_said_goes_with_its_dead_message() {
    let mut engine = Engine::new(Rules { dead_letter: true, ..roomy() }, 1);
    engine.handle_enqueued((0, 0), [plain(None), plain(None)], at(0), |_, _| ());
    engine.set_end(0, 2);
    let got = take(&mut engine, 2, HELD, 0);
    let reject = |reason| Outcome::Rejected { dead_letter: true, reason };
    let long = "ä".repeat(EXPLANATION_BYTES_MAX);
    let settles = [(got[0].token, reject(None)), (got[1].token, reject(Some(long)))];
    engine.handle_settle(&settles, at(0), &mut Vec::new());
    let said = |engine: &mut Engine| -> Vec<_> {
        engine.poll_transfers(9).into_iter().map(|transfer| transfer.explanation).collect()
    };
    let short = "ä".repeat(EXPLANATION_BYTES_MAX / 2);
    assert_eq!(said(&mut engine), [None, Some(short.as_str().into())]);
    engine.handle_transfer_failed(&[got[1].place]);
    assert_eq!(said(&mut engine), [Some(short.into())]);
    engine.handle_transferred(&[got[0].place, got[1].place]);
    assert!(engine.state.explanations.is_empty());
}
