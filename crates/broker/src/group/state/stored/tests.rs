//! A settled group before and after a restart.

use super::*;
use crate::{
    Error,
    group::{
        request::{FirstJoin, GroupPhase, LeaderReturn, MemberRef},
        state::Step,
    },
};
use tramline_types::GroupId;

const SESSION: Duration = Duration::from_secs(10);
const RULES: Rules = Rules { initial_delay: Duration::ZERO, members_max: 10 };

fn at(secs: u64) -> Monotonic {
    Monotonic::from_origin(Duration::from_secs(secs))
}

fn id(text: &str) -> MemberId {
    MemberId::new(text)
}

/// `s` is a static member of that name, every other one is dynamic.
fn named(member: &str) -> MemberRef {
    let instance_id = (member == "s").then(|| "static".into());
    MemberRef { member_id: id(member), instance_id }
}

fn join(member: MemberRef) -> Join {
    Join {
        group: GroupId::parse("g").unwrap(),
        member,
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        protocol_type: "consumer".into(),
        protocols: vec![
            ("range".into(), Bytes::from_static(b"r")),
            ("sticky".into(), Bytes::new()),
        ],
        session_timeout: SESSION,
        rebalance_timeout: Duration::from_secs(60),
        first_join: FirstJoin::Admitted,
        leader_return: LeaderReturn::SkipsAssignment,
    }
}

fn sync(member: &str, generation: i32, assignments: &[(&str, &'static str)]) -> Sync {
    let give =
        |(member, text): &(&str, &'static str)| (id(member), Bytes::from_static(text.as_bytes()));
    Sync {
        group: GroupId::parse("g").unwrap(),
        member: named(member),
        generation,
        protocol_type: None,
        protocol: None,
        assignments: assignments.iter().map(give).collect(),
    }
}

/// Leader `a`, follower `b` and static follower `s`, settled in generation 3 at second 2; what is
/// to be stored of them.
fn settled() -> (State, Bytes) {
    let mut state = State::new(RULES);
    state.handle_join(at(0), join(MemberRef::dynamic("")), id("a")).unwrap();
    state.handle_join(at(0), join(MemberRef::dynamic("")), id("b")).unwrap();
    state.handle_join(at(0), join(named("a")), id("x")).unwrap();
    let new = MemberRef { member_id: id(""), ..named("s") };
    state.handle_join(at(1), join(new), id("s")).unwrap();
    for member in ["a", "b"] {
        state.handle_join(at(1), join(named(member)), id("x")).unwrap();
    }
    assert_eq!(state.poll_membership(), None, "nothing is settled");
    let generation = state.generation;
    let last = sync("a", generation, &[("a", "0"), ("b", "1"), ("s", "22"), ("gone", "3")]);
    assert_eq!(state.bytes_after_sync(&sync("b", generation, &[])), None, "it does not lead");
    let bytes_max = state.bytes_after_sync(&last).unwrap();
    state.handle_sync(at(2), last).unwrap();
    assert_eq!(state.phase(), GroupPhase::Stable);
    let stored = state.poll_membership().unwrap();
    assert_eq!(stored.len(), bytes_max);
    assert_eq!(state.poll_membership(), None, "it has not changed since");
    (state, stored)
}

#[test]
fn restored_group_is_settled_with_the_same_members() {
    let (before, stored) = settled();
    let mut after = State::restore(RULES, at(100), stored.clone()).unwrap();
    assert_eq!(after.phase(), GroupPhase::Stable);
    assert_eq!(after.describe_members(), before.describe_members());
    assert_eq!(after.held_bytes(), before.held_bytes());
    assert_eq!(after.encode(), stored);
    assert_eq!(after.poll_membership(), None, "it is stored as it is");

    let generation = before.generation;
    for member in ["a", "b", "s"] {
        assert_eq!(after.handle_heartbeat(at(101), &named(member), generation), Ok(()));
        assert_eq!(after.handle_commit(at(101), &named(member), generation), Ok(()));
    }
    let fenced = MemberRef { member_id: id("other"), ..named("s") };
    assert_eq!(after.handle_heartbeat(at(101), &fenced, generation), Err(Error::FencedInstance));
    let Ok(Step::Done(again)) = after.handle_join(at(101), join(named("b")), id("x")) else {
        panic!("a follower that joins again as it was gets the same generation");
    };
    assert_eq!((again.generation, again.leader), (generation, id("a")));
    let Ok(Step::Done(synced)) = after.handle_sync(at(101), sync("b", generation, &[])) else {
        panic!("its assignment is there");
    };
    assert_eq!(synced.assignment, b"1"[..]);
    assert_eq!(synced.protocol, before.protocol);
}

#[test]
fn sessions_start_at_the_load_and_who_stays_silent_goes() {
    let (before, stored) = settled();
    let mut after = State::restore(RULES, at(100), stored).unwrap();
    assert_eq!(after.poll_timeout(), Some(at(110)));
    after.renew_sessions(at(105));
    assert_eq!(after.poll_timeout(), Some(at(115)));
    for member in ["a", "s"] {
        after.handle_heartbeat(at(110), &named(member), before.generation).unwrap();
    }
    after.handle_timeout(at(115));
    assert_eq!(after.phase(), GroupPhase::PreparingRebalance);
    let told = after.handle_heartbeat(at(116), &named("a"), before.generation);
    assert_eq!(told, Err(Error::RebalanceInProgress));
    assert_eq!(after.describe_members().len(), 2);
}

#[test]
fn static_member_that_returns_is_stored_under_its_new_id() {
    let (before, stored) = settled();
    let mut after = State::restore(RULES, at(100), stored).unwrap();
    let back = || join(MemberRef { member_id: id(""), ..named("s") });
    let bytes_max = after.bytes_after_join(&back(), &id("new")).unwrap();
    let Ok(Step::Done(joined)) = after.handle_join(at(101), back(), id("new")) else {
        panic!("it returns without a rebalance");
    };
    assert_eq!(joined.generation, before.generation);
    let stored = after.poll_membership().unwrap();
    assert!(stored.len() <= bytes_max, "{} bytes", stored.len());
    let mut again = State::restore(RULES, at(200), stored).unwrap();
    let member = MemberRef { member_id: id("new"), ..named("s") };
    assert_eq!(again.handle_heartbeat(at(201), &member, before.generation), Ok(()));
    assert_eq!(again.bytes_after_join(&join(named("b")), &id("x")), None, "it is not static");
}

#[test]
fn what_is_no_membership_is_refused() {
    let (_, stored) = settled();
    for len in 0..stored.len() {
        assert!(State::restore(RULES, at(0), stored.slice(..len)).is_err(), "{len} bytes");
    }
    let mut longer = stored.to_vec();
    longer.push(0);
    assert!(State::restore(RULES, at(0), longer.into()).is_err());
    for (place, byte) in [(0, 2), (5, 0x7f), (stored.len() - 1, 0xff)] {
        let mut wrong = stored.to_vec();
        wrong[place] = byte;
        drop(State::restore(RULES, at(0), wrong.into())); // Some are right by chance; none panics.
    }
}
