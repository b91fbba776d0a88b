use super::*;
use proptest::prelude::*;

fn records() -> Vec<Record> {
    let run = Run { lane: 9, from: 5, to: 1 << 40 };
    vec![
        Record::Passed(run),
        Record::Delivered(run),
        Record::Redelivered(Run::one(0, 0)),
        Record::Locked { run, sequence: u64::MAX, until: -1 },
        Record::Done(run),
        Record::Released(run),
        Record::Uncounted(run),
        Record::Delayed { lane: u16::MAX, offset: 3, until: i64::MAX },
        Record::Transferring { lane: 0, offset: 3, reason: 2 },
        Record::Deferred { lane: 0, offset: 3 },
        Record::Seen { hash: 1 << 100, until: 7, lane: 2, offset: 1 << 33 },
        Record::Perishable,
        Record::BytesReady(1 << 50),
        Record::Head { lane: 1, offset: 2, group: u64::MAX },
    ]
}

fn encode(records: &[Record]) -> Vec<u8> {
    let mut out = 77_i64.to_be_bytes().to_vec();
    records.iter().for_each(|record| record.encode_into(&mut out));
    out
}

#[test]
fn every_record_reads_back_as_it_was_written() {
    let encoded = encode(&records());
    let (time, read) = decode(&encoded).unwrap();
    assert_eq!(time, 77);
    assert_eq!(read.collect::<Vec<_>>(), records());
}

#[test]
fn a_delta_that_is_cut_gives_the_records_before_the_cut() {
    let encoded = encode(&records());
    for end in 0..encoded.len() {
        let read = decode(&encoded[..end]).map(|(_, read)| read.collect::<Vec<_>>());
        assert!(records().starts_with(&read.unwrap_or_default()), "{end}");
    }
}

#[test]
fn a_journal_joins_runs_that_follow_each_other_and_comes_in_pieces() {
    let mut journal = Journal::default();
    let one = |offset| Run::one(0, offset);
    (0..10).for_each(|offset| journal.add(Record::Done(one(offset))));
    journal.add(Record::Released(one(10)));
    journal.add(Record::Done(one(10)));
    journal.add(Record::Done(Run::one(1, 11)));
    let piece = journal.take(77).unwrap();
    let (time, read) = decode(&piece).unwrap();
    let run = Run { lane: 0, from: 0, to: 10 };
    let wanted = [Record::Done(run), Record::Released(one(10)), Record::Done(one(10))];
    assert_eq!(time, 77);
    assert_eq!(read.collect::<Vec<_>>(), [&wanted[..], &[Record::Done(Run::one(1, 11))]].concat());
    assert_eq!(journal.take(77), None);

    let n = 200_000;
    (0..n).for_each(|offset| journal.add(Record::Done(one(2 * offset))));
    let pieces: Vec<_> = std::iter::from_fn(|| journal.take(1)).collect();
    assert!(pieces.len() > 2 && pieces.iter().all(|piece| piece.len() <= PIECE_BYTES + 32));
    let read = pieces.iter().flat_map(|piece| decode(piece).unwrap().1);
    assert!(read.eq((0..n).map(|offset| Record::Done(one(2 * offset)))));
}

proptest! {
    #[test]
    fn any_bytes_give_some_records(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Some((_, records)) = decode(&bytes) {
            prop_assert!(records.count() <= bytes.len());
        }
    }

    #[test]
    fn varints_read_back(value in any::<u64>()) {
        let mut out = Vec::new();
        put_varint(&mut out, value);
        let mut rest = out.as_slice();
        prop_assert_eq!(varint(&mut rest), Some(value));
        prop_assert!(rest.is_empty());
    }
}
