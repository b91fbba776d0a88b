//! Reads, ends, chunks and usage.

use super::{A, B, C, SIZES, concatenated, fill};
use crate::batches::{append_to, at, batch, stamped};
use crate::subject::{Subject, assert_survives_reopen, block_on, commit, read, read_all};
use tramline_store::{Error, Op, Target};
use tramline_types::{Offset, Timestamp};

pub(super) fn a_read_from_every_offset_gives_whole_batches(subject: &mut dyn Subject) {
    commit(subject, vec![Op::Create(A, Offset::ZERO)]);
    let stored = fill(subject, A, 0, &SIZES);
    for round in 0..2 {
        let store = subject.store();
        for from in 0..13 {
            let first = stored.iter().rposition(|(base, _)| *base <= from).unwrap();
            let all = read_all(&*store, A, at(from), usize::MAX).unwrap();
            assert_eq!(all, concatenated(&stored[first..]), "round {round}, from {from}");
            let one = read(&*store, A, at(from), 1).unwrap();
            assert_eq!(one.pieces.concat(), stored[first].1, "round {round}, from {from}");
            let next = stored.get(first + 1).map_or(13, |(base, _)| *base);
            assert_eq!(one.next, at(next));
        }
        drop(store);
        subject.reopen();
    }
}

pub(super) fn reads_stop_at_the_byte_limit_but_give_at_least_one_batch(subject: &mut dyn Subject) {
    commit(subject, vec![Op::Create(A, Offset::ZERO)]);
    let stored = fill(subject, A, 0, &[(1, 39); 10]);
    for limit in [0, 1, 99, 100, 101, 250, 999, 1000, 5000] {
        let got = read(&*subject.store(), A, Offset::ZERO, limit).unwrap();
        let expected = (limit / 100).clamp(1, 10);
        assert_eq!(got.pieces.concat(), concatenated(&stored[..expected]), "limit {limit}");
        assert_eq!(got.next, at(expected as u64), "limit {limit}");
    }
}

pub(super) fn reads_beyond_the_ends_are_empty_or_refused(subject: &mut dyn Subject) {
    commit(subject, vec![Op::Create(A, Offset::ZERO)]);
    let store = subject.store();
    let empty = read(&*store, A, Offset::ZERO, 100).unwrap();
    assert_eq!((empty.pieces.len(), empty.next), (0, Offset::ZERO));
    drop(store);
    fill(subject, A, 0, &[(2, 10), (2, 10)]);
    commit(subject, vec![Op::Trim(A, at(2))]);
    for from in [4, 5, 1000] {
        let empty = read(&*subject.store(), A, at(from), 100).unwrap();
        assert_eq!((empty.pieces.len(), empty.next), (0, at(from)));
    }
    let refused = read(&*subject.store(), A, at(1), 100).unwrap_err();
    assert_eq!(refused, Error::BelowStart { log: A, from: at(1), start: at(2) });
    assert_survives_reopen(subject);
}

pub(super) fn an_unknown_log_is_an_error_everywhere(subject: &mut dyn Subject) {
    let store = subject.store();
    assert_eq!(read(&*store, A, Offset::ZERO, 1).unwrap_err(), Error::UnknownLog(A));
    assert_eq!(store.ends(A).unwrap_err(), Error::UnknownLog(A));
    assert_eq!(store.usage(A).unwrap_err(), Error::UnknownLog(A));
    assert_eq!(block_on(store.chunks(A, Offset::ZERO)).unwrap_err(), Error::UnknownLog(A));
    assert_eq!(store.take_state(A).unwrap_err(), Error::UnknownLog(A));
    assert!(store.logs().is_empty());
}

pub(super) fn one_batch_to_many_logs_carries_each_stamp(subject: &mut dyn Subject) {
    let targets = [
        Target { log: A, base: at(0), leader_epoch: 1 },
        Target { log: B, base: at(500), leader_epoch: 2 },
        Target { log: C, base: at(3), leader_epoch: -1 },
    ];
    let creates = targets.iter().map(|target| Op::Create(target.log, target.base)).collect();
    commit(subject, creates);
    let (small, large) = (batch(5, 4, 200, 9), batch(6, 2, 300_000, 9));
    commit(subject, vec![append_to(&targets, &small, 4)]);
    let later = targets.map(|target| Target { base: target.base.plus(4), ..target });
    commit(subject, vec![append_to(&later, &large, 2)]);
    for _ in 0..2 {
        let store = subject.store();
        for (first, second) in targets.iter().zip(later) {
            let all = read_all(&*store, first.log, first.base, usize::MAX).unwrap();
            assert!(all == [stamped(&small, *first), stamped(&large, second)].concat());
        }
        drop(store);
        subject.reopen();
    }
    commit(subject, vec![Op::Delete(A)]);
    let left = read_all(&*subject.store(), B, at(500), 1).unwrap();
    assert!(left == [stamped(&small, targets[1]), stamped(&large, later[1])].concat());
}

pub(super) fn a_log_may_start_at_any_offset(subject: &mut dyn Subject) {
    commit(subject, vec![Op::Create(A, at(1 << 40))]);
    let stored = fill(subject, A, 1 << 40, &[(3, 3)]);
    let ends = subject.store().ends(A).unwrap();
    assert_eq!((ends.start, ends.next), (at(1 << 40), at((1 << 40) + 3)));
    let all = read_all(&*subject.store(), A, at((1 << 40) + 2), 10).unwrap();
    assert_eq!(all, concatenated(&stored));
    assert_survives_reopen(subject);
}

pub(super) fn chunks_cover_the_log_and_tell_times(subject: &mut dyn Subject) {
    commit(subject, vec![Op::Create(A, Offset::ZERO)]);
    let sizes: Vec<(u32, usize)> = (1..=30).map(|n| (n % 3 + 1, n as usize * 700)).collect();
    let stored = fill(subject, A, 0, &sizes);
    for _ in 0..2 {
        let store = subject.store();
        let next = store.ends(A).unwrap().next;
        let chunks = block_on(store.chunks(A, Offset::ZERO)).unwrap();
        let mut expected = Offset::ZERO;
        for chunk in &chunks {
            assert_eq!(chunk.base, expected, "the chunks follow one another");
            expected = chunk.next;
        }
        assert_eq!(expected, next);
        let bytes: u64 = chunks.iter().map(|chunk| chunk.bytes).sum();
        assert_eq!(bytes, stored.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>());
        for (base, _) in &stored {
            let holder = chunks.iter().find(|chunk| chunk.next > at(*base)).unwrap();
            let written = Timestamp::from_millis(1000 + i64::try_from(*base).unwrap());
            assert!(holder.max_timestamp >= written);
            assert!(holder.max_timestamp.as_millis() < 1000 + holder.next.as_i64());
            let later = block_on(store.chunks(A, at(*base))).unwrap();
            assert!(later[0].next > at(*base) && later[0].base <= at(*base));
            assert_eq!(later.last().unwrap().next, next);
        }
        assert_eq!(block_on(store.chunks(A, next)).unwrap(), []);
        drop(store);
        subject.reopen();
    }
}

pub(super) fn usage_follows_appends_and_trims(subject: &mut dyn Subject) {
    commit(subject, vec![Op::Create(A, Offset::ZERO)]);
    assert_eq!(subject.store().usage(A).unwrap(), 0);
    fill(subject, A, 0, &[(1, 39); 20]);
    assert_eq!(subject.store().usage(A).unwrap(), 2000);
    commit(subject, vec![Op::Trim(A, at(20))]);
    assert_eq!(subject.store().usage(A).unwrap(), 0);
    subject.reopen();
    assert_eq!(subject.store().usage(A).unwrap(), 0);
}
