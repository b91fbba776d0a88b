//! Completions, large batches, reservations, closing and many starts.

use super::{A, B, concatenated, fill};
use crate::batches::{append_to, at, batch, stamped, target};
use crate::subject::{Subject, assert_survives_reopen, block_on, commit, read_all, submit};
use parking_lot::Mutex;
use std::sync::Arc;
use tramline_store::{Commit, Error, Op, Purpose, Reserving};
use tramline_types::Offset;

pub(super) fn completions_come_in_order_and_find_their_commit_readable(subject: &mut dyn Subject) {
    commit(subject, vec![Op::Create(A, Offset::ZERO)]);
    let store = subject.store();
    let seen: Arc<Mutex<Vec<(u64, Offset)>>> = Arc::default();
    for number in 0..100 {
        let one = batch(number, 1, 300, 1);
        let reservation = block_on(store.reserve(Purpose::Publish, one.len(), 1).wait()).unwrap();
        let (reader, seen) = (Arc::downgrade(&store), Arc::clone(&seen));
        let on_durable = Box::new(move || {
            let next = reader.upgrade().unwrap().ends(A).unwrap().next;
            seen.lock().push((number, next));
        });
        let ops = [append_to(&[target(A, number)], &one, 1)].into_iter().collect();
        store.submit(Commit { ops, on_durable }, reservation);
    }
    subject.settle();
    let seen = seen.lock();
    assert_eq!(
        seen.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
        (0..100).collect::<Vec<_>>()
    );
    assert!(seen.iter().all(|(number, next)| *next > at(*number)));
}

pub(super) fn large_batches_come_back_as_they_were(subject: &mut dyn Subject) {
    commit(subject, vec![Op::Create(A, Offset::ZERO)]);
    let sizes = [(1, 300_000), (1, 262_144), (3, 262_083), (1, 700_001), (1, 10), (2, 400_000)];
    let stored = fill(subject, A, 0, &sizes);
    for _ in 0..2 {
        let store = subject.store();
        for (at_index, (base, _)) in stored.iter().enumerate() {
            let all = read_all(&*store, A, at(*base), 500_000).unwrap();
            assert!(all == concatenated(&stored[at_index..]), "from {base}");
        }
        drop(store);
        subject.reopen();
    }
    commit(subject, vec![Op::Trim(A, at(5))]);
    assert_survives_reopen(subject);
    fill(subject, A, 9, &[(1, 300_000)]);
    assert_survives_reopen(subject);
}

pub(super) fn large_and_small_batches_mix_in_one_commit(subject: &mut dyn Subject) {
    commit(subject, vec![Op::Create(A, Offset::ZERO), Op::Create(B, Offset::ZERO)]);
    let (mut ops, mut expected) = (Vec::new(), [Vec::new(), Vec::new()]);
    for number in 0..12_u64 {
        let payload = if number % 3 == 0 { 150_000 } else { 200 };
        let one = batch(number, 1, payload, 1);
        let targets = match number % 4 {
            0 => vec![target(A, expected[0].len() as u64)],
            1 => vec![target(B, expected[1].len() as u64)],
            _ => vec![target(B, expected[1].len() as u64), target(A, expected[0].len() as u64)],
        };
        for target in &targets {
            let which = usize::from(target.log == B);
            expected[which].push((target.base.get(), stamped(&one, *target)));
        }
        ops.push(append_to(&targets, &one, 1));
    }
    commit(subject, ops);
    for _ in 0..2 {
        let store = subject.store();
        for (log, expected) in [(A, &expected[0]), (B, &expected[1])] {
            assert!(read_all(&*store, log, at(0), 10_000).unwrap() == concatenated(expected));
            assert!(read_all(&*store, log, at(0), usize::MAX).unwrap() == concatenated(expected));
        }
        drop(store);
        subject.reopen();
    }
}

pub(super) fn a_reservation_that_is_not_used_is_given_back(subject: &mut dyn Subject) {
    commit(subject, vec![Op::Create(A, Offset::ZERO)]);
    for _ in 0..100_000 {
        match subject.store().reserve(Purpose::Publish, 50_000, 3) {
            Reserving::Ready(reservation) => drop(reservation),
            Reserving::Wait(_) | Reserving::Refused(_) => panic!("nothing is used up"),
        }
    }
    fill(subject, A, 0, &[(1, 1)]);
}

pub(super) fn a_closed_store_takes_nothing_more(subject: &mut dyn Subject) {
    commit(subject, vec![Op::Create(A, Offset::ZERO)]);
    let done = Arc::default();
    let one = batch(1, 1, 1, 1);
    submit(&*subject.store(), vec![append_to(&[target(A, 0)], &one, 1)], 7, &done);
    block_on(subject.store().close());
    assert_eq!(*done.lock(), [7], "what was submitted is durable");
    let refused = block_on(subject.store().reserve(Purpose::Upkeep, 1, 1).wait());
    assert_eq!(refused.map(|_| ()).unwrap_err(), Error::Closed);
    subject.reopen();
    let all = read_all(&*subject.store(), A, at(0), 1).unwrap();
    assert_eq!(all, stamped(&one, target(A, 0)));
}

pub(super) fn nothing_changes_over_many_starts(subject: &mut dyn Subject) {
    commit(subject, vec![Op::Create(A, Offset::ZERO), Op::Create(B, Offset::ZERO)]);
    for round in 0..12 {
        fill(subject, A, round, &[(1, 5000)]);
        fill(subject, B, round * 3, &[(1, 100), (2, 300_000)]);
        commit(subject, vec![Op::Put(format!("key {round}").into(), "x".into())]);
        if round % 4 == 3 {
            commit(subject, vec![Op::Trim(B, at(round * 2))]);
        }
        assert_survives_reopen(subject);
    }
}
