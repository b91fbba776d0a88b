//! Scripts after Kafka's behaviour, and invariants under random steps.

use super::*;
use proptest::prelude::*;
use tramline_types::GroupId;

const SESSION: Duration = Duration::from_secs(10);
const REBALANCE: Duration = Duration::from_secs(60);

fn at(secs: u64) -> Monotonic {
    Monotonic::from_origin(Duration::from_secs(secs))
}

fn id(text: &str) -> MemberId {
    MemberId::new(text)
}

fn state(initial_delay_secs: u64) -> State {
    State::new(Rules { initial_delay: Duration::from_secs(initial_delay_secs), members_max: 10 })
}

fn join(member: &str) -> Join {
    Join {
        group: GroupId::parse("g").unwrap(),
        member: MemberRef::dynamic(member),
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        protocol_type: "consumer".into(),
        protocols: vec![
            ("range".into(), Bytes::from_static(b"r")),
            ("sticky".into(), Bytes::new()),
        ],
        session_timeout: SESSION,
        rebalance_timeout: REBALANCE,
        first_join: FirstJoin::Admitted,
        leader_return: LeaderReturn::Follows,
    }
}

fn static_join(member: &str, instance: &str) -> Join {
    let mut join = join(member);
    join.member.instance_id = Some(instance.into());
    join
}

fn sync(member: &str, generation: i32, assignments: &[(&str, &'static [u8])]) -> Sync {
    let give = |(member, bytes): &(&str, &'static [u8])| (id(member), Bytes::from_static(bytes));
    Sync {
        group: GroupId::parse("g").unwrap(),
        member: MemberRef::dynamic(member),
        generation,
        protocol_type: None,
        protocol: None,
        assignments: assignments.iter().map(give).collect(),
    }
}

fn joins(state: &mut State) -> Vec<(String, Result<Joined, Error>)> {
    let mut all = Vec::new();
    while let Some(answer) = state.poll_answer() {
        if let Answer::Join(member, joined) = answer {
            all.push((member.to_string(), joined.map_err(|refused| refused.error)));
        }
    }
    all
}

fn syncs(state: &mut State) -> Vec<(String, Result<Bytes, Error>)> {
    let mut all = Vec::new();
    while let Some(answer) = state.poll_answer() {
        if let Answer::Sync(member, synced) = answer {
            all.push((member.to_string(), synced.map(|synced| synced.assignment)));
        }
    }
    all
}

/// Members `a` and `b` (leader `a`) in generation 1, stable, at second 0.
fn stable_pair() -> State {
    let mut state = state(3);
    for member in ["a", "b"] {
        state.handle_join(at(0), join(""), id(member)).unwrap();
    }
    state.handle_timeout(at(3));
    state.handle_timeout(at(6)); // A member arrived during the first delay: one more.
    assert_eq!(joins(&mut state).len(), 2);
    state.handle_sync(at(6), sync("b", 1, &[])).unwrap();
    state.handle_sync(at(6), sync("a", 1, &[("a", b"0"), ("b", b"1")])).unwrap();
    assert_eq!(syncs(&mut state).len(), 2);
    assert_eq!(state.phase(), GroupPhase::Stable);
    state
}

#[test]
fn first_rebalance_waits_for_its_delay_and_again_while_members_arrive() {
    let mut state = state(3);
    state.handle_join(at(0), join(""), id("a")).unwrap();
    assert_eq!(state.poll_timeout(), Some(at(3)));
    state.handle_join(at(1), join(""), id("b")).unwrap();
    state.handle_timeout(at(3));
    assert!(joins(&mut state).is_empty(), "`b` arrived during the delay");
    state.handle_timeout(at(6));
    let joined = joins(&mut state);
    assert_eq!(joined.len(), 2);
    let leader = joined[0].1.as_ref().unwrap();
    assert_eq!((leader.generation, leader.members.len()), (1, 2));
    assert_eq!(leader.leader, id("a"));
    assert!(joined[1].1.as_ref().unwrap().members.is_empty(), "only the leader learns of all");
}

#[test]
fn without_a_delay_the_first_member_starts_at_once() {
    let mut state = state(0);
    state.handle_join(at(0), join(""), id("a")).unwrap();
    assert_eq!(joins(&mut state).len(), 1);
    assert_eq!(state.phase(), GroupPhase::CompletingRebalance);
}

#[test]
fn member_id_is_asked_back_and_an_unused_one_expires() {
    let mut state = state(0);
    let asked = || Join { first_join: FirstJoin::AskedBack, ..join("") };
    let refused = state.handle_join(at(0), asked(), id("a")).unwrap_err();
    assert_eq!(refused.error, Error::MemberIdRequired("a".to_owned()));
    assert_eq!(refused.member_id, id("a"));
    state.handle_join(at(1), join("a"), id("x")).unwrap();
    assert_eq!(joins(&mut state)[0].0, "a");

    state.handle_join(at(1), asked(), id("b")).unwrap_err();
    state.handle_timeout(at(11));
    let late = state.handle_join(at(12), join("b"), id("x")).unwrap_err();
    assert_eq!(late.error, Error::UnknownMember);
}

#[test]
fn rebalance_waits_for_an_id_that_was_given_out() {
    let mut state = stable_pair();
    let asked = Join { first_join: FirstJoin::AskedBack, ..join("") };
    state.handle_join(at(7), asked, id("c")).unwrap_err();
    state.handle_join(at(7), join("a"), id("x")).unwrap(); // The leader wants a new assignment.
    state.handle_join(at(7), join("b"), id("x")).unwrap();
    assert!(joins(&mut state).is_empty(), "`c` has not joined");
    state.handle_join(at(8), join("c"), id("x")).unwrap();
    assert_eq!(joins(&mut state).len(), 3);
}

#[test]
fn heartbeat_tells_of_the_rebalance_and_sync_of_the_past_fails() {
    let mut state = stable_pair();
    assert_eq!(state.handle_heartbeat(at(7), &MemberRef::dynamic("a"), 1), Ok(()));
    state.handle_join(at(7), join(""), id("c")).unwrap();
    let beat = state.handle_heartbeat(at(7), &MemberRef::dynamic("a"), 1);
    assert_eq!(beat, Err(Error::RebalanceInProgress));
    let synced = state.handle_sync(at(7), sync("a", 1, &[]));
    assert_eq!(synced, Err(Error::RebalanceInProgress));
    let beat = state.handle_heartbeat(at(7), &MemberRef::dynamic("a"), 0);
    assert_eq!(beat, Err(Error::IllegalGeneration));
    let beat = state.handle_heartbeat(at(7), &MemberRef::dynamic("z"), 1);
    assert_eq!(beat, Err(Error::UnknownMember));
}

#[test]
fn member_that_misses_the_rebalance_is_dropped() {
    let mut state = stable_pair();
    state.handle_join(at(7), join(""), id("c")).unwrap();
    state.handle_join(at(8), join("a"), id("x")).unwrap();
    for second in (10..67).step_by(5) {
        drop(state.handle_heartbeat(at(second), &MemberRef::dynamic("b"), 1));
        state.handle_timeout(at(second));
        assert!(joins(&mut state).is_empty(), "`b` is alive and may still join");
    }
    state.handle_timeout(at(67));
    let joined: Vec<_> = joins(&mut state).into_iter().map(|(member, _)| member).collect();
    assert_eq!(joined, ["a", "c"]);
    assert_eq!(
        state.handle_heartbeat(at(68), &MemberRef::dynamic("b"), 1),
        Err(Error::UnknownMember)
    );
}

#[test]
fn silent_member_expires_and_the_rest_rebalances() {
    let mut state = stable_pair();
    state.handle_heartbeat(at(15), &MemberRef::dynamic("a"), 1).unwrap();
    state.handle_timeout(at(16));
    assert_eq!(state.phase(), GroupPhase::PreparingRebalance);
    state.handle_join(at(17), join("a"), id("x")).unwrap();
    let joined = joins(&mut state);
    assert_eq!(joined[0].1.as_ref().unwrap().generation, 2);
    assert_eq!(joined[0].1.as_ref().unwrap().members.len(), 1);
}

#[test]
fn member_that_never_syncs_is_dropped_after_the_rebalance_timeout() {
    let mut state = state(0);
    state.handle_join(at(0), join(""), id("a")).unwrap();
    joins(&mut state);
    for second in (0..60).step_by(5) {
        state.handle_heartbeat(at(second), &MemberRef::dynamic("a"), 1).unwrap();
    }
    state.handle_timeout(at(60));
    assert_eq!(state.phase(), GroupPhase::Empty);
}

#[test]
fn leaving_member_starts_a_rebalance_and_the_last_one_empties_the_group() {
    let mut state = stable_pair();
    state.handle_leave(at(7), &MemberRef::dynamic("b")).unwrap();
    assert_eq!(state.phase(), GroupPhase::PreparingRebalance);
    state.handle_leave(at(7), &MemberRef::dynamic("a")).unwrap();
    assert_eq!(state.phase(), GroupPhase::Empty);
    assert_eq!(state.handle_leave(at(8), &MemberRef::dynamic("a")), Err(Error::UnknownMember));
    assert_eq!(state.poll_timeout(), None);
}

#[test]
fn follower_that_joins_again_unchanged_gets_the_same_generation() {
    let mut state = stable_pair();
    let again = state.handle_join(at(7), join("b"), id("x")).unwrap();
    assert!(matches!(again, Step::Done(joined) if joined.generation == 1));
    assert_eq!(state.phase(), GroupPhase::Stable);
    let mut changed = join("b");
    changed.protocols[0].1 = Bytes::from_static(b"other topics");
    state.handle_join(at(7), changed, id("x")).unwrap();
    assert_eq!(state.phase(), GroupPhase::PreparingRebalance);
}

#[test]
fn strategy_is_chosen_by_vote_among_what_all_support() {
    let mut state = state(3);
    let with = |names: &[&str]| Join {
        protocols: names.iter().map(|name| ((*name).into(), Bytes::new())).collect(),
        ..join("")
    };
    state.handle_join(at(0), with(&["x", "range", "sticky"]), id("a")).unwrap();
    state.handle_join(at(0), with(&["sticky", "range"]), id("b")).unwrap();
    state.handle_join(at(0), with(&["range", "sticky", "y"]), id("c")).unwrap();
    let refused = state.handle_join(at(0), with(&["y", "x"]), id("d")).unwrap_err();
    assert_eq!(refused.error, Error::InconsistentProtocol);
    state.handle_timeout(at(3));
    state.handle_timeout(at(6));
    let joined = joins(&mut state);
    assert!(
        joined
            .iter()
            .all(|(_, joined)| { joined.as_ref().unwrap().protocol.as_deref() == Some("range") })
    );
    let mut other = join("");
    other.protocol_type = "connect".into();
    let refused = state.handle_join(at(7), other, id("e")).unwrap_err();
    assert_eq!(refused.error, Error::InconsistentProtocol);
}

#[test]
fn static_member_that_returns_keeps_its_assignment_without_a_rebalance() {
    let mut state = state(0);
    state.handle_join(at(0), static_join("", "one"), id("one-1")).unwrap();
    joins(&mut state);
    let first = MemberRef { member_id: id("one-1"), instance_id: Some("one".into()) };
    let mut leads = sync("one-1", 1, &[("one-1", b"all")]);
    leads.member = first.clone();
    state.handle_sync(at(0), leads).unwrap();
    syncs(&mut state);

    let step = state.handle_join(at(1), static_join("", "one"), id("one-2")).unwrap();
    let Step::Done(joined) = step else { panic!("a rebalance was started") };
    assert_eq!((joined.generation, joined.leader, joined.members.len()), (1, id("one-1"), 0));
    assert_eq!(state.phase(), GroupPhase::Stable);
    let mut follows = sync("one-2", 1, &[]);
    follows.member = MemberRef { member_id: id("one-2"), instance_id: Some("one".into()) };
    let synced = state.handle_sync(at(1), follows).unwrap();
    assert!(matches!(synced, Step::Done(synced) if synced.assignment == b"all"[..]));
    assert_eq!(state.handle_heartbeat(at(1), &first, 1), Err(Error::FencedInstance));

    let newer = Join { leader_return: LeaderReturn::SkipsAssignment, ..static_join("", "one") };
    let step = state.handle_join(at(2), newer, id("one-3")).unwrap();
    let Step::Done(joined) = step else { panic!("a rebalance was started") };
    assert!(joined.skip_assignment && joined.leader == id("one-3") && joined.members.len() == 1);
}

#[test]
fn waiting_static_member_is_fenced_by_its_newer_self() {
    let mut state = state(3);
    state.handle_join(at(0), static_join("", "one"), id("one-1")).unwrap();
    state.handle_join(at(1), static_join("", "one"), id("one-2")).unwrap();
    let answers = joins(&mut state);
    assert_eq!(answers, [("one-1".to_owned(), Err(Error::FencedInstance))]);
    let leave = MemberRef { member_id: id(""), instance_id: Some("one".into()) };
    assert_eq!(state.handle_leave(at(2), &leave), Ok(()));
}

#[test]
fn static_member_stays_over_a_rebalance_that_it_misses() {
    let mut state = state(3);
    state.handle_join(at(0), join(""), id("a")).unwrap();
    let mut patient = static_join("", "one");
    patient.session_timeout = Duration::from_secs(600);
    state.handle_join(at(0), patient, id("one-1")).unwrap();
    state.handle_timeout(at(3));
    state.handle_timeout(at(6));
    joins(&mut state);
    state.handle_sync(at(6), sync("a", 1, &[])).unwrap();
    let static_sync = Sync {
        member: MemberRef { member_id: id("one-1"), instance_id: Some("one".into()) },
        ..sync("one-1", 1, &[])
    };
    state.handle_sync(at(6), static_sync).unwrap();
    state.handle_join(at(7), join("a"), id("x")).unwrap();
    state.handle_timeout(at(67));
    let joined = joins(&mut state);
    assert_eq!(joined.len(), 1);
    assert_eq!(joined[0].1.as_ref().unwrap().members.len(), 2, "the static one is counted in");
}

#[test]
fn commit_is_checked_against_generation_and_membership() {
    let mut state = stable_pair();
    let a = MemberRef::dynamic("a");
    assert_eq!(state.handle_commit(at(7), &a, 1), Ok(()));
    assert_eq!(state.handle_commit(at(7), &a, 0), Err(Error::IllegalGeneration));
    assert_eq!(state.handle_commit(at(7), &MemberRef::dynamic("z"), 1), Err(Error::UnknownMember));
    let simple = MemberRef::dynamic("");
    assert_eq!(state.handle_commit(at(7), &simple, -1), Err(Error::UnknownMember));
    assert_eq!(state.handle_delete(), Err(Error::NonEmptyGroup));
    for member in ["a", "b"] {
        state.handle_leave(at(8), &MemberRef::dynamic(member)).unwrap();
    }
    assert_eq!(state.handle_commit(at(9), &simple, -1), Ok(()));
    assert_eq!(state.handle_delete(), Ok(()));
    assert_eq!(state.phase(), GroupPhase::Dead);
}

#[test]
fn group_takes_no_more_members_than_its_limit() {
    let mut state = state(3);
    for n in 0..10 {
        state.handle_join(at(0), join(""), id(&n.to_string())).unwrap();
    }
    assert_eq!(state.handle_join(at(0), join(""), id("x")).unwrap_err().error, Error::GroupFull);
}

#[derive(Clone, Debug)]
enum Action {
    Join { slot: usize, fresh: bool, is_static: bool, asked: bool, changed: bool },
    Sync { slot: usize },
    Heartbeat { slot: usize },
    Leave { slot: usize },
    Pass { secs: u64 },
}

fn action() -> impl Strategy<Value = Action> {
    let slot = 0..6usize;
    prop_oneof![
        4 => (slot.clone(), any::<[bool; 4]>()).prop_map(|(slot, [fresh, is_static, asked, changed])| {
            Action::Join { slot, fresh, is_static, asked, changed }
        }),
        4 => slot.clone().prop_map(|slot| Action::Sync { slot }),
        2 => slot.clone().prop_map(|slot| Action::Heartbeat { slot }),
        1 => slot.prop_map(|slot| Action::Leave { slot }),
        2 => (1..70u64).prop_map(|secs| Action::Pass { secs }),
    ]
}

fn check(state: &State) {
    let joining = state.members.values().filter(|member| member.waiting == Waiting::Join).count();
    let syncing = state.members.values().filter(|member| member.waiting == Waiting::Sync).count();
    assert_eq!(joining, state.n_joining);
    assert_eq!(state.expiries.len(), state.members.len() + state.pending.len());
    let is_known = |id: &MemberId| state.members.contains_key(id) || state.pending.contains_key(id);
    assert!(state.expiries.iter().all(|(_, id)| is_known(id)));
    assert!(state.unsynced.iter().all(|id| state.members.contains_key(id)));
    assert!(state.statics.values().all(|id| state.members.contains_key(id)));
    assert!(joining == 0 || matches!(state.phase, Phase::Preparing { .. }));
    assert!(syncing == 0 || state.phase == Phase::Completing);
    assert_eq!(state.members.is_empty(), state.leader.is_none());
    match state.phase {
        Phase::Empty => assert!(state.members.is_empty() && state.protocol.is_none()),
        Phase::Completing | Phase::Stable => {
            assert!(!state.members.is_empty() && state.protocol.is_some());
        }
        Phase::Preparing { .. } | Phase::Dead => {}
    }
}

/// Runs the actions, with `slots` holding what each client knows: its id and generation.
fn run(actions: Vec<Action>) {
    let mut state = state(3);
    let mut now = 0;
    let mut ids = 0;
    let mut generation_max = 0;
    let mut slots = vec![(MemberRef::dynamic(""), 0); 6];
    let mut waiting: BTreeMap<MemberId, usize> = BTreeMap::new();
    for action in actions {
        match action {
            Action::Join { slot, fresh, is_static, asked, changed } => {
                let name: Option<Arc<str>> = is_static.then(|| format!("s{slot}").into());
                let sent = if fresh { id("") } else { slots[slot].0.member_id.clone() };
                let mut join = join(sent.as_str());
                join.member.instance_id = name;
                join.first_join = if asked { FirstJoin::AskedBack } else { FirstJoin::Admitted };
                if changed {
                    join.protocols.reverse();
                }
                ids += 1;
                let member = join.member.clone();
                match state.handle_join(at(now), join, id(&format!("m{ids}"))) {
                    Ok(Step::Wait(given)) => {
                        waiting.insert(given.clone(), slot);
                        slots[slot].0 = MemberRef { member_id: given, ..member };
                    }
                    Ok(Step::Done(joined)) => {
                        slots[slot] = (
                            MemberRef { member_id: joined.member_id, ..member },
                            joined.generation,
                        );
                    }
                    Err(refused) => slots[slot].0.member_id = refused.member_id,
                }
            }
            Action::Sync { slot } => {
                let mut sync = sync("", slots[slot].1, &[]);
                sync.member = slots[slot].0.clone();
                drop(state.handle_sync(at(now), sync));
            }
            Action::Heartbeat { slot } => {
                drop(state.handle_heartbeat(at(now), &slots[slot].0, slots[slot].1));
            }
            Action::Leave { slot } => drop(state.handle_leave(at(now), &slots[slot].0)),
            Action::Pass { secs } => now += secs,
        }
        state.handle_timeout(at(now));
        assert!(state.poll_timeout().is_none_or(|deadline| deadline > at(now)));
        check(&state);
        assert!(state.generation >= generation_max, "a generation came back");
        generation_max = state.generation;
        while let Some(answer) = state.poll_answer() {
            if let Answer::Join(member, joined) = answer {
                let slot = waiting.remove(&member).expect("an answer without a waiter");
                if let Ok(joined) = joined {
                    slots[slot].1 = joined.generation;
                }
            }
        }
    }
    // Left alone, every member times out and nobody waits for ever.
    for _ in 0..50 {
        now += 400;
        state.handle_timeout(at(now));
        check(&state);
    }
    assert!(state.is_idle(), "{:?}", state.phase);
    while let Some(answer) = state.poll_answer() {
        if let Answer::Join(member, _) = answer {
            waiting.remove(&member);
        }
    }
    assert!(waiting.is_empty(), "a join was never answered");
}

proptest! {
    #[test]
    fn invariants_hold_and_everyone_is_answered(actions in prop::collection::vec(action(), 1..60)) {
        run(actions);
    }
}
