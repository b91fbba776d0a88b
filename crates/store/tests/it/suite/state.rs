//! State, pairs and whole commits.

use super::{A, B, concatenated, fill};
use crate::batches::{append_to, at, batch, stamped, target};
use crate::subject::{Subject, assert_survives_reopen, commit, read_all, submit, take_state};
use bytes::Bytes;
use std::sync::Arc;
use tramline_store::Op;
use tramline_types::Offset;

pub(super) fn state_is_the_last_checkpoint_and_the_later_deltas(subject: &mut dyn Subject) {
    commit(subject, vec![Op::Create(A, Offset::ZERO), Op::Create(B, Offset::ZERO)]);
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    commit(subject, vec![Op::Delta(A, bytes("old")), Op::Delta(B, bytes("b1"))]);
    commit(subject, vec![Op::Checkpoint(A, bytes("c1"))]);
    commit(subject, vec![Op::Delta(A, bytes("d1"))]);
    commit(
        subject,
        vec![Op::Delta(A, bytes("d2")), Op::Checkpoint(A, bytes("c2")), Op::Delta(A, bytes("d3"))],
    );
    commit(subject, vec![Op::Delta(A, bytes("d4")), Op::Delta(B, bytes("b2"))]);
    for _ in 0..3 {
        subject.reopen();
        let expected = (Some(bytes("c2")), vec![bytes("d3"), bytes("d4")]);
        assert_eq!(take_state(subject, A), expected);
        assert_eq!(take_state(subject, B), (None, vec![bytes("b1"), bytes("b2")]));
    }
    commit(subject, vec![Op::Delta(A, bytes("d5"))]);
    subject.reopen();
    let expected = (Some(bytes("c2")), vec![bytes("d3"), bytes("d4"), bytes("d5")]);
    assert_eq!(take_state(subject, A), expected);
}

pub(super) fn state_without_a_checkpoint_is_all_deltas(subject: &mut dyn Subject) {
    commit(subject, vec![Op::Create(A, Offset::ZERO)]);
    let deltas: Vec<Bytes> = (0..50).map(|n| Bytes::from(format!("delta {n}"))).collect();
    for delta in &deltas {
        commit(subject, vec![Op::Delta(A, delta.clone())]);
    }
    subject.reopen();
    assert_eq!(take_state(subject, A), (None, deltas));
}

pub(super) fn state_is_handed_out_once_and_only_after_a_start(subject: &mut dyn Subject) {
    commit(subject, vec![Op::Create(A, Offset::ZERO)]);
    commit(subject, vec![Op::Checkpoint(A, Bytes::from_static(b"c"))]);
    assert_eq!(take_state(subject, A), (None, vec![]));
    subject.reopen();
    commit(subject, vec![Op::Delta(A, Bytes::from_static(b"later"))]);
    assert_eq!(take_state(subject, A), (Some(Bytes::from_static(b"c")), vec![]));
    assert_eq!(take_state(subject, A), (None, vec![]));
}

pub(super) fn a_quiet_state_survives_a_busy_neighbour(subject: &mut dyn Subject) {
    commit(subject, vec![Op::Create(A, Offset::ZERO), Op::Create(B, Offset::ZERO)]);
    commit(subject, vec![Op::Checkpoint(A, "quiet".into()), Op::Put("k".into(), "v".into())]);
    commit(subject, vec![Op::Delta(A, "delta".into())]);
    let stored = fill(subject, B, 0, &[(1, 20_000); 40]);
    for _ in 0..2 {
        subject.reopen();
        assert_eq!(take_state(subject, A), (Some("quiet".into()), vec!["delta".into()]));
        assert_eq!(subject.store().get(b"k"), Some("v".into()));
        let all = read_all(&*subject.store(), B, at(0), 50_000).unwrap();
        assert!(all == concatenated(&stored));
    }
}

pub(super) fn pairs_are_seen_as_submitted_and_in_key_order(subject: &mut dyn Subject) {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let done = Arc::default();
    let put = |key: &str, value: &str| Op::Put(bytes(key), bytes(value));
    let ops = vec![put("b/2", "two"), put("b/1", "one"), put("a", "x"), put("c", "y")];
    submit(&*subject.store(), ops, 1, &done);
    assert_eq!(subject.store().get(b"b/1"), Some(bytes("one")), "before it is durable");
    let ops = vec![put("b/1", "ONE"), Op::Remove(bytes("a")), put("b/3", "")];
    submit(&*subject.store(), ops, 2, &done);
    subject.settle();
    for _ in 0..2 {
        let store = subject.store();
        assert_eq!(store.get(b"a"), None);
        assert_eq!(store.get(b"b/3"), Some(Bytes::new()));
        let expected =
            [(bytes("b/1"), bytes("ONE")), (bytes("b/2"), bytes("two")), (bytes("b/3"), bytes(""))];
        assert_eq!(store.scan(b"b/"), expected);
        assert_eq!(store.scan(b"").len(), 4);
        assert_eq!(store.scan(b"zz"), []);
        drop(store);
        subject.reopen();
    }
}

pub(super) fn one_commit_changes_everything_or_nothing(subject: &mut dyn Subject) {
    let (one, two) = (batch(1, 2, 30, 1), batch(2, 1, 40, 2));
    let ops = vec![
        Op::Create(A, Offset::ZERO),
        append_to(&[target(A, 0)], &one, 2),
        Op::Create(B, at(9)),
        append_to(&[target(B, 9), target(A, 2)], &two, 1),
        Op::Delta(A, "delta".into()),
        Op::Put("key".into(), "value".into()),
        Op::Trim(A, at(2)),
    ];
    commit(subject, ops);
    assert_survives_reopen(subject);
    let store = subject.store();
    assert_eq!(read_all(&*store, A, at(2), 1).unwrap(), stamped(&two, target(A, 2)));
    assert_eq!(read_all(&*store, B, at(9), 1).unwrap(), stamped(&two, target(B, 9)));
    assert_eq!(store.get(b"key"), Some("value".into()));
    drop(store);
    assert_eq!(take_state(subject, A), (None, vec!["delta".into()]));
}
