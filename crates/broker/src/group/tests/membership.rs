//! Members over a restart.

use super::*;

const G: &str = "g";

/// A member of `g`, settled alone.
async fn settled(fixture: &Fixture) -> (MemberRef, i32) {
    let joined = join_alone(fixture).await;
    fixture.groups.sync(sync(&joined)).await.unwrap();
    (MemberRef { member_id: joined.member_id, instance_id: None }, joined.generation)
}

fn commit_as(member: &MemberRef, generation: i32) -> CommitOffsets {
    CommitOffsets {
        group: id(G),
        member: member.clone(),
        generation,
        offsets: vec![position("t", 7)],
        retention: None,
    }
}

/// Makes durable what nobody waits for: commits are durable in their order.
async fn flush(fixture: &Fixture) {
    fixture.commit("other", "t", 1).await.unwrap();
}

#[tokio::test]
async fn members_go_on_after_a_restart_without_a_rebalance() {
    let mut fixture = start();
    let (member, generation) = settled(&fixture).await;
    for _ in 0..3 {
        fixture = fixture.restart();
        let described = fixture.groups.describe(&id(G));
        assert_eq!(described.phase, GroupPhase::Stable);
        assert_eq!(described.members[0].member_id, member.member_id);
        assert_eq!(described.members[0].assignment, b"all"[..]);
        fixture.pass(Duration::from_secs(9)).await;
        assert_eq!(fixture.groups.heartbeat(&id(G), &member, generation), Ok(()));
        fixture.groups.commit_offsets(commit_as(&member, generation)).await.unwrap();
        assert_eq!(fixture.committed(G, "t"), Some(7));
    }
}

#[tokio::test]
async fn member_that_is_gone_after_a_restart_expires_with_its_session() {
    let fixture = start();
    let (member, generation) = settled(&fixture).await;
    fixture.groups.commit_offsets(commit_as(&member, generation)).await.unwrap();
    let fixture = fixture.restart();
    fixture.pass(Duration::from_secs(11)).await;
    assert_eq!(fixture.groups.describe(&id(G)).phase, GroupPhase::Empty);
    flush(&fixture).await;
    let fixture = fixture.restart();
    assert_eq!(fixture.groups.describe(&id(G)).phase, GroupPhase::Empty);
    let unknown = fixture.groups.heartbeat(&id(G), &member, generation);
    assert_eq!(unknown, Err(Error::UnknownMember));
    assert_eq!(fixture.committed(G, "t"), Some(7));
}

#[tokio::test]
async fn members_that_left_do_not_come_back() {
    let fixture = start();
    let (member, generation) = settled(&fixture).await;
    fixture.groups.leave(&id(G), vec![member.clone()]).await.unwrap();
    let fixture = fixture.restart();
    assert_eq!(fixture.groups.describe(&id(G)).phase, GroupPhase::Empty);
    let unknown = fixture.groups.heartbeat(&id(G), &member, generation);
    assert_eq!(unknown, Err(Error::UnknownMember));
}

#[tokio::test]
async fn nobody_is_told_an_assignment_that_a_crash_takes_back() {
    let store = Arc::new(MemoryStore::stepped());
    let fixture = open(store.clone(), FakeClock::new());
    let joined = join_alone(&fixture).await;
    let synced = fixture.groups.sync(sync(&joined));
    let again = async {
        settle().await;
        fixture.groups.sync(sync(&joined)).await // Its connection was lost: it asks again.
    };
    let is_durable = std::cell::Cell::new(false);
    let noted = |synced: Result<Synced, Error>| {
        assert!(is_durable.get(), "the answer came before it was durable");
        synced.unwrap().assignment
    };
    let meanwhile = async {
        for _ in 0..5 {
            settle().await;
        }
        let crashed = open(Arc::new(store.reopen().start()), FakeClock::new());
        assert_eq!(crashed.groups.describe(&id(G)).phase, GroupPhase::Dead);
        is_durable.set(true);
        store.step_all();
    };
    let (first, second, ()) =
        tokio::join!(async { noted(synced.await) }, async { noted(again.await) }, meanwhile);
    assert_eq!((&first[..], &second[..]), (&b"all"[..], &b"all"[..]));
    let crashed = open(Arc::new(store.reopen().start()), FakeClock::new());
    assert_eq!(crashed.groups.describe(&id(G)).phase, GroupPhase::Stable);
}

#[tokio::test]
async fn static_member_that_returned_is_known_under_its_new_id() {
    let fixture = start();
    let named = |member_id: &MemberId| MemberRef {
        member_id: member_id.clone(),
        instance_id: Some("static".into()),
    };
    let join = || Join { member: named(&MemberId::new("")), ..join(G) };
    let first = fixture.groups.join(join());
    let (first, ()) = tokio::join!(first, fixture.pass(Duration::from_secs(3)));
    let first = first.unwrap();
    let assigned = Sync { member: named(&first.member_id), ..sync(&first) };
    fixture.groups.sync(assigned).await.unwrap();
    let second = fixture.groups.join(join()).await.unwrap();
    assert_eq!(second.generation, first.generation);

    let fixture = fixture.restart();
    let beat = |member_id| fixture.groups.heartbeat(&id(G), &named(member_id), first.generation);
    assert_eq!(beat(&first.member_id), Err(Error::FencedInstance));
    assert_eq!(beat(&second.member_id), Ok(()));
    let third = fixture.groups.join(join()).await.unwrap();
    assert_eq!(third.generation, first.generation, "it returns after the restart as before");
}

#[tokio::test]
async fn restored_members_count_for_the_budget_and_rebalances_do_not_pile_up() {
    let budget = Budget::new(1_000_000);
    let store = Arc::new(MemoryStore::new());
    let fixture = open_with(store, FakeClock::new(), Arc::clone(&budget));
    let (member, _) = settled(&fixture).await;
    let large = Bytes::from(vec![7; 50_000]);
    for round in 0..50 {
        let again = Join {
            member: member.clone(),
            protocols: vec![("range".into(), large.slice(round..))],
            ..join(G)
        };
        let joined = fixture.groups.join(again).await.unwrap();
        fixture.groups.sync(sync(&joined)).await.unwrap();
    }
    fixture.groups.heartbeat(&id(G), &member, 51).unwrap(); // What is durable by now counts.
    let used = budget.used();
    assert!((100_000..150_000).contains(&used), "{used}");
    let store = Arc::new(fixture.store.reopen().start());
    let stored = store.take_state(store.logs()[0]).unwrap();
    let bytes = stored.deltas.iter().chain(&stored.checkpoint).map(Bytes::len).sum::<usize>();
    assert!(bytes < 4 * 50_000, "{bytes} bytes are stored");

    let budget = Budget::new(1_000_000);
    let store = Arc::new(fixture.store.reopen().start());
    let restarted = open_with(store, fixture.clock.clone(), Arc::clone(&budget));
    assert_eq!(restarted.groups.describe(&id(G)).phase, GroupPhase::Stable);
    assert_eq!(budget.used(), used);
}

#[tokio::test]
async fn membership_above_its_limit_is_not_kept_and_takes_the_one_before_with_it() {
    let budget = || Budget::new(100_000_000);
    let store = Arc::new(MemoryStore::new());
    let fixture = open_with(store, FakeClock::new(), budget());
    let (member, generation) = settled(&fixture).await;
    let large = Bytes::from(vec![7; tramline_types::limits::GROUP_MEMBERSHIP_BYTES_MAX]);
    let protocols = vec![("range".into(), large)];
    let again = Join { member: member.clone(), protocols, ..join(G) };
    let joined = fixture.groups.join(again).await.unwrap();
    fixture.groups.sync(sync(&joined)).await.unwrap();
    assert_eq!(fixture.groups.heartbeat(&id(G), &member, generation + 1), Ok(()));

    let store = Arc::new(fixture.store.reopen().start());
    let restarted = open_with(store, fixture.clock.clone(), budget());
    assert_eq!(restarted.groups.describe(&id(G)).phase, GroupPhase::Empty);
}
