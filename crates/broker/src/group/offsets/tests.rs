//! What is stored comes back, and nothing shows before it is durable.

use super::*;

fn place(topic: &str, partition: u32) -> Place {
    (TopicName::parse(topic).unwrap(), partition)
}

fn committed(offset: u64, at: i64) -> Committed {
    Committed {
        offset: Offset::new(offset).unwrap(),
        leader_epoch: (offset > 5).then_some(3),
        metadata: "mé".into(),
        at: Timestamp::from_millis(at),
        expires_at: None,
    }
}

fn expiring(offset: u64, at: i64, expires_at: i64) -> Committed {
    Committed { expires_at: Some(Timestamp::from_millis(expires_at)), ..committed(offset, at) }
}

#[test]
fn commit_shows_when_it_is_durable() {
    let mut offsets = Offsets::new();
    offsets.handle_submit(Change::Set(vec![(place("t", 0), committed(7, 1))]));
    assert_eq!(offsets.get(&place("t", 0)), None);
    offsets.settle(1);
    assert_eq!(offsets.get(&place("t", 0)), Some(&committed(7, 1)));
}

#[test]
fn deltas_and_checkpoints_bring_back_the_same_state() {
    let mut offsets = Offsets::new();
    let mut stored = RecoveredState::default();
    for n in 0..500 {
        let entry = if n % 3 == 0 {
            expiring(u64::from(n), i64::from(n), i64::from(n) + 7)
        } else {
            committed(u64::from(n), i64::from(n))
        };
        let entry = (place("t", n % 7), entry);
        stored.deltas.push(offsets.handle_submit(Change::Set(vec![entry])));
        if n % 50 == 49 {
            let gone = Change::Removed(vec![place("t", 3)]);
            stored.deltas.push(offsets.handle_submit(gone));
        }
        if let Some(bytes) = offsets.checkpoint_due() {
            stored.checkpoint = Some(offsets.poll_checkpoint(bytes).unwrap());
            stored.deltas.clear();
        }
    }
    stored.deltas.push(offsets.handle_submit(Change::Occupancy(Occupancy::Occupied)));
    offsets.settle(offsets.n_submitted());
    let back = Offsets::recover(&stored).unwrap();
    assert!(stored.checkpoint.is_some(), "no checkpoint was ever due");
    assert_eq!(back.all(), offsets.all());
    assert_eq!(back.occupancy(), Occupancy::Occupied);
}

#[test]
fn stored_bytes_are_as_drawn() {
    let mut offsets = Offsets::new();
    let bytes = offsets.handle_submit(Change::Set(vec![(place("ab", 2), committed(7, 9))]));
    let drawn =
        b"\x01\0\x02ab\0\0\0\x02\0\0\0\0\0\0\0\x07\0\0\0\x03\0\0\0\0\0\0\0\x09\0\x03m\xc3\xa9";
    assert_eq!(bytes[..], drawn[..]);
    let bytes = offsets.handle_submit(Change::Set(vec![(place("ab", 2), expiring(7, 9, 11))]));
    assert_eq!(bytes[0], 5);
    assert_eq!(bytes[1..], [&drawn[1..], b"\0\0\0\0\0\0\0\x0b"].concat());
}

#[test]
fn damaged_state_is_an_error() {
    for bytes in [&b""[..], b"\x09", b"\x01\0\x05ab", b"\x02\0\x01a\0\0", b"\x03\0"] {
        let delta = Bytes::copy_from_slice(bytes);
        let stored = RecoveredState { checkpoint: None, deltas: vec![delta.clone()] };
        assert!(Offsets::recover(&stored).is_err(), "{bytes:?}");
        let stored = RecoveredState { checkpoint: Some(delta), deltas: vec![] };
        assert!(Offsets::recover(&stored).is_err(), "{bytes:?}");
    }
}

#[test]
fn offsets_expire_only_while_the_group_is_empty_for_long_enough() {
    let mut offsets = Offsets::new();
    offsets.handle_submit(Change::Set(vec![
        (place("old", 0), committed(1, 10)),
        (place("young", 0), committed(1, 90)),
    ]));
    offsets.settle(1);
    let expired = |offsets: &Offsets| {
        offsets.expired(Timestamp::from_millis(100), Timestamp::from_millis(50))
    };
    offsets.note_occupancy(Occupancy::Occupied);
    assert_eq!(expired(&offsets), []);
    offsets.note_occupancy(Occupancy::EmptySince(Some(Timestamp::from_millis(60))));
    assert_eq!(expired(&offsets), []);
    offsets.note_occupancy(Occupancy::EmptySince(Some(Timestamp::from_millis(40))));
    assert_eq!(expired(&offsets), [place("old", 0)]);
}

#[test]
fn an_offset_with_a_time_of_its_own_goes_by_it_while_the_group_is_empty() {
    let mut offsets = Offsets::new();
    offsets.handle_submit(Change::Set(vec![
        (place("kept", 0), expiring(1, 10, 101)),
        (place("short", 0), expiring(1, 90, 100)),
    ]));
    offsets.settle(1);
    let (now, limit) = (Timestamp::from_millis(100), Timestamp::from_millis(50));
    offsets.note_occupancy(Occupancy::EmptySince(Some(Timestamp::from_millis(95))));
    assert_eq!(offsets.expired(now, limit), [place("short", 0)]);
    offsets.note_occupancy(Occupancy::Occupied);
    assert_eq!(offsets.expired(now, limit), []);
}

#[test]
fn places_of_one_topic_are_found() {
    let mut offsets = Offsets::new();
    let entries = [("a", 1), ("b", 0), ("b", 9), ("bb", 0)];
    let set = entries.map(|(topic, partition)| (place(topic, partition), committed(1, 1)));
    offsets.handle_submit(Change::Set(set.to_vec()));
    offsets.settle(1);
    assert_eq!(offsets.of_topic(&place("b", 0).0), [place("b", 0), place("b", 9)]);
    // What is on its way is durable soon, and would stay behind.
    offsets.handle_submit(Change::Set(vec![(place("b", 4), committed(1, 1))]));
    let found = offsets.of_topic(&place("b", 0).0);
    assert_eq!(found, [place("b", 0), place("b", 4), place("b", 9)]);
}

#[test]
fn membership_is_in_the_checkpoint_until_the_group_is_empty() {
    let mut offsets = Offsets::new();
    let members = Bytes::from_static(b"who is who");
    let entries: Vec<_> = (0..200).map(|n| (place("t", n), expiring(1, 2, 3))).collect();
    let (held, stored) = offsets.growth(&entries);
    offsets.handle_submit(Change::Members(members.clone()));
    offsets.handle_submit(Change::Set(entries.clone()));
    assert_eq!(offsets.occupancy(), Occupancy::Occupied, "as submitted");
    offsets.settle(offsets.n_submitted());
    assert_eq!((offsets.held_bytes(), offsets.stored_bytes()), (held, stored));
    assert_eq!(offsets.growth(&entries), (0, 0), "they are there");

    let bytes = offsets.checkpoint_due().unwrap();
    let checkpoint = offsets.poll_checkpoint(bytes).unwrap();
    assert_eq!(checkpoint.len(), 1 + 8 + 4 + members.len() + stored);
    let recovered = |deltas: &[Bytes]| {
        let checkpoint = Some(checkpoint.clone());
        Offsets::recover(&RecoveredState { checkpoint, deltas: deltas.to_vec() }).unwrap()
    };
    let back = recovered(&[]);
    assert_eq!((back.members(), back.occupancy()), (&members, Occupancy::Occupied));
    assert_eq!((back.all(), back.held_bytes()), (offsets.all(), held));
    for len in 0..9 + 4 + members.len() {
        let checkpoint = Some(checkpoint.slice(..len));
        assert!(Offsets::recover(&RecoveredState { checkpoint, deltas: vec![] }).is_err());
    }

    let since = Occupancy::EmptySince(Some(Timestamp::from_millis(9)));
    let emptied = offsets.handle_submit(Change::Occupancy(since));
    let removed = offsets.handle_submit(Change::Removed(vec![place("t", 7)]));
    let back = recovered(&[emptied, removed]);
    assert!(back.members().is_empty());
    assert_eq!(back.occupancy(), since);
    assert!(back.held_bytes() < held);
}
