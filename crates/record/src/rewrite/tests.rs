//! Rewritten batches against what they were made of.

use super::*;
use crate::BatchBuilder;
use tramline_types::{Header, Message, ProducerId};

const CAP: usize = 1 << 20;
const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

fn batch(compression: Compression) -> Batch {
    let mut builder = BatchBuilder::new(compression).with_producer(ProducerId(7), 3, 41);
    for n in 0..6_u8 {
        let message = Message {
            key: Some(Bytes::from(vec![n; 3])),
            value: (n % 3 != 2).then(|| Bytes::from(vec![n; 100])),
            headers: vec![Header { name: Bytes::from_static(b"h"), value: None }],
            timestamp: Some(Timestamp::from_millis(1000 - i64::from(n))),
        };
        builder.push(&message, Timestamp::default());
    }
    builder.build().unwrap()
}

#[test]
fn every_codec_turns_into_every_other_with_the_same_records() {
    for from in CODECS {
        let batch = batch(from);
        for to in CODECS {
            let codec = Codec { compression: to, level: None };
            let turned = batch.with_compression(codec, CAP).unwrap();
            assert_eq!(Batch::decode(turned.bytes().clone()), Ok(turned.clone()), "{from} {to}");
            assert_eq!(turned.header().attributes.compression(), Ok(to));
            assert_eq!(turned.records(CAP).unwrap(), batch.records(CAP).unwrap());
            let (old, new) = (batch.header(), turned.header());
            assert_eq!(
                (old.producer_id, old.base_sequence, old.max_timestamp, old.record_count),
                (new.producer_id, new.base_sequence, new.max_timestamp, new.record_count)
            );
        }
    }
}

#[test]
fn levels_are_used() {
    let mut builder = BatchBuilder::new(Compression::None);
    for n in 0..2000_u32 {
        let value = Some(Bytes::from(format!("{} and {}", n * n, n % 17)));
        builder.push(&Message { value, ..Message::default() }, Timestamp::default());
    }
    let batch = builder.build().unwrap();
    for compression in [Compression::Gzip, Compression::Zstd] {
        let size = |level| {
            let codec = Codec { compression, level: Some(level) };
            batch.with_compression(codec, CAP).unwrap().bytes().len()
        };
        assert!(size(9) < size(1), "{compression}");
    }
}

#[test]
fn what_opens_to_more_than_the_cap_is_an_error() {
    let batch = batch(Compression::Zstd);
    let refused = batch.with_compression(Codec::default(), 100);
    assert_eq!(refused, Err(Error::OpenedTooLarge(100)));
}

#[test]
fn kept_records_keep_offsets_times_and_the_batches_span() {
    for compression in CODECS {
        let batch = batch(compression);
        let all = batch.records(CAP).unwrap();
        let kept = [all[1].clone(), all[4].clone()];
        let fewer = batch.with_records(&kept, None).unwrap();
        assert_eq!(Batch::decode(fewer.bytes().clone()), Ok(fewer.clone()));
        assert_eq!(fewer.records(CAP).unwrap(), kept);
        let header = fewer.header();
        assert_eq!((header.record_count, header.last_offset_delta), (2, 5));
        assert_eq!((header.max_timestamp, header.newest_timestamp()), (999, 999));
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (7, 3, 41));
    }
}

#[test]
fn a_delete_horizon_changes_no_records_time_and_stays() {
    let batch = batch(Compression::Lz4);
    assert_eq!(batch.header().delete_horizon(), None);
    let all = batch.records(CAP).unwrap();
    let horizon = Timestamp::from_millis(900_000);
    let marked = batch.with_records(&all, Some(horizon)).unwrap();
    assert_eq!(marked.header().delete_horizon(), Some(horizon));
    assert_eq!(marked.records(CAP).unwrap(), all);
    assert_eq!(marked.header().newest_timestamp(), 1000, "the horizon is no record's time");
    let fewer = marked.with_records(&all[2..3], None).unwrap();
    assert_eq!(fewer.header().delete_horizon(), Some(horizon));
    assert_eq!(fewer.records(CAP).unwrap(), all[2..3]);
}

#[test]
fn log_append_time_stays() {
    let batch = batch(Compression::None).with_log_append_time(Timestamp::from_millis(77));
    let all = batch.records(CAP).unwrap();
    let fewer = batch.with_records(&all[..1], Some(Timestamp::from_millis(5000))).unwrap();
    assert_eq!(fewer.header().max_timestamp, 77);
    assert_eq!(fewer.records(CAP).unwrap()[0].timestamp, 77);
}

#[test]
fn a_batch_may_lose_all_its_records() {
    let empty = batch(Compression::Gzip).with_records(&[], None).unwrap();
    assert_eq!(Batch::decode(empty.bytes().clone()), Ok(empty.clone()));
    assert_eq!((empty.header().record_count, empty.header().last_offset_delta), (0, 5));
    assert_eq!(empty.records(CAP), Ok(Vec::new()));
}

#[test]
fn a_producer_may_not_set_a_delete_horizon() {
    let batch = batch(Compression::None);
    let all = batch.records(CAP).unwrap();
    let marked = batch.with_records(&all, Some(Timestamp::from_millis(1))).unwrap();
    assert!(marked.check_producer_batch().is_err());
}
