//! The state against a model that keeps everything and looks at everything.

use super::*;
use crate::config_push::{Change, ConfigError, ConfigScope, Expected, Operation, Stage};
use proptest::prelude::*;
use std::collections::BTreeMap;

const KEYS: [&str; 5] = ["a", "a/x", "a/y", "b/x", "b/y/z"];
const SCOPES: [&str; 7] = ["", "a/", "a", "a/x", "b/", "b/y/", "none"];
const CLIENTS: [Option<&str>; 4] = [None, Some("c1"), Some("c2"), Some("c3")];

fn key(at: usize) -> ConfigKey {
    ConfigKey::parse(KEYS[at % KEYS.len()]).unwrap()
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn put(at: usize, value: u8, share: Option<u16>) -> Change {
    let stage = share.map(|share| Stage { share, seed: "".into() });
    let value = Bytes::from(vec![value; 10]);
    let operation = Operation::Put { content_type: "t".into(), value, stage };
    Change { key: key(at), expected: Expected::Anything, operation, note: None }
}

fn delete(at: usize) -> Change {
    let (expected, operation) = (Expected::Anything, Operation::Delete);
    Change { key: key(at), expected, operation, note: None }
}

/// One version as the model has it: value and stage, or a deletion.
#[derive(Clone, Debug)]
struct Known {
    revision: u64,
    value: Option<Bytes>,
    rollout: Option<Rollout>,
}

/// The state, its log, and what should be in it.
struct Run {
    state: State,
    log: Vec<Option<(ConfigKey, Version)>>,
    start: usize,
    model: BTreeMap<ConfigKey, Vec<Known>>,
    history: u32,
    now: i64,
}

impl Run {
    fn new(history: u32) -> Self {
        let (state, model) = (State::default(), BTreeMap::new());
        Self { state, log: Vec::new(), start: 0, model, history, now: 0 }
    }

    fn propose(&self, changes: Vec<Change>) -> Result<Proposal, ConfigError> {
        let history = |_: &ConfigKey| self.history;
        let limits = Limits { bytes_max: 1 << 20, value_bytes_max: 1024, history: &history };
        self.state.propose(changes, at(self.now), &limits)
    }

    fn change(&mut self, changes: Vec<Change>) -> Option<u64> {
        let proposal = self.propose(changes).ok()?;
        let revision = proposal.revision;
        let base = self.log.len();
        for (offset, (key, version)) in (base..).zip(&proposal.items) {
            let version = Version { offset: offset as u64, stored: 50, ..version.clone() };
            let value = match &version.content {
                Content::Held(value) => Some(value.clone()),
                _ => None,
            };
            let rollout = version.rollout.clone();
            let known = Known { revision, value, rollout };
            self.model.entry(key.clone()).or_default().push(known);
            self.log.push(Some((key.clone(), version)));
        }
        let stored = vec![50; proposal.items.len()];
        self.state.handle_submitted(proposal, base as u64, &stored);
        Some(revision)
    }

    fn take_up(&mut self) -> Vec<Applied> {
        self.state.handle_durable(self.log.len() as u64)
    }

    /// As the cleaner does, over the first `n` records.
    fn clean(&mut self, n: usize) {
        self.take_up();
        let next = (self.start + n).min(self.log.len());
        for offset in self.start..next {
            let Some((key, version)) = self.log[offset].take() else { continue };
            if self.state.is_live(&key, version.revision, offset as u64) {
                let to = self.log.len() as u64;
                self.state.handle_moved(&key, version.revision, to);
                self.log.push(Some((key, Version { offset: to, ..version })));
            }
            self.state.handle_trimmed(50);
        }
        self.start = next;
    }

    /// What a start makes of the log.
    fn restarted(&self) -> State {
        let mut state = State::default();
        state.replay_floor(self.state.floor());
        for (key, version) in self.log[self.start..].iter().flatten() {
            state.replay(key, version.clone());
        }
        state
    }

    fn wanted(&self, key: &ConfigKey, client: Option<&str>) -> Option<(u64, Bytes)> {
        let all = self.model.get(key)?;
        let newest = all.last()?;
        let of = match &newest.rollout {
            Some(rollout) if !rollout.includes(client) => {
                all.iter().find(|known| Some(known.revision) == rollout.base)?
            }
            _ => newest,
        };
        Some((of.revision, of.value.clone()?))
    }

    fn check(&self, state: &State) {
        for key in KEYS.map(|text| ConfigKey::parse(text).unwrap()) {
            for client in CLIENTS {
                let shown = state.shown(&key, client);
                let shown = shown.map(|shown| (shown.revision, shown.value.clone()));
                assert_eq!(shown, self.wanted(&key, client), "{key} for {client:?}");
            }
        }
        let held: usize =
            state.keys.values().flat_map(|it| &it.versions).map(|v| v.content.held()).sum();
        assert_eq!(state.held_bytes, held);
        let live: usize = state.keys.values().flat_map(|it| &it.versions).map(|v| v.stored).sum();
        assert_eq!(state.live_bytes, live);
        let newest: BTreeMap<u64, Vec<ConfigKey>> =
            state.keys.iter().fold(BTreeMap::new(), |mut all, (key, keyed)| {
                all.entry(keyed.newest().revision).or_insert_with(Vec::new).push(key.clone());
                all
            });
        let mut by_revision = state.by_revision.clone();
        by_revision.values_mut().for_each(|keys| keys.sort());
        assert_eq!(by_revision, newest);
    }

    /// What changed behind `since`, against everything that ever changed.
    fn check_changes(&self, since: u64) {
        if since < self.state.floor() {
            return;
        }
        for scope in SCOPES.map(|text| ConfigScope::parse(text).unwrap()) {
            let page = self.state.changes(&scope, since);
            let mut told: Vec<_> =
                page.updates.iter().map(|it| (it.revision, it.key.clone())).collect();
            let newest =
                |(key, all): (&ConfigKey, &Vec<Known>)| Some((all.last()?.revision, key.clone()));
            let mut wanted: Vec<_> = self.model.iter().filter_map(newest).collect();
            wanted.retain(|(revision, key)| *revision > since && scope.has(key));
            // What one revision changed has no order.
            told.sort();
            wanted.sort();
            assert_eq!(told, wanted, "{scope} since {since}");
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(usize, u8, Option<u16>),
    Delete(usize),
    Both(usize, usize, u8),
    TakeUp,
    Clean(usize),
    Forget,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let share = prop_oneof![Just(None), Just(Some(0)), Just(Some(3_000)), Just(Some(9_000))];
    prop_oneof![
        8 => (0..5_usize, any::<u8>(), share).prop_map(|(at, value, share)| Step::Put(at, value, share)),
        3 => (0..5_usize).prop_map(Step::Delete),
        2 => (0..5_usize, 1..5_usize, any::<u8>()).prop_map(|(at, by, value)| Step::Both(at, at + by, value)),
        4 => Just(Step::TakeUp),
        3 => (1..12_usize).prop_map(Step::Clean),
        1 => Just(Step::Forget),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #[test]
    fn every_subscriber_gets_what_a_naive_model_says_also_after_cleaning_and_restarts(
        history in 0..4_u32,
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut run = Run::new(history);
        for step in steps {
            run.now += 1;
            match step {
                Step::Put(at, value, share) => drop(run.change(vec![put(at, value, share)])),
                Step::Delete(at) => drop(run.change(vec![delete(at)])),
                Step::Both(one, other, value) => {
                    run.change(vec![put(one, value, None), put(other, value, None)]);
                }
                Step::TakeUp => {
                    run.take_up();
                    run.check(&run.state);
                    run.check_changes(run.state.visible() / 2);
                }
                Step::Clean(n) => run.clean(n),
                Step::Forget => {
                    run.take_up();
                    while run.state.forget(at(run.now), run.start as u64, 1) {}
                    run.check(&run.state);
                }
                Step::Restart => {
                    run.take_up();
                    let restarted = run.restarted();
                    run.check(&restarted);
                    prop_assert!(restarted.visible() >= run.state.visible());
                    run.state = restarted;
                }
            }
        }
        run.take_up();
        run.check(&run.state);
        run.check(&run.restarted());
    }
}

#[test]
fn a_change_goes_by_what_was_proposed_before_it_and_is_shown_when_it_is_durable() {
    let mut run = Run::new(2);
    let first = run.change(vec![put(1, 1, None)]).unwrap();
    assert!(run.state.shown(&key(1), None).is_none());
    let expecting = |expected| {
        let change = Change { expected, ..put(1, 2, None) };
        run.propose(vec![change]).map(|proposal| proposal.revision)
    };
    let conflict = |newest| Err(ConfigError::Conflict { key: key(1), newest });
    assert_eq!(expecting(Expected::Nothing), conflict(Some(first)));
    assert_eq!(expecting(Expected::Revision(first + 1)), conflict(Some(first)));
    assert_eq!(expecting(Expected::Revision(first)), Ok(first + 1));
    assert_eq!(expecting(Expected::Something), Ok(first + 1));
    run.take_up();
    assert_eq!(run.state.shown(&key(1), None).unwrap().revision, first);
    run.change(vec![delete(1)]).unwrap();
    assert!(run.propose(vec![delete(1)]).is_err(), "it is gone");
    assert!(run.change(vec![Change { expected: Expected::Nothing, ..put(1, 2, None) }]).is_some());
}

#[test]
fn of_changes_that_belong_together_all_are_made_or_none() {
    let mut run = Run::new(2);
    let wrong = Change { expected: Expected::Something, ..put(2, 1, None) };
    assert!(run.change(vec![put(1, 1, None), wrong]).is_none());
    assert!(run.change(vec![put(1, 1, None), put(1, 2, None)]).is_none(), "a key once");
    assert!(run.change(Vec::new()).is_none());
    let both = run.change(vec![put(1, 1, None), put(2, 1, None)]).unwrap();
    let applied = run.take_up();
    assert_eq!(applied.len(), 1);
    assert!(applied[0].updates.iter().all(|update| update.revision == both));
}

#[test]
fn the_history_has_as_many_versions_as_it_should_and_what_a_roll_out_is_based_on() {
    let mut run = Run::new(1);
    let stable = run.change(vec![put(0, 1, None)]).unwrap();
    let staged: Vec<u64> =
        (0..5).map(|n| run.change(vec![put(0, 2, Some(100 * n))]).unwrap()).collect();
    run.take_up();
    let revisions = |run: &Run| -> Vec<u64> {
        run.state.key(&key(0)).unwrap().versions.iter().map(|it| it.revision).collect()
    };
    assert_eq!(revisions(&run), [stable, staged[3], staged[4]]);
    assert_eq!(run.state.shown(&key(0), None).unwrap().revision, stable);
    let last = run.change(vec![put(0, 3, None)]).unwrap();
    run.take_up();
    assert_eq!(revisions(&run), [staged[4], last]);
    assert_eq!(run.state.held_bytes(), 10, "only the newest is in memory");
}

#[test]
fn a_value_beyond_a_limit_is_refused() {
    let run = Run::new(1);
    let large =
        Operation::Put { content_type: "".into(), value: vec![0; 1025].into(), stage: None };
    let large = Change { operation: large, ..put(0, 1, None) };
    let refused = ConfigError::TooLarge { bytes: 1025, limit: 1024 };
    assert_eq!(run.propose(vec![large]).unwrap_err(), refused);
    let history = |_: &ConfigKey| 1;
    let limits = Limits { bytes_max: 15, value_bytes_max: 1024, history: &history };
    let mut state = State::default();
    let first = state.propose(vec![put(0, 1, None)], at(0), &limits).unwrap();
    state.handle_submitted(first, 0, &[50]);
    let second = state.propose(vec![put(1, 1, None)], at(0), &limits);
    assert!(matches!(second, Err(ConfigError::LimitExceeded(_))), "what waits counts");
    state.handle_durable(1);
    assert!(state.propose(vec![put(0, 2, None)], at(0), &limits).is_ok(), "it takes its own place");
}

#[test]
fn a_deletion_is_forgotten_when_nothing_older_is_in_the_log() {
    let mut run = Run::new(3);
    run.change(vec![put(0, 1, None)]);
    let deleted = run.change(vec![delete(0)]).unwrap();
    run.take_up();
    run.state.forget(at(100), 0, 10);
    assert_eq!(run.state.floor(), deleted);
    assert!(run.state.key(&key(0)).is_some(), "its value is in the log");
    run.clean(1);
    run.state.forget(at(100), run.start as u64, 10);
    assert!(run.state.key(&key(0)).is_none());
    assert!(run.restarted().shown(&key(0), None).is_none());
    run.clean(10);
    assert_eq!(run.restarted().visible(), deleted, "a revision is never given twice");
}
