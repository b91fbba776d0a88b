//! Trim, discard, replace and delete.

use super::{A, B, SIZES, concatenated, fill};
use crate::batches::{append, append_to, at, batch, extent_of, split, stamped, target};
use crate::subject::{Subject, assert_survives_reopen, commit, read, read_all, submit};
use bytes::Bytes;
use std::sync::Arc;
use tramline_store::{Error, Op};
use tramline_types::Offset;

pub(super) fn trimming_drops_what_lies_wholly_below_and_never_goes_back(subject: &mut dyn Subject) {
    commit(subject, vec![Op::Create(A, Offset::ZERO)]);
    let stored = fill(subject, A, 0, &SIZES);
    for (trim, start) in [(2, 2), (1, 2), (4, 4), (4, 4)] {
        commit(subject, vec![Op::Trim(A, at(trim))]);
        let ends = subject.store().ends(A).unwrap();
        assert_eq!((ends.start, ends.next), (at(start), at(13)));
        let first = stored.iter().rposition(|(base, _)| *base <= start).unwrap();
        let all = read_all(&*subject.store(), A, ends.start, 1).unwrap();
        assert_eq!(all, concatenated(&stored[first..]));
        assert_survives_reopen(subject);
    }
    commit(subject, vec![Op::Trim(A, at(13))]);
    let ends = subject.store().ends(A).unwrap();
    assert_eq!((ends.start, ends.next), (at(13), at(13)));
    fill(subject, A, 13, &[(1, 5)]);
    assert_survives_reopen(subject);
}

pub(super) fn discarding_keeps_the_rest_readable(subject: &mut dyn Subject) {
    commit(subject, vec![Op::Create(A, Offset::ZERO)]);
    let stored = fill(subject, A, 0, &[(1, 50); 12]);
    commit(subject, vec![Op::Discard(A, vec![at(2)..at(4), at(7)..at(8)])]);
    commit(subject, vec![Op::Discard(A, vec![at(3)..at(5)])]);
    for _ in 0..2 {
        let all = read_all(&*subject.store(), A, Offset::ZERO, 120).unwrap();
        let seen = split(&all);
        let must: Vec<&Vec<u8>> = stored
            .iter()
            .filter(|(base, _)| ![2, 3, 4, 7].contains(base))
            .map(|(_, bytes)| bytes)
            .collect();
        let kept: Vec<&[u8]> =
            seen.iter().copied().filter(|one| must.iter().any(|must| must == one)).collect();
        assert_eq!(kept, must, "all that was not discarded, in order");
        assert!(seen.iter().all(|one| stored.iter().any(|(_, bytes)| bytes == one)));
        let ends = subject.store().ends(A).unwrap();
        assert_eq!((ends.start, ends.next), (at(0), at(12)));
        subject.reopen();
    }
}

pub(super) fn replacing_leaves_gaps_that_reads_pass_over(subject: &mut dyn Subject) {
    commit(subject, vec![Op::Create(A, Offset::ZERO)]);
    let stored = fill(subject, A, 0, &[(2, 50); 10]);
    let (left, right) = (batch(100, 1, 20, 5), batch(101, 2, 30, 6));
    let (left_at, right_at) = (target(A, 7), target(A, 11));
    let put = vec![append(&[left_at], &left, 1), append(&[right_at], &right, 2)];
    commit(subject, vec![Op::Replace(A, at(4)..at(16), put)]);
    let expected = [
        concatenated(&stored[..2]),
        stamped(&left, left_at),
        stamped(&right, right_at),
        concatenated(&stored[8..]),
    ];
    for _ in 0..2 {
        let store = subject.store();
        assert_eq!(read_all(&*store, A, at(0), 1).unwrap(), expected.concat());
        for (from, first) in [(4, 1), (6, 1), (7, 1), (8, 2), (11, 2), (12, 2), (13, 3), (16, 3)] {
            let all = read_all(&*store, A, at(from), usize::MAX).unwrap();
            assert_eq!(all, expected[first..].concat(), "from {from}");
        }
        assert_eq!(store.ends(A).unwrap().next, at(20));
        drop(store);
        subject.reopen();
    }
    commit(subject, vec![Op::Replace(A, at(16)..at(20), Vec::new())]);
    let end = read(&*subject.store(), A, at(16), 100).unwrap();
    assert!(end.pieces.is_empty() && end.next >= at(16) && end.next <= at(20));
    fill(subject, A, 20, &[(1, 10)]);
    assert_survives_reopen(subject);
}

pub(super) fn replacing_again_and_trimming_keep_the_order(subject: &mut dyn Subject) {
    commit(subject, vec![Op::Create(A, Offset::ZERO)]);
    fill(subject, A, 0, &[(1, 500); 40]);
    for (seed, from, to) in [(1, 3, 10), (2, 8, 20), (3, 0, 4), (4, 30, 31), (5, 0, 40)] {
        let one = batch(seed, 1, 60, 1);
        let put = vec![append(&[target(A, from)], &one, 1)];
        commit(subject, vec![Op::Replace(A, at(from)..at(to), put)]);
        let all = read_all(&*subject.store(), A, at(0), 300).unwrap();
        let bases: Vec<u64> = split(&all).iter().map(|one| extent_of(one).0).collect();
        assert!(bases.is_sorted(), "{bases:?}");
        assert!(bases.contains(&from));
        assert!(bases.iter().all(|base| *base <= from || *base >= to));
        assert_survives_reopen(subject);
    }
    commit(subject, vec![Op::Trim(A, at(40))]);
    assert_survives_reopen(subject);
}

pub(super) fn a_deleted_log_is_gone_and_the_others_stay(subject: &mut dyn Subject) {
    commit(subject, vec![Op::Create(A, Offset::ZERO), Op::Create(B, Offset::ZERO)]);
    fill(subject, A, 0, &SIZES);
    let kept = fill(subject, B, 0, &SIZES);
    commit(subject, vec![Op::Delta(A, Bytes::from_static(b"state"))]);
    commit(subject, vec![Op::Delete(A)]);
    for _ in 0..2 {
        let store = subject.store();
        assert_eq!(store.logs(), [B]);
        assert_eq!(read(&*store, A, Offset::ZERO, 1).unwrap_err(), Error::UnknownLog(A));
        assert_eq!(store.take_state(A).unwrap_err(), Error::UnknownLog(A));
        assert_eq!(read_all(&*store, B, at(0), 1).unwrap(), concatenated(&kept));
        drop(store);
        subject.reopen();
    }
}

pub(super) fn an_append_after_a_delete_is_void(subject: &mut dyn Subject) {
    commit(subject, vec![Op::Create(A, Offset::ZERO), Op::Create(B, Offset::ZERO)]);
    let one = batch(1, 1, 100, 1);
    let done = Arc::default();
    submit(&*subject.store(), vec![Op::Delete(A)], 1, &done);
    let ops = vec![append_to(&[target(A, 0), target(B, 0)], &one, 1), Op::Delta(A, "x".into())];
    submit(&*subject.store(), ops, 2, &done);
    subject.settle();
    assert_eq!(*done.lock(), [1, 2]);
    for _ in 0..2 {
        assert_eq!(subject.store().logs(), [B]);
        let all = read_all(&*subject.store(), B, at(0), 1).unwrap();
        assert_eq!(all, stamped(&one, target(B, 0)));
        subject.reopen();
    }
}
