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
        Record::Seen { hash: 1 << 100, until: 7 },
        Record::Perishable,
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
