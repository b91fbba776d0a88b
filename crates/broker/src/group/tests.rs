//! Groups with their waiters, their timers and their store.

use super::*;
use bytes::Bytes;
use std::time::Duration;
use tramline_store::{Damage, MemoryStore};
use tramline_testkit::FakeClock;
use tramline_types::{Offset, TopicName};

struct Fixture {
    groups: Groups,
    clock: FakeClock,
    store: Arc<MemoryStore>,
}

fn open(store: Arc<MemoryStore>, clock: FakeClock) -> Fixture {
    open_with(store, clock, Budget::new(10_000))
}

fn open_with(store: Arc<MemoryStore>, clock: FakeClock, members: Arc<Budget>) -> Fixture {
    open_within(store, clock, [members, Budget::new(1_000_000)])
}

fn open_within(store: Arc<MemoryStore>, clock: FakeClock, budgets: [Arc<Budget>; 2]) -> Fixture {
    let used_max = store.logs().iter().map(|log| log.0).max().unwrap_or(0);
    let log_ids = Arc::new(Counter::log_ids(&*store, used_max));
    let options = (GroupOptions::default(), budgets);
    let topics = Arc::default();
    let clock_of_groups = Arc::new(clock.clone());
    let groups = Groups::start(store.clone(), clock_of_groups, log_ids, options, topics).unwrap();
    Fixture { groups, clock, store }
}

fn start() -> Fixture {
    open(Arc::new(MemoryStore::new()), FakeClock::new())
}

impl Fixture {
    fn restart(self) -> Self {
        let store = Arc::new(self.store.reopen().start());
        open(store, self.clock)
    }

    async fn commit(&self, group: &str, topic: &str, offset: u64) -> Result<(), Error> {
        let request = CommitOffsets {
            group: id(group),
            member: MemberRef::dynamic(""),
            generation: -1,
            offsets: vec![position(topic, offset)],
            retention: None,
        };
        self.groups.commit_offsets(request).await?.remove(0)
    }

    fn committed(&self, group: &str, topic: &str) -> Option<u64> {
        let places = vec![(name(topic), 0)];
        let kept = self.groups.fetch_offsets(&id(group), Some(places)).unwrap().remove(0);
        kept.committed.map(|committed| committed.offset.get())
    }

    /// Lets every other task run, then moves the clock, then lets them run again.
    async fn pass(&self, span: Duration) {
        settle().await;
        self.clock.advance(span);
        settle().await;
    }
}

async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

fn id(text: &str) -> GroupId {
    GroupId::parse(text).unwrap()
}

fn name(text: &str) -> TopicName {
    TopicName::parse(text).unwrap()
}

fn position(topic: &str, offset: u64) -> OffsetCommit {
    OffsetCommit {
        topic: name(topic),
        partition: 0,
        offset: Some(Offset::new(offset).unwrap()),
        leader_epoch: None,
        metadata: "m".into(),
    }
}

fn join(group: &str) -> Join {
    Join {
        group: id(group),
        member: MemberRef::dynamic(""),
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), Bytes::new())],
        session_timeout: Duration::from_secs(10),
        rebalance_timeout: Duration::from_secs(60),
        first_join: FirstJoin::Admitted,
        leader_return: LeaderReturn::Follows,
    }
}

fn sync(joined: &Joined) -> Sync {
    Sync {
        group: id("g"),
        member: MemberRef { member_id: joined.member_id.clone(), instance_id: None },
        generation: joined.generation,
        protocol_type: None,
        protocol: None,
        assignments: vec![(joined.member_id.clone(), Bytes::from_static(b"all"))],
    }
}

/// Joins `g` alone; the initial delay passes.
async fn join_alone(fixture: &Fixture) -> Joined {
    let (joined, ()) =
        tokio::join!(fixture.groups.join(join("g")), fixture.pass(Duration::from_secs(3)));
    joined.unwrap()
}

#[tokio::test]
async fn timers_end_the_initial_delay_and_the_session() {
    let fixture = start();
    let joined = join_alone(&fixture).await;
    assert_eq!(joined.generation, 1);
    assert_eq!(fixture.groups.sync(sync(&joined)).await.unwrap().assignment, b"all"[..]);
    assert_eq!(fixture.groups.describe(&id("g")).phase, GroupPhase::Stable);
    let member = MemberRef { member_id: joined.member_id, instance_id: None };
    for _ in 0..5 {
        fixture.pass(Duration::from_secs(9)).await;
        assert_eq!(fixture.groups.heartbeat(&id("g"), &member, 1), Ok(()));
    }
    fixture.pass(Duration::from_secs(11)).await;
    assert_eq!(fixture.groups.describe(&id("g")).phase, GroupPhase::Empty);
    assert_eq!(fixture.groups.heartbeat(&id("g"), &member, 1), Err(Error::UnknownMember));
}

#[tokio::test]
async fn timers_fire_while_the_expiry_of_offsets_waits_for_the_store() {
    let store = Arc::new(MemoryStore::stepped());
    let fixture = open(store.clone(), FakeClock::new());
    let step = async {
        settle().await;
        store.step_all();
    };
    let (committed, ()) = tokio::join!(fixture.commit("old", "t", 1), step);
    committed.unwrap();
    fixture.pass(Duration::from_secs(8 * 24 * 3600)).await;
    assert!(fixture.groups.list().is_empty(), "its end is on its way");
    let joined = tokio::time::timeout(Duration::from_secs(30), join_alone(&fixture)).await;
    assert_eq!(joined.expect("the initial delay ends").generation, 1);
}

#[tokio::test]
async fn assignments_that_do_not_fit_into_the_budget_are_refused() {
    let fixture = start();
    let joined = join_alone(&fixture).await;
    let large = vec![(joined.member_id.clone(), Bytes::from(vec![0; 20_000]))];
    let refused = fixture.groups.sync(Sync { assignments: large, ..sync(&joined) }).await;
    assert!(matches!(refused, Err(Error::Busy(_))), "{refused:?}");
    assert_eq!(fixture.groups.sync(sync(&joined)).await.unwrap().assignment, b"all"[..]);
}

#[tokio::test]
async fn names_of_members_count_as_well() {
    let fixture = start();
    let join = |group, bytes: usize| Join { client_id: "x".repeat(bytes).into(), ..join(group) };
    for (group, bytes, fits) in [("a", 6000, true), ("b", 6000, false), ("b", 2000, true)] {
        let joined = fixture.groups.join(join(group, bytes));
        let (joined, ()) = tokio::join!(joined, fixture.pass(Duration::from_secs(3)));
        assert_eq!(joined.is_ok(), fits, "{joined:?}");
    }
}

#[tokio::test]
async fn member_ids_are_the_clients_name_and_never_the_same() {
    let one = fresh_member_id(&join("g"));
    assert!(one.as_str().starts_with("client-"));
    assert_ne!(one, fresh_member_id(&join("g")));
    let long = Join { client_id: "ä".repeat(200).into(), ..join("g") };
    assert!(fresh_member_id(&long).as_str().len() < 300);
}

#[tokio::test]
async fn sessions_outside_the_bounds_are_refused() {
    let fixture = start();
    for seconds in [0, 5, 1801] {
        let request = Join { session_timeout: Duration::from_secs(seconds), ..join("g") };
        let refused = fixture.groups.join(request).await.unwrap_err();
        assert_eq!(refused.error, Error::InvalidSessionTimeout);
    }
    assert!(fixture.groups.list().is_empty(), "a refused join makes no group");
}

#[tokio::test]
async fn join_again_takes_the_place_of_the_one_that_waits() {
    let fixture = start();
    let first = join_alone(&fixture).await;
    fixture.groups.sync(sync(&first)).await.unwrap();
    // An id that was given out holds the rebalance up.
    let asked = Join { first_join: FirstJoin::AskedBack, ..join("g") };
    let pending = fixture.groups.join(asked).await.unwrap_err().member_id;
    let join_as = |member_id: &MemberId| {
        let member = MemberRef { member_id: member_id.clone(), instance_id: None };
        fixture.groups.join(Join { member, ..join("g") })
    };
    let last = async {
        settle().await;
        join_as(&pending).await
    };
    let (replaced, again, last) =
        tokio::join!(join_as(&first.member_id), join_as(&first.member_id), last);
    assert_eq!(replaced.unwrap_err().error, Error::RebalanceInProgress);
    assert_eq!((again.unwrap().generation, last.unwrap().generation), (2, 2));
}

#[tokio::test]
async fn committed_offsets_survive_a_restart_however_many_there_were() {
    let mut fixture = start();
    for round in 0..3 {
        for n in 0..300 {
            fixture.commit("g", "t", round * 1000 + n).await.unwrap();
        }
        fixture = fixture.restart();
        assert_eq!(fixture.committed("g", "t"), Some(round * 1000 + 299));
    }
    assert_eq!(fixture.committed("g", "other"), None);
    assert_eq!(fixture.groups.list().len(), 1);
}

#[tokio::test]
async fn commit_that_is_not_durable_does_not_show_and_is_lost_with_the_process() {
    let store = Arc::new(MemoryStore::stepped());
    let fixture = open(store.clone(), FakeClock::new());
    let commit = fixture.commit("g", "t", 5);
    let meanwhile = async {
        settle().await;
        assert_eq!(fixture.committed("g", "t"), None);
        let crashed = open(Arc::new(store.reopen().start()), FakeClock::new());
        assert_eq!(crashed.committed("g", "t"), None);
        store.step_all();
    };
    let (committed, ()) = tokio::join!(commit, meanwhile);
    committed.unwrap();
    assert_eq!(fixture.committed("g", "t"), Some(5));
}

#[tokio::test]
async fn offsets_of_deleted_topics_are_dropped() {
    let fixture = start();
    fixture.commit("g", "t", 1).await.unwrap();
    fixture.commit("g", "u", 2).await.unwrap();
    fixture.groups.topic_deleted(&name("t")).await.unwrap();
    assert_eq!((fixture.committed("g", "t"), fixture.committed("g", "u")), (None, Some(2)));
    let fixture = fixture.restart();
    assert_eq!((fixture.committed("g", "t"), fixture.committed("g", "u")), (None, Some(2)));
    fixture.groups.retain_topics(|topic| topic.as_str() != "u").await.unwrap();
    assert_eq!(fixture.committed("g", "u"), None);
}

#[tokio::test]
async fn deleted_group_leaves_nothing_and_its_name_is_free() {
    let fixture = start();
    fixture.commit("g", "t", 1).await.unwrap();
    fixture.groups.delete(&id("g")).await.unwrap();
    assert!(fixture.store.logs().is_empty());
    assert!(fixture.store.scan(KEY_PREFIX.as_bytes()).is_empty());
    assert_eq!(fixture.groups.describe(&id("g")).phase, GroupPhase::Dead);
    assert_eq!(fixture.groups.delete(&id("g")).await, Err(Error::UnknownGroup("g".to_owned())));
    fixture.commit("g", "t", 2).await.unwrap();
    let fixture = fixture.restart();
    assert_eq!(fixture.committed("g", "t"), Some(2));
}

#[tokio::test]
async fn group_with_members_is_not_deleted() {
    let fixture = start();
    join_alone(&fixture).await;
    assert_eq!(fixture.groups.delete(&id("g")).await, Err(Error::NonEmptyGroup));
    let places = vec![(name("t"), 0)];
    assert_eq!(fixture.groups.delete_offsets(&id("g"), places).await, Err(Error::NonEmptyGroup));
}

#[tokio::test]
async fn offsets_of_an_empty_group_expire_a_week_after_it_became_empty() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let fixture = start();
    fixture.commit("simple", "t", 1).await.unwrap();
    fixture.commit("g", "t", 1).await.unwrap();
    // `g` has a member for two days.
    let joined = join_alone(&fixture).await;
    fixture.groups.sync(sync(&joined)).await.unwrap();
    let member = MemberRef { member_id: joined.member_id, instance_id: None };
    for _ in 0..2 * 24 * 3600 / 9 {
        fixture.clock.advance(Duration::from_secs(9));
        fixture.groups.heartbeat(&id("g"), &member, 1).unwrap();
    }
    fixture.groups.leave(&id("g"), vec![member]).await.unwrap();
    fixture.pass(DAY * 5 + Duration::from_secs(600)).await;
    wait_until(|| fixture.committed("simple", "t").is_none()).await;
    assert_eq!(fixture.committed("g", "t"), Some(1));
    // A group is out of sight before its end is durable, and commits are durable in their order.
    wait_until(|| fixture.store.logs().len() == 1).await;
    let fixture = fixture.restart();
    assert_eq!(fixture.committed("g", "t"), Some(1));
    fixture.pass(DAY * 2).await;
    wait_until(|| fixture.groups.list().is_empty()).await;
    wait_until(|| fixture.store.logs().is_empty()).await;
}

/// The committer works on a thread of its own.
async fn wait_until(reached: impl Fn() -> bool) {
    let waiting = async {
        while !reached() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it is never reached");
}

#[tokio::test]
async fn new_positions_are_refused_when_their_budget_is_used_up_and_old_ones_move_on() {
    let budget = Budget::new(1000);
    let budgets = [Budget::new(10_000), Arc::clone(&budget)];
    let fixture = open_within(Arc::new(MemoryStore::new()), FakeClock::new(), budgets);
    for group in ["a", "b", "c", "d", "e", "f"] {
        fixture.commit(group, "t", 1).await.unwrap();
    }
    let refused = || async { fixture.commit("g", "t", 1).await };
    assert!(matches!(refused().await, Err(Error::LimitExceeded(_))));
    fixture.commit("a", "t", 2).await.unwrap();
    assert_eq!(fixture.committed("a", "t"), Some(2));
    let used = budget.used();
    assert!((6 * 144..1000).contains(&used), "{used}");

    fixture.groups.delete(&id("f")).await.unwrap();
    refused().await.unwrap();
    let store = Arc::new(fixture.store.reopen().start());
    let budgets = [Budget::new(10_000), Budget::new(1000)];
    let restarted = open_within(store, fixture.clock.clone(), budgets);
    assert!(restarted.commit("h", "t", 1).await.is_err(), "what is loaded counts");
    assert_eq!(restarted.committed("a", "t"), Some(2));
}

#[tokio::test]
async fn offsets_are_committed_on_a_full_disk() {
    let fixture = start();
    fixture.store.set_full(true);
    fixture.commit("g", "t", 1).await.unwrap();
    assert_eq!(fixture.committed("g", "t"), Some(1));
}

#[tokio::test]
async fn a_position_that_damage_may_have_taken_is_an_error_until_it_is_set_again() {
    let fixture = start();
    fixture.commit("g", "a", 5).await.unwrap();
    let store = Arc::new(fixture.store.reopen().start());
    let log = store.logs()[0];
    let damage = Damage { log: Some(log), offsets: None, detail: "a file".to_owned() };
    store.set_damage(vec![damage]);
    let fixture = open(store, fixture.clock);
    let fetch = |places| fixture.groups.fetch_offsets(&id("g"), places);

    assert_eq!(fixture.committed("g", "a"), Some(5));
    let other = || Some(vec![(name("b"), 0)]);
    assert!(matches!(fetch(other()), Err(Error::DataDamaged(_))));
    assert!(matches!(fetch(None), Err(Error::DataDamaged(_))));

    fixture.commit("g", "b", 7).await.unwrap();
    assert_eq!(fixture.committed("g", "b"), Some(7));
}

mod membership;
